"""keys add, keys list, keys remove."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from penchant import terminal
from penchant.commands.asking import listed
from penchant.options import Json

File = Annotated[Path, typer.Argument(metavar="FILE", help="A file of keys, for penchant serve --keys.")]


def keys_add(
    file: File,
    scope: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="What it may do, separated by commas: read (ask), write (feedback), admin (reload)."
        ),
    ],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Who has it.", show_default="key-N")] = None,
    json: Json = False,
) -> None:
    """Make an API key, and print it: it is kept nowhere, only its hash is.

    Examples:
      penchant keys add keys.json --scope read,write --name shop
    """
    from penchant.serving.keys import add_key, read_keys

    if name is None:
        names = {one.name for one in read_keys(file)} if file.exists() else set()
        name = next(f"key-{n}" for n in range(1, len(names) + 2) if f"key-{n}" not in names)
    scopes = listed(scope)
    key = add_key(file, name, scopes)
    if json:
        terminal.say_json({"name": name, "scopes": scopes, "key": key})
        return
    terminal.say(key)
    terminal.warn(f"This is the key {name!r}. Keep it now: {file} has its hash only. A server sees it at once.")


def keys_list(file: File, json: Json = False) -> None:
    """List the keys of a file: names, scopes, and when they were added.

    Examples:
      penchant keys list keys.json
    """
    from penchant.serving.keys import read_keys

    keys = read_keys(file)
    if json:
        for one in keys:
            terminal.say_json({"name": one.name, "scopes": list(one.scopes), "added": one.added})
        return
    rows = [(one.name, ",".join(one.scopes), time.strftime("%Y-%m-%d", time.gmtime(one.added))) for one in keys]
    terminal.say_table(("name", "scopes", "added"), rows)


def keys_remove(
    file: File,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As penchant keys list shows it.")],
    json: Json = False,
) -> None:
    """Remove a key from a file; a running server refuses it from the next request on.

    Examples:
      penchant keys remove keys.json shop
    """
    from penchant.serving.keys import remove_key

    remove_key(file, name)
    if json:
        terminal.say_json({"removed": name})
        return
    terminal.say(f"The key {name!r} is removed.")
