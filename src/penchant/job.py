"""The main job in one call: read, split, fit, measure. What the command line does, in Python."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings
from penchant.data.split import Split, split_file, split_last, split_none, split_random, split_time
from penchant.errors import InputError, SettingError
from penchant.models import Model, build, build_own, model_class
from penchant.models.fitting import FitOptions, Listener, Silent
from penchant.serving.recommender import Recommender

How = Literal["random", "time", "last-n"]

COMPARED = ("bias", "dot", "mf", "mlp")


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
        listener: is told about epochs.
        settings: of the model, by name.

    Raises:
        InputError: something given cannot be used; the message says what and how to mend it.
    """
    parts = as_split(ratings, valid=valid, split=split, valid_fraction=valid_fraction, last_n=last_n, seed=seed)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent())
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
    options = FitOptions(seed, device, patience, keep_best, listener or Silent())
    return compare_models(list(build_several(models, settings)), parts, options)


def compare_models(models: Sequence[Model], split: Split, options: FitOptions) -> list[Recommender]:
    """Fit models on one split, best validation error first; Ctrl-C ends with those that have learnt.

    Raises:
        SettingError: the split has nothing to validate on.
    """
    if split.valid is None:
        raise SettingError("Models can only be compared on validation ratings.", remedy="Hold some out.")
    fitted = []
    for model in models:
        fitted.append(fit_model(model, split, options))
        if fitted[-1].log is not None and fitted[-1].log.ending == "interrupted":
            break
    return sorted(fitted, key=lambda one: one.about["valid"]["metrics"]["mse"])


def fit_model(model: Model, split: Split, options: FitOptions) -> Recommender:
    """Fit one model on one split and measure it on the validation part."""
    log = model.fit(split, options)
    fitted = Recommender.of(model, split, log, {"data": describe_data(split), "split": describe_split(split)})
    if split.valid is None or not len(split.valid):
        return fitted
    report = fitted.evaluate(split.valid, seed=options.seed)
    return Recommender.of(model, split, log, {**fitted.about, "valid": report.to_json()})


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
    names = {model: {field.name for field in model_class(kind_of(model)).settings_class.describe()} for model in models}
    for setting in settings:
        if not any(setting in known for known in names.values()):
            raise SettingError(f"None of {', '.join(models)} has a setting '{setting}'.", remedy="Leave it out.")
    return (build_any(m, {s: value for s, value in settings.items() if s in names[m]}) for m in models)


def kind_of(model: str) -> str:
    """The name of a model's class: "own" for path/file.py:ClassName."""
    return "own" if is_module_reference(model) else model


def is_module_reference(model: str) -> bool:
    """Whether a model's name is "path/file.py:ClassName"."""
    return ".py:" in model


def load_class(reference: str) -> Any:
    """The class that "path/file.py:ClassName" names; the file is run, as Python's import would.

    Raises:
        InputError: there is no such file or class, or the file fails.
    """
    path, _, name = reference.rpartition(":")
    file = Path(path)
    if not file.is_file():
        raise InputError(f"There is no file {path}.", remedy="Give path/file.py:ClassName.")
    spec = importlib.util.spec_from_file_location(f"penchant_own_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code may raise anything
        raise InputError(f"{path} fails when it is run: {type(error).__name__}: {error}", remedy="Mend it.") from error
    if not hasattr(module, name):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and not key.startswith("_")]
        raise InputError(f"{path} has no class {name}.", remedy=f"Its classes: {', '.join(classes) or 'none'}.")
    return getattr(module, name)


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
