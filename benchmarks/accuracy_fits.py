"""Fits of the accuracy benchmark in fresh processes, kept so that they need not be done again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accuracy_peers import Contender
from fitting import in_a_line, say, today, variables
from kept import Kept
from processes import WorkerError, WorkerTimeoutError, run_worker
from speed_data import Ready

LONGEST = 3600.0  # seconds of one fit with all that is around it


class Fits:
    """Runs contenders, or takes what was kept.

    Args:
        root: folder of results and of compiled kernels.
        reuse: take results of earlier runs; those of this one are always taken.
    """

    def __init__(self, root: Path, reuse: bool) -> None:
        self.root = root
        self.reuse = reuse
        self.done: dict[Path, dict[str, Any]] = {}
        self.warm: set[tuple[str, bool]] = set()

    def several(self, contender: Contender, splits: Sequence[Ready], threads: int) -> dict[str, Any]:
        """A contender on some splits, the number of the split as seed: {"runs": [...], "failed": None or why}."""
        found: dict[str, Any] = {"runs": [], "failed": None}
        for ready in splits:
            try:
                found["runs"].append(self.one(contender, ready, ready.about["seed"], threads))
            except (WorkerError, WorkerTimeoutError, subprocess.CalledProcessError, OSError) as error:
                found["failed"] = in_a_line(error)
                print(f"{contender.name} failed: {error}", file=sys.stderr, flush=True)
                break
        return found

    def one(self, contender: Contender, ready: Ready, seed: int, threads: int, repeat: int = 0) -> dict[str, Any]:
        """One fit.

        Raises:
            WorkerError, WorkerTimeoutError: it failed.
        """
        folder = self.root / "results" / ready.folder.name
        kept = Kept(folder / f"{contender.name}-{contender.fingerprint}".replace(" ", "-").replace(",", ""))
        name = f"seed-{seed}-{threads}-threads-{repeat}"
        path = kept.path(name)
        if path not in self.done:
            found = kept.load(name) if self.reuse else None
            if found is None:
                found = self._run(contender, ready, seed, threads)
                kept.save(name, found)
            else:
                found = {**found, "reused": True}
            tell(contender, ready, found)
            self.done[path] = found
        return self.done[path]

    def _run(self, contender: Contender, ready: Ready, seed: int, threads: int) -> dict[str, Any]:
        python = contender.python(Path(sys.executable))
        kernels = contender.name, threads > 1
        if contender.quick is not None and kernels not in self.warm:
            self.warm.add(kernels)
            quick = replace(contender, settings={**contender.settings, **contender.quick})
            self._work(python, quick, ready, seed, threads)
        result = self._work(python, contender, ready, seed, threads)
        return {**result, "seed": seed, "threads": threads, "date": today(), "reused": False}

    def _work(self, python: Path, contender: Contender, ready: Ready, seed: int, threads: int) -> dict[str, Any]:
        options = {"data": ready.folder, "model": contender.model, "settings": json.dumps(dict(contender.settings))}
        options |= {"seed": seed, "threads": threads}
        script = f"accuracy/{contender.script}"
        return run_worker(python, script, options, environment=variables(self.root, threads), limit=LONGEST)


def tell(contender: Contender, ready: Ready, run: dict[str, Any]) -> None:
    """A line about what came out."""
    kept = " (kept)" if run["reused"] else ""
    errors = f"MSE {run['mse']:.4f}, RMSE {run['mse'] ** 0.5:.4f}"
    say(f"{contender.name}, {ready.about['title']}: {errors}, {run['seconds']['fit']:.2f} s{kept}")
