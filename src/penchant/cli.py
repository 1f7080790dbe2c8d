"""The command line: its commands by name, its exit codes, and what becomes of errors and signals."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from penchant import __version__, terminal
from penchant.commands.answering import predict, recommend
from penchant.commands.artifacts import artifact_strip
from penchant.commands.datasets import data_describe, data_fetch, data_list, demo
from penchant.commands.evaluating import evaluate
from penchant.commands.feedback import export_feedback, forget
from penchant.commands.fitting import compare, fit
from penchant.commands.keys import keys_add, keys_list, keys_remove
from penchant.commands.looking import explain, plot, similar
from penchant.commands.retraining import retrain
from penchant.commands.serving import ServiceCommand, serve
from penchant.commands.tuning import tune
from penchant.errors import PenchantError
from penchant.options import INTERRUPTED
from penchant.pages import PlainCommand, PlainGroup, SettingsCommand, UsageError, usage_problem
from penchant.signals import terminable

BAD_INPUT = 2
TERMINATED = 143

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(name="penchant", cls=PlainGroup, add_completion=False, context_settings=HELP)
data_app = typer.Typer(cls=PlainGroup)
keys_app = typer.Typer(cls=PlainGroup)
artifact_app = typer.Typer(cls=PlainGroup)
app.add_typer(data_app, name="data")
app.add_typer(keys_app, name="keys")
app.add_typer(artifact_app, name="artifact")


def main() -> NoReturn:
    """The entry point of `penchant` and of `python -m penchant`."""
    # Start-up makes a hundred thousand objects that live as long as the process. With Python's own thresholds they are
    # gone through again and again for garbage: 0.1 of the 1.6 s of a small `penchant fit`.
    gc.set_threshold(50_000, 20, 100)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0, 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM."""
    terminal.prepare_streams()
    with warnings.catch_warnings(), terminable() as terminated:
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # for programmers; python -W shows them
        try:
            code = _invoke(arguments)
            if sys.stdout is not None:  # as after >&- in a shell
                sys.stdout.flush()
        except UsageError as error:
            terminal.fail(*usage_problem(error))
            return BAD_INPUT
        except PenchantError as error:
            terminal.fail(error.problem, error.remedy)
            return BAD_INPUT
        except KeyboardInterrupt:
            terminal.fail("Interrupted.")
            code = INTERRUPTED
        except BrokenPipeError:  # whoever read the output has seen enough: | head
            _forget_output()
            return 1
        except MemoryError as error:
            terminal.fail(f"There is not enough memory. {error}".strip(), "Use a smaller model, or a larger machine.")
            return BAD_INPUT
        except OSError as error:  # a full disk behind stdout; files are the library's business, with errors of its own
            _forget_output()
            terminal.fail(f"The output cannot be written: {error.strerror or error}.")
            return BAD_INPUT
        return TERMINATED if terminated and code == INTERRUPTED else code


def _forget_output() -> None:
    """Python flushes stdout once more at its end, and would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("penchant", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as ending:
        return ending.exit_code
    return 0


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"penchant {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From a table of ratings to a trained, explained, evaluated and saved recommender.

    First steps:
      penchant demo                                    the main job on real ratings, from table to pictures
      penchant fit ratings.csv -o model                train a model on a table of your own
      penchant recommend model --user 42               ask it
      penchant COMMAND --help                          all that a command can do
    """
    del version


@data_app.callback()
def _data() -> None:
    """Data sets by name: list, fetch, describe."""


@artifact_app.callback()
def _artifact() -> None:
    """Saved models as folders: strip."""


@keys_app.callback()
def _keys() -> None:
    """API keys of a service: add, list, remove."""


for command in (fit, compare, tune):
    app.command(cls=SettingsCommand)(command)
for command in (evaluate, recommend, predict, explain, similar, plot, demo):
    app.command(cls=PlainCommand)(command)
app.command(cls=ServiceCommand)(serve)
for command in (retrain, export_feedback, forget):
    app.command(cls=PlainCommand)(command)
for name, command in (("list", data_list), ("fetch", data_fetch), ("describe", data_describe)):
    data_app.command(name, cls=PlainCommand)(command)
for name, command in (("add", keys_add), ("list", keys_list), ("remove", keys_remove)):
    keys_app.command(name, cls=PlainCommand)(command)
artifact_app.command("strip", cls=PlainCommand)(artifact_strip)


if __name__ == "__main__":
    main()
