"""artifact strip."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from penchant import terminal
from penchant.commands.asking import load
from penchant.errors import PenchantError
from penchant.options import Json, ModelDir


def artifact_strip(
    model_dir: ModelDir,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FOLDER",
            help="Where to save the stripped model.",
            show_default="in place of the model",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Leave the users out of a saved model: their ids, what they rated, and what was learnt of each of them.

    What was learnt over all users stays, so that anybody is served from ratings that are given: a visitor gets the same
    list, scores and intervals as before. Users of the table that the model was fitted on are known no more.

    Examples:
      penchant artifact strip model -o shared
      penchant artifact strip model
    """
    from penchant import job
    from penchant.artifact import size_of

    place = model_dir if out is None else out
    job.check_destination(place)
    recommender = load(model_dir, None)
    before = {"users": len(recommender.users), "ratings": len(recommender.history.item_rows)}
    size = size_of(model_dir)
    if recommender.is_stripped:
        terminal.warn(f"{model_dir} is stripped already: there is nothing of its users in it.")
    if out is not None or not recommender.is_stripped:
        recommender.stripped().save(place)
    left = size_of(place)
    if json:
        terminal.say_json({"artifact": str(place), **before, "bytes_before": size, "bytes_after": left})
    elif out is not None or not recommender.is_stripped:
        rows = [(of, f"{n:,}", "0") for of, n in before.items()] + [("bytes", f"{size:,}", f"{left:,}")]
        terminal.say_table(("", "before", "after"), rows, right=("before", "after"))
        terminal.say(f"\nThe stripped model is in {place}{'' if out else ', in place of the one before'}.")
    _warn_of_feedback(model_dir)
    if place.resolve() == model_dir.resolve():
        _warn_of_previous(model_dir)


def _warn_of_feedback(folder: Path) -> None:
    """A service keeps feedback beside the model; it is of users, and not of the model."""
    store = Path(f"{folder.resolve()}.feedback.db")
    if store.exists():
        terminal.warn(f"{store} has feedback of users, and stays as it is; penchant forget removes that of one.")


def _warn_of_previous(folder: Path) -> None:
    """Where `penchant retrain` keeps the model before, there are its users."""
    from penchant.artifact import load_manifest

    previous = Path(f"{folder.resolve()}.previous")
    if not previous.exists():
        return
    try:
        is_stripped = load_manifest(previous).get("stripped") is True
    except PenchantError:  # whatever it is, it was not looked through
        is_stripped = False
    if not is_stripped:
        terminal.warn(
            f"{previous}, the model before this one, has its users still."
            f" Remove it, or strip it too: penchant artifact strip {shlex.quote(str(previous))}"
        )
