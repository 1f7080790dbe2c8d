"""What people see in a terminal, and what programs read with --json. The only home of rich.

Tables are lines of text first: they read the same in a pipe, in a log file and on a screen of any width.
On a screen, a bar under the table shows how far the running epoch is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from penchant.models.fitting import Epoch, FitLog
from penchant.serving.recommender import Named, Recommendation, Recommender

EPOCH_HEADER = f"{'epoch':>7}{'train loss':>13}{'valid loss':>13}{'time':>10}"

output = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str = "") -> None:
    """A line for people, as it is."""
    output.print(escape(text))


def headline(text: str) -> None:
    """The title of what follows."""
    output.print(f"\n[bold]{escape(text)}[/bold]")


def warn(text: str) -> None:
    """A remark beside the output."""
    errors.print(f"[yellow]note:[/yellow] {escape(text)}")


def fail(problem: str, remedy: str) -> None:
    """An error: what is wrong, and what to do."""
    errors.print(f"[bold red]error:[/bold red] {escape(problem)}")
    if remedy:
        errors.print(escape(remedy))


def say_json(event: Mapping[str, Any]) -> None:
    """One JSON object on a line of its own, at once."""
    sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
    sys.stdout.flush()


class EpochTable:
    """A Listener that prints each epoch when it ends, over a bar where there is a screen."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.epochs = 0

    def started(self, model: str, epochs: int) -> None:
        """Print the header."""
        self.close()
        self.epochs = epochs
        headline(model)
        output.print(f"[dim]{EPOCH_HEADER}[/dim]")
        if output.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=output, transient=True)
            self.task = self.bar.add_task("", total=1.0)
            self.bar.start()

    def progressed(self, epoch: int, fraction: float) -> None:
        """Move the bar."""
        if self.bar is not None:
            done = (epoch + fraction) / self.epochs
            self.bar.update(self.task, completed=done, description=f"  epoch {epoch} of {self.epochs}")

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """Print the line."""
        del model
        valid = "—" if epoch.valid_loss is None else f"{epoch.valid_loss:.4f}"
        say(f"{epoch.epoch:>7}{epoch.train_loss:>13.4f}{valid:>13}{seconds(epoch.seconds):>10}")
        if epoch.epoch + 1 == self.epochs:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class EpochLines:
    """A Listener that prints each epoch as a JSON object."""

    def started(self, model: str, epochs: int) -> None:
        """Say nothing."""

    def progressed(self, epoch: int, fraction: float) -> None:
        """Say nothing."""

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """Print the object."""
        say_json({"event": "epoch", "model": model, **asdict(epoch)})

    def close(self) -> None:
        """Nothing is open."""


class DownloadBar:
    """How far a download is; one of pooch's progress objects."""

    def __init__(self, title: str) -> None:
        self.total = 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=errors,
            transient=True,
        )
        self.task = self.bar.add_task(title, total=None)

    def update(self, n: int, /) -> None:
        """`n` more bytes came."""
        self.bar.start()
        self.bar.update(self.task, total=self.total or None, advance=n)

    def reset(self) -> None:
        """Start at 0 again."""
        self.bar.reset(self.task)

    def close(self) -> None:
        """The download ended, well or not."""
        self.bar.stop()


def seconds(value: float) -> str:
    """A time as people say it: 5 ms, 0.84 s, 12.3 s, 2:05 min."""
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    if value < 10:
        return f"{value:.2f} s"
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value) // 60}:{int(value) % 60:02d} min"


def say_ending(log: FitLog) -> None:
    """What a reader of the epoch table should know about how it ended."""
    kept = f"the weights of epoch {log.kept_epoch} are kept"
    if log.ending == "interrupted":
        warn(f"Interrupted after {len(log.epochs)} epochs: {kept}.")
    elif log.ending == "stopped early":
        say(f"  Stopped early, no better validation loss since: {kept}.")
    elif log.kept_epoch != len(log.epochs) - 1:
        say(f"  The best validation loss was earlier: {kept}.")


def say_comparison(fitted: Sequence[Recommender]) -> None:
    """The final table of a comparison, best first."""
    headline("Comparison on the validation ratings")
    table = _table()
    for column, right in (
        ("model", False),
        ("mse", True),
        ("rmse", True),
        ("95 % interval", False),
        ("mae", True),
        ("fit", True),
    ):
        table.add_column(column, justify="right" if right else "left")
    for one in fitted:
        valid = one.about["valid"]
        low, high = valid["intervals"]["rmse"]
        metrics = valid["metrics"]
        took = seconds(one.log.fit_seconds) if one.log else "—"
        table.add_row(
            display_name(one),
            f"{metrics['mse']:.4f}",
            f"{metrics['rmse']:.4f}",
            f"{low:.4f} – {high:.4f}",
            f"{metrics['mae']:.4f}",
            took,
        )
    output.print(table)


def display_name(recommender: Recommender) -> str:
    """A model's name; the class's for a module of the user's own."""
    return str(recommender.model.extra().get("class", recommender.model.name))


def say_metrics(report: Mapping[str, Any]) -> None:
    """Metrics with their intervals."""
    table = _table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("95 % interval (over users)")
    for name, value in report["metrics"].items():
        low, high = report["intervals"][name]
        table.add_row(name, f"{value:.4f}", f"{low:.4f} – {high:.4f}")
    output.print(table)
    unknown = report["n_unknown"]
    note = f", {unknown:,} of them with a user or item the model does not know" if unknown else ""
    say(f"  {report['n']:,} ratings{note}")


def say_recommendations(title: str, items: Sequence[Recommendation]) -> None:
    """A ranked list with predicted ratings."""
    headline(title)
    table = _table()
    table.add_column("", justify="right")
    table.add_column("item")
    table.add_column("id", style="dim")
    table.add_column("predicted", justify="right")
    for place, item in enumerate(items, start=1):
        shown = "" if str(item.item) == item.name else str(item.item)
        table.add_row(str(place), escape(item.name), escape(shown), f"{item.prediction:.2f}")
    output.print(table)
    if not items:
        say("  Nothing is left to recommend.")


def say_items(title: str, items: Sequence[Named], value: str, form: str) -> None:
    """Items with a value and how many ratings stand behind it."""
    headline(title)
    table = _table()
    table.add_column("item")
    table.add_column("id", style="dim")
    table.add_column(value, justify="right")
    table.add_column("ratings", justify="right")
    for item in items:
        shown = "" if str(item.item) == item.name else str(item.item)
        table.add_row(escape(item.name), escape(shown), form.format(item.value), f"{item.n_ratings:,}")
    output.print(table)


def say_parts(parts: Mapping[str, float], score: float) -> None:
    """Causes that sum to a score."""
    table = _table()
    table.add_column("because of")
    table.add_column("adds", justify="right")
    for name, value in parts.items():
        table.add_row(PARTS.get(name, name), f"{value:+.3f}")
    table.add_row("[bold]score[/bold]", f"[bold]{score:.3f}[/bold]")
    output.print(table)


PARTS = {
    "mean": "the average rating",
    "user": "how this user rates",
    "item": "how this item is rated",
    "match": "how the two fit",
}


def say_description(found: Mapping[str, Any]) -> None:
    """What `penchant data describe` found."""
    headline("How ratings are distributed")
    values, counts = found["histogram"]["values"], found["histogram"]["counts"]
    most, total, width = max(counts), sum(counts), 40
    for value, count in zip(values, counts, strict=True):
        bar = "█" * round(width * count / most) or ("▏" if count else "")
        say(f"{value:>9}  {bar:<{width}}  {count:>11,}  {count / total:6.1%}")
    headline("In numbers")
    mean, spread = found["mean"], found["deviation"]
    rows = [
        ("density", f"{found['density']:.2%} of all pairs of a user and an item are rated"),
        ("mean rating", f"{mean:.3f}, standard deviation {spread:.3f}"),
        ("times", f"{found['times'][0]} to {found['times'][1]}" if found["times"] else "none"),
    ]
    for kind in ("user", "item"):
        q = found[f"ratings_per_{kind}"]
        rows.append((f"ratings a {kind}", f"median {q['median']:,}, from {q['least']:,} to {q['most']:,}"))
        rows.append((f"{kind}s with one rating", f"{found[f'{kind}s_with_one_rating']:,}"))
    tail = found["long_tail"]
    rows.append(
        ("long tail", f"{tail['items_for_half']:,} items ({tail['items_for_half_share']:.1%}) have half of all ratings")
    )
    say_table(("", ""), rows)
    headline("The most rated")
    say_table(
        ("item", "ratings"), [(i["name"], f"{i['n_ratings']:,}") for i in found["most_rated"]], right=("ratings",)
    )


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Any small table of text."""
    table = _table()
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    output.print(table)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim", show_edge=False)
