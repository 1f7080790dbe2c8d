"""What a search tries: the settings of a model, each as a range or as values, from its settings class."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Union, get_args, get_origin

from penchant import job
from penchant.errors import SettingError
from penchant.models import model_class
from penchant.models.settings import Field

LOG_RATIO = 10  # ranges from this on are searched on a logarithmic scale


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched: a range of numbers, or values.

    Attributes:
        name: of the setting.
        default: the value of trial 0.
        low, high: ends of the range, the default among them; both are reached.
        is_log: every factor counts alike, not every difference.
        is_whole: only whole numbers.
        values: what there is to choose from, by label; empty for a range.
    """

    name: str
    default: Any
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, setting: Field) -> Dimension:
        """The search that a setting asks for (`Field.search`)."""
        searched, default = tuple(setting.search), setting.default
        whole = int in _types(setting.kind)
        if (not whole and float not in _types(setting.kind)) or not _is_range(searched):
            values = (*searched, *(() if default in searched else (default,)))
            return cls(setting.name, default, values={label(value): value for value in values})
        ends = (*searched, default) if _is_number(default) else searched
        low, high = min(ends), max(ends)
        return cls(setting.name, default, low, high, low > 0 and high / low >= LOG_RATIO, whole)

    def suggest(self, trial: Any) -> Any:
        """A value by an optuna trial."""
        if self.values:
            return self.values[trial.suggest_categorical(self.name, list(self.values))]
        if self.is_whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.is_log)
        return trial.suggest_float(self.name, float(self.low), float(self.high), log=self.is_log)

    def to_optuna(self, value: Any) -> Any:
        """A value as optuna keeps it."""
        return label(value) if self.values else int(value) if self.is_whole else float(value)

    def of_optuna(self, kept: Any) -> Any:
        """The inverse of `to_optuna`."""
        return self.values[kept] if self.values else kept

    def __str__(self) -> str:
        if self.values:
            return f"{self.name} of {', '.join(self.values)}"
        return f"{self.name} from {self.low:g} to {self.high:g}"


def label(value: Any) -> str:
    """A setting's value as it is typed on a command line."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(label, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def search_space(model: str, fixed: Mapping[str, Any]) -> list[Dimension]:
    """The settings of a model that say where to search and are not fixed.

    Raises:
        SettingError: none is left.
    """
    settings = model_class(job.kind_of(model)).settings_class.describe()
    space = [Dimension.of(one) for one in settings if one.search is not None and one.name not in fixed]
    if not space:
        raise SettingError(
            f"There is nothing to search: all settings of {model} are fixed.",
            remedy="Fix fewer, or fit the model (penchant fit).",
        )
    return space


def _types(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType, typing.Union) else (kind,)


def _is_range(searched: Sequence[Any]) -> bool:
    return len(searched) == 2 and all(map(_is_number, searched))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
