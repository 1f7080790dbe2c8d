"""Tables of results for the screen (rich) and for Markdown, and how numbers are written in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from rich.table import Table as RichTable

NOTHING = "–"


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
