"""How well penchant ranks beside peer libraries, all tuned with the same budget on the same split in the same run.

    python benchmarks/ranking.py

makes an environment for each peer (once, under .venvs) and the splits (once, under .benchmarks): the ratings of 4 and
more of ml-100k and ml-latest-small are positives, a random fifth is held out, and of what remains another fifth to tune
on. Every model is fitted with its default settings and with as many random ones as there are trials, and the best by
NDCG@10 on the inner part is fitted on the whole training part. Lists leave out what a user took in training; all items
are ranked. The lists of all libraries are measured by the same few lines (ranking_lists.py).

It needs the folders ml-latest-small and ml-100k ($PENCHANT_DATA), and writes docs/benchmarks/ranking.json and .md. With
--reuse, what was fitted in earlier runs is taken. A look at whether everything works, in some minutes:
--data ml-100k --trials 2
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import environment
import numpy as np
import peer_venv
import ranking_report
from fitting import in_a_line, say, today, variables
from kept import Kept
from numpy.typing import NDArray
from processes import WorkerError, WorkerTimeoutError, run_worker
from ranking_data import FRACTION, POSITIVE_FROM, Lists, splits
from ranking_lists import measure
from ranking_peers import Contender, contenders
from speed import count

from penchant.data.datasets import locate
from penchant.errors import PenchantError
from penchant.significance import against_best

PACKAGES = ("penchant", "numpy", "numba", "scipy")
ROOT = peer_venv.ROOT / ".benchmarks" / "ranking"
TRIAL = peer_venv.ROOT / ".benchmarks" / "trial"
PUBLISHED = peer_venv.ROOT / "docs" / "benchmarks"
DATA = ("ml-100k", "ml-latest-small")
TRIALS = 16
LENGTH = 20
LONGEST = 3600.0  # seconds of all trials of one model
BY = "ndcg@10"

Found = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=lambda text: tuple(text.split(",")), default=DATA, metavar=",".join(DATA))
    made.add_argument("--only", type=names, metavar="NAME;…", help="; ".join(contenders()))
    made.add_argument("--trials", type=count, default=TRIALS, help=f"settings that each model is tried with ({TRIALS})")
    made.add_argument("--seed", type=int, default=0, help="of the split, the trials and the fits (0)")
    made.add_argument("--threads", type=count, default=environment.usable_cores(), help="of each library (all cores)")
    made.add_argument("--reuse", action="store_true", help="take kept results where there are")
    made.add_argument("--out", type=Path, help="folder to write to (docs/benchmarks; .benchmarks/trial for trials)")
    return made


def names(text: str) -> tuple[str, ...]:
    """ "penchant als; implicit ALS" as names."""
    asked = tuple(name.strip() for name in text.split(";"))
    for name in asked:
        if name not in contenders():
            raise argparse.ArgumentTypeError(f"there is no {name!r}; there are {'; '.join(contenders())}")
    return asked


def is_trial(given: argparse.Namespace) -> bool:
    """Whether the options make it something else than the benchmark: that is never published by itself."""
    return any(getattr(given, name) != parser().get_default(name) for name in ("data", "only", "trials", "seed"))


class Benchmark:
    """Fits of all models, kept as they come."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.failed: list[str] = []

    def one_data_set(self, name: str) -> Found:
        """Every model tuned and measured on one data set."""
        test, tune = splits(locate(name), ROOT / "data", self.given.seed)
        asked = [one for one in contenders().values() if not self.given.only or one.name in self.given.only]
        rows: dict[str, Found] = {}
        of_users: dict[str, NDArray[np.float64]] = {}
        for contender in asked:
            try:
                rows[contender.name], of_users[contender.name] = self._tuned(contender, test, tune)
            except (WorkerError, WorkerTimeoutError, subprocess.CalledProcessError, OSError) as error:
                self.failed.append(f"{contender.name} on {name}: {in_a_line(error)}")
                print(f"{contender.name} failed: {error}", file=sys.stderr, flush=True)
        if of_users:
            best = max(of_users, key=lambda one: float(of_users[one].mean()))
            for other, found in against_best(of_users, best).items():
                rows[other]["against_best"] = {**vars(found), "is_real": bool(found.is_real)}
        return {"split": dict(test.about), "models": rows}

    def _tuned(self, contender: Contender, test: Lists, tune: Lists) -> tuple[Found, NDArray[np.float64]]:
        """The best of all trials, fitted on the whole training part; and NDCG@10 of each user."""
        trials = contender.trials(self.given.trials if contender.space else 1, self.given.seed)
        lists, tuning = self._fits(contender, tune, trials)
        scores = [float(measure(of_trial, tune)[BY].mean()) for of_trial in lists]
        best = int(np.argmax(scores))
        (final,), fitting = self._fits(contender, test, [trials[best]])
        values = measure(final, test)
        row = {
            "settings": trials[best],
            "space": {name: str(among) for name, among in contender.space.items()},
            "tuned": scores,
            "metrics": {metric: float(of_users.mean()) for metric, of_users in values.items()},
            "seconds": {"tuning": sum(one["fit"] for one in tuning["seconds"]), **fitting["seconds"][0]},
            "versions": fitting["versions"],
            "date": fitting["date"],
        }
        say(f"{contender.name}, {test.about['title']}: {row['metrics']} with {trials[best]}")
        return row, values[BY]

    def _fits(
        self, contender: Contender, split: Lists, trials: Sequence[Mapping[str, Any]]
    ) -> tuple[NDArray[np.int32], Found]:
        """The lists of each trial, (trials, asked, LENGTH), and what the worker told."""
        kept = Kept(
            ROOT / "results" / split.folder.name / f"{contender.name}-{contender.fingerprint}".replace(" ", "-")
        )
        asked = json.dumps(trials, sort_keys=True)
        name = f"seed-{self.given.seed}-{self.given.threads}-threads-{abs(hash_of(asked)):x}"
        found = kept.load(name) if self.given.reuse else None
        if found is None:
            found = self._run(contender, split, asked) | {"date": today()}
            kept.save(name, found)
        return np.array(found["lists"], np.int32), found

    def _run(self, contender: Contender, split: Lists, trials: str) -> Found:
        with tempfile.TemporaryDirectory() as folder:
            wanted, lists = Path(folder) / "trials.json", Path(folder) / "lists.npy"
            wanted.write_text(trials, encoding="utf-8")
            options = {"data": split.folder, "trials": wanted, "lists": lists, "n": LENGTH, "model": contender.model}
            options |= {"seed": self.given.seed, "threads": self.given.threads}
            found = run_worker(
                contender.python(Path(sys.executable)),
                f"ranking/{contender.script}",
                options,
                environment=variables(ROOT, self.given.threads),
                limit=LONGEST,
            )
            return {**found, "lists": np.load(lists).tolist()}


def hash_of(text: str) -> int:
    """A checksum of a text, the same in every process."""
    import zlib

    return zlib.crc32(text.encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; 0 when everything came through."""
    given = parser().parse_args(arguments)
    folder = given.out or (TRIAL if is_trial(given) else PUBLISHED)
    benchmark = Benchmark(given)
    found: Found = {
        "environment": environment.describe(PACKAGES),
        "trial": is_trial(given),
        "options": {name: getattr(given, name) for name in ("trials", "seed", "threads")},
        "protocol": {"fraction": FRACTION, "positive_from": POSITIVE_FROM},
        "data": {},
    }
    for name in given.data:
        found["data"][name] = benchmark.one_data_set(name)
        found["failed"] = benchmark.failed
        ranking_report.write(found, folder)
    ranking_report.show(found)
    say(f"written to {folder.name}/ranking.md and ranking.json")
    return 1 if benchmark.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PenchantError, WorkerError) as error:
        sys.exit(f"error: {error}")
