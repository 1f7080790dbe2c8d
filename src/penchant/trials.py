"""Trials of a search: what was tried, what came of it, and which is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One fit with settings that were tried.

    Attributes:
        number: 0-based; 0 has the defaults.
        settings: those that are searched.
        value: of the metric on the inner validation ratings; None when the fit was pruned or failed.
        seconds: wall time.
        problem: why it failed, "" when it did not.
    """

    number: int
    settings: Mapping[str, Any]
    value: float | None
    seconds: float
    problem: str = ""

    @property
    def state(self) -> str:
        """What became of it: "done", "pruned" or "failed"."""
        return "done" if self.value is not None else "failed" if self.problem else "pruned"

    def changed(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that differ from the defaults."""
        return {name: value for name, value in self.settings.items() if value != defaults[name]}


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        model: the name.
        metric: what the trials were measured by.
        maximised: whether more is better.
        trials: by number, at least one of them done.
        defaults: of the settings that were searched.
        how: how the inner validation ratings were held out.
        interrupted: whether Ctrl-C ended it.
    """

    model: str
    metric: str
    maximised: bool
    trials: tuple[Trial, ...]
    defaults: Mapping[str, Any]
    how: str
    interrupted: bool

    @property
    def best(self) -> Trial:
        """The trial with the best value, the first of equal ones."""
        found = best_of(self.trials, self.maximised)
        assert found is not None
        return found

    def to_json(self) -> dict[str, Any]:
        """For the manifest and for programs."""
        best, states = self.best, [trial.state for trial in self.trials]
        return {
            "metric": self.metric,
            "how": self.how,
            "trials": len(self.trials),
            "pruned": states.count("pruned"),
            "failed": states.count("failed"),
            "best": best.number,
            "value": best.value,
            "default_value": self.trials[0].value,
            "settings": plain(best.settings),
        }


def best_of(trials: Sequence[Trial], maximised: bool) -> Trial | None:
    """The best of some trials, None while none is done."""
    done = [(trial.value, trial) for trial in trials if trial.value is not None]
    if not done:
        return None
    return min(done, key=lambda one: (-one[0] if maximised else one[0], one[1].number))[1]


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
