"""The serving benchmark's tables, for the screen and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import environment
from result_tables import NOTHING, Table, seconds, show_tables, times, write_report

Found = Mapping[str, Any]

COLUMNS = ("service", "requests/s", "beside implicit", "p50", "p99", "p50 at half", "p99 at half", "failed", "memory")
HOW = """\
Each service is one process on one core of its own; the load comes from another core of the same machine over
loopback, with {connections} connections. As much as the service takes: wrk, whose connections each wait for an answer
before the next request, so p50 and p99 there are those of a full queue. At half: h2load at half of that rate, whether
answers are late or not; percentiles of all requests. Figures are medians of {rounds} rounds of {seconds} s, services
in turn. Memory is the most that a process ever held. A user's list and a visitor's leave out what they took. Both
models have {factors} factors, learnt from the same interactions. The other service is what its library's
documentation leads to: FastAPI routes that call `recommend` and `similar_items`, with no authentication, feedback,
limits or log; penchant's has all of that, and the names of items in its answers.

`penchant serve` is as by default, but that it logs warnings alone, as the other does; lists of similar items are kept
once they were asked for, and 2,000 different ones are asked for. "{varied}": `--approximate-above 0 --kept-lists 0`, so
that the lists of users and visitors come from the index, and similar items are computed each time. "{logged}":
`--log-level info`, to a file."""


def tables(found: Found) -> list[Table]:
    """One table a catalogue and route."""
    return [
        Table(f"{of_data['about']['title']}: {route}", COLUMNS, _rows(of_data["services"], route))
        for of_data in found["data"].values()
        for route in next(iter(of_data["services"].values()))["middle"]["routes"]
    ]


def _rows(services: Found, route: str) -> list[list[str]]:
    rates = {name: one["middle"]["routes"][route]["peak"]["rate"] for name, one in services.items()}
    *_, peer = rates.values()
    return [_row(name, one["middle"], route, rates[name] / peer) for name, one in services.items()]


def _row(name: str, middle: Found, route: str, ratio: float) -> list[str]:
    most, half = (middle["routes"][route][load] for load in ("peak", "half"))
    memory = middle["memory"]
    return [
        name,
        f"{most['rate']:,.0f}",
        times(ratio),
        seconds(most["p50"]),
        seconds(most["p99"]),
        seconds(half["p50"]),
        seconds(half["p99"]),
        f"{max(most['failed'], half['failed']):.2%}",
        NOTHING if memory is None else f"{memory / 2**20:.0f} MiB",
    ]


def markdown(found: Found) -> str:
    """The report as a page."""
    from serving_data import FACTORS
    from serving_load import CONNECTIONS

    from serving import LOGGED, VARIED

    facts = {"varied": VARIED, "logged": LOGGED, **found["options"], "connections": CONNECTIONS, "factors": FACTORS}
    lines = ["# Serving beside implicit", "", "Written by `benchmarks/serving.py`.", ""]
    lines += [*environment.lines(found["environment"]), "", HOW.format(**facts)]
    for of_data in found["data"].values():
        about = of_data["about"]
        sizes = f"{about['n_users']:,} users, {about['n_items']:,} items, {about['n_interactions']:,} interactions."
        lines += ["", f"## {about['title']}", "", sizes]
        for table in tables({"data": {"": of_data}}):
            lines += ["", f"### {table.title.split(': ', 1)[1].capitalize()}", "", table.markdown()]
    return "\n".join(lines) + "\n"


def write(found: Found, folder: Path) -> None:
    """serving.json and serving.md."""
    write_report(found, markdown(found), folder, "serving")


def show(found: Found) -> None:
    """On the screen."""
    show_tables(tables(found), ())
