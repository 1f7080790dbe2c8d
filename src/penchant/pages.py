"""Commands whose pages of help are plain text, and what is said of a command line that cannot be understood."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from penchant import terminal
from penchant.options import setting_flags

UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer's name for it differs between its versions

TERM_WIDTH = 30
PAGE_WIDTH = 100


class PlainCommand(TyperCommand):
    """A command whose page of help is text."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_page(self, ctx)))


class SettingsCommand(PlainCommand):
    """A command that has a flag for every setting of every model; they are made when they are needed."""

    make_flags: ClassVar[Callable[[], Iterator[inspect.Parameter]]] = staticmethod(setting_flags)

    @cached_property
    def _flags(self) -> list[Any]:
        return _made(type(self).make_flags())

    def get_params(self, ctx: Any) -> Any:
        if "_flags" not in vars(self):
            self.params = [*self.params, *self._flags]
        return super().get_params(ctx)

    def invoke(self, ctx: Any) -> Any:
        ctx.obj = {flag.name: ctx.params.pop(flag.name) for flag in self._flags}
        return super().invoke(ctx)


class PlainGroup(TyperGroup):
    """A group of commands whose page of help is text, and is what it prints when nothing is asked of it."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_page(self, ctx)))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


def _made(flags: Iterator[inspect.Parameter]) -> list[Any]:
    """What typer makes of some flags."""
    maker = typer.Typer(add_completion=False)

    def command(**given: Any) -> None:
        del given

    command.__signature__ = inspect.Signature(list(flags))  # type: ignore[attr-defined]
    maker.command()(command)
    made = typer.main.get_command(maker)
    return list(made.params)


def usage_problem(error: Any) -> tuple[str, str]:
    """What a command line is told that cannot be understood: problem and remedy."""
    problem, ctx = str(error.format_message()), getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "penchant"
    remedy = f"See {path} --help."
    if hasattr(error, "option_name") and hasattr(error, "possibilities"):
        problem = f"{path} has no option {error.option_name}."
        near = difflib.get_close_matches(error.option_name, error.possibilities or (), 1)
        if near:
            remedy = f"Did you mean {near[0]}? {remedy}"
    if not problem.endswith((".", "?")):
        problem += "."
    return problem, remedy


def _page(command: Any, ctx: Any) -> Iterator[str]:
    """The lines of a page of help."""
    width = min(terminal.width(), PAGE_WIDTH)
    parameters = [parameter for parameter in command.get_params(ctx) if not getattr(parameter, "hidden", False)]
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    ending = ["[OPTIONS]"] if len(parameters) - len(arguments) > 1 else []
    commands = getattr(command, "commands", {})
    words = [ctx.command_path, *(["COMMAND"] if commands else []), *(a.metavar for a in arguments), *ending]
    yield f"Usage: {' '.join(words)}\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if first.endswith(":"):
            yield f"{terminal.bold(first)}\n{rest}\n"
        else:
            yield terminal.fill(paragraph, width) + "\n"
    if commands:
        rows = [(name, (one.help or "").split("\n\n")[0].replace("\n", " ")) for name, one in commands.items()]
        yield from _section("Commands", rows, width)
    yield from _section("Arguments", [(one.metavar, one.help) for one in arguments], width)
    panels: dict[str, list[tuple[str, str]]] = {"Options": []}
    for one in parameters:
        if one not in arguments:
            panels.setdefault(getattr(one, "rich_help_panel", None) or "Options", []).append(
                (_term(one), _meaning(one))
            )
    for panel, rows in panels.items():
        yield from _section(panel, rows, width)


def _section(title: str, rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    if not rows:
        return
    yield terminal.bold(f"{title}:")
    column = min(max(len(term) for term, _ in rows), TERM_WIDTH) + 4
    for term, meaning in rows:
        text = terminal.fill(meaning, width, " " * column).lstrip()
        yield f"  {term:<{column - 4}}  {text}" if len(term) <= column - 4 else f"  {term}\n{' ' * column}{text}"
    yield ""


def _term(option: Any) -> str:
    """-o, --out FOLDER."""
    names = ", ".join(sorted(option.opts, key=len))
    metavar = "" if getattr(option, "is_flag", False) else option.metavar
    return f"{names} {metavar}" if metavar else names


def _meaning(option: Any) -> str:
    default = option.show_default if isinstance(option.show_default, str) else option.default
    if option.required:
        return f"{option.help} (required)"
    if default is None or default is False or default == () or not option.show_default:
        return str(option.help)
    return f"{option.help} (default: {default})"
