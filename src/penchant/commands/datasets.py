"""data list, data fetch, data describe, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penchant import progress, terminal
from penchant.commands.asking import fetch_if_named, read_table
from penchant.options import INTERRUPTED, READING, Flags, Json, Ratings, Seed, with_groups


def data_list(json: Json = False) -> None:
    """List the data sets known by name, and which of them are here."""
    from penchant.data.datasets import DATASETS, data_folder, find

    rows = []
    for name, spec in DATASETS.items():
        here = find(name)
        if json:
            fields = {"name": name, "title": spec.title, "scale": list(spec.scale), "licence": spec.licence}
            addresses = {"homepage": spec.homepage, "addresses": list(spec.urls), "folder": str(here) if here else None}
            terminal.say_json(fields | addresses)
        rows.append((name, f"{spec.scale[0]:g} to {spec.scale[1]:g}", "yes" if here else "no", spec.title))
    if not json:
        terminal.say_table(("name", "ratings", "here", "title"), rows)
        terminal.say(f"\nThey are kept in {data_folder()} (PENCHANT_DATA names another folder).")


def data_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set's name; penchant data list shows them.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is here.")] = False,
) -> None:
    """Fetch a data set from its publisher, verify it, and unpack it.

    Examples:
      penchant data fetch ml-latest-small
    """
    from penchant.data.datasets import dataset_spec, fetch, find

    spec = dataset_spec(name)
    terminal.say(f"{spec.title}: {spec.licence}")
    here = None if force else find(name)
    folder = here or fetch(name, progress=progress.DownloadBar(name), force=force)
    terminal.say(f"It {'was already' if here else 'is'} in {folder}")


@with_groups(READING)
def data_describe(ratings: Ratings, reading: Flags, json: Json = False) -> None:
    """Describe a table of ratings: how many, how dense, how they are distributed, which items have most.

    Examples:
      penchant data describe ml-latest-small
      penchant data describe ratings.csv --user customer --item sku --rating stars
    """
    from penchant.data.describe import describe

    found = describe(read_table(ratings, json, reading))
    if json:
        terminal.say_json(found)
    else:
        terminal.say_description(found)


def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Where to write the model and the pictures.")
    ] = Path("penchant-demo"),
    seed: Seed = 0,
) -> None:
    """Do the main job on real ratings: read, split, train four models, compare, explain, recommend, save, draw."""
    from penchant.demo import run_demo

    fetch_if_named("demo")
    if not run_demo(out, seed):
        raise typer.Exit(INTERRUPTED)
