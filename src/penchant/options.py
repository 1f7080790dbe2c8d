"""Groups of command line flags that several commands share, and flags derived from the settings classes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant.errors import SettingError
from penchant.models import MODELS, Model
from penchant.models.networks import Own
from penchant.models.settings import Field, parse_setting, type_in_words

Command = Callable[..., None]


@dataclass(frozen=True)
class Group:
    """Flags that reach a command together, as a dictionary by the group's name."""

    name: str
    flags: tuple[inspect.Parameter, ...]


def with_groups(*groups: Group) -> Callable[[Command], Command]:
    """Replace a command's parameters that are called like groups by the flags of the groups."""
    by_name = {group.name: group for group in groups}

    def decorate(command: Command) -> Command:
        def called(**given: Any) -> None:
            for group in groups:
                given[group.name] = {flag.name: given.pop(flag.name) for flag in group.flags}
            command(**given)

        flat: list[inspect.Parameter] = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            group = by_name.get(parameter.name)
            flat.extend(group.flags if group else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)])
        functools.update_wrapper(called, command)
        del called.__dict__["__wrapped__"]  # typer would look through it, at the groups
        called.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
        return called

    return decorate


def _flag(name: str, kind: Any, default: Any, help: str, panel: str, *names: str) -> inspect.Parameter:
    option = typer.Option(*names, help=help, rich_help_panel=panel, show_default=default is not None)
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_COLUMNS = (
    _flag("user", str | None, None, "Column of users.", "Reading", "--user"),
    _flag("item", str | None, None, "Column of items; may be one of the items table (title).", "Reading", "--item"),
    _flag("rating", str | None, None, "Column of ratings.", "Reading", "--rating"),
    _flag("time", str | None, None, "Column of times.", "Reading", "--time"),
    _flag("items", Path | None, None, "Table of items, joined by its id.", "Reading", "--items"),
    _flag("users", Path | None, None, "Table of users, joined by its id.", "Reading", "--users"),
    _flag("item_name", str | None, None, "Column of the items table to show.", "Reading", "--item-name"),
    _flag("duplicates", str, "last", "A user's several ratings of an item: last, first, mean or error.", "Reading"),
)
READING = Group("reading", _COLUMNS)
SPLITTING = Group(
    "splitting",
    (
        _flag("valid", Path | None, None, "Table to validate on.", "Splitting", "--valid"),
        _flag("split", str, "random", "How to hold out: random, time or last-n.", "Splitting"),
        _flag("valid_fraction", float, 0.2, "How much to hold out; 0 trains on everything.", "Splitting"),
        _flag("last_n", int, 1, "Ratings of each user that last-n holds out.", "Splitting"),
    ),
)
FITTING = Group(
    "fitting",
    (
        _flag("seed", int, 0, "All randomness comes from it.", "Fitting"),
        _flag("device", str, "auto", "auto, cpu or cuda, for networks.", "Fitting"),
        _flag("patience", int | None, None, "Stop after so many epochs without a better validation loss.", "Fitting"),
        _flag("keep_best", bool, False, "Run all epochs and keep the best.", "Fitting", "--keep-best"),
    ),
)


def fields() -> dict[str, dict[str, Field]]:
    """Every setting of every model: name -> model -> field."""
    found: dict[str, dict[str, Field]] = {}
    models: tuple[type[Model], ...] = (*MODELS.values(), Own)
    for model in models:
        for field in model.settings_class.describe():
            found.setdefault(field.name, {})[model.name] = field
    return found


def _setting_flag(name: str, by_model: dict[str, Field]) -> inspect.Parameter:
    first = next(iter(by_model.values()))
    defaults = ", ".join(f"{model} {_shown(field.default)}" for model, field in by_model.items())
    option = typer.Option(
        "--" + name.replace("_", "-"),
        help=f"{first.help} [{defaults}]",
        metavar=type_in_words(first.kind).removeprefix("a ").upper(),
        rich_help_panel="Settings of models",
        show_default=False,
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{part:g}" for part in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


SETTINGS = Group(
    "settings",
    (
        *(_setting_flag(name, by_model) for name, by_model in fields().items()),
        inspect.Parameter(
            "other",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                list[str] | None,
                typer.Option(
                    "--set",
                    metavar="NAME=VALUE",
                    help="A setting of your own module's constructor; may be repeated.",
                    rich_help_panel="Settings of models",
                ),
            ],
        ),
    ),
)


def parse_settings(given: Mapping[str, Any], models: Sequence[str]) -> dict[str, Any]:
    """The flags of SETTINGS that were given, as values.

    Raises:
        SettingError: a value is not of its setting's type.
    """
    known = fields()
    values = {}
    for name, text in given.items():
        if text is None or name == "other":
            continue
        by_model = known[name]
        field = next((by_model[model] for model in models if model in by_model), next(iter(by_model.values())))
        values[name] = parse_setting(text, field.kind, name)
    for pair in given["other"] or ():
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise SettingError(f"--set {pair!r} is not NAME=VALUE.", remedy="Write --set n_factors=50.")
        values[name] = _guess(text)
    return values


def _guess(text: str) -> Any:
    """A value for a constructor we know nothing of: whole number, number, true or false, or text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
