"""The speed benchmark's parts that need neither a peer library nor the network, and its penchant side for real."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
Load = Callable[[str], ModuleType]


def run(epochs: int, seconds: float, mse: float, **fields: Any) -> dict[str, Any]:
    timing = {"seconds": {"import": 1.0, "load": 0.1, "prepare": 0.2, "fit": seconds}, "again_seconds": []}
    size = {"n_train": 1000, "n_valid": 100, "mean_mse": 1.0, "rss": 2**30, "rss_loaded": 2**29}
    about = {"versions": {"python": "3", "libmf": "0"}, "date": "2000-01-01", "reused": False, "repeat": 0}
    return {"epochs": epochs, "mse": mse, **timing, **size, **about, **fields}


def whole() -> dict[str, Any]:
    data = {"title": "made up", "n_users": 50, "n_items": 40, "n_train": 1000, "n_valid": 100, "n_left_out": 7}
    peers = {
        "penchant mf": {"runs": [run(1, 0.5, 0.9), run(3, 0.502, 0.5)], "failed": None},
        "penchant bias": {"runs": [run(1, 0.1, 0.8)], "failed": None},
        "libmf": {"runs": [run(1, 0.2, 0.9), run(3, 0.21, 0.6)], "failed": None},
        "scikit-surprise": {"runs": [run(1, 1.0, 0.7, n_train=500)], "failed": None},
        "cmfrec": {"runs": [], "failed": "pip ended with status 1"},
    }
    sizes = [
        {"data": data, "threads": threads, "runs": [run(3, seconds + 1, 0.5, epoch_seconds=[seconds / 3] * 3)]}
        for threads, seconds in ((2, 3.0), (1, 5.4))
    ]
    environment = importlib.import_module("environment").describe(("numpy",))
    options = {"repeats": 1, "repeat_below": 20.0, "budget": 120.0, "threads": 2}
    return {
        "environment": environment,
        "trial": True,
        "options": options,
        "scenarios": {"small": {"data": data, "factors": 8, "peers": peers}},
        "scaling": {"factors": 64, "epochs": 3, "sizes": sizes},
    }


def test_time_per_rating_is_what_further_epochs_add(load: Load) -> None:
    report = load("speed_report")
    # (5 s - 3 s) / (5 - 1 epochs) / 1000 ratings = 500,000 ns; the median of the first is taken off each.
    runs = [run(1, 2.9, 0.9), run(1, 3.0, 0.9), run(1, 3.1, 0.9), run(5, 5.0, 0.5), run(5, 7.0, 0.5)]
    assert report.nanoseconds(runs) == pytest.approx([500_000, 1_000_000])
    assert report.nanoseconds([run(4, 2.0, 0.5)]) == pytest.approx([500_000])  # 2 s / 4 / 1000


def test_a_further_fit_of_the_process_is_taken_where_there_is_one(load: Load) -> None:
    runs = [run(1, 9.0, 0.9, again_seconds=[1.0]), run(3, 9.0, 0.5, again_seconds=[3.0])]
    assert load("speed_report").nanoseconds(runs) == pytest.approx([1_000_000])


def test_an_error_is_reached_between_two_points(load: Load) -> None:
    report = load("speed_report")
    runs = [run(1, 1.0, 0.9), run(2, 4.0, 0.5)]
    assert report.seconds_to_reach(runs, 0.7) == pytest.approx(2.0)  # half way on the logarithm: sqrt(1 * 4)
    assert report.seconds_to_reach(runs, 0.95) == 1.0
    assert report.seconds_to_reach(runs, 0.5) == pytest.approx(4.0)
    assert report.seconds_to_reach(runs, 0.4) is None


def test_costs_have_ratios_to_penchant_and_say_what_failed(load: Load) -> None:
    table = load("speed_report").costs_table(whole()["scenarios"]["small"])
    rows = {row[0]: row for row in table.rows}
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert rows["penchant mf"][2:4] == ["1000.0", "1.0×"]  # 2 ms / 2 epochs / 1000 ratings
    assert rows["libmf"][2:4] == ["5000.0", "5.0×"]
    assert rows["penchant bias"][2:4] == ["–", "–"]
    assert "scikit-surprise, only 500 ratings" in rows
    assert rows["cmfrec"][1] == "failed: pip ended with status 1"


def test_penchants_time_to_each_librarys_best_error(load: Load) -> None:
    rows = {row[0]: list(row[1:]) for row in load("speed_report").reach_table(whole()["scenarios"]["small"]).rows}
    assert rows["penchant bias"] == ["0.8000", "0.10 s", "0.50 s", "0.2×"]
    assert rows["libmf"][:2] == ["0.6000", "0.21 s"]
    assert "penchant mf" not in rows


def test_the_report_has_every_table_and_no_path(load: Load) -> None:
    text = load("speed_report").markdown(whole())
    for heading in ("What learning costs", "Error on held-out", "Time until an error", "as the ratings grow"):
        assert heading in text
    assert "with 2 threads is 1.80 times as fast as with 1" in text
    assert "**A trial**" in text
    assert "- **Failed**: cmfrec (small): pip ended with status 1" in text
    assert str(BENCHMARKS.parent) not in text
    assert str(Path.home()) not in text


def test_pictures_are_drawn(load: Load, tmp_path: Path) -> None:
    load("speed_plots").draw_all(whole(), tmp_path)
    assert (tmp_path / "speed_small.png").read_bytes().startswith(b"\x89PNG")


def test_errors_in_a_report_hold_no_path_and_no_address(load: Load) -> None:
    fitting = load("fitting")
    text = "x ended with status 1:\nTraceback …\nOSError: no /home/me/.venvs/a/lib.so at https://host.example/simple/a/"
    assert fitting.in_a_line(ValueError(text)) == "OSError: no … at …"
    failed = subprocess.CalledProcessError(1, ["/usr/bin/pip"], stderr="note\nERROR: no gcc\n")
    assert fitting.in_a_line(failed) == "pip ended with status 1: ERROR: no gcc"


def test_options(load: Load) -> None:
    speed = load("speed")
    given = speed.parser().parse_args(["--ratings", "1e6", "--epochs", "5,1,5", "--only", "libmf,penchant mf"])
    assert (given.ratings, given.epochs, given.only) == (1_000_000, (1, 5), ("penchant mf", "libmf"))
    assert speed.is_trial(given)
    assert not speed.is_trial(speed.parser().parse_args(["--reuse", "--repeats", "1"]))
    for text in ("0", "1.5"):
        with pytest.raises(argparse.ArgumentTypeError):
            speed.count(text)
    with pytest.raises(argparse.ArgumentTypeError, match="there is no 'svd'"):
        speed.peers("svd")


def test_every_peer_has_a_script_and_a_pinned_version(load: Load) -> None:
    peers = load("peers")
    assert len(peers.PEERS) == len(peers.ALL)
    for peer in peers.ALL:
        assert (peers.SCRIPTS / peer.script).is_file()
        assert bool(peer.venv) == bool(peer.requirements)
        assert not peer.requirements or any("==" in requirement for requirement in peer.requirements)
    assert {path.name for path in peers.SCRIPTS.glob("*_worker.py")} == {peer.script for peer in peers.ALL}


def test_synthetic_ratings_are_distinct_and_all_rows_are_trained_on(load: Load, tmp_path: Path) -> None:
    data = load("speed_data")
    ready = data.synthetic(300_000, tmp_path, 3)
    train, valid = (
        [np.load(ready.folder / f"{part}_{name}.npy") for name in data.PARTS] for part in ("train", "valid")
    )
    assert [column.dtype for column in train] == [np.int32, np.int32, np.float32]
    users, items = (np.concatenate(both).astype(np.int64) for both in zip(train[:2], valid[:2], strict=True))
    assert len(np.unique(users * ready.about["n_items"] + items)) == len(users)
    assert set(np.unique(train[0])) == set(range(ready.about["n_users"]))
    assert set(np.unique(train[1])) == set(range(ready.about["n_items"]))
    assert 0.9 * 300_000 < ready.about["n_train"] + ready.about["n_valid"] <= 300_000
    assert data.synthetic(300_000, tmp_path, 3).about == ready.about  # from the folder


def test_sizes_grow_from_the_ones_at_ten_million(load: Load) -> None:
    sizes = load("speed_data").sizes
    assert sizes(10_000_000) == (100_000, 20_000)
    assert sizes(100_000_000) == (1_000_000, 100_000)


def test_penchant_is_fitted_kept_and_taken_from_what_was_kept(load: Load, tmp_path: Path) -> None:
    fitting, peers, data = load("fitting"), load("peers"), load("speed_data")
    ready = data.synthetic(5_000, tmp_path, 3)
    plan = fitting.FitPlan(ready, factors=4, threads=1, seed=1, again=1)
    given = argparse.Namespace(reuse=False, repeats=1, repeat_below=20, budget=120, epochs=(1, 2))
    found = fitting.Fits(tmp_path, plan, given).sequence(peers.PEERS["penchant mf"])
    assert found["failed"] is None
    first, last = found["runs"]
    assert (last["epochs"], len(last["epoch_seconds"]), last["n_train"]) == (2, 2, ready.about["n_train"])
    assert last["mse"] < first["mean_mse"]
    assert last["rss"] >= last["rss_loaded"] > 2**24
    assert len(last["again_seconds"]) == 1
    given.reuse = True
    again = fitting.Fits(tmp_path, plan, given).sequence(peers.PEERS["penchant mf"])
    assert [one["reused"] for one in again["runs"]] == [True, True]
    assert json.dumps(again["runs"][0]["seconds"]) == json.dumps(first["seconds"])


def test_a_library_that_fails_is_told_of(load: Load, tmp_path: Path) -> None:
    fitting, peers, data = load("fitting"), load("peers"), load("speed_data")
    plan = fitting.FitPlan(data.synthetic(5_000, tmp_path, 3), factors=4, threads=1, seed=1)
    given = argparse.Namespace(reuse=False, repeats=1, repeat_below=20, budget=120, epochs=(1,))
    here = peers.Peer("surprise from here", "surprise_worker.py", "")  # this Python has no surprise
    found = fitting.Fits(tmp_path, plan, given).sequence(here)
    assert found == {"runs": [], "failed": "ModuleNotFoundError: No module named 'surprise'"}


def test_benchmarks_are_run_by_name(load: Load) -> None:
    run_py = load("run")
    assert run_py.split(["notebook", "kernels"]) == (["notebook", "kernels"], [])
    assert run_py.split(["speed", "--ratings", "1e6"]) == (["speed"], ["--ratings", "1e6"])
    assert run_py.split([]) == (list(run_py.BENCHMARKS), [])
    with pytest.raises(SystemExit, match="no benchmark 'sped'"):
        run_py.split(["sped"])
    for several in (["speed", "notebook", "--reuse"], ["--reuse"]):
        with pytest.raises(SystemExit, match="belongs to one benchmark"):
            run_py.split(several)
    assert "notebook" in run_py.overview()


def test_a_worker_that_waits_for_ever_is_killed(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes: Any = load("processes")
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(600)\n", encoding="utf-8")
    monkeypatch.setattr(processes, "WORKERS", tmp_path)
    with pytest.raises(processes.WorkerTimeoutError, match=r"waits\.py was killed after 0\.5 s"):
        processes.run_worker(sys.executable, "waits.py", {}, limit=0.5)
