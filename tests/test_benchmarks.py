"""The benchmark's parts that need neither the peer library nor the network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmarks() -> Any:
    """benchmarks/ on the path, as when one of its scripts is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield
        for name in ("environment", "peer_venv", "processes", "report"):
            sys.modules.pop(name, None)


@pytest.fixture
def report(benchmarks: None) -> ModuleType:
    import report

    return report


@pytest.fixture
def processes(benchmarks: None) -> ModuleType:
    import processes

    return processes


@pytest.fixture
def peer_venv(benchmarks: None) -> ModuleType:
    import peer_venv

    return peer_venv


def run(valid_loss: float, seconds: float) -> dict[str, Any]:
    epoch = {"train_loss": 0.5, "valid_loss": valid_loss, "seconds": seconds}
    timing = {"fit_seconds": seconds, "fit_again_seconds": seconds / 2, "process_seconds": 4 * seconds}
    return {"epochs": [epoch], **timing}


def result(report: ModuleType, seed: int, *fastai_seconds: float) -> dict[str, Any]:
    keys = [row.key for row in report.ROWS]
    theirs = [{"train_loss": 1, "valid_loss": v, "seconds": 1} for v in (0.71, 0.75)]
    about = {"versions": {"fastai": "2"}, "device": "cpu", "reused": False, "environment": {"date": "2000-01-01"}}
    fastai = [
        {
            "models": {key: {"epochs": theirs, "fit_seconds": fit_seconds} for key in keys},
            "process_seconds": len(keys) * fit_seconds + 7,
            "threads": 2 - place,
            "default_threads": place == 0,
            **about,
        }
        for place, fit_seconds in enumerate(fastai_seconds)
    ]
    ours = {key: {"notebook": [run(0.72, 2), run(0.72, 4), run(0.72, 1)], "defaults": [run(0.70, 4)]} for key in keys}
    facts = {"n_train": 80, "n_valid": 20, "n_unknown": 3, "repeated_pairs": 4, "mean_mse": 1.0}
    penchant = {**facts, "models": {**ours, "bias": {"defaults": [run(0.76, 0.01)]}}}
    return {"seed": seed, "fastai": fastai, "torch_loop": [run(0.73, 6)], "penchant": penchant}


def whole(report: ModuleType, *results: dict[str, Any]) -> dict[str, Any]:
    import environment

    described = environment.describe(("numpy",))
    fields = {"epochs": 5, "sample": None, "repeats": 3, "cold": None, "failed": [], "results": list(results)}
    return {"environment": described, "data": {"name": "small", "n_ratings": 100}, **fields}


def test_the_main_table_has_last_and_best_errors_medians_and_ratios(report: ModuleType) -> None:
    row = report.main_table([result(report, 42, 50.0)], "", 5).rows[0]
    assert row[1:] == ["0.7500", "0.7100", "0.7200", "0.7000", "50.0 s", "2.00 s", "25×", "4.00 s", "12×"]


def test_ratios_are_of_the_faster_number_of_threads(report: ModuleType) -> None:
    table = report.main_table([result(report, 42, 50.0, 30.0)], "", 5)
    assert table.columns[5:7] == ("fastai time, default threads (2)", "fastai time, 1 thread")
    assert table.rows[0][5:9] == ["50.0 s", "30.0 s", "2.00 s", "15×"]
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_several_splits_are_a_mean_and_a_deviation(report: ModuleType) -> None:
    rows = report.main_table([result(report, 1, 30.0), result(report, 2, 50.0)], "", 5).rows
    assert rows[0][5] == f"40.0 s ± {np.std([30, 50], ddof=1):.1f} s"
    assert rows[0][7].startswith("20×")  # the mean of 15 and 25


def test_a_whole_process_has_one_fit(report: ModuleType) -> None:
    one = result(report, 42, 50.0)
    assert report.fastai_process(one, "mf") == pytest.approx(50 + 7)
    assert report.penchant_process(one, "mf", "defaults") == pytest.approx(4 * 4 - 4 / 2)


def test_the_report_is_markdown_with_every_table_and_no_path(report: ModuleType) -> None:
    text = report.markdown(whole(report, result(report, 42, 50.0), result(report, 1, 40.0)))
    for heading in ("Mean ± standard deviation over 2 splits", "Split of seed 42", "Split of seed 1", "How it was"):
        assert f"## {heading}" in text
    assert str(Path.home()) not in text
    assert str(BENCHMARKS.parent) not in text
    widths = [line.count("|") for line in text.split("## Split of seed 42")[1].splitlines() if line.startswith("|")]
    assert widths[0] == 11


def test_a_trial_says_that_it_is_one(report: ModuleType) -> None:
    trial = {**whole(report, result(report, 42, 50.0)), "epochs": 1, "sample": 500}
    assert "1 epoch in place of 5" in report.markdown(trial)
    assert "sample of 500" in report.markdown(trial)


def test_only_one_side_leaves_the_other_blank(report: ModuleType) -> None:
    one_sided = {**result(report, 42, 50.0), "penchant": None}
    text = report.markdown(whole(report, one_sided))
    assert "50.0 s" in text
    assert report.NOTHING in text


def test_a_worker_that_fails_shows_its_stderr(processes: ModuleType) -> None:
    with pytest.raises(processes.WorkerError, match="arguments are required: --data"):
        processes.run_worker(sys.executable, "penchant_worker.py", {"nonsense": 1})


def test_penchant_gets_every_line_also_repeated_ones(processes: ModuleType, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    lines = [f"{u},{i},{generator.integers(1, 6)},{u + i}" for u in range(9) for i in range(8)]
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines) + "\n")
    titles = [f"{i},{'Twin' if i < 2 else f'Film {i}'},Drama" for i in range(8)]  # two films of one title
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(titles) + "\n")
    order = generator.permutation(len(lines)).tolist()
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train_lines": order[15:], "valid_lines": order[:15]}))

    options = {"data": tmp_path, "split": split, "model": "bias", "settings": "{}", "seed": 1}
    found = processes.run_worker(sys.executable, "penchant_worker.py", options)
    assert (found["n_train"], found["n_valid"], found["repeated_pairs"]) == (57, 15, 9)
    scores = np.array([float(line.split(",")[2]) for line in lines])
    expected = np.mean((scores[order[:15]] - scores[order[15:]].mean()) ** 2)
    assert found["mean_mse"] == pytest.approx(expected)
    assert found["process_seconds"] > found["fit_seconds"] > 0


def test_an_environment_is_made_anew_when_what_it_needs_changes(
    peer_venv: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    monkeypatch.setattr(peer_venv.venv, "create", lambda folder, **_: folder.mkdir())
    monkeypatch.setattr(peer_venv, "install", lambda _, requirement: installed.append(requirement))
    folder = tmp_path / "peer"
    peer_venv.create(folder, ("a", "b==1"))
    assert installed == ["a", "b==1"]
    assert peer_venv.is_current(folder, ("a", "b==1"))
    assert not peer_venv.is_current(folder, ("a", "b==2"))


def test_help_explains() -> None:
    command = [sys.executable, str(BENCHMARKS / "fastai_notebook.py"), "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "identical split" in text
    assert "--peer-python" in text


def test_every_contender_of_the_ranking_benchmark_draws_its_trials_in_range(benchmarks: None) -> None:
    from ranking_peers import Range, contenders

    for contender in contenders().values():
        first, *drawn = contender.trials(20, seed=1)
        assert first == contender.default
        for trial in drawn:
            for name, among in contender.space.items():
                value = trial[name]
                assert among.low <= value <= among.high if isinstance(among, Range) else value in among, (name, value)
