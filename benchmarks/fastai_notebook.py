"""Rerun fastai's collaborative filtering notebook beside penchant, on the identical split.

    python benchmarks/fastai_notebook.py

makes an environment with fastai (once, under .venvs), lets fastai split and fit the notebook's four models,
fits penchant's counterparts on the same lines, and a plain torch loop as a second baseline. It prints both
epoch tables, the errors, the times and their ratios, and writes them to docs/benchmarks/fastai_notebook.json
and .md. Three splits take most of an hour on two idle cores, nearly all of it in fastai.

What fastai computed is kept under .benchmarks, so a run that was cut short can go on with --reuse. A seed
whose worker fails is reported and left out; the results of the others stay, and the exit status is 1.

A look at whether everything works, in a few minutes: --epochs 1 --sample 5000 --seeds 42
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isclose
from pathlib import Path
from statistics import median
from typing import Any

import environment
import peer_venv
import polars as pl
import report
from kept import Kept, digest
from processes import WORKERS, WorkerError, run_worker
from rich.console import Console

from penchant.data.datasets import locate
from penchant.errors import PenchantError
from penchant.models import build

DATASET = "ml-latest-small"
PEER = "fastai"
REQUIREMENTS = ("torch", "fastai==2.8.12")  # torch first: constraints.txt then settles which build fastai gets
PACKAGES = ("penchant", "numpy", "numba", "polars", "torch")
KEPT = peer_venv.ROOT / ".benchmarks" / "fastai_notebook"
TRIAL = peer_venv.ROOT / ".benchmarks" / "trial"
PUBLISHED = peer_venv.ROOT / "docs" / "benchmarks"

NARROWEST = 220  # the widest table; a screen that is narrower wraps it

console = Console(highlight=False)
Said = Callable[[str], None]


# --- options ------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=seeds, default=(42, 1, 2), metavar="42,1,2", help="one split each")
    made.add_argument("--repeats", type=positive, default=5, help="fits of penchant and the torch loop a split (5)")
    made.add_argument(
        "--only",
        choices=("fastai", "penchant"),
        help="run one side. fastai: results are kept for --reuse, nothing is published. penchant: the split and "
        "fastai's numbers are those kept of an earlier run",
    )
    made.add_argument("--reuse", action="store_true", help="take fastai's and the loop's kept results where there are")
    made.add_argument("--data", type=Path, help=f"folder with ratings.csv and movies.csv ($PENCHANT_DATA/{DATASET})")
    made.add_argument("--out", type=Path, help="folder to write to (docs/benchmarks; .benchmarks/trial for trials)")
    made.add_argument("--peer-python", type=Path, help="a Python that has fastai, in place of a new environment")
    made.add_argument(
        "--peer-threads",
        type=threads,
        default=(None, 1),
        metavar="default,1",
        help="torch threads of fastai; it is run once with each number, and ratios are taken of the faster",
    )
    made.add_argument("--epochs", type=positive, default=report.NOTEBOOK_EPOCHS, help="for trials: other than 5")
    made.add_argument("--sample", type=positive, help="for trials: this many ratings, drawn at random")
    return made


def seeds(text: str) -> tuple[int, ...]:
    """ "42,1,2" as numbers, each once."""
    return tuple(dict.fromkeys(int(part) for part in text.split(",")))


def threads(text: str) -> tuple[int | None, ...]:
    """ "default,1" as numbers, None for torch's own choice."""
    return tuple(dict.fromkeys(None if part == "default" else positive(part) for part in text.split(",")))


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


# --- data ---------------------------------------------------------------------------------------------


@contextmanager
def prepared(given: argparse.Namespace) -> Iterator[Path]:
    """The folder to read: the one given, or a temporary one with a sample of it."""
    folder = given.data or locate(DATASET)
    for name in ("ratings.csv", "movies.csv"):
        if not (folder / name).is_file():
            raise SystemExit(f"There is no {name} in {folder}. Give --data a folder laid out as {DATASET}.")
    if given.sample is None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as sampled:
        ratings = pl.read_csv(folder / "ratings.csv")
        chosen = ratings.with_row_index("line").sample(min(given.sample, ratings.height), seed=0).sort("line")
        chosen.drop("line").write_csv(Path(sampled) / "ratings.csv")
        shutil.copy(folder / "movies.csv", sampled)
        yield Path(sampled)


def describe_data(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The data's name, size and checksum; not where it lies."""
    content = (folder / "ratings.csv").read_bytes()
    name = DATASET if given.data is None else given.data.name
    return {"name": name, "n_ratings": pl.read_csv(content).height, "sha256": hashlib.sha256(content).hexdigest()}


# --- fastai's side ------------------------------------------------------------------------------------


def kept_of(data: Path, epochs: int) -> Kept:
    """Where results for these data, epochs and workers are."""
    sources = sorted(path for path in WORKERS.glob("*.py") if path.name != "penchant_worker.py")
    return Kept(KEPT / digest((f"{epochs}",), (data / "ratings.csv", data / "movies.csv", *sources)))


class Peer:
    """fastai and the plain torch loop, run in their own environment or taken from what was kept."""

    def __init__(self, given: argparse.Namespace, data: Path) -> None:
        self.given = given
        self.data = data
        self.kept = kept_of(data, given.epochs)
        self._python: Path | None = given.peer_python

    @property
    def python(self) -> Path:
        """The Python with fastai; its environment is made when it is first needed."""
        if self._python is None:
            self._python = peer_venv.ensure(PEER, REQUIREMENTS)
        return self._python

    def fastai(self, seed: int) -> list[dict[str, Any]]:
        """fastai's split and results, once for each number of threads."""
        found = [self._fastai(seed, number) for number in self.given.peer_threads]
        check_split(found[0], self.data)
        if any(one["valid_lines"] != found[0]["valid_lines"] for one in found):
            raise WorkerError("fastai's split depends on the number of threads.")
        return found

    def _fastai(self, seed: int, number: int | None) -> dict[str, Any]:
        def run() -> dict[str, Any]:
            options: dict[str, Any] = {"data": self.data, "seed": seed, "epochs": self.given.epochs}
            options |= {} if number is None else {"threads": number}
            result = run_worker(self.python, "fastai_notebook_worker.py", options, on_line=say)
            return {**result, "environment": environment.describe(())}

        return self._result(fastai_name(seed, number), f"fastai, threads: {number or 'default'}", run)

    def torch_loop(self, seed: int) -> list[dict[str, Any]]:
        """The loop's results, one a repeat."""

        def run() -> dict[str, Any]:
            options = {"data": self.data, "split": self.split_file(seed), "seed": seed, "epochs": self.given.epochs}
            repeats = [run_worker(self.python, "torch_loop_worker.py", options) for _ in range(self.given.repeats)]
            return {"repeats": repeats}

        return self._result(f"torch-loop-{seed}-{self.given.repeats}", "the plain torch loop", run)["repeats"]

    def split_file(self, seed: int) -> Path:
        """The file with the lines that fastai trained and validated on."""
        return self.kept.path(fastai_name(seed, self.given.peer_threads[0]))

    def _result(self, name: str, title: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        only_kept = self.given.only == "penchant"
        found = self.kept.load(name) if self.given.reuse or only_kept else None
        if found is not None:
            say(f"{title}: the kept result is used")
            return {**found, "reused": True}
        if only_kept:
            raise WorkerError(
                f"Nothing is kept of {title} for these data, epochs and repeats. Leave --only away, or run --only "
                "fastai first."
            )
        say(f"{title} …")
        result = run()
        self.kept.save(name, result)
        return {**result, "reused": False}


def fastai_name(seed: int, number: int | None) -> str:
    """What a result of fastai is kept as."""
    return f"fastai-{seed}-{number or 'default'}-threads"


def check_split(found: Mapping[str, Any], data: Path) -> None:
    """Every line of the ratings must be on one side."""
    lines = sorted(found["train_lines"] + found["valid_lines"])
    if lines != list(range(pl.read_csv(data / "ratings.csv").height)):
        raise WorkerError("fastai's split does not hold each line of ratings.csv once; is a film not in movies.csv?")


# --- penchant's side ----------------------------------------------------------------------------------


class Ours:
    """penchant's fits, each in a fresh process, with a kernel cache of this run's own."""

    def __init__(self, given: argparse.Namespace, data: Path, cache: Path) -> None:
        self.given = given
        self.data = data
        self.environment = {"NUMBA_CACHE_DIR": str(cache)}
        self.warm: set[str] = set()
        self.done: dict[str, list[dict[str, Any]]] = {}
        self.cold: dict[str, Any] | None = None

    def fit_all(self, seed: int, split_file: Path) -> dict[str, Any]:
        """All rows, with the notebook's epochs and with defaults, and the bias baseline."""
        self.done = {}
        models: dict[str, dict[str, Any]] = {}
        for row in report.ROWS:
            notebook = {**row.settings, "epochs": self.given.epochs}
            models[row.key] = {
                "notebook": self._repeated(row.model, notebook, seed, split_file),
                "defaults": self._repeated(row.model, row.kept, seed, split_file),
            }
        models["bias"] = {"defaults": self._repeated("bias", {}, seed, split_file)}
        about = ("n_train", "n_valid", "n_unknown", "repeated_pairs", "mean_mse")
        return {**{name: models["mf"]["notebook"][0][name] for name in about}, "models": models}

    def _repeated(self, model: str, settings: Mapping[str, Any], seed: int, split_file: Path) -> list[dict[str, Any]]:
        """The runs of one model with one set of settings; what was run before on this split is not run again."""
        resolved = json.dumps([model, build(model, **settings).settings.to_json()])
        if resolved not in self.done:
            self.done[resolved] = self._run(model, settings, seed, split_file)
        return self.done[resolved]

    def _run(self, model: str, settings: Mapping[str, Any], seed: int, split_file: Path) -> list[dict[str, Any]]:
        def run() -> dict[str, Any]:
            options = {"model": model, "settings": json.dumps(dict(settings)), "seed": seed}
            options |= {"data": self.data, "split": split_file}
            return run_worker(sys.executable, "penchant_worker.py", options, environment=self.environment)

        first = None if model in self.warm else run()  # also puts the files of what it imports into memory
        self.warm.add(model)
        runs = [run() for _ in range(self.given.repeats)]
        if model == "dot" and first is not None:
            self._note_cold(model, first, runs)
        if len({run["epochs"][-1]["valid_loss"] for run in runs}) > 1:
            say(f"  {model} differs between repeats of one seed; the first is shown")
        last = runs[0]["epochs"][-1]
        say(f"  penchant {model} {shown(settings)}: {last['valid_loss']:.4f}, {runs[0]['fit_seconds']:.2f} s")
        return runs

    def _note_cold(self, model: str, first: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> None:
        """`dot` is the first model of all, and its kernel is also that of `mf`."""
        warm = median(run["fit_seconds"] for run in runs)
        self.cold = {"model": model, "cold_seconds": first["fit_seconds"], "warm_seconds": warm}


def shown(settings: Mapping[str, Any]) -> str:
    """Settings in a few words."""
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "defaults"


# --- one seed after the other -------------------------------------------------------------------------


def one_seed(seed: int, peer: Peer, ours: Ours, given: argparse.Namespace) -> dict[str, Any]:
    """Both sides on one split.

    Raises:
        WorkerError: a worker failed.
    """
    console.rule(f"seed {seed}", align="left")
    fastai = peer.fastai(seed)
    loop = peer.torch_loop(seed)
    penchant = None if given.only == "fastai" else ours.fit_all(seed, peer.split_file(seed))
    same_rows([*fastai, *loop, *([penchant] if penchant else [])])
    split = {part: digest_lines(fastai[0][f"{part}_lines"]) for part in ("train", "valid")}
    lean = [{name: value for name, value in one.items() if not name.endswith("_lines")} for one in fastai]
    return {"seed": seed, "split": split, "fastai": lean, "torch_loop": loop, "penchant": penchant}


def same_rows(sides: Sequence[Mapping[str, Any]]) -> None:
    """The error of predicting the training mean, computed by each side alone, is the same only for the same split."""
    if not all(isclose(one["mean_mse"], sides[0]["mean_mse"], rel_tol=1e-6) for one in sides):
        raise WorkerError("The two sides did not have the same ratings to train and validate on.")


def digest_lines(lines: Sequence[int]) -> str:
    """A checksum of a set of lines."""
    return hashlib.sha256(json.dumps(sorted(lines)).encode()).hexdigest()


def run_all(given: argparse.Namespace, data: Path, found: dict[str, Any], done: Callable[[], None]) -> None:
    """Fill `found` seed by seed; `done` is called after each, so that nothing is lost when a later one fails."""
    peer = Peer(given, data)
    with tempfile.TemporaryDirectory() as cache:
        ours = Ours(given, data, Path(cache))
        for seed in given.seeds:
            try:
                found["results"].append(one_seed(seed, peer, ours, given))
            except WorkerError as error:
                first, _, rest = str(error).partition("\n")
                found["failed"].append(f"seed {seed}: {first}")
                print(f"seed {seed} failed: {first}\n{rest}", file=sys.stderr, flush=True)
                continue
            found["cold"] = ours.cold
            done()


# --- telling ------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """A line about how far it is."""
    console.print(f"  {text}", style="dim", markup=False)


def warn_if_busy(described: Mapping[str, Any]) -> None:
    """Times of a busy machine are worth little; fastai's, with a thread a core, suffer most."""
    load, cores = described["machine"]["load"], described["machine"]["cores"]
    if load is not None and load > cores / 2:
        console.print(f"This machine is busy (load {load:g} on {cores} cores): the times will mislead.", style="yellow")


def show(found: Mapping[str, Any]) -> None:
    """The report on the screen."""
    console.rule("results", align="left")
    wide = Console(highlight=False, width=max(console.width, NARROWEST))
    for table in [*report.epoch_tables(found["results"][0]), *report.tables(found)]:
        wide.print(table.rich())
        wide.print()
    for line in report.method(found):
        console.print(f"· {line}", markup=False)
    reused = [str(one["seed"]) for one in found["results"] if any(run["reused"] for run in one["fastai"])]
    if reused:
        console.print(f"fastai's results of seed {', '.join(reused)} were kept from an earlier run.", style="yellow")
    for line in report.deviations(found):
        console.print(f"Not the notebook's run: {line}", style="yellow")


def write(found: Mapping[str, Any], folder: Path) -> None:
    """The report as JSON and Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fastai_notebook.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (folder / "fastai_notebook.md").write_text(report.markdown(found), encoding="utf-8")


def output_folder(given: argparse.Namespace) -> Path:
    """Where to write: a trial never lands among the published results by itself."""
    is_trial = given.sample is not None or given.epochs != report.NOTEBOOK_EPOCHS
    return given.out or (TRIAL if is_trial else PUBLISHED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; 0 when every seed came through."""
    given = parser().parse_args(arguments)
    folder = output_folder(given)
    with prepared(given) as data:
        found = {
            "environment": environment.describe(PACKAGES),
            "data": describe_data(data, given),
            **{name: getattr(given, name) for name in ("epochs", "sample", "repeats")},
            "cold": None,
            "failed": [],
            "results": [],
        }
        warn_if_busy(found["environment"])
        published = given.only != "fastai"
        run_all(given, data, found, done=lambda: write(found, folder) if published else None)
    if found["results"]:
        show(found)
        if published:
            write(found, folder)
            console.print(f"Written to {folder / 'fastai_notebook.md'} and .json", style="green")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PenchantError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
