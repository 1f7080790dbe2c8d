"""Fits of libraries in fresh processes, one after the other, kept so that they need not be done again."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kept import Kept
from peers import OURS, PEERS, Peer
from processes import WorkerError, WorkerTimeoutError, run_worker
from rich.console import Console
from speed_data import Ready, synthetic

console = Console(highlight=False)
PATH = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][\w.+~-]+){2,}[/\\]?")
ADDRESS = re.compile(r"\w+://\S+")

LONGEST = 300.0  # seconds of one fit with all that is around it


@dataclass(frozen=True)
class FitPlan:
    """What does not change from fit to fit.

    Attributes:
        ready: the data.
        factors, threads, seed: as every library is given them.
        again: further fits in each process.
    """

    ready: Ready
    factors: int
    threads: int
    seed: int
    again: int = 0


class Fits:
    """Runs libraries, or takes what was kept."""

    def __init__(self, root: Path, plan: FitPlan, given: argparse.Namespace) -> None:
        self.root = root
        self.plan = plan
        self.given = given

    def sequence(self, peer: Peer) -> dict[str, Any]:
        """All fits of a library: {"runs": [...], "failed": None or why}."""
        found: dict[str, Any] = {"runs": [], "failed": None}
        try:
            python = peer.python(Path(sys.executable))
            for epochs in self.given.epochs if peer.has_epochs else (1,):
                runs = self._repeated(peer, python, epochs)
                found["runs"] += runs
                if runs[-1]["seconds"]["fit"] > self.given.budget:
                    say(f"{peer.name}: no more epochs, {runs[-1]['seconds']['fit']:.0f} s are over the budget")
                    break
        except (WorkerError, WorkerTimeoutError, subprocess.CalledProcessError, OSError) as error:
            found["failed"] = in_a_line(error)
            print(f"{peer.name} failed: {error}", file=sys.stderr, flush=True)
        return found

    def _repeated(self, peer: Peer, python: Path, epochs: int) -> list[dict[str, Any]]:
        """Fits with one number of epochs; a long one is not repeated."""
        runs: list[dict[str, Any]] = []
        for repeat in range(self.given.repeats):
            runs.append(self.one(peer, python, epochs, repeat))
            if runs[-1]["seconds"]["fit"] > self.given.repeat_below:
                break
        tell(peer, epochs, runs)
        return runs

    def one(self, peer: Peer, python: Path, epochs: int, repeat: int) -> dict[str, Any]:
        """One fit.

        Raises:
            WorkerError: it failed.
        """
        plan = self.plan
        kept = Kept(
            self.root / "results" / plan.ready.folder.name / f"{peer.name}-{peer.fingerprint}".replace(" ", "-")
        )
        name = f"{epochs}-epochs-{plan.factors}-factors-{plan.threads}-threads-{plan.again}-again-{repeat}"
        result = kept.load(name) if self.given.reuse else None
        if result is not None:
            return {**result, "reused": True}
        options: dict[str, Any] = {"data": plan.ready.folder, "epochs": epochs, "factors": plan.factors}
        options |= {"threads": plan.threads, "seed": plan.seed, "again": plan.again, **peer.options}
        options |= {"most-ratings": peer.most_ratings} if peer.most_ratings else {}
        try:
            result = self._run(peer, python, options)
        except WorkerTimeoutError:  # libmf's threads were seen to wait for each other, once in some forty fits
            say(f"{peer.name}, {epochs} epochs: still not done after {LONGEST:.0f} s; once more")
            result = self._run(peer, python, options)
        result |= {"epochs": epochs, "repeat": repeat, "threads": plan.threads, "date": today()}
        kept.save(name, result)
        return {**result, "reused": False}

    def _run(self, peer: Peer, python: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        environment = variables(self.root, self.plan.threads)
        return run_worker(python, f"speed/{peer.script}", options, environment=environment, limit=LONGEST)


def variables(root: Path, threads: int) -> Mapping[str, str]:
    """Libraries share out the work themselves: BLAS keeps to one thread in each of theirs."""
    blas = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"OMP_NUM_THREADS": f"{threads}", "NUMBA_CACHE_DIR": str(root / "kernels"), **blas}


def warm_up(root: Path) -> None:
    """A small fit of penchant, which fills the cache of compiled kernels."""
    ready = synthetic(5_000, root / "data", 0)
    options = {"epochs": 1, "factors": 8, "threads": 1, "seed": 1, "data": ready.folder, **PEERS[OURS].options}
    run_worker(sys.executable, f"speed/{PEERS[OURS].script}", options, environment=variables(root, 1))


def tell(peer: Peer, epochs: int, runs: list[dict[str, Any]]) -> None:
    """A line about what came out."""
    times = ", ".join(f"{run['seconds']['fit']:.2f}" for run in runs)
    kept = " (kept)" if all(run["reused"] for run in runs) else ""
    gib = max(run["rss"] for run in runs) / 2**30
    say(f"{peer.name}, {epochs} epochs: MSE {runs[0]['mse']:.4f}, {times} s, {gib:.2f} GiB{kept}")


def say(text: str) -> None:
    """A line about how far it is."""
    console.print(f"  {text}", style="dim", markup=False, soft_wrap=True)


def in_a_line(error: BaseException) -> str:
    """What went wrong, in one line without paths and addresses: it goes into a report."""
    text = str(error)
    if isinstance(error, subprocess.CalledProcessError):
        said = [line for line in (error.stderr or "").splitlines() if "error" in line.lower()]
        text = f"pip ended with status {error.returncode}" + (f": {said[0].strip()}" if said else "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[-1] if len(lines) > 1 else text  # of a traceback the last line says it
    return PATH.sub("…", ADDRESS.sub("…", line))[:200]


def today() -> str:
    """The date, as environment.describe writes it."""
    return datetime.now(UTC).date().isoformat()
