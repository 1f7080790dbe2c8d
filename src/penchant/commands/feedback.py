"""export-feedback, forget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import terminal
from penchant.commands.asking import check_apart, feedback_file
from penchant.options import Json

Url = Annotated[
    str, typer.Argument(metavar="URL", help="Where feedback is kept: feedback.db, or postgresql://user@host/database.")
]


def export_feedback(
    url: Url,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where to write it: .parquet, .csv, .tsv or .jsonl."),
    ] = None,
    json: Json = False,
) -> None:
    """Write the stored feedback as a table: event_id, user, item, rating, time, received.

    Examples:
      penchant export-feedback model.feedback.db -o feedback.parquet
      penchant export-feedback postgresql://shop@db/feedback --json
    """
    from penchant.data.write import check_writable, write_tables
    from penchant.errors import SettingError
    from penchant.serving.store import FeedbackStore

    if (out is None) != json:
        raise SettingError("Where is the feedback to go?", remedy="Give either -o FILE or --json.")
    if out is not None:
        check_writable(out)
    check_apart(out, feedback_file(url))
    with FeedbackStore.open(url, create=False) as store:
        if out is None:
            for frame in store.all():
                for row in frame.iter_rows(named=True):
                    terminal.say_json(row)
            return
        counts: list[int] = []
        write_tables(_counted(store.all(), counts), out)
    terminal.say(f"Wrote {terminal.counted(sum(counts), 'event')} to {out}.")


def _counted(frames: Any, counts: list[int]) -> Any:
    for frame in frames:
        counts.append(frame.height)
        yield frame


def forget(
    url: Url,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="Whose feedback to remove.")],
    json: Json = False,
) -> None:
    """Remove all feedback of a user, from the files of the database too; 42 is the user 42 and the user "42".

    PostgreSQL writes the table anew for that, and lets nobody use it meanwhile; its log, its statistics and all backups
    keep for a while what they have.

    A model that was fitted on it still holds what it learnt: fit it again, or strip it (penchant artifact strip).

    Examples:
      penchant forget model.feedback.db --user 42
    """
    from penchant.serving.store import FeedbackStore

    with FeedbackStore.open(url, create=False) as store:
        removed = store.forget(user)
        if _is_integer(user):
            removed += store.forget(int(user))
    if json:
        terminal.say_json({"user": user, "removed": removed})
    else:
        terminal.say(f"Removed {terminal.counted(removed, 'event')} of {user}.")


def _is_integer(text: str) -> bool:
    """Whether text is the usual spelling of an integer."""
    try:
        return str(int(text)) == text
    except ValueError:
        return False
