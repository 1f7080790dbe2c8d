"""How fast penchant and its peers learn, what error they reach in what time, and what memory they take.

    python benchmarks/speed.py

makes an environment for each peer (once, under .venvs), the data (once, under .benchmarks), and then fits each
library afresh, every time in a new process, with 1, 2, 5, 10 and 20 epochs:

    small    ml-latest-small, 80% to train on, 50 factors
    large    10 million synthetic ratings, 64 factors
    scaling  penchant alone on 1, 10 and 100 million ratings, and on 1 thread and 2

It writes docs/benchmarks/speed.json, speed.md, and a picture of error against time for each of the first two.
Every fit is kept under .benchmarks: with --reuse a run that was cut short goes on, and takes what runs with
--only or --scenarios have done. A library that fails is shown as such, and the exit status is then 1.

A look at whether everything works, in some ten minutes:
--ratings 1e6 --sizes 1e5,1e6 --epochs 1,2,5 --repeats 1 --budget 20
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environment
import peer_venv
import scaling
import speed_data
import speed_plots
import speed_report
from fitting import FitPlan, Fits, say, warm_up
from peers import PEERS
from processes import WorkerError

from penchant.data.datasets import locate
from penchant.errors import PenchantError

DATASET = "ml-latest-small"
PACKAGES = ("penchant", "numpy", "numba", "polars")
ROOT = peer_venv.ROOT / ".benchmarks" / "speed"
TRIAL = peer_venv.ROOT / ".benchmarks" / "trial"
PUBLISHED = peer_venv.ROOT / "docs" / "benchmarks"
SCENARIOS = ("small", "large", "scaling")
FACTORS = {"small": 50, "large": 64}
AGAIN = {"small": 1, "large": 0}  # further fits in each process; of a small table the first mostly loads things
SEED = 1
EPOCHS = (1, 2, 5, 10, 20)
SIZES = (1_000_000, 10_000_000, 100_000_000)


# --- options ------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--scenarios", type=scenarios, default=SCENARIOS, metavar="small,large,scaling")
    made.add_argument("--only", type=peers, default=tuple(PEERS), metavar="NAME,…", help=", ".join(PEERS))
    made.add_argument("--ratings", type=count, default=speed_data.LARGE, help="of large (1e7)")
    made.add_argument("--sizes", type=counts, default=SIZES, metavar="1e6,1e7,1e8", help="of scaling")
    made.add_argument("--epochs", type=counts, default=EPOCHS, metavar="1,2,5,10,20", help="a fit with each")
    made.add_argument("--repeats", type=count, default=3, help="fits with each number of epochs (3)")
    made.add_argument("--repeat-below", type=float, default=10.0, help="seconds; a longer fit is not repeated (10)")
    made.add_argument("--budget", type=float, default=40.0, help="seconds; no more epochs after a longer fit (40)")
    made.add_argument("--threads", type=count, default=environment.usable_cores(), help="of each library (all cores)")
    made.add_argument("--reuse", action="store_true", help="take kept results where there are")
    made.add_argument("--out", type=Path, help="folder to write to (docs/benchmarks; .benchmarks/trial for trials)")
    return made


def scenarios(text: str) -> tuple[str, ...]:
    """ "small,large" as names."""
    return _names(text, SCENARIOS)


def peers(text: str) -> tuple[str, ...]:
    """ "libmf,penchant mf" as names."""
    return _names(text, tuple(PEERS))


def _names(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    given = tuple(part.strip() for part in text.split(","))
    for name in given:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {name!r}; there are {', '.join(known)}")
    return tuple(name for name in known if name in given)


def count(text: str) -> int:
    """A whole number of 1 or more, also as 1e7."""
    number = float(text)
    if number < 1 or number != int(number):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(number)


def counts(text: str) -> tuple[int, ...]:
    """ "1e6,1e7" as numbers in rising order."""
    return tuple(sorted({count(part) for part in text.split(",")}))


def is_trial(given: argparse.Namespace) -> bool:
    """Whether the options make it something else than the benchmark: that is never published by itself."""
    names = ("ratings", "sizes", "epochs", "only", "scenarios")
    return any(getattr(given, name) != parser().get_default(name) for name in names)


# --- running ------------------------------------------------------------------------------------------


def data_of(scenario: str, given: argparse.Namespace) -> speed_data.Ready:
    """The arrays of a scenario."""
    say(f"data of {scenario} …")
    if scenario == "small":
        return speed_data.small(locate(DATASET) / "ratings.csv", ROOT / "data", SEED)
    return speed_data.synthetic(given.ratings, ROOT / "data", SEED)


def compare(scenario: str, given: argparse.Namespace) -> dict[str, Any]:
    """All libraries on the data of a scenario."""
    ready = data_of(scenario, given)
    plan = FitPlan(ready, FACTORS[scenario], given.threads, SEED, AGAIN[scenario])
    fits = Fits(ROOT, plan, given)
    chosen = [PEERS[name] for name in given.only if scenario in PEERS[name].scenarios]
    return {
        "data": dict(ready.about),
        "factors": plan.factors,
        "peers": {peer.name: fits.sequence(peer) for peer in chosen},
    }


def run_all(given: argparse.Namespace, found: dict[str, Any], folder: Path) -> None:
    """Fill `found` scenario by scenario, and write after each, so that nothing is lost when a later one fails."""
    for scenario in given.scenarios:
        if scenario == "scaling":
            found["scaling"] = scaling.measure(given, ROOT, SEED)
        else:
            found["scenarios"][scenario] = compare(scenario, given)
        speed_report.write(found, folder)
        speed_plots.draw_all(found, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; 0 when every library came through."""
    given = parser().parse_args(arguments)
    folder = given.out or (TRIAL if is_trial(given) else PUBLISHED)
    options = {name: getattr(given, name) for name in ("repeats", "repeat_below", "budget", "threads")}
    found: dict[str, Any] = {
        "environment": environment.describe(PACKAGES),
        "trial": is_trial(given),
        "options": options,
        "scenarios": {},
        "scaling": None,
    }
    warm_up(ROOT)
    run_all(given, found, folder)
    speed_report.show(found)
    say(f"written to {folder.name}/speed.md, speed.json and pictures")
    return 1 if speed_report.failures(found) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PenchantError, WorkerError) as error:
        sys.exit(f"error: {error}")
