"""The main job in one call: read, split, fit, measure. What the command line does, in Python."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from penchant import artifact
from penchant.data.interactions import Interactions
from penchant.data.pairs import lists_table
from penchant.data.read import read_ratings
from penchant.data.split import Split, split_file, split_last, split_none, split_random, split_time
from penchant.data.write import check_folder
from penchant.errors import InputError, MissingExtraError, PenchantError, SettingError
from penchant.models import Model, build, build_own, model_class
from penchant.models.fitting import Epoch, FitLog, FitOptions, Listener, NothingLearnt, Silent
from penchant.models.networks import Mlp, Own
from penchant.serving.recommender import Recommendation, Recommender

COMPARED = ("bias", "dot", "mf", "mlp")
ENTRIES_AT_ONCE = 500_000  # recommendations in memory at a time
SCORES_AT_ONCE = 4_000_000
NO_ITEMS = np.empty(0, np.int32)


def make_split(
    ratings: Interactions,
    *,
    valid: Interactions | None = None,
    split: str = "random",
    valid_fraction: float = 0.2,
    last_n: int = 1,
    seed: int = 0,
) -> Split:
    """The split that options ask for.

    Args:
        valid: a table of its own to validate on; the options below are not looked at then.
        split: "random" or "time" with valid_fraction, or "last-n" with last_n.
        valid_fraction: 0 to train on everything.
    """
    if valid is not None:
        return split_file(ratings, valid)
    if split == "last-n":
        return split_last(ratings, last_n)
    if valid_fraction == 0:
        return split_none(ratings)
    if split == "time":
        return split_time(ratings, valid_fraction)
    if split == "random":
        return split_random(ratings, valid_fraction, seed)
    raise SettingError(f"split is {split!r}.", remedy="Give random, time or last-n.")


def fit(
    ratings: Any,
    model: Any = "mf",
    *,
    valid: Any = None,
    split: str = "random",
    valid_fraction: float = 0.2,
    last_n: int = 1,
    seed: int = 0,
    device: str = "auto",
    patience: int | None = None,
    keep_best: bool = False,
    threads: int | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Recommender:
    """From ratings to a fitted recommender.

    Args:
        ratings: Interactions, or whatever `read_ratings` takes; or a Split made before.
        model: a name ("bias", "dot", "mf", "mlp"), a torch module (class or instance), or "file.py:ClassName".
        valid, split, valid_fraction, last_n: how to validate; see `make_split`.
        seed: all randomness comes from it: same seed, same model.
        device: "auto", "cpu" or "cuda", for networks.
        patience: stop after this many epochs without a better validation loss and keep the best epoch.
        keep_best: run all epochs and keep the best.
        threads: how many may work; the result is the same for any number. None for every core.
        listener: is told about epochs.
        settings: of the model, by name.

    Raises:
        InputError: something given cannot be used; the message says what and how to mend it.
    """
    parts = as_split(ratings, valid=valid, split=split, valid_fraction=valid_fraction, last_n=last_n, seed=seed)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent(), threads)
    return fit_model(build_any(model, settings), parts, options)


def compare(
    ratings: Any,
    models: Sequence[str] = COMPARED,
    *,
    valid: Any = None,
    split: str = "random",
    valid_fraction: float = 0.2,
    last_n: int = 1,
    seed: int = 0,
    device: str = "auto",
    patience: int | None = None,
    keep_best: bool = False,
    threads: int | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> list[Recommender]:
    """Fit several models on one split, best validation error first.

    Args:
        models: names, or "file.py:ClassName".
        settings: a setting is given to the models that have it; one that no model has is an error.

    The others are those of `fit`.
    """
    parts = as_split(ratings, valid=valid, split=split, valid_fraction=valid_fraction, last_n=last_n, seed=seed)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent(), threads)
    return compare_models(list(build_several(models, settings)), parts, options)


def compare_models(models: Sequence[Model], split: Split, options: FitOptions) -> list[Recommender]:
    """Fit models on one split, best validation error first; Ctrl-C ends with those that have learnt.

    Raises:
        SettingError: the split has nothing to validate on, or a device is not there.
        MissingExtraError: a network is among the models, and torch is not installed; before any model is fitted.
        NothingLearnt: Ctrl-C before the first epoch of the first model ended.
    """
    if split.valid is None or not len(split.valid):
        raise SettingError("Models can only be compared on validation ratings.", remedy="Hold some out.")
    check_machine(models, options.device)
    fitted: list[Recommender] = []
    for model in models:
        try:
            fitted.append(fit_model(model, split, options))
        except NothingLearnt:
            if not fitted:
                raise
            break
        if was_interrupted(fitted[-1]):
            break
    return sorted(fitted, key=lambda one: one.about["valid"]["metrics"]["mse"])


def was_interrupted(fitted: Recommender) -> bool:
    """Whether Ctrl-C ended a fit."""
    return fitted.log is not None and fitted.log.ending == "interrupted"


def check_machine(models: Sequence[Model], device: str) -> None:
    """Raise before any work what a network would raise when its turn comes.

    Raises:
        MissingExtraError: torch is not installed.
        SettingError: the device is not there.
    """
    if any(isinstance(model, Mlp | Own) for model in models):
        from penchant.models import torch_training

        torch_training.find_device(device)


def check_destination(folder: Path) -> None:
    """Raise before long work what `Recommender.save` would raise after it.

    Raises:
        ArtifactError: something that is not a model is in the way.
        InputError: the disk refuses.
    """
    artifact.check_replaceable(folder.resolve())
    check_folder(folder.resolve().parent, folder)


def fit_model(model: Model, split: Split, options: FitOptions) -> Recommender:
    """Fit one model on one split and measure it on the validation part.

    Raises:
        NothingLearnt: Ctrl-C before the first epoch ended.
        InputError: the ratings, the settings, or a module of the user's own do not work.
    """
    try:
        log = _fit(model, split, options)
    except KeyboardInterrupt:  # also while torch is still loading, before there are epochs
        raise NothingLearnt from None
    fitted = Recommender.of(model, split, log, {"data": describe_data(split), "split": describe_split(split)})
    if split.valid is None or not len(split.valid):
        return fitted
    report = fitted.evaluate(split.valid, seed=options.seed)
    return Recommender.of(model, split, log, {**fitted.about, "valid": report.to_json()})


def _fit(model: Model, split: Split, options: FitOptions) -> FitLog:
    """A fit that goes by the class's name for a module of the user's own, whose exceptions are the user's."""
    if not isinstance(model, Own):
        return model.fit(split, options)
    name = str(model.extra()["class"])
    with _blaming(model, "Mend the class, or give its constructor other settings (--set NAME=VALUE)."):
        log = model.fit(split, replace(options, listener=_Named(options.listener, name)))
    return replace(log, model=name)


def load_with(folder: Path, reference: str) -> Recommender:
    """Load an artifact whose torch module is the class "path/file.py:ClassName"."""
    recommender = Recommender.load(folder, module=load_class(reference))
    if isinstance(recommender.model, Own):
        with _blaming(recommender.model, "Give the class, as it was, that the model was fitted with."):
            _ = recommender.model.module
    return recommender


@contextmanager
def _blaming(model: Own, remedy: str) -> Iterator[None]:
    """Exceptions of the user's own code as InputError."""
    try:
        yield
    except PenchantError:
        raise
    except Exception as error:
        name = model.extra()["class"]
        raise InputError(f"{name} failed{_where(error, _file_of(model))}: {_said(error)}", remedy=remedy) from error


def _file_of(model: Own) -> str | None:
    """The file that the class of a torch module is in."""
    source = model.module_source
    home = sys.modules.get(source.__module__ if isinstance(source, type) else type(source).__module__)
    return getattr(home, "__file__", None)


class _Named:
    """A Listener that hears of a model by another name."""

    def __init__(self, listener: Listener, name: str) -> None:
        self.listener = listener
        self.name = name
        self.progressed = listener.progressed

    def started(self, model: str, epochs: int) -> None:
        del model
        self.listener.started(self.name, epochs)

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        del model
        self.listener.ended_epoch(self.name, epoch)


def recommend_many(
    recommender: Recommender, users: Sequence[Any], k: int, *, include_seen: bool = False
) -> Iterator[tuple[Any, list[Recommendation]]]:
    """`Recommender.recommend_many` for so few users at a time that memory stays bounded for every k."""
    at_once = max(1, ENTRIES_AT_ONCE // min(k, len(recommender.items)))
    for start in range(0, len(users), at_once):
        yield from recommender.recommend_many(users[start : start + at_once], k, include_seen=include_seen)


def recommend_tables(
    recommender: Recommender, users: Sequence[Any], k: int, *, include_seen: bool = False
) -> Iterator[tuple[int, Any]]:
    """The same lists as a table for each block of users, and how many users are in it.

    No list is ever a Python object: for 180,000 users and k = 10 that was measured at a twentieth of the time.
    """
    from penchant.kernels.topk import topk

    model, history, n_items = recommender.model, recommender.history, len(recommender.items)
    rows = recommender.users.rows(users)
    at_once = max(1, min(SCORES_AT_ONCE // n_items, ENTRIES_AT_ONCE // min(k, n_items)))
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        scores = model.scores_of(model.user_vectors(part))
        seen = [history.item_rows[history.of(row)] for row in part if not include_seen] or [NO_ITEMS]
        starts = np.zeros(len(part) + 1, np.int64)
        if not include_seen:
            np.cumsum([len(items) for items in seen], out=starts[1:])
        best = topk(scores, starts, np.concatenate(seen), min(k, n_items))
        places = np.nonzero(best >= 0)
        taken = scores[places[0], best[places]]
        columns = part[places[0]], places[1] + 1, best[places], model.clip(taken), taken
        yield len(part), lists_table(recommender.users, recommender.items, recommender.item_names, *columns)


def count_trained_on(recommender: Recommender, ratings: Interactions) -> int:
    """How many of some ratings, by user and item, a model was trained on."""
    history, n_items = recommender.history, len(recommender.items)
    owners = np.repeat(np.arange(len(recommender.users), dtype=np.int64), np.diff(history.starts))
    trained_on = (owners * n_items + history.item_rows)[history.in_training]
    user_rows, item_rows = ratings.rows_in(recommender.users, recommender.items)
    known = (user_rows >= 0) & (item_rows >= 0)
    return int(np.isin(user_rows[known].astype(np.int64) * n_items + item_rows[known], trained_on).sum())


def as_split(ratings: Any, *, valid: Any = None, **how: Any) -> Split:
    """Whatever ratings are given as, split; a Split stays as it is."""
    if isinstance(ratings, Split):
        return ratings
    held_out = None if valid is None else as_interactions(valid)
    return make_split(as_interactions(ratings), valid=held_out, **how)


def as_interactions(source: Any) -> Interactions:
    """Interactions as they are, anything else read."""
    return source if isinstance(source, Interactions) else read_ratings(source)


def build_any(model: Any, settings: Mapping[str, Any]) -> Model:
    """A model by name, by "file.py:ClassName", or around a torch module."""
    if not isinstance(model, str):
        return build_own(model, **settings)
    if is_module_reference(model):
        return build_own(load_class(model), **settings)
    return build(model, **settings)


def build_several(models: Sequence[str], settings: Mapping[str, Any]) -> Iterator[Model]:
    """The models of a comparison, each with those of the settings that it has."""
    if not models:
        raise SettingError("There are no models to compare.", remedy=f"Give some, such as {','.join(COMPARED)}.")
    names = {model: {field.name for field in model_class(kind_of(model)).settings_class.describe()} for model in models}
    for setting in settings:
        if not any(setting in known for known in names.values()):
            raise SettingError(f"None of {', '.join(models)} has a setting '{setting}'.", remedy="Leave it out.")
    return (build_any(m, {s: value for s, value in settings.items() if s in names[m]}) for m in models)


def kind_of(model: str) -> str:
    """The name of a model's class: "own" for path/file.py:ClassName."""
    if model == Own.name:
        raise SettingError("Which class is the model?", remedy="Give path/file.py:ClassName.")
    return Own.name if is_module_reference(model) else model


def is_module_reference(model: str) -> bool:
    """Whether a model's name is "path/file.py:ClassName", or was meant to be."""
    return ".py:" in model or model.endswith(".py")


def load_class(reference: str) -> Any:
    """The class that "path/file.py:ClassName" names; the file is run, as Python's import would.

    Raises:
        InputError: there is no such file or class, or the file fails.
    """
    path, colon, name = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
    file = Path(path)
    if file.suffix != ".py" or not file.is_file():
        raise InputError(f"There is no Python file {path}.", remedy="Give path/file.py:ClassName.")
    found = vars(_run(file))
    if colon and isinstance(found.get(name), type):
        return found[name]
    classes = [key for key, value in found.items() if isinstance(value, type) and key[:1] != "_"]
    listed = ", ".join(f"{path}:{key}" for key in classes) or "none"
    problem = f"{path} has no class {name}." if name else f"Which class of {path}?"
    raise InputError(problem, remedy=f"Its classes: {listed}.")


def _run(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"penchant_own_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        if isinstance(error, ImportError) and error.name == "torch":
            raise MissingExtraError(f"{file}", extra="torch") from error
        raise InputError(
            f"{file} fails when it is run{_where(error, str(file))}: {_said(error)}", remedy="Mend it."
        ) from error
    return module


def _where(error: BaseException, file: str | None) -> str:
    """Words such as "(line 7 of net.py)" for the innermost line of a file that had a part in an exception."""
    if file is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == Path(file).resolve()]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f" (line {line} of {Path(file).name})" if line else ""


def _said(error: BaseException) -> str:
    """An exception in one line."""
    said = error.msg if isinstance(error, SyntaxError) else error
    return f"{type(error).__name__}: {said}".splitlines()[0]


def describe_data(split: Split) -> dict[str, Any]:
    """The data a model was fitted on, for its manifest."""
    train, valid = split.train, split.valid
    low, high = train.scale
    return {
        "source": train.source,
        "n_ratings": len(train) + (len(valid) if valid is not None else 0),
        "n_users": train.n_users,
        "n_items": train.n_items,
        "scale": [low, high],
        "mean": float(train.ratings.mean(dtype="float64")),
        "notes": list(train.notes),
    }


def describe_split(split: Split) -> dict[str, Any]:
    """How a model's data was split, for its manifest."""
    return {
        "how": split.how,
        "n_train": len(split.train),
        "n_valid": len(split.valid) if split.valid is not None else 0,
        "n_unknown": split.n_unknown,
        "may_leak": split.may_leak,
    }
