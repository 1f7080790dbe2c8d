"""Settings of models, written once: command line flags, manifest, docs and checks all come from the fields."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from numbers import Real
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from penchant.errors import SettingError

RatingRange = tuple[float, float] | Literal["auto", "none"]


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    search: tuple[float, float] | Sequence[Any] | None = None,
) -> Any:
    """One field of a settings class.

    Args:
        default: its value when nothing is said.
        help: what it does, one sentence, for the command line and the docs.
        low, high, above: bounds; `low` and `high` may be reached, `above` may not.
        search: where a tuner should look: a (from, to) of a numeric setting, or the values to try.
    """
    bounds = {"help": help, "low": low, "high": high, "above": above, "search": search}
    return dataclasses.field(default=default, metadata=bounds)


@dataclass(frozen=True)
class Field:
    """One setting, seen from outside."""

    name: str
    kind: Any
    default: Any
    help: str
    search: Any


@dataclass(frozen=True)
class Settings:
    """The base of all settings classes: frozen, checked when built, to and from JSON and text."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _coerce(getattr(self, field.name), hints[field.name], field.name)
            object.__setattr__(self, field.name, value)
            _check_bounds(value, field)

    @classmethod
    def from_dict(cls, given: dict[str, Any], model: str) -> Self:
        """Settings by name.

        Raises:
            SettingError: a name that the model has no setting of, or a value it cannot have.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                raise SettingError(
                    f"{model} has no setting '{name}'.",
                    remedy=f"Its settings: {', '.join(known)}." if known else "It has no settings.",
                )
        return cls(**given)

    @classmethod
    def describe(cls) -> list[Field]:
        """All settings of this class in order."""
        hints = get_type_hints(cls)
        return [
            Field(f.name, hints[f.name], f.default, f.metadata["help"], f.metadata["search"])
            for f in dataclasses.fields(cls)
            if f.default is not MISSING
        ]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def parse_setting(text: str, kind: Any, name: str) -> Any:
    """A setting as typed on a command line: "100,50", "0,5.5", "true", "0.1"."""
    for option in _options(kind):
        if get_origin(option) is Literal and text in get_args(option):
            return text
        if option is bool and text.lower() in ("true", "false", "yes", "no", "on", "off"):
            return text.lower() in ("true", "yes", "on")
        if option == tuple[str, ...]:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if get_origin(option) is tuple:
            try:
                return tuple(float(part) for part in text.split(",")) if text else ()
            except ValueError:
                continue
        if option in (int, float):
            try:
                return float(text)
            except ValueError:
                continue
    raise _wrong(text, kind, name)


def type_in_words(kind: Any) -> str:
    """A setting's type as people say it, for help texts and messages."""
    words: list[str] = []
    for option in _options(kind):
        if get_origin(option) is Literal:
            words.extend(get_args(option))
        elif option == tuple[str, ...]:
            words.append("names such as genres,year")
        elif get_origin(option) is tuple:
            inner = get_args(option)
            unit = "whole numbers" if inner[0] is int else "numbers"
            words.append(f"{unit} such as 100,50" if Ellipsis in inner else "two numbers such as 0,5.5")
        else:
            words.append({int: "a whole number", float: "a number", bool: "true or false"}[option])
    return " or ".join(words)


def _options(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType, typing.Union) else (kind,)


def _coerce(value: Any, kind: Any, name: str) -> Any:
    """The value in exactly its declared type (a list becomes a tuple, 5 a 5.0), or SettingError."""
    for option in _options(kind):
        if get_origin(option) is Literal and isinstance(value, str) and value in get_args(option):
            return value
        if option is bool and isinstance(value, bool):
            return value
        if option in (int, float) and _is_number(value) and option(value) == value:
            return option(value)
        if option == tuple[str, ...]:
            if isinstance(value, (tuple, list)) and value and all(isinstance(part, str) for part in value):
                return tuple(value)
            continue
        if get_origin(option) is tuple and isinstance(value, (tuple, list)) and all(map(_is_number, value)):
            inner = get_args(option)
            right_length = Ellipsis in inner or len(inner) == len(value)
            if right_length and all(inner[0](part) == part for part in value):
                return tuple(inner[0](part) for part in value)
    raise _wrong(value, kind, name)


def _is_number(value: Any) -> bool:
    """Whether it is a number, NumPy's included, that is finite as a float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _wrong(value: Any, kind: Any, name: str) -> SettingError:
    return SettingError(f"{name} is {value!r}.", remedy=f"Give {type_in_words(kind)}.")


def _check_bounds(value: Any, field: dataclasses.Field[Any]) -> None:
    low, high, above = (field.metadata[bound] for bound in ("low", "high", "above"))
    numbers = value if isinstance(value, tuple) else (value,)
    for number in numbers:
        if not _is_number(number):
            continue
        if (
            (low is not None and number < low)
            or (high is not None and number > high)
            or (above is not None and number <= above)
        ):
            limits = [f"at least {low}" if low is not None else "", f"above {above}" if above is not None else ""]
            limits.append(f"at most {high}" if high is not None else "")
            wanted = " and ".join(limit for limit in limits if limit) or "a number"
            raise SettingError(f"{field.name} is {value!r}.", remedy=f"It must be {wanted}.")
    if field.name == "rating_range" and isinstance(value, tuple) and not value[0] < value[1]:
        raise SettingError(f"rating_range is {value!r}.", remedy="Its first number must be below its second.")
