"""The command line with models that rank: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from penchant.cli import run
from penchant.data.synthetic import planted


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv and valid.csv (user, item, plays), users.csv, and the saved models of preferences."""
    folder = tmp_path_factory.mktemp("shop")
    data = planted(60, 90, 2500, seed=5)
    plays = pl.DataFrame({"user": data.user_rows, "item": data.item_rows, "plays": data.ratings * 2})
    plays.filter(pl.int_range(pl.len()) % 5 > 0).write_csv(folder / "train.csv")
    plays.filter(pl.int_range(pl.len()) % 5 == 0).write_csv(folder / "valid.csv")
    pl.DataFrame({"user": range(60), "group": ["a" if user % 3 else "b" for user in range(60)]}).write_csv(
        folder / "users.csv"
    )
    for model in ("popularity", "item-knn", "ease", "als"):
        line = ["fit", str(folder / "train.csv"), "--weight", "plays", "--model", model, "--valid-fraction", "0"]
        assert run([*line, "-o", str(folder / model), "--json"]) == 0
    return folder


@pytest.fixture
def call(shop: Path, calling: Any) -> Any:
    return calling(shop)


def test_a_fit_shows_metrics_of_lists(call: Any) -> None:
    out, _ = call("fit train.csv --weight plays --model als --factors 8")
    assert "ndcg@10" in out
    assert "rmse" not in out


def test_evaluate_by_group_and_by_user(call: Any, tmp_path: Path) -> None:
    table = tmp_path / "users.parquet"
    line = (
        f"evaluate als valid.csv --weight plays --users users.csv --by group --metrics ndcg@10,auc --per-user {table}"
    )
    found = json.loads(call(f"{line} --json")[0])
    of_groups = found["groups"]["group"]
    assert set(of_groups) == {"a", "b"}
    assert sum(one["n_users"] for one in of_groups.values()) == found["n_users"]
    of_users = pl.read_parquet(table)
    assert of_users.height == found["n_users"]
    assert of_users["ndcg@10"].mean() == pytest.approx(found["metrics"]["ndcg@10"])
    assert "By group" in call(line)[0]


def test_candidates(call: Any, tmp_path: Path) -> None:
    (tmp_path / "negative").write_text("(1,5)\t6\t7\t8\n(2,6)\t1\t2\t3\n")
    out, err = call(f"evaluate ease --candidates {tmp_path / 'negative'} --metrics hit@2,ndcg@2 --json")
    found = json.loads(out)
    assert found["protocol"] == "sampled negatives"
    assert found["n_users"] == 2
    assert 0 <= found["metrics"]["ndcg@2"] <= found["metrics"]["hit@2"] <= 1
    assert "compare only with others of this protocol" in err


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("evaluate als", "either what was held out or --candidates"),
        ("evaluate als valid.csv --candidates valid.csv", "either what was held out or --candidates"),
        ("evaluate als valid.csv --weight plays --metrics rmse", "predicts no ratings"),
        ("evaluate als valid.csv --weight plays --metrics ndcg", "no metric 'ndcg'"),
        ("evaluate als valid.csv --weight plays --by shoe", "no column 'shoe'"),
        ("evaluate als --candidates valid.csv", "is not (user,item)"),
        ("evaluate als --candidates valid.csv --metrics rmse", "line 1"),
        ("explain als", "no item biases"),
        ("plot als calibration -o c.png", "has no intervals"),
        ("similar popularity 5", "no item factors"),
        ("fit train.csv --weight plays --model mf", "nobody rated"),
        ("fit train.csv --weight plays --model als --patience 2", "no validation loss"),
        ("fit train.csv --weight plays --implicit --rating plays --model als", "have no ratings"),
        ("tune train.csv --weight plays --model als --metric rmse", "no metric 'rmse' to tune by"),
    ],
)
def test_what_cannot_be_is_said(call: Any, line: str, what: str) -> None:
    _, err = call(line, code=2)
    assert what in " ".join(err.split())
    assert "Traceback" not in err


@pytest.mark.parametrize("model", ["item-knn", "ease", "als"])
def test_an_explanation_by_the_history_sums_to_the_score(call: Any, model: str) -> None:
    found = json.loads(call(f"explain {model} --user 3 --item 7 --json")[0])
    assert sum(one["value"] for one in found["history"]) == pytest.approx(found["score"], abs=1e-4)
    train = pl.read_csv("train.csv").filter(pl.col("user") == 3)
    assert {one["item"] for one in found["history"]} == set(train["item"])
    out, _ = call(f"explain {model} --user 3 --item 7 -k 2")
    assert "What the history adds" in out
    assert f"{train.height - 2} other items" in out


def test_popularity_is_explained_without_a_history(call: Any) -> None:
    assert "What the history adds" not in call("explain popularity --user 3 --item 7")[0]


def test_compare_says_which_differences_are_real(call: Any) -> None:
    out, _ = call("compare train.csv --weight plays")
    assert "Against " in out
    events = [json.loads(line) for line in call("compare train.csv --weight plays --json")[0].splitlines()]
    differences = [event for event in events if event["event"] == "difference"]
    assert len(differences) == 3
    assert all(0 < one["p"] <= 1 for one in differences)


def test_a_model_of_ratings_is_tuned_by_a_metric_of_lists(call: Any) -> None:
    line = "tune train.csv --rating plays --model bias --metric precision@5 --trials 2 --json"
    events = [json.loads(one) for one in call(line)[0].splitlines()]
    found = next(event for event in events if event["event"] == "search")
    assert found["metric"] == "precision@5"
    assert found["value"] >= found["default_value"]
