"""Tuning: the settings of a model, searched for on a part of the training ratings.

The ratings held out for the final measurement are not handed to the search at all: it splits the training ratings once
more, and fits on the one part and measures on the other. Trial 0 is the defaults, so that the best trial is at least as
good as they are on the ratings that it was chosen on.

What trial n tries follows from the seed, n and the trials before it alone. A search that was cut off and goes on from
its file therefore makes the same trials as one that was not.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penchant import job
from penchant.data.split import Split
from penchant.errors import InputError, NotEnoughMemoryError, PenchantError, SettingError
from penchant.evaluate import DEFAULT_METRICS
from penchant.list_metrics import LIST_METRICS
from penchant.machine import parse_memory
from penchant.metrics import METRICS
from penchant.models import Model
from penchant.models.fitting import Epoch, FitOptions, Listener, NothingLearnt, Silent
from penchant.rank_metrics import DEFAULT_RANK_METRICS
from penchant.search_space import Dimension, search_space
from penchant.search_storage import check_storage, fingerprint, load_optuna, opened, other_search
from penchant.seeds import integer_seed
from penchant.serving.recommender import Recommender
from penchant.signals import held_back
from penchant.trials import Search, Trial, best_of

STUDY = "penchant tune"
RANKING_METRIC, RATING_METRIC = "ndcg@10", "rmse"
FAILURES = 5  # so many failed trials and no other: the reason is not the settings

# Pruning. Fits are compared at the same part of their way, in tenths, because they differ in their number of epochs.
STEPS = 10
TRIALS_BEFORE_PRUNING = 5
STEPS_BEFORE_PRUNING = 2
TRIALS_TO_COMPARE = 3


def _tell_nobody(*what: object) -> None:
    del what


@dataclass(frozen=True)
class Plan:
    """How to search, as opposed to what.

    Attributes:
        trials: how many in all, those in the file included.
        metric: rmse, mse, mae, or of lists such as ndcg@10; None for rmse, or ndcg@10 of models that only rank.
        storage: a file that keeps the trials, and from which a search goes on.
        pruning: end fits that do worse than half of those before them.
        told: hears of every new trial, and whether it is the best so far.
        resumed: hears how many trials were in the file.
    """

    trials: int = 30
    metric: str | None = None
    storage: Path | None = None
    pruning: bool = True
    told: Callable[[Trial, bool], object] = _tell_nobody
    resumed: Callable[[int], object] = _tell_nobody

    def __post_init__(self) -> None:
        if isinstance(self.trials, bool) or not isinstance(self.trials, int) or self.trials < 1:
            raise SettingError(f"trials is {self.trials!r}.", remedy="Give a whole number, 1 or more.")


def tune(
    ratings: Any,
    model: str = "mf",
    *,
    trials: int = 30,
    metric: str | None = None,
    storage: str | Path | None = None,
    pruning: bool = True,
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
    told: Callable[[Trial, bool], object] = _tell_nobody,
    **settings: Any,
) -> tuple[Recommender, Search]:
    """Search for a model's settings on the training ratings, then fit the best on all of these and measure it.

    The validation ratings are held out of the search. It splits what is left in the same way once more.

    Args:
        ratings: Interactions, or whatever `read_ratings` takes.
        model: a name, or "file.py:ClassName".
        trials: how many settings to try; the first are the defaults.
        metric: what to choose by: rmse, or ndcg@10 for models that only rank, by default; see `Plan`.
        storage: a file that keeps the trials. With the same file the search goes on where it was.
        pruning: end fits that do worse than half of those before them.
        listener: is told about the epochs of the last fit.
        told: is called with every new trial, and whether it is the best so far.
        settings: these are fixed, and not searched; arguments of `read_ratings` say how ratings and valid are read.

    The others are those of `fit`. Ctrl-C ends the search, and the best so far is fitted.

    Returns:
        the fitted recommender and the search.

    Raises:
        InputError: something given cannot be used, or the file holds another search.
        MissingExtraError: optuna is not installed.
        NothingLearnt: Ctrl-C before the first trial was done.
    """
    plan = Plan(trials, metric, None if storage is None else Path(storage), pruning, told)
    reading, settings = job.part_reading(settings, ratings, valid)
    check_plan(plan, model, settings)
    most = None if memory is None else parse_memory(memory)
    fractions = {"valid_fraction": valid_fraction, "given_fraction": given_fraction}
    how = {"split": split, **fractions, "last_n": last_n, "seed": seed}
    parts = job.as_split(ratings, valid=valid, memory=most, reading=reading, **how)
    options = FitOptions(seed, device, patience, keep_best, listener or Silent(), threads, most)
    found = search(model, settings, inner_split(parts, how), plan, options)
    return fit_best(found, settings, parts, options), found


def check_plan(plan: Plan, model: str, fixed: Mapping[str, Any]) -> None:
    """Raise before anything is read what the search would raise.

    Raises:
        MissingExtraError: optuna is not installed.
        SettingError: no such setting or metric, or nothing to search.
        InputError: the storage file is none, or cannot be written.
    """
    load_optuna()
    made = job.build_any(model, fixed)
    search_space(model, fixed)
    known = [*([] if made.ranks_only else METRICS), *(f"{name}@k" for name in LIST_METRICS)]
    if plan.metric is not None and re.sub(r"@[1-9][0-9]*$", "@k", plan.metric) not in known:
        raise SettingError(
            f"There is no metric '{plan.metric}' to tune by.", remedy=f"The metrics: {', '.join(known)}."
        )
    if plan.storage is not None:
        check_storage(plan.storage)


def metric_of(plan: Plan, model: str, fixed: Mapping[str, Any]) -> str:
    """What the trials of a model are measured by."""
    return plan.metric or (RANKING_METRIC if job.build_any(model, fixed).ranks_only else RATING_METRIC)


def inner_split(split: Split, how: Mapping[str, Any]) -> Split:
    """The training part split again, as the whole was.

    Args:
        how: arguments of `job.make_split`; what the whole was split with.

    Raises:
        SettingError: the whole has no validation part, or one side would be empty.
    """
    if split.valid is None or not len(split.valid):
        raise SettingError(
            "The result of tuning is measured on validation ratings, and none are held out.",
            remedy="Leave --valid-fraction 0 out.",
        )
    return job.make_split(split.train, **how)


def search(model: str, fixed: Mapping[str, Any], inner: Split, plan: Plan, options: FitOptions) -> Search:
    """Try settings: fit on inner.train, measure on inner.valid.

    Raises:
        InputError: the file holds another search; or no settings work.
        NotEnoughMemoryError: the defaults take too much.
        NothingLearnt: Ctrl-C before the first trial was done.
    """
    metric = metric_of(plan, model, fixed)
    space = search_space(model, fixed)
    with opened(plan.storage) as storage:
        expected = fingerprint(model, fixed, inner, metric, space, plan.pruning, options) if plan.storage else {}
        trying = _Trying(model, dict(fixed), inner, metric, space, plan, replace(options, listener=Silent()))
        trying.open(storage, expected)
        interrupted = trying.run()
    if best_of(trying.trials, trying.maximised) is None:
        if interrupted:
            raise NothingLearnt
        raise InputError(
            f"Not one of {len(trying.trials)} trials could be finished; the first: {trying.trials[0].problem}",
            remedy="Fix a setting, or fit the model once to see what is wrong (penchant fit).",
        )
    defaults = {dimension.name: dimension.default for dimension in space}
    return Search(model, metric, trying.maximised, tuple(trying.trials), defaults, inner.how, interrupted)


def fit_best(found: Search, fixed: Mapping[str, Any], split: Split, options: FitOptions) -> Recommender:
    """The best settings, fitted on the whole training part and measured on the validation part.

    Raises:
        NothingLearnt: Ctrl-C before the first epoch ended.
    """
    model = job.build_any(found.model, {**fixed, **found.best.settings})
    usual = DEFAULT_RANK_METRICS if model.ranks_only else DEFAULT_METRICS
    fitted = job.fit_model(model, split, options, list(dict.fromkeys((*usual, found.metric))))
    return replace(fitted, about={**fitted.about, "tuning": found.to_json()})


class _PrunedError(PenchantError):
    """A fit that is not worth its end; it passes through a user's own module as all errors of ours do."""

    def __init__(self) -> None:
        super().__init__("The trial was pruned.")


class _Watching(Silent):
    """A Listener that tells optuna the validation losses, and ends a fit that is not worth its end."""

    def __init__(self, trial: Any, maximised: bool) -> None:
        self.trial, self.maximised = trial, maximised
        self.epochs, self.step = 1, 0

    def started(self, model: str, epochs: int) -> None:
        del model
        self.epochs, self.step = epochs, 0

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        del model
        step = STEPS * (epoch.epoch + 1) // self.epochs
        if epoch.valid_loss is None or not self.step < step < STEPS:  # what has come to its end is measured
            return
        self.step = step
        with held_back():
            self.trial.report(-epoch.valid_loss if self.maximised else epoch.valid_loss, step)
        if self.trial.should_prune():
            raise _PrunedError


class _Trying:
    """A search under way."""

    def __init__(
        self,
        model: str,
        fixed: dict[str, Any],
        inner: Split,
        metric: str,
        space: list[Dimension],
        plan: Plan,
        options: FitOptions,
    ) -> None:
        self.model, self.fixed, self.inner, self.metric = model, fixed, inner, metric
        self.space, self.plan, self.options = space, plan, options
        self.maximised = metric not in METRICS  # all those of lists are better when higher
        self.trials: list[Trial] = []

    def open(self, storage: Any, fingerprint: dict[str, Any]) -> None:
        """Make the study, or go on with the one in the file."""
        optuna = load_optuna()
        self.study = optuna.create_study(
            storage=storage,
            study_name=STUDY,
            direction="maximize" if self.maximised else "minimize",
            pruner=optuna.pruners.MedianPruner(
                TRIALS_BEFORE_PRUNING, STEPS_BEFORE_PRUNING, n_min_trials=TRIALS_TO_COMPARE
            )
            if self.plan.pruning
            else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        if storage is None:
            return
        before = self.study.user_attrs.get("fingerprint")
        if before is None and not self.study.trials:
            self.study.set_user_attr("fingerprint", fingerprint)
        elif before != fingerprint:
            raise other_search(self.plan.storage, before or {}, fingerprint)
        states = optuna.trial.TrialState
        self.trials = [self._read(one) for one in self.study.get_trials(states=(states.COMPLETE, states.PRUNED))]
        if self.trials:
            self.plan.resumed(len(self.trials))

    def _read(self, frozen: Any) -> Trial:
        """A finished trial of the file; those that were cut off are made anew."""
        about = frozen.user_attrs
        settings = {one.name: one.of_optuna(frozen.params[one.name]) for one in self.space}
        return Trial(about["number"], settings, about["value"], about["seconds"], about["problem"])

    def run(self) -> bool:
        """Make what is left of the trials; whether Ctrl-C came."""
        while len(self.trials) < self.plan.trials:
            if len(self.trials) == FAILURES and all(trial.state == "failed" for trial in self.trials):
                return False
            try:
                trial = self._next()
            except KeyboardInterrupt:
                return True
            best = best_of(self.trials, self.maximised)
            self.plan.told(trial, trial is best)
        return False

    def _next(self) -> Trial:
        optuna = load_optuna()
        number, states = len(self.trials), optuna.trial.TrialState
        with held_back():
            # Of its own for each trial: what it has drawn before is not in the file.
            self.study.sampler = optuna.samplers.TPESampler(seed=integer_seed(self.options.seed, f"trial {number}"))
            if number == 0 and not self.study.get_trials(states=(states.WAITING,)):
                self.study.enqueue_trial({one.name: one.to_optuna(one.default) for one in self.space})
            asked = self.study.ask()
            settings = {one.name: one.suggest(asked) for one in self.space}
        try:
            trial = self._measure(number, settings, asked)
        except BaseException:
            with held_back():
                self.study.tell(asked, state=states.FAIL)
            raise
        with held_back():
            for name in ("number", "value", "seconds", "problem"):
                asked.set_user_attr(name, getattr(trial, name))
            if trial.value is None:
                self.study.tell(asked, state=states.PRUNED)  # failed ones too: optuna learns nothing from FAIL
            else:
                self.study.tell(asked, trial.value)
            self.trials.append(trial)
        return trial

    def _measure(self, number: int, settings: dict[str, Any], asked: Any) -> Trial:
        started = time.perf_counter()
        value: float | None = None
        problem = ""
        try:
            value = self._value(settings, _Watching(asked, self.maximised))
        except _PrunedError:
            pass
        except NotEnoughMemoryError as error:
            if number == 0:
                raise
            problem = error.problem
        except InputError as error:
            problem = error.problem
        if value is not None and not math.isfinite(value):
            value, problem = None, f"{self.metric} is {value}."
        return Trial(number, settings, value, time.perf_counter() - started, problem)

    def _value(self, settings: Mapping[str, Any], listener: Listener) -> float:
        model: Model = job.build_any(self.model, {**self.fixed, **settings})
        fitted = job.fit_model(model, self.inner, replace(self.options, listener=listener), [self.metric])
        if job.was_interrupted(fitted):
            raise KeyboardInterrupt
        return float(fitted.about["valid"]["metrics"][self.metric])
