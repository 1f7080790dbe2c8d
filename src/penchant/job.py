"""The main job in one call: read, split, fit, measure. What the command line does, in Python."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from penchant import artifact
from penchant.calibration import validation_coverage
from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings
from penchant.data.sizes import as_interactions
from penchant.data.split import Split, split_file, split_last, split_none, split_random, split_time, split_users
from penchant.data.write import check_folder
from penchant.errors import SettingError
from penchant.intervals import calibrate
from penchant.machine import parse_memory
from penchant.models import Model, build, build_own
from penchant.models.fitting import Epoch, FitLog, FitOptions, Listener, NothingLearnt, Silent
from penchant.models.memory import check_fits
from penchant.models.networks import Own
from penchant.newcomers import Questions
from penchant.own_modules import blaming, load_class
from penchant.serving.measuring import Measured, measure_questions
from penchant.serving.recommender import Recommender


def make_split(
    ratings: Interactions,
    *,
    valid: Interactions | None = None,
    split: str = "random",
    valid_fraction: float = 0.2,
    given_fraction: float = 0.8,
    last_n: int = 1,
    seed: int = 0,
) -> Split:
    """The split that options ask for.

    Args:
        valid: a table of its own to validate on; the options below are not looked at then.
        split: "random" or "time" with valid_fraction, "users" with valid_fraction (of the users) and given_fraction (of
            what each of them took), or "last-n" with last_n.
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
    if split == "users":
        return split_users(ratings, valid_fraction, given_fraction, seed)
    if split == "random":
        return split_random(ratings, valid_fraction, seed)
    raise SettingError(f"split is {split!r}.", remedy="Give random, time, users or last-n.")


def fit(
    ratings: Any,
    model: Any = "mf",
    *,
    valid: Any = None,
    split: str = "random",
    valid_fraction: float = 0.2,
    given_fraction: float = 0.8,
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
        model: a name of MODELS ("bias", "mf", "als", …), a torch module (class or instance), or "file.py:ClassName".
        valid, split, valid_fraction, given_fraction, last_n: how to validate; see `make_split`.
        seed: all randomness comes from it: same seed, same model.
        device: "auto", "cpu" or "cuda", for networks.
        patience: stop after this many epochs without a better validation loss and keep the best epoch.
        keep_best: run all epochs and keep the best.
        threads: how many may work; the result is the same for any number. None for every core.
        memory: the most that this process may hold, "2GB" or bytes: what would take more is refused before it starts.
            None for what the machine has.
        listener: is told about epochs.
        settings: of the model, by name; and arguments of `read_ratings` (user, item, rating, time, items, …), by which
            ratings and valid are read.

    Raises:
        InputError: something given cannot be used; the message says what and how to mend it.
        NotEnoughMemoryError: reading or fitting would take too much.
    """
    most = None if memory is None else parse_memory(memory)
    how = {"valid_fraction": valid_fraction, "given_fraction": given_fraction, "last_n": last_n, "seed": seed}
    reading, settings = part_reading(settings, ratings, valid)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent(), threads, most)
    unfitted = build_any(model, settings)
    parts = as_split(ratings, memory=most, valid=valid, split=split, reading=reading, **how)
    return fit_model(unfitted, parts, options)


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
    return fit_and_measure(model, split, options, metrics)[0]


def fit_and_measure(
    model: Model, split: Split, options: FitOptions, metrics: Sequence[str] | None
) -> tuple[Recommender, Measured | None]:
    """As `fit_model`, with what was measured of each user, or None without validation ratings; memory is not looked at.

    Raises:
        NothingLearnt, InputError: as for `fit_model`.
    """
    check_choosing(split, options)
    try:
        log = _fit(model, split, options)
    except KeyboardInterrupt:  # also while torch is still loading, before there are epochs
        raise NothingLearnt from None
    about = {"data": describe_data(split), "split": describe_split(split)}
    if split.valid is None or not len(split.valid):
        return Recommender.of(model, split, log, about), None
    questions = Questions.of_split(model, split)
    conformal = None if model.ranks_only else calibrate(model, split, questions)
    fitted = Recommender.of(model, split, log, about, conformal)
    found = measure_questions(fitted, questions, metrics, seed=options.seed, threads=options.threads)
    report = found.to_json()
    if not model.ranks_only:
        coverage = validation_coverage(model, conformal, split, options.seed, questions=questions)
        report |= {"coverage": coverage.to_json()} if coverage is not None else {}
    return replace(fitted, about={**about, "valid": report}), found


def check_choosing(split: Split, options: FitOptions) -> None:
    """Raise SettingError where the best epoch is asked for and held-out users could only tell it by being folded in."""
    if split.given is not None and (options.patience is not None or options.keep_best):
        raise SettingError(
            "Held-out users are folded in after the fit, and cannot say which epoch is the best.",
            remedy="Leave --patience and --keep-best out, or choose another --split.",
        )


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


def count_trained_on(
    recommender: Recommender, ratings: Interactions, *, validated: bool = False, relevant_from: float | None = None
) -> int:
    """How many of some ratings, by user and item, a model was trained on.

    Args:
        validated: count what it was validated on instead.
        relevant_from: count only ratings from this one up.
    """
    history, users, items = recommender.history, recommender.users, recommender.items
    owners = np.repeat(np.arange(len(users), dtype=np.int64), np.diff(history.starts))
    part = ~history.in_training if validated else history.in_training
    known = ratings.are_among(users, items, owners[part], history.item_rows[part])
    return int((known if relevant_from is None else known & (ratings.ratings >= relevant_from)).sum())


def leak_of(recommender: Recommender, ratings: Interactions) -> str:
    """What lets a model know the future of some ratings, in words: training ratings that came after them; or ""."""
    data = recommender.about.get("data")
    times = data.get("times") if isinstance(data, Mapping) else None
    if ratings.times is None or not isinstance(times, Sequence) or not len(ratings):
        return ""
    n_before = int((ratings.times < times[-1]).sum())
    if not n_before:
        return ""
    return (
        f"The model was trained on ratings given after {n_before:,} of these {len(ratings):,};"
        " penchant fit --split time trains on none."
    )


def as_split(
    ratings: Any, *, valid: Any = None, memory: int | None = None, reading: Mapping[str, Any], **how: Any
) -> Split:
    """Whatever ratings are given as, split; a Split stays as it is.

    Args:
        memory: the most that may be held.
        reading: arguments of `read_ratings`, for what is not read yet.
        how: as for `make_split`.
    """
    if isinstance(ratings, Split):
        return ratings
    held_out = None if valid is None else as_interactions(valid, memory, **reading)
    return make_split(as_interactions(ratings, memory, **reading), valid=held_out, **how)


READING_ARGUMENTS = tuple(inspect.signature(read_ratings).parameters)[1:]


def part_reading(given: Mapping[str, Any], ratings: Any, valid: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of `read_ratings` among others that are given by name, and the others.

    Raises:
        SettingError: there are some, and everything has been read already.
    """
    reading = {name: value for name, value in given.items() if name in READING_ARGUMENTS}
    is_read = isinstance(ratings, Split) or all(
        isinstance(one, Interactions) for one in (ratings, valid) if one is not None
    )
    if reading and is_read:
        what = "split" if isinstance(ratings, Split) else "read"
        raise SettingError(
            f"{next(iter(reading))}=… says how to read a table, and these ratings are {what} already.",
            remedy="Give it to penchant.read_ratings, or give the table itself here.",
        )
    return reading, {name: value for name, value in given.items() if name not in READING_ARGUMENTS}


def build_any(model: Any, settings: Mapping[str, Any]) -> Model:
    """A model by name, by "file.py:ClassName", or around a torch module."""
    if not isinstance(model, str):
        return build_own(model, **settings)
    if is_module_reference(model):
        return build_own(load_class(model), **settings)
    return build(model, **settings)


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
        "n_ratings": len(train) + sum(len(part) for part in (valid, split.given) if part is not None),
        "n_users": train.n_users,
        "n_items": train.n_items,
        "scale": [low, high],
        "is_implicit": train.is_implicit,
        "positive_from": train.positive_from,
        "mean": float(train.ratings.mean(dtype="float64")),
        "times": None if train.times is None else [int(train.times.min()), int(train.times.max())],
        "columns": dict(train.columns),
        "notes": list(train.notes),
    }


def describe_split(split: Split) -> dict[str, Any]:
    """How a model's data was split, for its manifest."""
    return {
        "how": split.how,
        "n_train": len(split.train),
        "n_valid": len(split.valid) if split.valid is not None else 0,
        "n_given": len(split.given) if split.given is not None else 0,
        "n_unknown": split.n_unknown,
        "may_leak": split.may_leak,
    }
