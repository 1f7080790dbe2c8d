"""Flags of the command line: groups that several commands share, and flags derived from the settings classes.

Nothing heavy is imported here: the settings of models are looked at when a command that has them is called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from penchant.errors import SettingError
from penchant.machine import parse_memory

if TYPE_CHECKING:
    from penchant.models.settings import Field

Command = Callable[..., None]
Flags = dict[str, Any]

INTERRUPTED = 130  # the exit code: 128 and the number of the signal, as shells say it

FRACTION = 0.2
GIVEN_FRACTION = 0.8
LARGEST_SEED = 2**63 - 1  # as in seeds, which would load numpy


# --- values -----------------------------------------------------------------------------------------


def whole(flag: str, low: int, high: int | None = None) -> Callable[[Any], int]:
    """A reader of whole numbers of a range."""
    words = f"Give a whole number, {low} or more." if high is None else f"Give a whole number from {low} to {high}."

    def read(text: Any) -> int:
        try:
            value = int(str(text))
        except ValueError:
            raise SettingError(f"{flag} is {text!r}.", remedy=words) from None
        if value < low or (high is not None and value > high):
            raise SettingError(f"{flag} is {value}.", remedy=words)
        return value

    return read


def fraction(flag: str, example: float, zero: bool) -> Callable[[Any], float]:
    """A reader of numbers below 1: from 0, or above 0."""
    words = f"Give a number {'from 0 to' if zero else 'above 0 and'} below 1, such as {example:g}."

    def read(text: Any) -> float:
        try:
            value = float(str(text))
        except ValueError:
            value = -1.0
        if not (0 < value < 1 or (zero and value == 0)):
            raise SettingError(f"{flag} is {text}.", remedy=words)
        return value

    return read


def choice(flag: str, *choices: str) -> Callable[[Any], str]:
    """A reader of one of several words."""

    def read(text: Any) -> str:
        if text not in choices:
            raise SettingError(f"{flag} is {text!r}.", remedy=f"Give one of: {', '.join(choices)}.")
        return str(text)

    return read


UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def interval(flag: str) -> Callable[[Any], float]:
    """A reader of times such as 90s, 30m, 1h or 1d, in seconds."""

    def read(text: Any) -> float:
        number, unit = str(text)[:-1], str(text)[-1:]
        seconds = int(number) * UNITS[unit] if number.isascii() and number.isdecimal() and unit in UNITS else 0
        if not 0 < seconds <= 366 * UNITS["d"]:
            raise SettingError(f"{flag} is {text!r}.", remedy="Give a time such as 90s, 30m, 1h or 1d, a year at most.")
        return float(seconds)

    return read


Ratings = Annotated[
    str,
    typer.Argument(metavar="RATINGS", help="A file, a folder laid out as its publisher does, or a data set's name."),
]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A folder that penchant fit wrote.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
K = Annotated[int, typer.Option("-k", metavar="N", parser=whole("-k", 1), help="How many items.")]
Seed = Annotated[
    int,
    typer.Option(metavar="N", parser=whole("--seed", 0, LARGEST_SEED), help="All randomness comes from it."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole("--threads", 1),
        help="How many threads may work; the result is the same for any number.",
        show_default="every core",
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="What to measure, separated by commas: mse, rmse, mae; ndcg@10, recall@20 and others of lists.",
        show_default="mse,rmse,mae; of models that rank only ndcg@10 and others",
    ),
]
Feedback = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Join stored feedback to the table: feedback.db, or postgresql://user@host/database."
    ),
]
UserColumn = Annotated[str | None, typer.Option("--user", metavar="COLUMN", help="Column of users.")]
ItemColumn = Annotated[str | None, typer.Option("--item", metavar="COLUMN", help="Column of items.")]
Module = Annotated[
    str | None,
    typer.Option(metavar="FILE.py:CLASS", help="Where the class is, when the model is a torch module of your own."),
]


# --- groups -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Flags that reach a command together, as a dictionary by the group's name."""

    name: str
    flags: tuple[inspect.Parameter, ...]


def with_groups(*groups: Group, settings: bool = False) -> Callable[[Command], Command]:
    """Replace a command's parameters that are called like groups by the flags of the groups.

    Args:
        settings: the command is a `pages.SettingsCommand`; what that adds reaches the command as `settings`.
    """
    by_name = {group.name: group for group in groups}

    def decorate(command: Command) -> Command:
        parameters = inspect.signature(command, eval_str=True).parameters

        def called(**given: Any) -> None:
            for group in groups:
                given[group.name] = {flag.name: given.pop(flag.name) for flag in group.flags}
            if settings:
                given["settings"] = given.pop("context").obj
            command(**given)

        flat: list[inspect.Parameter] = []
        for parameter in parameters.values():
            group = by_name.get(parameter.name)
            if group is not None:
                flat.extend(group.flags)
            elif settings and parameter.name == "settings":
                flat.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
            else:
                flat.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        functools.update_wrapper(called, command)
        del called.__dict__["__wrapped__"]  # typer would look through it, at the groups
        called.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
        return called

    return decorate


def _flag(panel: str, name: str, kind: Any, default: Any, metavar: str, help: str, **how: Any) -> inspect.Parameter:
    option = typer.Option("--" + name.replace("_", "-"), metavar=metavar, help=help, rich_help_panel=panel, **how)
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _group(name: str, panel: str, *flags: tuple[Any, ...]) -> Group:
    """Each flag is a name, a type, a default, a word for its value, a sentence, and optionally a reader and
    what to show as the default where it is not the default itself.
    """
    made = []
    for flag, kind, default, metavar, help, *rest in flags:
        reader, shown = (*rest, None, None)[:2]
        how: dict[str, Any] = {"parser": reader} if reader else {}
        made.append(_flag(panel, flag, kind, default, metavar, help, show_default=shown or True, **how))
    return Group(name, tuple(made))


COLUMN: tuple[Any, ...] = (str | None, None, "COLUMN")
_FOUND = (None, "found by its usual names")
_DUPLICATES = choice("--duplicates", "last", "first", "mean", "sum", "error")
_SPLITS = choice("--split", "random", "time", "users", "last-n")
_DEVICES = choice("--device", "auto", "cpu", "cuda")

READING = _group(
    "reading",
    "Reading",
    ("user", *COLUMN, "Column of users.", *_FOUND),
    ("item", *COLUMN, "Column of items; may be one of the items table, such as title.", *_FOUND),
    ("rating", *COLUMN, "Column of ratings.", *_FOUND),
    ("time", *COLUMN, "Column of times.", *_FOUND),
    ("items", Path | None, None, "FILE", "Table that describes the items, joined by its id."),
    ("users", Path | None, None, "FILE", "Table that describes the users, joined by its id."),
    ("item_name", *COLUMN, "Column of the items table to show for an item.", None, "title or name"),
    (
        *("duplicates", str | None, None, "WHICH"),
        *(
            "Which of several ratings counts: last, first, mean, sum or error.",
            _DUPLICATES,
            "last; sum without ratings",
        ),
    ),
    ("implicit", bool, False, None, "Nobody rated: a line says who took what."),
    ("weight", *COLUMN, "Column of how much each interaction counts, such as plays; nobody rated."),
    (
        *("positive_from", float | None, None, "RATING"),
        "Take ratings from this one up as interactions that nobody rated; drop the others.",
    ),
)
SPLITTING = _group(
    "splitting",
    "Splitting",
    ("valid", str | None, None, "FILE", "Table of ratings to validate on; instead of the flags below."),
    (
        *("split", str, "random", "HOW"),
        *("What to hold out: random, time (the latest), users (altogether) or last-n (of each user).", _SPLITS),
    ),
    (
        *("valid_fraction", float | None, None, "FRACTION"),
        *(
            "How much random, time and users hold out; 0 trains on everything.",
            fraction("--valid-fraction", FRACTION, zero=True),
            str(FRACTION),
        ),
    ),
    (
        *("given_fraction", float | None, None, "FRACTION"),
        *(
            "How much of what each held-out user took is given to fold them in, the earliest where there are times.",
            fraction("--given-fraction", GIVEN_FRACTION, zero=False),
            str(GIVEN_FRACTION),
        ),
    ),
    ("last_n", int | None, None, "N", "How many of each user last-n holds out.", whole("--last-n", 1), "1"),
)
FITTING = _group(
    "fitting",
    "Fitting",
    ("seed", int, 0, "N", "All randomness comes from it: same seed, same model.", whole("--seed", 0, LARGEST_SEED)),
    (
        "device",
        str,
        "auto",
        "DEVICE",
        "Where sequence, or a torch module of your own, trains: auto, cpu or cuda.",
        _DEVICES,
    ),
    (
        *("patience", int | None, None, "N"),
        *("Stop after N epochs without a better validation loss; keep the best.", whole("--patience", 1)),
    ),
    (
        *("threads", int | None, None, "N", "How many threads may work; the model is the same for any number."),
        *(whole("--threads", 1), "every core"),
    ),
    (
        *("memory", int | None, None, "SIZE"),
        "Refuse what would take more, such as 2GB or 512MiB, before it starts.",
        *(parse_memory, "what is free"),
    ),
    ("keep_best", bool, False, None, "Run all epochs, and keep the best by validation loss."),
)


COMPUTING = Group("computing", tuple(flag for flag in FITTING.flags if flag.name in ("device", "threads", "memory")))


def how_to_split(given: Mapping[str, Any], fitting: Mapping[str, Any], *, comparing: bool = False) -> dict[str, Any]:
    """The flags of SPLITTING as arguments of `job.make_split`, checked before anything is read.

    Raises:
        SettingError: flags contradict each other, or validation ratings are needed and none held out.
    """
    split, held_out, last_n = given["split"], given["valid_fraction"], given["last_n"]
    if given["valid"] is not None and _holds_out(given):
        raise SettingError(
            "--valid says what to validate on, and another flag says how to hold ratings out.",
            remedy="Give --valid, or --split, --valid-fraction, --given-fraction and --last-n.",
        )
    if given["given_fraction"] is not None and split != "users":
        raise SettingError(
            f"--given-fraction has no meaning with --split {split}.", remedy="Give --split users with it."
        )
    if split == "users" and (fitting["patience"] is not None or fitting["keep_best"]):
        raise SettingError(
            "Held-out users are folded in after the fit, and cannot say which epoch is the best.",
            remedy="Leave --patience and --keep-best out, or choose another --split.",
        )
    if last_n is not None and split != "last-n":
        raise SettingError(f"--last-n has no meaning with --split {split}.", remedy="Give --split last-n with it.")
    if held_out is not None and split == "last-n":
        raise SettingError("--valid-fraction has no meaning with --split last-n.", remedy="Say how many with --last-n.")
    if held_out == 0 and (comparing or fitting["patience"] is not None or fitting["keep_best"]):
        what = "A comparison" if comparing else "Choosing the best epoch (--patience, --keep-best)"
        raise SettingError(f"{what} needs validation ratings.", remedy="Leave --valid-fraction 0 out.")
    return {
        "split": split,
        "valid_fraction": FRACTION if held_out is None else held_out,
        "given_fraction": GIVEN_FRACTION if given["given_fraction"] is None else given["given_fraction"],
        "last_n": 1 if last_n is None else last_n,
    }


def _holds_out(given: Mapping[str, Any]) -> bool:
    """Whether a flag of SPLITTING other than --valid says how to hold ratings out."""
    return given["split"] != "random" or any(
        given[name] is not None for name in ("valid_fraction", "given_fraction", "last_n")
    )


def check_folds(folds: int, given: Mapping[str, Any], out: Path | None) -> None:
    """Raise SettingError where other flags contradict --folds, before anything is read."""
    if given["valid"] is not None or _holds_out(given):
        raise SettingError(
            f"--folds {folds} holds every rating out once, and another flag says what to hold out.",
            remedy="Give --folds, or --valid, --split, --valid-fraction, --given-fraction and --last-n.",
        )
    if out is not None:
        raise SettingError(
            f"Of {folds} folds there are {folds} fits of each model, on a part of the ratings each: none to save.",
            remedy="Leave -o out; then penchant fit RATINGS --model NAME -o FOLDER with the model that you chose.",
        )


# --- settings of models -----------------------------------------------------------------------------


def fields() -> dict[str, dict[str, Field]]:
    """Every setting of every model: name -> model -> field."""
    from penchant.models import MODELS, model_class

    found: dict[str, dict[str, Field]] = {}
    for model in (*MODELS, "own"):
        for field in model_class(model).settings_class.describe():
            found.setdefault(field.name, {})[model] = field
    return found


def setting_flags() -> Iterator[inspect.Parameter]:
    """A flag for every setting of every model, and --set."""
    panel = "Settings of models (own: a torch module of your own)"
    for name, by_model in fields().items():
        first = next(iter(by_model.values()))
        yield _flag(panel, name, str | None, None, _metavar(first.kind), first.help, show_default=_shown(by_model))
    option = typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of your own module's constructor; may be repeated.",
        rich_help_panel=panel,
    )
    yield inspect.Parameter(
        "other", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
    )


def _shown(by_model: Mapping[str, Field]) -> str:
    """Which models have a setting, with which default: "dot, mf 50; mlp 100"."""
    models: dict[str, list[str]] = {}
    for model, field in by_model.items():
        models.setdefault(_written(field.default), []).append(model)
    return "; ".join(f"{', '.join(names)} {default}" for default, names in models.items())


def _written(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(part if isinstance(part, str) else f"{part:g}" for part in default)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def _metavar(kind: Any) -> str:
    """N, NUMBER, true|false, N,N,…: a setting's type in a word."""
    options = get_args(kind) if type(None) not in get_args(kind) and get_origin(kind) not in (tuple, Literal) else ()
    words: list[str] = []
    for option in options or (kind,):
        inner = get_args(option)
        if get_origin(option) is Literal:
            words.extend(str(word) for word in inner)
        elif get_origin(option) is tuple:
            words.append("NAME,..." if str in inner else "N,N,..." if Ellipsis in inner else "LOW,HIGH")
        else:
            words.append({int: "N", float: "NUMBER", bool: "true|false"}[option])
    return "|".join(words)


def parse_settings(given: Mapping[str, Any], models: Sequence[str]) -> dict[str, Any]:
    """The flags of settings that were given, as values.

    Raises:
        SettingError: a value is not of its setting's type.
    """
    from penchant.models.settings import parse_setting

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
