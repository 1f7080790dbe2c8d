"""Several models on one split, or over folds: which is the best, and is that more than chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, overload

import numpy as np

from penchant.data.sizes import as_interactions
from penchant.data.split import Split, split_folds
from penchant.errors import SettingError
from penchant.evaluate import DEFAULT_METRICS
from penchant.folds import Fold, OverFolds
from penchant.job import (
    as_split,
    build_any,
    check_choosing,
    check_machine,
    fit_and_measure,
    kind_of,
    part_reading,
    was_interrupted,
)
from penchant.machine import parse_memory
from penchant.models import Model, model_class
from penchant.models.fitting import FitOptions, Listener, NothingLearnt, Silent
from penchant.models.memory import check_fits
from penchant.rank_metrics import DEFAULT_RANK_METRICS, is_rank_metric
from penchant.serving.measuring import Measured, Values
from penchant.serving.recommender import Recommender
from penchant.significance import Difference, against_best

COMPARED = ("bias", "dot", "mf", "mlp")
COMPARED_WITHOUT_RATINGS = ("popularity", "item-knn", "ease", "als")
RATING_BASELINE, LIST_BASELINE = "bias", "popularity"
ERRORS = {"mse": 1, "rmse": 1, "mae": 2}  # which of the sums of `Measured.errors_by_user` is above the line


@dataclass(frozen=True, eq=False)
class Compared:
    """A model of a comparison, fitted and measured.

    Attributes:
        recommender: the fitted model.
        measured: on the validation part, each user apart.
        is_baseline: whether it was added to compare with, and not asked for.
    """

    recommender: Recommender
    measured: Measured
    is_baseline: bool = False

    @property
    def name(self) -> str:
        """The model's name; the class's of a torch module of the user's own."""
        return name_of(self.recommender.model)


def _tell_nobody(*what: object) -> None:
    del what


@overload
def compare(
    ratings: Any, models: Sequence[str] | None = None, *, folds: None = None, **how: Any
) -> list[Recommender]: ...
@overload
def compare(ratings: Any, models: Sequence[str] | None = None, *, folds: int, **how: Any) -> list[OverFolds]: ...
def compare(
    ratings: Any,
    models: Sequence[str] | None = None,
    *,
    folds: int | None = None,
    baselines: bool = True,
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
) -> list[Recommender] | list[OverFolds]:
    """Fit several models on one split, the best first: by validation error, or by ndcg@10 if one of them ranks only.

    Args:
        models: names, or "file.py:ClassName"; None for those of COMPARED, or COMPARED_WITHOUT_RATINGS.
        folds: fit every model on so many splits instead, such that each rating is held out in exactly one of them;
            how to split is not looked at then.
        baselines: also compare the simple models that others have to beat, where they are not named: bias if errors
            are compared, popularity if lists are.
        settings: a setting is given to the models that have it; one that no model has is an error. Arguments of
            `read_ratings` say how ratings and valid are read.

    The others are those of `fit`.

    Returns:
        the fitted recommenders; with folds, what was measured of each model over all of them.
    """
    most = None if memory is None else parse_memory(memory)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent(), threads, most)
    reading, settings = part_reading(settings, ratings, valid)
    if folds is None:
        how = {"valid_fraction": valid_fraction, "given_fraction": given_fraction, "last_n": last_n, "seed": seed}
        parts = as_split(ratings, memory=most, valid=valid, split=split, reading=reading, **how)
        contest = Contest.of(compared(parts) if models is None else models, settings, None, baselines)
        return [one.recommender for one in compare_measured(contest, parts, options)]
    if isinstance(ratings, Split) or valid is not None or split != "random":
        raise SettingError(
            "Folds are a way to split of their own.", remedy="Give ratings alone: no valid, no split, no Split."
        )
    splits = split_folds(as_interactions(ratings, most, **reading), folds, seed)
    contest = Contest.of(compared(splits[0]) if models is None else models, settings, None, baselines)
    return compare_folds(contest, splits, options)


def compared(split: Split) -> Sequence[str]:
    """The models to compare where none are named."""
    return COMPARED_WITHOUT_RATINGS if split.train.is_implicit else COMPARED


@dataclass(frozen=True, eq=False)
class Contest:
    """The models of a comparison; not fitted, and made anew for every fold.

    Attributes:
        models: names that were asked for, or "file.py:ClassName".
        baselines: names of models that were not asked for and are compared with.
        settings: by name; each model gets those that it has.
        metrics: of lists, beside the errors of those that predict ratings; None for the default.
    """

    models: Sequence[str]
    baselines: Sequence[str]
    settings: Mapping[str, Any]
    metrics: Sequence[str] | None

    @classmethod
    def of(
        cls, models: Sequence[str], settings: Mapping[str, Any], metrics: Sequence[str] | None, baselines: bool
    ) -> Contest:
        """Some models, with the baselines that are missing among them on request.

        Raises:
            SettingError: no models, one that does not exist, or a setting that none of them has.
        """
        made = list(build_several(models, settings))
        return cls(models, missing_baselines(made, metrics) if baselines else (), settings, metrics)

    def build(self) -> list[tuple[Model, bool]]:
        """The models, and whether each is an added baseline; baselines first, since they take no time."""
        known = {name: _setting_names(name) for name in self.baselines}
        added = [
            build_any(name, {s: value for s, value in self.settings.items() if s in known[name]})
            for name in self.baselines
        ]
        asked = build_several(self.models, self.settings)
        return [*((model, True) for model in added), *((model, False) for model in asked)]

    @property
    def by(self) -> str:
        """The metric that says which model is the best."""
        return ranked_by([model for model, _ in self.build()], self.metrics)


def missing_baselines(models: Sequence[Model], metrics: Sequence[str] | None) -> list[str]:
    """Simple models to compare with that are not among some models: for lists popularity, for ratings bias."""
    names = {model.name for model in models}
    wanted = [LIST_BASELINE] if ranked_by(models, metrics) != "mse" else []
    wanted += [RATING_BASELINE] if any(not model.ranks_only for model in models) else []
    return [name for name in wanted if name not in names]


def compare_models(
    models: Sequence[Model], split: Split, options: FitOptions, metrics: Sequence[str] | None = None
) -> list[Recommender]:
    """Fit models on one split, the best first as `compare` says; no baseline is added.

    Raises:
        as for `compare_measured`.
    """
    found = _compare([(model, False) for model in models], split, options, metrics)
    return [one.recommender for one in found]


def compare_measured(contest: Contest, split: Split, options: FitOptions) -> list[Compared]:
    """Fit models on one split, the best first; Ctrl-C ends with those that have learnt.

    Raises:
        SettingError: the split has nothing to validate on, or a device is not there.
        UnsupportedError: one of the models cannot learn from this table; before any model is fitted.
        MissingExtraError: a network is among the models, and torch is not installed; before any model is fitted.
        NotEnoughMemoryError: one of the models would take too much; before any model is fitted.
        NothingLearnt: Ctrl-C before the first epoch of the first model ended.
    """
    return _compare(contest.build(), split, options, contest.metrics)


def _compare(
    models: Sequence[tuple[Model, bool]], split: Split, options: FitOptions, metrics: Sequence[str] | None
) -> list[Compared]:
    plain = [model for model, _ in models]
    _check_before(plain, split, options)
    for model, is_baseline in models:
        if not is_baseline:  # a baseline can be fitted wherever the model can that it was added for
            model.check_data(split, options)
    by = ranked_by(plain, metrics)
    fitted: list[Compared] = []
    for model, is_baseline in models:
        try:
            fitted.append(_fit_one(model, is_baseline, split, options, _of_model(model, by, metrics)))
        except NothingLearnt:
            if not fitted:
                raise
            break
        if was_interrupted(fitted[-1].recommender):
            break
    return sorted(fitted, key=lambda one: _worst_last(one.recommender.about["valid"]["metrics"][by], by))


def _check_before(models: Sequence[Model], split: Split, options: FitOptions) -> None:
    if split.valid is None or not len(split.valid):
        raise SettingError("Models can only be compared on validation ratings.", remedy="Hold some out.")
    check_choosing(split, options)
    check_machine(models, options.device)
    check_fits(models, split, options.memory)


def _fit_one(model: Model, is_baseline: bool, split: Split, options: FitOptions, metrics: Sequence[str]) -> Compared:
    if is_baseline and not model.has_valid_loss:  # it has no epoch that could be the best, and nobody asked for it
        options = replace(options, patience=None, keep_best=False)
    recommender, measured = fit_and_measure(model, split, options, metrics)
    assert measured is not None
    return Compared(recommender, measured, is_baseline)


def _worst_last(value: float, by: str) -> float:
    """What to sort by, so that the best model is the first; NaN is the last."""
    if np.isnan(value):
        return float("inf")
    return float(value) if by == "mse" else -float(value)


def compare_folds(
    contest: Contest,
    splits: Sequence[Split],
    options: FitOptions,
    told: Callable[[int, Compared], object] = _tell_nobody,
) -> list[OverFolds]:
    """Fit and measure all models on every split, the best first by the mean over folds.

    Ctrl-C ends with the folds that all models have finished.

    Args:
        splits: of one table, as `split_folds` makes them.
        told: hears of every fold (from 0) and model as it is measured.

    Raises:
        SettingError, MissingExtraError, NotEnoughMemoryError: as for `compare_measured`; before any model is fitted.
        NothingLearnt: Ctrl-C before the first fold was done.
    """
    _check_before([model for model, _ in contest.build()], splits[0], options)  # the others are of the same size
    by, done = contest.by, []
    for number, split in enumerate(splits):
        try:
            done.append(_one_fold(contest, by, split, options, partial(told, number)))
        except KeyboardInterrupt:
            if not done:
                raise NothingLearnt from None
            break
    names = _distinct([name_of(model) for model, _ in contest.build()])
    over = [
        OverFolds.of(name, is_baseline, [fold[at] for fold in done], options.seed)
        for at, (name, (_, is_baseline)) in enumerate(zip(names, contest.build(), strict=True))
    ]
    return sorted(over, key=lambda one: _worst_last(one.metrics[by], by))


def _one_fold(
    contest: Contest, by: str, split: Split, options: FitOptions, told: Callable[[Compared], object]
) -> list[Fold]:
    """Of each model what it adds to the whole; the fitted models are let go."""
    found = []
    for model, is_baseline in contest.build():
        one = _fit_one(model, is_baseline, split, options, _of_model(model, by, contest.metrics))
        if was_interrupted(one.recommender):
            raise KeyboardInterrupt
        told(one)
        log = one.recommender.log
        found.append(Fold(one.recommender.about["valid"], sums_of(one.measured), log.fit_seconds if log else 0.0))
    return found


def sums_of(measured: Measured) -> dict[str, Values]:
    """What each user of the held-out table adds above and below the line of each metric, float64 (2, n_users)."""
    found: dict[str, Values] = {}
    if measured.ratings is not None:
        errors = measured.errors_by_user()
        found |= {name: errors[[ERRORS[name], 0]] for name in measured.ratings.metrics}
    if measured.lists is not None:
        for name, values in measured.lists.of_users.items():
            of_all = np.zeros((2, measured.questions.ratings.n_users))
            of_all[0, measured.lists.users], of_all[1, measured.lists.users] = np.nan_to_num(values), ~np.isnan(values)
            found[name] = of_all
    return found


def ranked_by(models: Sequence[Model], metrics: Sequence[str] | None) -> str:
    """The metric that says which model is best: an error, or the first of lists that is asked for."""
    of_lists = [name for name in metrics or () if is_rank_metric(name)]
    if not of_lists and not any(model.ranks_only for model in models):
        return "mse"
    return of_lists[0] if of_lists else DEFAULT_RANK_METRICS[0]


def _of_model(model: Model, by: str, metrics: Sequence[str] | None) -> Sequence[str]:
    """What to measure of one model: every model has metrics of lists, and those that predict ratings errors too."""
    of_lists = [name for name in metrics or () if is_rank_metric(name)]
    if by != "mse" and not of_lists:
        of_lists = list(DEFAULT_RANK_METRICS)
    return of_lists if model.ranks_only else [*DEFAULT_METRICS, *of_lists]


def differences(found: Sequence[Compared | OverFolds], by: str, seed: int = 0) -> dict[str, Difference]:
    """How models compare with the best of them, the first, by a paired test over users, averaged over folds.

    Args:
        by: the metric, as `ranked_by` gives it.
    """
    if len(found) < 2:
        return {}
    names = _distinct([one.name for one in found])
    of_models = {
        name: one.values_of_users(by) if isinstance(one, OverFolds) else one.measured.values_of_users(by)
        for name, one in zip(names, found, strict=True)
    }
    return against_best(of_models, names[0], seed)


def name_of(model: Model) -> str:
    """A model's name; the class's for a module of the user's own."""
    return str(model.extra().get("class", model.name))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names with their place where one is there already: bias, mf, bias (3)."""
    return [name if name not in names[:place] else f"{name} ({place + 1})" for place, name in enumerate(names)]


def build_several(models: Sequence[str], settings: Mapping[str, Any]) -> Iterator[Model]:
    """The models of a comparison, each with those of the settings that it has."""
    if not models:
        raise SettingError("There are no models to compare.", remedy=f"Give some, such as {','.join(COMPARED)}.")
    names = {model: _setting_names(model) for model in models}
    for setting in settings:
        if not any(setting in known for known in names.values()):
            raise SettingError(f"None of {', '.join(models)} has a setting '{setting}'.", remedy="Leave it out.")
    return (build_any(m, {s: value for s, value in settings.items() if s in names[m]}) for m in models)


def _setting_names(model: str) -> set[str]:
    return {field.name for field in model_class(kind_of(model)).settings_class.describe()}
