"""How fast lists are learnt and measured beside peer libraries, and in how much memory.

    python benchmarks/run.py lists

Epochs of `als` beside implicit's over 10 million synthetic interactions, both minimising one objective, by each solver;
full rankings of 100,000 users over 50,000 items beside RecTools and LensKit; and a million users over a million items,
of whom some are ranked, in memory that the system limits. Writes docs/benchmarks/lists_speed.json and .md, or
.benchmarks/trial for a run with other sizes. A look at whether everything works:
--interactions 200000 --users 1000
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import environment
import numpy as np
import peer_venv
from fitting import in_a_line, say, variables
from processes import WorkerError, WorkerTimeoutError, run_worker
from ranking_peers import IMPLICIT, LENSKIT, RECTOOLS
from result_tables import Table, seconds, show_tables, times, write_report
from speed import count

sys.path.append(str(Path(__file__).resolve().parent / "workers" / "lists"))
from lists_data import CONFIDENCE, PULL, draw

ROOT = peer_venv.ROOT / ".benchmarks" / "lists"
LONGEST = 3600.0  # seconds of one worker
FACTORS = (64, 128)
EPOCHS = {"conjugate-gradient": 8, "cholesky": 2}  # direct solutions take implicit a minute an epoch
INTERACTIONS, USERS = 10_000_000, 100_000
LENSKIT_USERS = 2_000  # it ranks one user after the other: so many are enough to see what all would take
MILLION_USERS = 4_000  # of a million that are ranked
SPARE = 300_000_000  # bytes of data that ranking may take beside what is there before
PACKAGES = ("penchant", "numpy", "numba")

Found = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--parts", default="als,evaluation,memory", help="als,evaluation,memory")
    made.add_argument("--interactions", type=count, default=INTERACTIONS, help="of the data of als (10 million)")
    made.add_argument("--users", type=count, default=USERS, help="that are ranked (100,000)")
    made.add_argument("--out", type=Path, help="folder to write to (docs/benchmarks; .benchmarks/trial for trials)")
    return made


def data(n_users: int, n_items: int, n: int) -> Path:
    """Interactions in a folder, made once."""
    folder = ROOT / f"{n_users}-{n_items}-{n}"
    if not (folder / "about.json").is_file():
        say(f"data of {n:,} interactions …")
        folder.mkdir(parents=True, exist_ok=True)
        users, items = draw(n_users, n_items, n, seed=0)
        np.save(folder / "users.npy", users)
        np.save(folder / "items.npy", items)
        about = {"n_users": n_users, "n_items": n_items, "n": len(users)}
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


class Runs:
    """Workers, and what failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def one(self, requirements: tuple[str, ...], script: str, threads: int, **options: Any) -> Found | None:
        """One worker in its environment; None where it failed."""
        name = script.split("_")[0]
        try:
            python = peer_venv.ensure(name, requirements) if requirements else Path(sys.executable)
            found = run_worker(
                python,
                f"lists/{script}",
                {**options, "threads": threads},
                environment=variables(ROOT, threads),
                limit=LONGEST,
            )
        except (WorkerError, WorkerTimeoutError, OSError) as error:
            self.failed.append(f"{name}: {in_a_line(error)}")
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            return None
        say(f"{name}, {threads} threads: " + ", ".join(f"{key} {value}" for key, value in found.items()))
        return found


def als(runs: Runs, n: int) -> list[Found]:
    """Epochs of both libraries, by factors, solver and threads."""
    folder, rows = data(100_000, 20_000, n), []
    for factors in FACTORS:
        for solver, epochs in EPOCHS.items():
            for threads in sorted({1, environment.usable_cores()}):
                how = {"data": folder, "factors": factors, "epochs": epochs, "solver": solver}
                theirs = runs.one(IMPLICIT, "implicit_als_worker.py", threads, **how)
                ours = runs.one((), "penchant_als_worker.py", threads, **how)
                known = {"factors": factors, "solver": solver, "threads": threads}
                rows.append({**known, "implicit": theirs, "penchant": ours})
    return rows


def evaluation(runs: Runs, n_users: int) -> Found:
    """All users ranked by each library; of LensKit some."""
    folder, threads = data(USERS, 50_000, 60 * n_users), environment.usable_cores()
    how = {"data": folder, "factors": 64, "limit": 0}
    return {
        "penchant": runs.one((), "penchant_evaluation_worker.py", threads, users=n_users, **how),
        "RecTools": runs.one(RECTOOLS, "rectools_evaluation_worker.py", threads, users=n_users, **how),
        "LensKit": runs.one(LENSKIT, "lenskit_evaluation_worker.py", threads, users=min(n_users, LENSKIT_USERS), **how),
    }


def memory(runs: Runs, n_users: int) -> Found | None:
    """Some of a million users over a million items, under a limit of the system's."""
    n = 1_000_000
    tables = 2 * n * 64 * 4  # both factors
    limit = tables + 1_500_000_000 + SPARE  # with the data, the libraries, and threads' stacks
    how = {"data": data(n, n, 5 * n), "factors": 64, "limit": limit}
    asked = min(n_users, MILLION_USERS)
    found = runs.one((), "penchant_evaluation_worker.py", environment.usable_cores(), users=asked, **how)
    return found and {**found, "limit": limit, "of_users": n, "items": n}


def tables(found: Found) -> list[Table]:
    """What was measured, as tables."""
    made = []
    if rows := [row for row in found.get("als", ()) if row["implicit"] and row["penchant"]]:
        columns = ("epochs of als", "threads", "implicit", "penchant", "ratio", "implicit: objective", "penchant")
        made.append(Table("Learning: median seconds of an epoch", columns, [_als_row(row) for row in rows]))
    if of_libraries := {name: one for name, one in found.get("evaluation", {}).items() if one}:
        columns = ("library", "users", "time", "a user", "times penchant's", "NDCG@10", "peak of memory")
        own = of_libraries.get("penchant")
        each = [_evaluation_row(name, one, own) for name, one in of_libraries.items()]
        made.append(Table("Measuring: full rankings", columns, each))
    if one := found.get("memory"):
        columns = ("users ranked", "time", "before", "peak", "difference", "limit of data")
        sizes = [_gigabytes(number) for number in (one["before"], one["rss"], one["rss"] - one["before"], one["limit"])]
        title = f"Memory: {one['of_users']:,} users and {one['items']:,} items"
        made.append(Table(title, columns, [[f"{one['users']:,}", seconds(one["total"]), *sizes]]))
    return made


def _als_row(row: Mapping[str, Any]) -> list[str]:
    theirs, ours = (median(row[name]["seconds"][1:] or row[name]["seconds"]) for name in ("implicit", "penchant"))
    epochs = len(row["penchant"]["seconds"])
    objectives = [f"{row[name]['objectives'][-1]:.4f}" for name in ("implicit", "penchant")]
    name = f"{row['factors']} factors, {row['solver']}, {epochs} epochs"
    return [name, f"{row['threads']}", seconds(theirs), seconds(ours), times(theirs / ours), *objectives]


def _evaluation_row(name: str, one: Mapping[str, Any], own: Mapping[str, Any] | None) -> list[str]:
    each = one["total"] / one["users"]
    ratio = times(each / (own["total"] / own["users"])) if own else "–"
    ndcg = next(value for key, value in one["metrics"].items() if key.lower().startswith("ndcg"))
    peak = _gigabytes(one["rss"])
    return [name, f"{one['users']:,}", seconds(one["total"]), f"{1000 * each:.3f} ms", ratio, f"{ndcg:.6f}", peak]


def _gigabytes(number: float) -> str:
    return f"{number / 1e9:.2f} GB"


def markdown(found: Found) -> str:
    """The report as a page."""
    given = found["options"]
    parts = [
        "# Lists: learning and measuring beside peer libraries",
        "\n".join(environment.lines(found["environment"])),
        f"Learning: {given['interactions']:,} interactions drawn (a little fewer are distinct) of 100,000 users and"
        " 20,000 items, popularity and activity by power laws, half of it in 50 groups of taste. Both libraries"
        f" minimise the objective of Hu, Koren and Volinsky 2008, confidence {CONFIDENCE:g}, regularisation {PULL:g};"
        " it is given for each interaction after the last epoch, lower is better. The first epoch is not in the median."
        " Conjugate gradients are implicit's three steps, and penchant's until they are close.",
        "Measuring: 64 factors of 100,000 users and 50,000 items, the same random ones for all; the 20 best of all"
        " items that a user has not taken, NDCG@10 and Recall@20 with each library's own functions (penchant's"
        " time includes 95 % intervals). A library that was given fewer users is compared by the time of a user.",
        "Memory: users ranked over all items; what is held before consists of the factors and the data. The system"
        " refuses more data than the limit.",
    ]
    for table in tables(found):
        parts += [f"## {table.title}", table.markdown()]
    parts += [f"Failed: {line}" for line in found["failed"]]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for; 0 when everything came through."""
    given = parser().parse_args(arguments)
    is_trial = any(getattr(given, name) != parser().get_default(name) for name in ("parts", "interactions", "users"))
    folder = given.out or (peer_venv.ROOT / (".benchmarks/trial" if is_trial else "docs/benchmarks"))
    runs = Runs()
    measured = {
        "als": lambda: als(runs, given.interactions),
        "evaluation": lambda: evaluation(runs, given.users),
        "memory": lambda: memory(runs, given.users),
    }
    found: Found = {
        "environment": environment.describe(PACKAGES),
        "options": {name: getattr(given, name) for name in ("interactions", "users")},
        "failed": runs.failed,
    }
    for part in given.parts.split(","):
        found[part] = measured[part]()
        write_report(found, markdown(found), folder, "lists_speed")
    write_report(found, markdown(found), folder, "lists_speed")
    show_tables(tables(found), runs.failed)
    return 1 if runs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
