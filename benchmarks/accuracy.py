"""How accurate penchant is beside peer libraries, at what time and memory, and whether its intervals are true.

    python benchmarks/accuracy.py

makes an environment for each peer (once, under .venvs) and the splits (once, under .benchmarks), and fits every
library on every split, each time in a new process:

    small     ml-latest-small, item = title, a random fifth held out, five splits; penchant, myFM, Surprise
    100k      MovieLens 100K, u1 to u5; penchant and myFM, with published numbers beside them
    time      penchant's bayes and myFM at equal rank, sweeps and features
    growth    what a sweep of bayes costs in time and memory on 1e5, 1e6 and 1e7 synthetic ratings
    coverage  how many ratings lie in the 90 % intervals of bayes, by how active their users are

It needs the folders ml-latest-small and ml-100k ($PENCHANT_DATA), and writes docs/benchmarks/accuracy.json and .md.
Every fit is kept under .benchmarks: with --reuse a run that was cut short goes on, and takes what runs with --parts or
--only have done. A library that fails is shown as such, and the exit status is then 1.

A look at whether everything works, in some minutes:
--seeds 42 --folds 1 --sweeps 6 --repeats 1 --sizes 1e5
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import accuracy_data
import accuracy_report
import environment
import peer_venv
import speed_data
from accuracy_fits import Fits
from accuracy_peers import OURS, Budget, Contender, contenders, ids_only, resolved
from fitting import in_a_line, say
from processes import WorkerError, WorkerTimeoutError
from speed import count, counts

from penchant.data.datasets import locate
from penchant.errors import PenchantError

PACKAGES = ("penchant", "numpy", "numba", "polars", "torch")
ROOT = peer_venv.ROOT / ".benchmarks" / "accuracy"
TRIAL = peer_venv.ROOT / ".benchmarks" / "trial"
PUBLISHED = peer_venv.ROOT / "docs" / "benchmarks"
PARTS = ("small", "100k", "time", "growth", "coverage")
SEEDS = (42, 1, 2, 3, 4)
FOLDS = (1, 2, 3, 4, 5)
SIZES = (100_000, 1_000_000, 10_000_000)
TIMED = "myFM, same features"
TIMED_SEED = 42
GROWTH_SEED = 1
WHOLE_SWEEPS, WHOLE_BURN_IN = 6, 1  # of each chain of growth's whole fits: as many samples are kept as by default
FEWEST, FURTHER = 6, 10  # sweeps of growth's two fits of one chain, at a million ratings or more

Found = dict[str, Any]


# --- options ------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--parts", type=parts, default=PARTS, metavar=",".join(PARTS))
    made.add_argument("--only", type=names, metavar="NAME;…", help="; ".join(contenders({})))
    made.add_argument("--seeds", type=numbers, default=SEEDS, metavar="42,1,2,3,4", help="splits of small")
    made.add_argument("--folds", type=numbers, default=FOLDS, metavar="1,2,3,4,5", help="splits of 100k")
    made.add_argument("--repeats", type=count, default=3, help="fits of each sampler of time (3)")
    made.add_argument("--sizes", type=counts, default=SIZES, metavar="1e5,1e6,1e7", help="of growth")
    made.add_argument("--sweeps", type=count, help="for trials: of each chain, and as many in all of myFM")
    made.add_argument("--factors", type=count, help="for trials: of bayes and myFM")
    made.add_argument("--threads", type=count, default=environment.usable_cores(), help="of penchant (all cores)")
    made.add_argument("--reuse", action="store_true", help="take kept results where there are")
    made.add_argument("--out", type=Path, help="folder to write to (docs/benchmarks; .benchmarks/trial for trials)")
    return made


def parts(text: str) -> tuple[str, ...]:
    """ "small,100k" as names."""
    return chosen(text.split(","), PARTS)


def names(text: str) -> tuple[str, ...]:
    """ "myFM, ids only; penchant mf" as names."""
    return chosen(text.split(";"), tuple(contenders({})))


def chosen(given: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Names, checked, in the order in which they are known."""
    stripped = [name.strip() for name in given]
    for name in stripped:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {name!r}; there are {'; '.join(known)}")
    return tuple(name for name in known if name in stripped)


def numbers(text: str) -> tuple[int, ...]:
    """ "42,1,2" as numbers, each once."""
    return tuple(dict.fromkeys(int(part) for part in text.split(",")))


def is_trial(given: argparse.Namespace) -> bool:
    """Whether the options make it something else than the benchmark: that is never published by itself."""
    every = ("parts", "only", "seeds", "folds", "repeats", "sizes", "sweeps", "factors")
    return any(getattr(given, name) != parser().get_default(name) for name in every)


def sampling_of(given: argparse.Namespace) -> dict[str, Any]:
    """Settings of bayes that a trial has in place of defaults."""
    found = {} if given.factors is None else {"factors": given.factors}
    return found if given.sweeps is None else {**found, **sweeps_of(given.sweeps)}


def sweeps_of(sweeps: int) -> dict[str, int]:
    """Settings for so many sweeps of each chain, a quarter of them thrown away."""
    return {"sweeps": max(sweeps, 2), "burn_in": max(sweeps // 4, 1)}


# --- parts --------------------------------------------------------------------------------------------


class Benchmark:
    """The parts, each of which returns what its tables are made from."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.fits = Fits(ROOT, given.reuse)
        self.sampling = sampling_of(given)
        self.contenders = contenders(self.sampling)
        self.settings = resolved(self.sampling)
        self.budget = Budget.of(self.settings)

    def small(self) -> Found:
        """ml-latest-small."""
        return self._compare("small", self._small_splits())

    def canonical(self) -> Found:
        """MovieLens 100K."""
        return self._compare("100k", self._canonical_splits())

    def _small_splits(self) -> list[speed_data.Ready]:
        folder = locate("ml-latest-small")
        return [accuracy_data.notebook_split(folder, ROOT / "data", seed) for seed in self.given.seeds]

    def _canonical_splits(self) -> list[speed_data.Ready]:
        folder = locate("ml-100k")
        return [accuracy_data.canonical_split(folder, ROOT / "data", fold) for fold in self.given.folds]

    def _compare(self, part: str, splits: Sequence[speed_data.Ready]) -> Found:
        asked = [one for one in self.contenders.values() if part in one.data and self._is_asked(one.name)]
        found = {one.name: self.fits.several(one, splits, self.given.threads) for one in asked}
        abouts = [dict(ready.about) for ready in splits]
        if part == "small" and not self.given.only:
            found |= kept_fastai(abouts)
        return {"splits": abouts, "contenders": found}

    def _is_asked(self, name: str) -> bool:
        return not self.given.only or name in self.given.only

    def time(self) -> Found:
        """bayes on one thread and on all, and myFM."""
        ready = accuracy_data.notebook_split(locate("ml-latest-small"), ROOT / "data", TIMED_SEED)
        samplers = dict.fromkeys([(OURS, 1), (OURS, self.given.threads), (TIMED, 1)])
        rows = [{"name": name, "threads": threads, "runs": []} for name, threads in samplers]
        for repeat in range(self.given.repeats):  # in turn, so that a machine that gets busier is so for all
            for row in rows:
                contender = self.contenders[row["name"]]
                threads = self.given.threads if contender.requirements else row["threads"]  # as small keeps its fits
                row["runs"].append(self.fits.one(contender, ready, TIMED_SEED, threads, repeat))
        budget = {"factors": self.budget.factors, "sweeps": self.budget.sweeps}
        return {"data": dict(ready.about), **budget, "rows": rows}

    def growth(self) -> Found:
        """bayes on ever more ratings."""
        return {"factors": self.budget.factors, "sizes": [self._one_size(size) for size in self.given.sizes]}

    def _one_size(self, size: int) -> Found:
        say(f"data of {size:,} ratings …")
        ready = speed_data.synthetic(size, ROOT / "data", GROWTH_SEED)
        further = FURTHER * max(1, round(1_000_000 / size))  # of small tables more, so that they can be timed
        few, many = ({"chains": 1, "sweeps": n, "burn_in": n - 1} for n in (FEWEST, FEWEST + further))
        whole = {"sweeps": WHOLE_SWEEPS, "burn_in": WHOLE_BURN_IN}
        fitted = {
            name: {**self._grown(ready, settings, threads), "sweeps": settings["sweeps"]}
            for name, settings, threads in (("few", few, 1), ("many", many, 1), ("whole", whole, self.given.threads))
        }
        return {"data": dict(ready.about), **fitted}

    def _grown(self, ready: speed_data.Ready, settings: Mapping[str, Any], threads: int) -> Found:
        bare = {**ids_only(), "history": True, **self.sampling, **settings}
        contender = replace(self.contenders[OURS], settings=bare)
        return self.fits.one(contender, ready, GROWTH_SEED, threads)

    def coverage(self) -> Found:
        """The intervals of bayes, from the fits of the parts small and 100k."""
        ours: Contender = self.contenders[OURS]
        found = {}
        for title, splits in (("ml-latest-small", self._small_splits()), ("MovieLens 100K", self._canonical_splits())):
            runs = self.fits.several(ours, splits, self.given.threads)["runs"]
            found[title] = [run["coverage"] for run in runs if run["coverage"]]
        return found

    def whole_in_words(self) -> str:
        """What growth's whole fits are."""
        chains, threads = self.settings["chains"], self.given.threads
        return f"{WHOLE_SWEEPS} sweeps of each of {chains} chains on {threads} threads"


def kept_fastai(splits: Sequence[Mapping[str, Any]], folder: Path = PUBLISHED) -> Found:
    """fastai's collab_learner from the notebook's benchmark, where that has the very splits."""
    path = folder / "fastai_notebook.json"
    if not path.is_file():
        return {}
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    ours = {json.dumps(split["lines"], sort_keys=True): split["seed"] for split in splits}
    runs = []
    for one in results:
        seed = ours.get(json.dumps(one["split"], sort_keys=True))
        if seed is not None:
            fitted = [(run["models"]["mf"], run["environment"]["date"], run["versions"]) for run in one["fastai"]]
            (model, date, versions) = fitted[0]
            fastest = min(model["fit_seconds"] for model, _, _ in fitted)
            about = {"seed": seed, "date": date, "versions": versions, "reused": True}
            runs.append({"mse": model["epochs"][-1]["valid_loss"], "seconds": {"fit": fastest}, **about})
    return {"fastai collab_learner": {"runs": runs, "failed": None}} if runs else {}


# --- the whole ----------------------------------------------------------------------------------------


def run_all(benchmark: Benchmark, found: Found, done: Callable[[], None]) -> None:
    """Fill `found` part by part; `done` is called after each, so that nothing is lost when a later one fails."""
    work = {
        "small": benchmark.small,
        "100k": benchmark.canonical,
        "time": benchmark.time,
        "growth": benchmark.growth,
        "coverage": benchmark.coverage,
    }
    for part in benchmark.given.parts:
        say(f"{part} …")
        try:
            found[part] = work[part]()
        except (WorkerError, WorkerTimeoutError) as error:
            print(f"{part} failed: {error}", file=sys.stderr, flush=True)
            found["failed"].append(f"{part}: {in_a_line(error)}")
        done()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; 0 when everything came through."""
    given = parser().parse_args(arguments)
    folder = given.out or (TRIAL if is_trial(given) else PUBLISHED)
    benchmark = Benchmark(given)
    found: Found = {
        "environment": environment.describe(PACKAGES),
        "trial": is_trial(given),
        "options": {name: getattr(given, name) for name in ("seeds", "folds", "repeats", "threads")},
        "settings": benchmark.settings,
        "budget": vars(benchmark.budget),
        "growth_fit": benchmark.whole_in_words(),
        "failed": [],
        **dict.fromkeys(PARTS),
    }
    run_all(benchmark, found, done=lambda: accuracy_report.write(found, folder))
    accuracy_report.show(found)
    say(f"written to {folder.name}/accuracy.md and accuracy.json")
    return 1 if accuracy_report.failures(found) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PenchantError, WorkerError) as error:
        sys.exit(f"error: {error}")
