"""Tables of results for the screen (rich) and for Markdown, and how numbers are written in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

NOTHING = "–"
NARROWEST = 200  # columns of a screen, for tables that are wide


@dataclass(frozen=True)
class Table:
    """A table of text; the first column is a name, the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As GitHub shows it, without its title."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def rich(self) -> RichTable:
        """For the screen; headings break after a colon or comma."""
        table = RichTable(title=self.title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
        for place, column in enumerate(self.columns):
            heading = column.replace(": ", "\n").replace(", ", "\n")
            table.add_column(heading, justify="right" if place else "left", no_wrap=True, vertical="bottom")
        for row in self.rows:
            table.add_row(*row)
        return table


def show_tables(tables: Iterable[Table], failures: Iterable[str]) -> None:
    """Tables on the screen, and what failed below them."""
    console = Console(highlight=False)
    wide = Console(highlight=False, width=max(console.width, NARROWEST))
    for table in tables:
        wide.print(table.rich())
        wide.print()
    for line in failures:
        console.print(f"Failed: {line}", style="red", markup=False)


def write_report(report: Mapping[str, Any], markdown: str, folder: Path, name: str) -> None:
    """A report as NAME.json and NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")


def error(value: float) -> str:
    """A mean squared error."""
    return f"{value:.4f}"


def seconds(value: float) -> str:
    """A time in seconds or milliseconds."""
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def times(value: float) -> str:
    """A ratio of times."""
    return f"{value:.0f}×" if value >= 10 else f"{value:.1f}×"


def cell(values: Iterable[float | None], form: Callable[[float], str]) -> str:
    """One value as it is; several as their mean ± their standard deviation."""
    found = [value for value in values if value is not None]
    if not found:
        return NOTHING
    if len(found) == 1:
        return form(found[0])
    return f"{form(mean(found))} ± {form(stdev(found))}"


def in_epochs(epochs: int) -> str:
    """ "5 epochs"."""
    return f"{epochs} epoch" if epochs == 1 else f"{epochs} epochs"
