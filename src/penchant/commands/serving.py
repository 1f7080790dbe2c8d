"""serve."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from penchant import terminal
from penchant.options import ModelDir
from penchant.pages import SettingsCommand


def serve(model_dir: ModelDir, context: typer.Context) -> None:
    """Serve a model over HTTP, with a page to try it in.

    A setting can also be a variable of the environment: PENCHANT_PORT=8080 for --port 8080. Feedback that comes in is
    kept beside the model, unless --feedback says where. Without --keys it listens on this machine only.

    Examples:
      penchant serve model
      penchant serve model --port 8080 --feedback postgresql://shop@db/feedback
      penchant serve model --host 0.0.0.0 --keys keys.json
    """
    from penchant.serving.keys import Keys
    from penchant.serving.pid_file import held
    from penchant.serving.running import address_of, listen
    from penchant.serving.running import serve as run
    from penchant.serving.service_settings import read_settings, unheard

    settings = read_settings(**context.obj)
    for note in unheard(os.environ):
        terminal.warn(note)
    keys = None if settings.keys is None else Keys.load(settings.keys)
    with held(settings.pid_file) as write_number, listen(settings) as listening:

        def ready() -> None:
            write_number()
            terminal.say(f"Serving {model_dir} on {address_of(listening)}, Ctrl-C to stop.")

        run(model_dir, settings, keys, listening, ready)


def service_flags() -> Iterator[inspect.Parameter]:
    """A flag for each setting of the service."""
    from penchant.serving.service_settings import describe

    for one in describe():
        shown = str(one.default) if one.default not in (None, "") else False
        option = typer.Option(one.flag, metavar=_metavar(one.kind), help=one.help, show_default=shown)
        kind = Annotated[str | None, option]
        yield inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


class ServiceCommand(SettingsCommand):
    """A command with these flags; they are made when they are needed, since that loads pydantic."""

    make_flags = staticmethod(service_flags)


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    return {int: "N", float: "NUMBER", Path: "FILE"}.get(options[0], "TEXT")
