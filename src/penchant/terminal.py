"""What people see in a terminal, and what programs read with --json. With progress, the home of rich.

Tables are lines of text first: they read the same in a pipe, in a log file and on a screen of any width.
On a screen, a bar under the table shows how far the running epoch is.
"""

from __future__ import annotations

import codecs
import io
import json
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from penchant.signals import held_back

if TYPE_CHECKING:
    from penchant.folds import OverFolds
    from penchant.models.fitting import FitLog
    from penchant.serving.answers import Reasons
    from penchant.serving.recommender import Recommender

NOT_ON_A_SCREEN = 100_000  # columns of a file or pipe: lines are as long as they are

output = Console(highlight=False, soft_wrap=True, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

T = TypeVar("T")


class Named(Protocol):
    """An item in a list."""

    @property
    def item(self) -> Any:
        """Its id."""

    @property
    def name(self) -> str:
        """What to call it."""


# --- text -------------------------------------------------------------------------------------------


def prepare_streams() -> None:
    """Let nothing fail for a letter that stdout or stderr has no code for: it is written without its accent."""
    codecs.register_error("penchant", _without_accent)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="penchant")


_PLAIN = {"█": "#", "▏": "|", "–": "-", "—": "-", "…": "...", "’": "'", "‘": "'", "“": '"', "”": '"'}


def _without_accent(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    encoding = error.encoding
    letters = []
    for letter in error.object[error.start : error.end]:
        plain = _PLAIN.get(letter) or unicodedata.normalize("NFKD", letter).encode(encoding, "ignore").decode(encoding)
        letters.append(plain or "?")
    return "".join(letters), error.end


def width() -> int:
    """Columns of the screen; 80 where there is none and COLUMNS says nothing."""
    return shutil.get_terminal_size().columns


def fill(text: str, columns: int, indent: str = "") -> str:
    """A paragraph in lines of a width; words, options and paths stay whole."""
    return textwrap.fill(
        " ".join(text.split()),
        columns,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def bold(text: str) -> str:
    """Bold where the screen can."""
    return f"\x1b[1m{text}\x1b[0m" if output.is_terminal and output.color_system else text


def seconds(value: float) -> str:
    """A time as people say it: 5 ms, 0.84 s, 12.3 s, 2:05 min, 3:20 h."""
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 9.995:
        return f"{value:.2f} s"
    if value < 99.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def counted(n: int, word: str) -> str:
    """1 rating, 2,000 ratings."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def say(text: str = "") -> None:
    """Lines for people, as they are; on a screen no word is cut at its edge."""
    show(output, Text(_clean(text)))


def headline(text: str) -> None:
    """The title of what follows."""
    show(output, Text.assemble("\n", (_clean(text), "bold")))


def warn(text: str) -> None:
    """A remark beside the output."""
    show(errors, Text.assemble(("note:", "yellow"), " ", _clean(text)))


def fail(problem: str, remedy: str = "") -> None:
    """An error: what is wrong, and what to do."""
    show(errors, Text.assemble(("error:", "bold red"), " ", _clean(problem)))
    if remedy:
        show(errors, Text(_clean(remedy)))


def say_json(event: Mapping[str, Any]) -> None:
    """One JSON object on a line of its own, at once."""
    ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    sys.stdout.write(json.dumps(event, ensure_ascii=ascii_only) + "\n")
    sys.stdout.flush()


def _clean(text: str) -> str:
    """Without what would move the cursor: titles come from files that anybody may have written."""
    return "".join(" " if unicodedata.category(c) == "Cc" and c != "\n" else c for c in text)


def show(console: Console, text: Text) -> None:
    """At the edge of a screen, lines break between words; a path longer than the screen stays whole for copying."""
    if not console.is_terminal:
        _write(console, text.plain + "\n")
        return
    with held_back():
        for line in text.split("\n", allow_blank=True):
            fits = max((len(word) for word in line.plain.split()), default=0) <= console.width
            console.print(line, soft_wrap=not fits, overflow="ignore" if not fits else None)


def _write(console: Console, text: str) -> None:
    """Past rich, at once, as into a file or a pipe."""
    console.file.write(text)
    console.file.flush()


def _show(table: Table) -> None:
    if output.is_terminal:
        with held_back():
            output.print(table, soft_wrap=False)
        return
    lines = io.StringIO()
    Console(file=lines, width=NOT_ON_A_SCREEN, color_system=None, emoji=False).print(table)
    _write(output, "".join(line.rstrip() + "\n" for line in lines.getvalue().splitlines()))


# --- results ----------------------------------------------------------------------------------------


def say_ending(log: FitLog) -> None:
    """What a reader of the epoch table should know about how it ended."""
    kept = f"the weights of epoch {log.kept_epoch} are kept"
    if log.ending == "interrupted":
        warn(f"Interrupted after {counted(len(log.epochs), 'epoch')}: {kept}.")
    elif log.ending == "stopped early":
        say(f"  Stopped early, no better validation loss since: {kept}.")
    elif log.kept_epoch != len(log.epochs) - 1:
        say(f"  The best validation loss was earlier: {kept}.")


def display_name(recommender: Recommender) -> str:
    """A model's name; the class's for a module of the user's own."""
    return str(recommender.model.extra().get("class", recommender.model.name))


def say_comparison(fitted: Sequence[Recommender], by: str, baselines: Sequence[bool] = ()) -> None:
    """The final table of a comparison, best first by a metric.

    Args:
        baselines: of each model, whether it was added to compare with.
    """
    headline(f"Comparison on the validation {'ratings' if by == 'mse' else 'interactions'}")
    names = list(dict.fromkeys(name for one in fitted for name in one.about["valid"]["metrics"]))
    rows = []
    for one, is_baseline in zip(fitted, baselines or [False] * len(fitted), strict=True):
        valid = one.about["valid"]
        values = [f"{valid['metrics'][name]:.4f}" if name in valid["metrics"] else "" for name in names]
        interval = _interval(valid["intervals"][by])
        rows.append(
            (
                _marked(display_name(one), is_baseline),
                *values,
                interval,
                seconds(one.log.fit_seconds) if one.log else "—",
            )
        )
    columns = ("model", *names, f"95 % interval of {by}", "fitted in")
    say_table(columns, rows, right=columns[1:])


def _marked(name: str, is_baseline: bool) -> str:
    return f"{name} (baseline)" if is_baseline else name


def say_folds(found: Sequence[OverFolds], by: str) -> None:
    """The final table of a comparison over folds, best first by a metric."""
    n = len(found[0].folds)
    headline(f"Means over {counted(n, 'fold')}")
    names = list(dict.fromkeys(name for one in found for name in one.metrics))
    rows = [
        (
            _marked(one.name, one.is_baseline),
            *(f"{one.metrics[name]:.4f}" if name in one.metrics else "" for name in names),
            f"{one.spreads[by]:.4f}" if n > 1 else "—",
            _interval(one.intervals[by]) if by in one.intervals else "",
            seconds(one.fit_seconds),
        )
        for one in found
    ]
    columns = ("model", *names, f"spread of {by}", f"95 % interval of {by}", "fitted in")
    say_table(columns, rows, right=columns[1:])
    say("  Spread: standard deviation over folds. Intervals: over users, each with all their folds.")


def say_differences(best: str, by: str, differences: Mapping[str, Any]) -> None:
    """Which models differ from the best, as `significance.against_best` has it."""
    headline(f"Against {best}, by {by}")
    rows = [
        (
            name,
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} – {one.high:+.4f}",
            f"{one.p:.3f}",
            "yes" if one.is_real else "no",
        )
        for name, one in differences.items()
    ]
    columns = ("model", "difference", "95 % interval", "p", "is it real?")
    say_table(columns, rows, right=columns[1:4])
    say("  Paired over users; p by random signs, corrected for the number of models (Holm).")


def say_metrics(report: Mapping[str, Any]) -> None:
    """Metrics with their intervals, of ratings and of lists."""
    columns = ("metric", "value", "95 % interval over users")
    rows = [
        (name, f"{value:.4f}", _interval(report["intervals"][name]) if name in report["intervals"] else "")
        for name, value in report["metrics"].items()
    ]
    say_table(columns, rows, right=columns[1:])
    if "n" in report:
        unknown = report["n_unknown"]
        note = f", {unknown:,} of them with a user or item that the model does not know" if unknown else ""
        say(f"  {counted(report['n'], 'rating')}{note}")
    if "n_users" in report:
        _say_users(report)
    if report.get("n_users_folded_in"):
        say(f"  {counted(report['n_users_folded_in'], 'user')} folded in from what is given of them")


def _say_users(report: Mapping[str, Any]) -> None:
    """Over whom lists were measured."""
    known = f", {report['n_unknown_users']:,} of them unknown to the model" if report["n_unknown_users"] else ""
    lost = f", {report['n_unknown_items']:,} of them unknown to the model" if report["n_unknown_items"] else ""
    say(f"  {counted(report['n_users'], 'user')}{known}; {counted(report['n_relevant'], 'relevant item')}{lost}")
    if report["n_users_without_relevant"]:
        say(f"  {counted(report['n_users_without_relevant'], 'user')} without a relevant item are left out")


def say_groups(found: Mapping[str, Any]) -> None:
    """Metrics of lists by group of users, or of items."""
    for grouping, of_groups in found.items():
        headline(f"By {grouping}")
        names = list(next(iter(of_groups.values()))["metrics"])
        of_items = "n_relevant" in next(iter(of_groups.values()))
        rows = [
            (
                label,
                *(_band(one) if of_items else ()),
                f"{one['n_users']:,}",
                *(f"{one['metrics'][n]:.4f}" for n in names),
                _interval(one["intervals"][names[0]]),
            )
            for label, one in of_groups.items()
        ]
        words = ("items", "ratings each", "relevant") if of_items else ()
        columns = (grouping, *words, "users", *names, f"95 % interval of {names[0]}")
        say_table(columns, rows, right=columns[1:])


def _band(one: Mapping[str, Any]) -> tuple[str, str, str]:
    """Items of a band of popularity, how often each is in training, and relevant items."""
    each = f"{one['least']:,} – {one['most']:,}" if one["n_items"] else "—"
    return f"{one['n_items']:,}", each, f"{one['n_relevant']:,}"


def say_coverage(found: Mapping[str, Any]) -> None:
    """One line of what 90 % intervals cover, as `Coverage.to_json` has it; of nothing, nothing."""
    for one in found.get("levels", ()):
        if one["level"] == 0.9:
            seen = found.get("n_calibrated_on", 0)
            note = f"; they were calibrated on {seen:,} of these ratings" if seen else ""
            say(f"  90 % intervals cover {one['covered']:.1%} of them; mean width {one['width']:.2f}{note}")


def _interval(ends: Sequence[float]) -> str:
    return f"{ends[0]:.4f} – {ends[1]:.4f}"


def say_recommendations(title: str, items: Sequence[Any]) -> None:
    """A ranked list with predicted ratings, or with scores where the model predicts none."""
    headline(title)
    if not items:
        say("  Nothing is left to recommend.")
        return
    ranks_only = items[0].prediction is None
    values = [f"{one.score:.3f}" if ranks_only else f"{one.prediction:.2f}" for one in items]
    value = "score" if ranks_only else "predicted"
    rows = [(str(place), *_named(one), shown) for place, (one, shown) in enumerate(zip(items, values, strict=True), 1)]
    say_table(("", "item", "id", value), rows, right=("", value))


def say_items(title: str, items: Sequence[Any], value: str, form: str) -> None:
    """Items with a value and how many ratings stand behind it."""
    headline(title)
    rows = [(*_named(item), form.format(item.value), f"{item.n_ratings:,}") for item in items]
    say_table(("item", "id", value, "ratings"), rows, right=(value, "ratings"))


def _named(one: Named) -> tuple[str, str]:
    """A name, and the id where it says more than the name."""
    return one.name, "" if str(one.item) == one.name else str(one.item)


SEEN = 0.00005  # the least that four digits show
PARTS = {
    "mean": "the average rating",
    "user": "how this user rates",
    "item": "how this item is rated",
    "match": "how the two fit",
}


def say_parts(parts: Mapping[str, float], score: float) -> None:
    """Causes that sum to a score."""
    rows = [(PARTS.get(name, name), f"{value:+.3f}") for name, value in parts.items()]
    say_table(("because of", "adds"), [*rows, ("score", f"{score:.3f}")], right=("adds",))


def say_reasons(reasons: Reasons, k: int, rated: bool) -> None:
    """The k items of a history that change a score the most, all others in one line, and what is beside them.

    Args:
        rated: whether the user's ratings say anything; where nobody rated there are none to show.
    """
    shown = sorted(sorted(reasons.items, key=lambda one: -abs(one.value))[:k], key=lambda one: -one.value)
    n_others, blank = len(reasons.items) - len(shown), ("", "") if rated else ("",)
    rows = [("an average user", *blank, f"{reasons.average:+.4f}")] if reasons.average else []
    for one in shown:
        rows.append((*_named(one), *([f"{one.rating:g}"] if rated else []), f"{one.value:+.4f}"))
    if n_others:
        left = sum(one.value for one in reasons.items) - sum(one.value for one in shown)
        rows.append((counted(n_others, "other item"), *blank, f"{left:+.4f}"))
    if abs(reasons.rest) >= SEEN:
        rows.append(("training, beyond these ratings", *blank, f"{reasons.rest:+.4f}"))
    rows.append(("score", *blank, f"{reasons.score:.4f}"))
    headline("What the history adds")
    columns = ("item", "id", *(["rated"] if rated else []), "adds")
    say_table(columns, rows, right=columns[2:])


def say_description(found: Mapping[str, Any]) -> None:
    """What `penchant data describe` found."""
    headline("How ratings are distributed")
    say_histogram(found["histogram"]["values"], found["histogram"]["counts"])
    headline("In numbers")
    say_table((), _in_numbers(found))
    headline("The most rated")
    most_rated = [(one["name"], f"{one['n_ratings']:,}") for one in found["most_rated"]]
    say_table(("item", "ratings"), most_rated, right=("ratings",))


def say_histogram(values: Sequence[str], counts: Sequence[int]) -> None:
    """A bar, a count and a share for each value."""
    most, total = max(counts), sum(counts)
    size = max(10, min(40, output.width - 36)) if output.is_terminal else 40
    column = max(9, *(len(value) for value in values))
    for value, count in zip(values, counts, strict=True):
        bar = "█" * round(size * count / most) or ("▏" if count else "")
        say(f"{value:>{column}}  {bar:<{size}}  {count:>11,}  {count / total:6.1%}")


def _in_numbers(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "density", f"{found['density']:.2%} of all pairs of a user and an item are rated"
    yield "mean rating", f"{found['mean']:.3f}, standard deviation {found['deviation']:.3f}"
    yield "times", f"{found['times'][0]} to {found['times'][1]}" if found["times"] else "none"
    for kind, one in (("user", "a user"), ("item", "an item")):
        spread = found[f"ratings_per_{kind}"]
        yield f"ratings of {one}", f"median {spread['median']:,}, from {spread['least']:,} to {spread['most']:,}"
        yield f"{kind}s with one rating", f"{found[f'{kind}s_with_one_rating']:,}"
    tail = found["long_tail"]
    items, share = counted(tail["items_for_half"], "item"), tail["items_for_half_share"]
    yield "long tail", f"{items} ({share:.1%}) {'has' if tail['items_for_half'] == 1 else 'have'} half of all ratings"


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """A small table of text; long text is folded on a screen, and one line in a pipe."""
    table = Table(
        box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim", show_edge=False, show_header=bool(columns)
    )
    for column in columns:
        is_number = column in right
        table.add_column(
            column,
            justify="right" if is_number else "left",
            overflow="fold",
            style="dim" if column == "id" else "",
            no_wrap=is_number or column == "id",
        )
    for row in rows:
        table.add_row(*(Text(_clean(cell).replace("\n", " ")) for cell in row))
    _show(table)
