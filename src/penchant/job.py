"""The main job in one call: read, split, fit, measure. What the command line does, in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from penchant import artifact
from penchant.calibration import validation_coverage
from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings
from penchant.data.sizes import check_reading
from penchant.data.split import Split, split_file, split_last, split_none, split_random, split_time
from penchant.data.write import check_folder
from penchant.errors import SettingError
from penchant.evaluate import DEFAULT_METRICS
from penchant.intervals import calibrate
from penchant.machine import parse_memory
from penchant.models import Model, build, build_own, model_class
from penchant.models.fitting import Epoch, FitLog, FitOptions, Listener, NothingLearnt, Silent
from penchant.models.memory import check_fits
from penchant.models.networks import Own
from penchant.own_modules import blaming, load_class
from penchant.rank_metrics import DEFAULT_RANK_METRICS, is_rank_metric
from penchant.serving.measuring import measure, values_of_users
from penchant.serving.recommender import Recommender
from penchant.significance import Difference, against_best

COMPARED = ("bias", "dot", "mf", "mlp")
COMPARED_WITHOUT_RATINGS = ("popularity", "item-knn", "ease", "als")


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
    memory: int | str | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> Recommender:
    """From ratings to a fitted recommender.

    Args:
        ratings: Interactions, or whatever `read_ratings` takes; or a Split made before.
        model: a name ("bias", "dot", "mf", "mlp", "bayes"), a torch module (class or instance), or "file.py:ClassName".
        valid, split, valid_fraction, last_n: how to validate; see `make_split`.
        seed: all randomness comes from it: same seed, same model.
        device: "auto", "cpu" or "cuda", for networks.
        patience: stop after this many epochs without a better validation loss and keep the best epoch.
        keep_best: run all epochs and keep the best.
        threads: how many may work; the result is the same for any number. None for every core.
        memory: the most that this process may hold, "2GB" or bytes: what would take more is refused before it starts.
            None for what the machine has.
        listener: is told about epochs.
        settings: of the model, by name.

    Raises:
        InputError: something given cannot be used; the message says what and how to mend it.
        NotEnoughMemoryError: reading or fitting would take too much.
    """
    most = None if memory is None else parse_memory(memory)
    how = {"valid": valid, "split": split, "valid_fraction": valid_fraction, "last_n": last_n, "seed": seed}
    parts = as_split(ratings, memory=most, **how)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent(), threads, most)
    return fit_model(build_any(model, settings), parts, options)


def compare(
    ratings: Any,
    models: Sequence[str] | None = None,
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
    memory: int | str | None = None,
    listener: Listener | None = None,
    **settings: Any,
) -> list[Recommender]:
    """Fit several models on one split, the best first: by validation error, or by ndcg@10 if one of them ranks only.

    Args:
        models: names, or "file.py:ClassName"; None for those of COMPARED, or COMPARED_WITHOUT_RATINGS.
        settings: a setting is given to the models that have it; one that no model has is an error.

    The others are those of `fit`.
    """
    most = None if memory is None else parse_memory(memory)
    how = {"valid": valid, "split": split, "valid_fraction": valid_fraction, "last_n": last_n, "seed": seed}
    parts = as_split(ratings, memory=most, **how)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent(), threads, most)
    return compare_models(list(build_several(compared(parts) if models is None else models, settings)), parts, options)


def compared(split: Split) -> Sequence[str]:
    """The models to compare where none are named."""
    return COMPARED_WITHOUT_RATINGS if split.train.is_implicit else COMPARED


def compare_models(
    models: Sequence[Model], split: Split, options: FitOptions, metrics: Sequence[str] | None = None
) -> list[Recommender]:
    """Fit models on one split, the best first as `compare` says; Ctrl-C ends with those that have learnt.

    Args:
        metrics: of lists, beside the errors of those that predict ratings; by the first of them, the best is told.

    Raises:
        SettingError: the split has nothing to validate on, or a device is not there.
        MissingExtraError: a network is among the models, and torch is not installed; before any model is fitted.
        NotEnoughMemoryError: one of the models would take too much; before any model is fitted.
        NothingLearnt: Ctrl-C before the first epoch of the first model ended.
    """
    if split.valid is None or not len(split.valid):
        raise SettingError("Models can only be compared on validation ratings.", remedy="Hold some out.")
    check_machine(models, options.device)
    check_fits(models, split, options.memory)
    by = ranked_by(models, metrics)
    fitted: list[Recommender] = []
    for model in models:
        try:
            fitted.append(_fit_and_measure(model, split, options, _of_model(model, by, metrics)))
        except NothingLearnt:
            if not fitted:
                raise
            break
        if was_interrupted(fitted[-1]):
            break
    sign = 1 if by == "mse" else -1
    return sorted(fitted, key=lambda one: sign * float(one.about["valid"]["metrics"][by]))


def ranked_by(models: Sequence[Model], metrics: Sequence[str] | None) -> str:
    """The metric that says which model is best: an error, or the first of lists that is asked for."""
    of_lists = [name for name in metrics or () if is_rank_metric(name)]
    if not of_lists and not any(model.ranks_only for model in models):
        return "mse"
    return of_lists[0] if of_lists else DEFAULT_RANK_METRICS[0]


def differences(fitted: Sequence[Recommender], split: Split, by: str, seed: int = 0) -> dict[str, Difference]:
    """How models compare with the best of them, the first, by a paired test over users.

    Args:
        by: the metric, as `ranked_by` gives it.
    """
    if split.valid is None or len(fitted) < 2:
        return {}
    of_models = {}
    for place, one in enumerate(fitted):
        name = str(one.model.extra().get("class", one.model.name))
        of_models[name if name not in of_models else f"{name} ({place + 1})"] = values_of_users(one, split.valid, by)
    return against_best(of_models, next(iter(of_models)), seed)


def _of_model(model: Model, by: str, metrics: Sequence[str] | None) -> Sequence[str]:
    """What to measure of one model: every model has metrics of lists, and those that predict ratings errors too."""
    of_lists = [name for name in metrics or () if is_rank_metric(name)]
    if by != "mse" and not of_lists:
        of_lists = list(DEFAULT_RANK_METRICS)
    return of_lists if model.ranks_only else [*DEFAULT_METRICS, *of_lists]


def was_interrupted(fitted: Recommender) -> bool:
    """Whether Ctrl-C ended a fit."""
    return fitted.log is not None and fitted.log.ending == "interrupted"


def check_machine(models: Sequence[Model], device: str) -> None:
    """Raise before any work what a model would raise when its turn comes.

    Raises:
        MissingExtraError: torch is not installed.
        SettingError: a model cannot be trained on the device, or it is not there.
    """
    for model in models:
        model.check_device(device)


def check_destination(folder: Path) -> None:
    """Raise before long work what `Recommender.save` would raise after it.

    Raises:
        ArtifactError: something that is not a model is in the way.
        InputError: the disk refuses.
    """
    artifact.check_replaceable(folder.resolve())
    check_folder(folder.resolve().parent, folder)


def fit_model(model: Model, split: Split, options: FitOptions, metrics: Sequence[str] | None = None) -> Recommender:
    """Fit one model on one split and measure it on the validation part.

    Args:
        metrics: of ratings and of lists; None for `default_metrics`.

    Raises:
        NothingLearnt: Ctrl-C before the first epoch ended.
        InputError: the ratings, the settings, or a module of the user's own do not work.
        NotEnoughMemoryError: the fit would take more memory than there is, or than it may.
    """
    check_fits([model], split, options.memory)
    return _fit_and_measure(model, split, options, metrics)


def _fit_and_measure(model: Model, split: Split, options: FitOptions, metrics: Sequence[str] | None) -> Recommender:
    try:
        log = _fit(model, split, options)
    except KeyboardInterrupt:  # also while torch is still loading, before there are epochs
        raise NothingLearnt from None
    about = {"data": describe_data(split), "split": describe_split(split)}
    if model.ranks_only:
        fitted = Recommender.of(model, split, log, about)
    else:
        fitted = Recommender.of(model, split, log, about, calibrate(model, split))
    if split.valid is None or not len(split.valid):
        return fitted
    report = measure(fitted, split.valid, metrics, seed=options.seed, threads=options.threads).to_json()
    if model.ranks_only:
        return replace(fitted, about={**about, "valid": report})
    coverage = validation_coverage(model, fitted.conformal, split, options.seed)
    measured = report | ({"coverage": coverage.to_json()} if coverage is not None else {})
    return replace(fitted, about={**about, "valid": measured})


def _fit(model: Model, split: Split, options: FitOptions) -> FitLog:
    """A fit that goes by the class's name for a module of the user's own, whose exceptions are the user's."""
    if not isinstance(model, Own):
        return model.fit(split, options)
    name = str(model.extra()["class"])
    with blaming(model, "Mend the class, or give its constructor other settings (--set NAME=VALUE)."):
        log = model.fit(split, replace(options, listener=_Named(options.listener, name)))
    return replace(log, model=name)


def load_with(folder: Path, reference: str) -> Recommender:
    """Load an artifact whose torch module is the class "path/file.py:ClassName"."""
    recommender = Recommender.load(folder, module=load_class(reference))
    if isinstance(recommender.model, Own):
        with blaming(recommender.model, "Give the class, as it was, that the model was fitted with."):
            _ = recommender.model.module
    return recommender


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


def count_trained_on(recommender: Recommender, ratings: Interactions, *, validated: bool = False) -> int:
    """How many of some ratings, by user and item, a model was trained on; or was validated on instead."""
    history, n_items = recommender.history, len(recommender.items)
    owners = np.repeat(np.arange(len(recommender.users), dtype=np.int64), np.diff(history.starts))
    part = ~history.in_training if validated else history.in_training
    seen = (owners * n_items + history.item_rows)[part]
    user_rows, item_rows = ratings.rows_in(recommender.users, recommender.items)
    known = (user_rows >= 0) & (item_rows >= 0)
    return int(np.isin(user_rows[known].astype(np.int64) * n_items + item_rows[known], seen).sum())


def as_split(ratings: Any, *, valid: Any = None, memory: int | None = None, **how: Any) -> Split:
    """Whatever ratings are given as, split; a Split stays as it is. `memory` is the most that may be held."""
    if isinstance(ratings, Split):
        return ratings
    held_out = None if valid is None else as_interactions(valid, memory)
    return make_split(as_interactions(ratings, memory), valid=held_out, **how)


def as_interactions(source: Any, memory: int | None = None) -> Interactions:
    """Interactions as they are, anything else read."""
    if isinstance(source, Interactions):
        return source
    check_reading(source, memory)
    return read_ratings(source)


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
        "is_implicit": train.is_implicit,
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
