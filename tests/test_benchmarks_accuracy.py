"""The accuracy benchmark's parts that need no peer library, and its penchant side for real."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import Vocabulary

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
Load = Callable[[str], ModuleType]


# --- splits -------------------------------------------------------------------------------------------


def rated(first_user: int, pairs: list[tuple[int, int]], first_item: int = 0) -> Interactions:
    """Ratings of users and items that are numbers; an item's genre is A or B, as its number is even or odd."""
    users, items = np.array(pairs, np.int32).T
    user_ids, item_ids = np.arange(users.max() + 1) + first_user, np.arange(items.max() + 1) + first_item
    films = [{"title": f"Film {i} ({1980 + i})", "genres": "A|B" if i % 3 == 0 else "AB"[i % 2]} for i in item_ids]
    return Interactions(
        users=Vocabulary(pl.Series("user", user_ids), "user"),
        items=Vocabulary(pl.Series("item", item_ids), "item"),
        user_rows=users.copy(),
        item_rows=items.copy(),
        ratings=(1 + (users + items) % 5).astype(np.float32),
        times=86_400 * np.arange(len(pairs), dtype=np.int64),
        item_table=pl.DataFrame(films),
    )


@pytest.fixture
def written(load: Load, tmp_path: Path) -> Any:
    """Users 0 to 7 and items 0 to 8 in training; the held-out part is of users 5 to 9 and items 6 to 11."""
    train = rated(0, [(u, i) for u in range(8) for i in range(9) if (u + i) % 4])
    valid = rated(5, [(u, i) for u in range(5) for i in range(6) if (u + i) % 2 == 0], 6)
    return load("accuracy_data").write(tmp_path / "split", train, valid, {"title": "made up", "seed": 3})


def test_new_users_and_items_come_after_those_of_training(written: Any) -> None:
    about = written.about
    assert (about["n_users"], about["n_items"]) == (8, 9)
    assert [about["sides"][side]["all"] for side in ("user", "item")] == [10, 12]
    users, items = (np.load(written.folder / f"valid_{name}.npy") for name in ("users", "items"))
    expected = [(5 + u, 6 + i) for u in range(5) for i in range(6) if (u + i) % 2 == 0]
    assert list(zip(users.tolist(), items.tolist(), strict=True)) == expected
    assert about["n_unknown"] == sum(u >= 8 or i >= 9 for u, i in expected)
    titles = pl.read_parquet(written.folder / "items.parquet")["title"].to_list()
    assert titles == [f"Film {i} ({1980 + i})" for i in range(12)]


def test_features_are_those_of_training_for_all_items(written: Any) -> None:
    assert written.about["sides"]["user"]["features"] == []
    names = written.about["sides"]["item"]["features"]
    assert names == [["title", 2], ["genres", 2]]  # years from 1980 and from 1985
    with np.load(written.folder / "features.npz") as arrays:
        entries = zip(arrays["item/1/rows"].tolist(), arrays["item/1/members"].tolist(), strict=True)
        assert sorted(entries) == [(i, m) for i in range(12) for m in (0, 1) if i % 3 == 0 or i % 2 == m]


def test_a_split_is_the_notebooks(load: Load) -> None:
    pytest.importorskip("torch")
    data = load("accuracy_data")
    train, valid = data.held_out_lines(100_836, 42)
    assert len(valid) == 20_167
    kept = json.loads((BENCHMARKS.parent / "docs/benchmarks/fastai_notebook.json").read_text(encoding="utf-8"))
    notebook = next(one["split"] for one in kept["results"] if one["seed"] == 42)
    assert {"train": data.digest_lines(train), "valid": data.digest_lines(valid)} == notebook


def test_penchant_is_fitted_kept_and_taken_from_what_was_kept(load: Load, written: Any, tmp_path: Path) -> None:
    fits, peers = load("accuracy_fits"), load("accuracy_peers")
    bias = peers.Contender("penchant bias", "penchant_worker.py", "bias")
    first = fits.Fits(tmp_path, reuse=False).several(bias, [written], 1)
    assert first["failed"] is None
    run = first["runs"][0]
    assert (run["n_train"], run["n_unknown"], run["seed"]) == (54, written.about["n_unknown"], 3)
    truth, train = (np.load(written.folder / f"{part}_ratings.npy").astype(float) for part in ("valid", "train"))
    assert run["mean_mse"] == pytest.approx(np.mean((truth - train.mean()) ** 2))
    assert 0 < run["mse"] < 10
    assert run["coverage"] is None
    assert run["rss"] >= run["rss_loaded"] > 2**24
    again = fits.Fits(tmp_path, reuse=True).several(bias, [written], 1)["runs"][0]
    assert again == {**run, "reused": True}


def test_a_library_that_fails_is_told_of(load: Load, written: Any, tmp_path: Path) -> None:
    here = load("accuracy_peers").Contender("myFM from here", "myfm_worker.py", "MyFMRegressor")  # which has no myfm
    found = load("accuracy_fits").Fits(tmp_path, reuse=False).several(here, [written], 1)
    assert found == {"runs": [], "failed": "ModuleNotFoundError: No module named 'myfm'"}


# --- models -------------------------------------------------------------------------------------------


def test_every_contender_has_a_script_and_a_pinned_version(load: Load) -> None:
    peers = load("accuracy_peers")
    found = peers.contenders({})
    for one in found.values():
        assert (peers.SCRIPTS / one.script).is_file()
        assert bool(one.venv) == bool(one.requirements)
        assert all("==" in requirement for requirement in one.requirements)
    scripts = {path.name for path in peers.SCRIPTS.glob("*_worker.py")}
    assert scripts == {one.script for one in found.values()}
    assert len({one.fingerprint for one in found.values()}) == len(found)


def test_myfm_samples_as_much_as_bayes(load: Load) -> None:
    peers = load("accuracy_peers")
    sampling = {"factors": 7, "chains": 3, "sweeps": 10, "burn_in": 4}
    assert peers.Budget.of(sampling) == peers.Budget(factors=7, sweeps=30, kept=18)
    given = peers.contenders(sampling)["myFM, same features"].settings
    assert (given["factors"], given["sweeps"], given["kept"]) == (7, 30, 18)
    settings = peers.resolved({})
    assert {name: given[name] for name in ("history", *peers.TIMES)} == {
        name: settings[name] for name in ("history", *peers.TIMES)
    }


def test_ids_only_leaves_no_feature(load: Load) -> None:
    peers = load("accuracy_peers")
    settings = peers.resolved(peers.ids_only())
    assert not settings["history"]
    assert not any(settings[name] for name in peers.TIMES)
    assert (settings["user_columns"], settings["item_columns"]) == ("none", "none")


def test_fastai_is_taken_from_the_notebooks_benchmark_where_the_split_is_the_same(load: Load, tmp_path: Path) -> None:
    accuracy = load("accuracy")
    fits = [
        {
            "models": {"mf": {"epochs": [{"valid_loss": 0.9}, {"valid_loss": 0.8}], "fit_seconds": taken}},
            "environment": {"date": "2000-01-01"},
            "versions": {"fastai": "2"},
        }
        for taken in (50.0, 40.0)
    ]
    results = [{"split": {"train": f"t{n}", "valid": f"v{n}"}, "fastai": fits} for n in (1, 2)]
    (tmp_path / "fastai_notebook.json").write_text(json.dumps({"results": results}), encoding="utf-8")
    splits = [{"seed": 9, "lines": {"valid": "v2", "train": "t2"}}, {"seed": 8, "lines": {"train": "x", "valid": "y"}}]
    found = accuracy.kept_fastai(splits, tmp_path)["fastai collab_learner"]["runs"]
    assert [(run["seed"], run["mse"], run["seconds"]["fit"]) for run in found] == [(9, 0.8, 40.0)]
    assert accuracy.kept_fastai(splits[1:], tmp_path) == {}
    assert accuracy.kept_fastai(splits, tmp_path / "nowhere") == {}


# --- report -------------------------------------------------------------------------------------------


def run(seed: int, mse: float, fit: float = 2.0, **fields: Any) -> dict[str, Any]:
    timing = {"seconds": {"prepare": 0.1, "fit": fit, "predict": 0.2}}
    about = {"versions": {"python": "3", "myfm": "0"}, "date": "2000-01-01", "reused": False}
    return {"seed": seed, "mse": mse, "mse_unknown": None, **timing, **about, **fields}


def covering(inside: float, n: int) -> dict[str, Any]:
    bands = [{"least": 0, "n": n, "covered": inside, "error": 0.01}, {"least": 50, "n": 10, "covered": 1.0, "error": 0}]
    return {
        "levels": [{"level": 0.9, "covered": inside, "width": 2.5}],
        "users": bands,
        "items": bands[:1],
        "n": n + 10,
    }


def whole(load: Load) -> dict[str, Any]:
    ours, theirs = [run(1, 0.64), run(2, 0.62)], [run(1, 0.66), run(2, 0.68)]
    contenders = {
        "penchant bayes": {"runs": ours, "failed": None},
        "myFM, ids only": {"runs": theirs, "failed": None},
        "fastai collab_learner": {"runs": theirs[:1], "failed": None},
        "Surprise SVD": {"runs": [], "failed": "pip ended with status 1"},
    }
    splits = [{"seed": seed, "title": "made up"} for seed in (1, 2)]
    data = {"title": "made up", "n_users": 50, "n_items": 150, "n_train": 1000}
    grown = {"data": data, "few": {**run(1, 0.5, 1.0), "sweeps": 6}, "many": {**run(1, 0.5, 1.32), "sweeps": 16}}
    grown["whole"] = run(1, 0.5, 3.0, rss=2**30, rss_loaded=2**29)
    sampled = {"data": data, "factors": 10, "sweeps": 40}
    rows = [
        ("penchant bayes", 1, [run(1, 0.64, t) for t in (1.9, 2.0, 9.0)]),
        ("myFM, ids only", 1, [run(1, 0.66, 8.0)]),
    ]
    return {
        "environment": load("environment").describe(("numpy",)),
        "trial": True,
        "options": {"threads": 2},
        "settings": {"factors": 10},
        "budget": {"factors": 10, "sweeps": 40, "kept": 30},
        "growth_fit": "6 sweeps of each of 4 chains on 2 threads",
        "failed": ["growth: no memory"],
        "small": {"splits": splits, "contenders": contenders},
        "100k": {"splits": splits, "contenders": contenders},
        "time": {**sampled, "rows": [{"name": n, "threads": threads, "runs": runs} for n, threads, runs in rows]},
        "growth": {"factors": 10, "sizes": [grown]},
        "coverage": {"ml-latest-small": [covering(0.9, 30), covering(0.8, 10)], "MovieLens 100K": []},
    }


def test_models_have_means_over_splits_and_differences_split_by_split(load: Load) -> None:
    table = load("accuracy_report").small_table(whole(load)["small"])
    rows = {row[0]: list(row[1:]) for row in table.rows}
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert rows["penchant bayes"][0] == "0.6300 ± 0.0141"
    assert rows["penchant bayes"][2] == "–"
    assert rows["myFM, ids only"][2] == "+0.0400 ± 0.0283"  # 0.66 - 0.64 and 0.68 - 0.62
    assert rows["fastai collab_learner (seed 1 only)"][:3:2] == ["0.6600", "+0.0200"]
    assert "Surprise SVD: failed, pip ended with status 1" in rows


def test_folds_have_their_own_columns_and_a_mean_only_of_all(load: Load) -> None:
    table = load("accuracy_report").canonical_table(whole(load)["100k"])
    rows = {row[0]: list(row[1:]) for row in table.rows}
    assert table.columns[1:4] == ("u1", "u2", "mean")
    assert rows["penchant bayes"][:3] == ["0.8000", "0.7874", "0.7937"]
    assert rows["fastai collab_learner"][:3] == ["0.8124", "–", "–"]


def test_ratios_are_of_median_times_to_the_first_row(load: Load) -> None:
    rows = load("accuracy_report").time_table(whole(load)["time"]).rows
    assert rows[0][2:5] == ["50.0 ms", "2.00 s (1.90 s to 9.00 s)", "1.0×"]  # 2 s / 40 sweeps
    assert rows[1][2:5] == ["0.20 s", "8.00 s", "4.0×"]


def test_growth_is_what_further_sweeps_add(load: Load) -> None:
    row = load("accuracy_report").growth_table(whole(load)["growth"]).rows[0]
    # (1.32 - 1) s / 10 sweeps / (1000 ratings + 50 + 150 + 2 * 1000 entries) / 10 factors = 1000 ns
    assert row[2:4] == ["32.0 ms", "1000.00"]
    assert row[5:] == ["1.00 GiB", "0.50 GiB", f"{2**30 / 1000:.0f}"]


def test_bands_are_pooled_over_splits(load: Load) -> None:
    report = load("accuracy_report")
    coverages = whole(load)["coverage"]["ml-latest-small"]
    rows = report.band_table("made up", coverages, "users").rows
    assert rows[0][:3] == ["0 to 19", "40", "87.5 %"]  # (30 * 0.9 + 10 * 0.8) / 40
    assert rows[1][:3] == ["50 to 99", "20", "100.0 %"]
    assert report.level_table("made up", coverages).rows == [["90 %", "85.0 % ± 7.1 %", "2.50 ± 0.00"]]


def test_the_report_has_every_part_and_no_path(load: Load) -> None:
    text = load("accuracy_report").markdown(whole(load))
    for heading in ("ml-latest-small", "MovieLens 100K", "Time", "Growth", "Intervals", "How it was measured"):
        assert f"## {heading}" in text
    assert "published, not measured here" in text
    assert "**A trial**" in text
    assert "- **Failed**: growth: no memory" in text
    assert str(BENCHMARKS.parent) not in text
    assert str(Path.home()) not in text


def test_a_report_of_one_part_leaves_out_the_others(load: Load) -> None:
    parts = dict.fromkeys(("small", "100k", "growth", "coverage"))
    assert list(load("accuracy_report").sections({**whole(load), **parts})) == ["Time"]


# --- options ------------------------------------------------------------------------------------------


def test_options(load: Load) -> None:
    accuracy = load("accuracy")
    given = accuracy.parser().parse_args(["--parts", "time, small", "--only", "penchant mf;myFM, ids only"])
    assert given.parts == ("small", "time")
    assert given.only == ("penchant mf", "myFM, ids only")
    assert accuracy.is_trial(given)
    assert not accuracy.is_trial(accuracy.parser().parse_args(["--reuse"]))
    assert accuracy.sampling_of(accuracy.parser().parse_args(["--sweeps", "8"])) == {"sweeps": 8, "burn_in": 2}
    with pytest.raises(argparse.ArgumentTypeError, match="there is no 'large'"):
        accuracy.parts("large")
