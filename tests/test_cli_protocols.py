"""Protocols on the command line: held-out users, folds, baselines, groups by popularity, and what is warned of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant.cli import run
from penchant.data.synthetic import planted


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ratings.csv with times, plain.csv without; train.csv, given.csv and held.csv of other users."""
    folder = tmp_path_factory.mktemp("shop")
    data = planted(60, 90, 2500, seed=5)
    ratings = pl.DataFrame({"user": data.user_rows, "item": data.item_rows, "rating": data.ratings})
    ratings.write_csv(folder / "plain.csv")
    times = np.random.default_rng(0).integers(0, 10**6, len(data))
    timed = ratings.with_columns(timestamp=pl.Series(times))
    timed.write_csv(folder / "ratings.csv")
    strangers = timed.filter(pl.col("user") >= 45)
    timed.filter(pl.col("user") < 45).write_csv(folder / "train.csv")
    strangers.filter(pl.col("timestamp") < 700_000).write_csv(folder / "given.csv")
    strangers.filter(pl.col("timestamp") >= 700_000).write_csv(folder / "held.csv")
    for model, table in (("mf", "train.csv"), ("als", "train.csv"), ("plain", "plain.csv")):
        name = "bias" if model == "plain" else model
        line = ["fit", str(folder / table), "--model", name, "-o", str(folder / model), "--json"]
        assert run([*line, *(["--factors", "4"] if name != "bias" else [])]) == 0
    return folder


@pytest.fixture
def call(shop: Path, calling: Any) -> Any:
    return calling(shop)


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# --- held-out users ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mf", "als"])
def test_fit_on_held_out_users(call: Any, tmp_path: Path, model: str) -> None:
    out, err = call(f"fit ratings.csv --model {model} --split users --valid-fraction 0.25 -o {tmp_path / 'model'}")
    assert "25% of users, seed 0; the earliest 80% of each given" in out
    assert "15 users folded in from what is given of them" in out
    assert err.count("Users are held out whatever their times") == 1
    result = json.loads(call(f"evaluate {tmp_path / 'model'} ratings.csv --metrics recall@5 --json")[0])
    assert result["n_unknown_users"] == 15  # nothing of them is in the model


def test_without_times_a_random_part_is_given_and_nothing_is_warned_of(call: Any) -> None:
    out, err = call("fit plain.csv --model bias --split users --given-fraction 0.5")
    assert "a random 50% of each given" in out
    assert err == ""


@pytest.mark.parametrize("model", ["mf", "als"])
def test_evaluate_folds_in_from_a_file(call: Any, model: str) -> None:
    line = f"evaluate {model} held.csv --metrics recall@10 --json"
    average, told = (json.loads(call(line + more)[0]) for more in ("", " --given given.csv"))
    assert average["n_unknown_users"] == average["n_users"] == 15
    assert told["n_unknown_users"] == 0
    assert told["n_users_folded_in"] == 15
    assert told["metrics"] != average["metrics"]
    assert "--given FILE folds them in" in call(f"evaluate {model} held.csv")[1]
    out, err = call(f"evaluate {model} held.csv --given given.csv")
    assert "15 users folded in" in out
    assert "folds them in" not in err


def test_ratings_of_newcomers_are_predicted_better_than_of_average_users(call: Any) -> None:
    average, told = (json.loads(call(f"evaluate mf held.csv --json{more}")[0]) for more in ("", " --given given.csv"))
    assert told["metrics"]["rmse"] < average["metrics"]["rmse"]
    assert average["n_unknown"] == average["n"]
    assert told["n_unknown"] < told["n"]
    assert told["coverage"] != average["coverage"]


def test_a_file_of_which_nobody_is_folded_in(call: Any) -> None:
    out, err = call("evaluate mf held.csv --given train.csv --json")
    assert "Nobody is folded in from train.csv" in err
    assert json.loads(out)["n_users_folded_in"] == 0


def test_tuning_on_held_out_users(call: Any) -> None:
    found = events(call("tune ratings.csv --model bias --split users --trials 2 --json")[0])
    assert next(event for event in found if event["event"] == "search")["how"].startswith("20% of users")


# --- folds and baselines ----------------------------------------------------------------------------


def test_compare_over_folds(call: Any) -> None:
    out, err = call("compare ratings.csv --models mf --factors 3 --folds 3")
    assert "  fold 3 of 3  mf" in out
    table = out.split("Means over 3 folds")[1]
    assert "bias (baseline)" in table
    assert "spread of mse" in table
    assert err.count("A random split lets") == 1
    found = events(call("compare ratings.csv --models mf --factors 3 --folds 3 --json")[0])
    results = [event for event in found if event["event"] == "result"]
    assert [event["event"] for event in found] == ["fold"] * 6 + ["result"] * 2 + ["difference"]
    for one in results:
        assert one["baseline"] == (one["model"] == "bias")
        of_folds = [fold["metrics"]["rmse"] for fold in one["folds"]]
        assert one["valid"]["rmse"] == pytest.approx(np.mean(of_folds))
        assert one["spreads"]["rmse"] == pytest.approx(np.std(of_folds, ddof=1))
        assert "--split time" in one["may_leak"]
        assert one["intervals"]["rmse"][0] < one["valid"]["rmse"] < one["intervals"]["rmse"][1]


def test_baselines_are_marked_and_not_saved(call: Any, tmp_path: Path) -> None:
    out, _ = call(f"compare plain.csv --models als --factors 4 --split users -o {tmp_path / 'models'}")
    assert "popularity (baseline)" in out
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["als"]
    out, _ = call("compare plain.csv --models als --factors 4 --no-baselines")
    assert "popularity" not in out
    found = events(call("compare plain.csv --models als,popularity --factors 4 --json")[0])
    assert {one["model"]: one["baseline"] for one in found if one["event"] == "result"} == {
        "als": False,
        "popularity": False,
    }


# --- groups of items --------------------------------------------------------------------------------


def test_groups_by_popularity(call: Any) -> None:
    line = "evaluate als held.csv --given given.csv --metrics recall@10,hit@5,ndcg@10 --by popularity"
    out, _ = call(line)
    assert "By popularity" in out
    assert "ratings each" in out
    groups = json.loads(call(f"{line} --json")[0])["groups"]["popularity"]
    assert list(groups)[:3] == ["first third", "middle third", "last third"]
    assert set(groups["first third"]["metrics"]) == {"recall@10", "hit@5"}
    assert groups["first third"]["least"] >= groups["middle third"]["most"]


# --- warnings ---------------------------------------------------------------------------------------

RANDOM = "A random split lets a model learn from ratings given after the ones it is tested on; --split time does not."


@pytest.mark.parametrize("command", ["fit ratings.csv --model bias", "compare ratings.csv --models bias"])
def test_a_random_split_of_data_with_times_warns_once(call: Any, command: str) -> None:
    assert call(command)[1].replace("\n", " ").count(RANDOM) == 1
    assert RANDOM not in call(command.replace("ratings", "plain"))[1]
    assert RANDOM not in call(f"{command} --split time")[1]
    results = [one for one in events(call(f"{command} --json")[0]) if one["event"] == "result"]
    assert [one["may_leak"] for one in results] == [RANDOM]


def test_evaluate_warns_of_what_came_before_training_ended(call: Any) -> None:
    out, err = call("evaluate als held.csv --metrics recall@5 --json")
    assert "The model was trained on ratings given after" in err
    assert "--split time" in json.loads(out)["may_leak"]
    later = pl.read_csv("held.csv").with_columns(timestamp=pl.lit(2_000_000))
    later.write_csv("later.csv")
    out, err = call("evaluate als later.csv --metrics recall@5 --json")
    assert json.loads(out)["may_leak"] == ""
    assert "given after" not in err
    assert json.loads(call("evaluate plain held.csv --json")[0])["may_leak"] == ""  # it was trained without times


def test_sampled_candidates_warn_and_say_why(call: Any, tmp_path: Path) -> None:
    (tmp_path / "negative").write_text("(1,5)\t6\t7\t8\n")
    err = call(f"evaluate als --candidates {tmp_path / 'negative'}")[1]
    assert "may put models in another order (Krichene and Rendle 2020)" in err.replace("\n", " ")


# --- mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("compare ratings.csv --folds 3 -o models", "Leave -o out; then penchant fit"),
        ("compare ratings.csv --folds 3 --split time", "--folds 3 holds every rating out once"),
        ("compare ratings.csv --folds 3 --valid held.csv", "--folds 3 holds every rating out once"),
        ("compare ratings.csv --folds 3 --valid-fraction 0.1", "--folds 3 holds every rating out once"),
        ("compare ratings.csv --folds 1", "Give a whole number, 2 or more"),
        ("compare plain.csv --folds 99999 --models bias", "from 2 to the number of ratings"),
        ("fit ratings.csv --given-fraction 0.5", "Give --split users with it"),
        ("fit ratings.csv --split users --given-fraction 1", "--given-fraction is 1"),
        ("fit ratings.csv --split users --patience 2", "folded in after the fit"),
        ("compare ratings.csv --split users --keep-best", "folded in after the fit"),
        ("fit ratings.csv --split users --valid-fraction 0.001", "60 users are 0"),
        ("fit ratings.csv --valid held.csv --split users", "--valid says what to validate on"),
        ("evaluate als --candidates held.csv --given given.csv", "--given has no meaning with --candidates"),
        ("evaluate als --candidates held.csv --by popularity", "--by has no meaning with --candidates"),
        ("evaluate als held.csv --by popularity --metrics ndcg@10", "--metrics recall@20,hit@10"),
        ("evaluate mf held.csv --by popularity", "--metrics recall@20,hit@10"),
        ("evaluate mf held.csv --given nothing.csv", "no such file"),
        ("evaluate mf held.csv --given given.csv --implicit --metrics recall@5", "has no ratings"),
    ],
)
def test_what_cannot_be_is_said(call: Any, line: str, what: str) -> None:
    _, err = call(line, code=2)
    assert what in " ".join(err.split())
    assert "Traceback" not in err


# --- what the model was trained on ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "worse", "low"),
    [
        ("plain plain.csv", True, False),
        ("plain plain.csv --metrics rmse,ndcg@10", True, True),
        ("plain plain.csv --metrics ndcg@10,recall@20", False, True),
        ("plain plain.csv --metrics coverage@10,auc", False, False),  # nothing that is relevant is in their formulas
        ("als train.csv --implicit", False, True),
        ("mf held.csv", False, False),
    ],
)
def test_the_note_on_training_ratings_fits_what_is_measured(call: Any, line: str, worse: bool, low: bool) -> None:
    _, err = call(f"evaluate {line} --json")
    assert ("on new ones it does worse" in err) is worse
    assert ("metrics of lists are too low" in err) is low
    assert ("The model was trained on" in err and "ratings:" in err) is (worse or low)


def test_training_ratings_that_do_not_count_as_relevant_make_no_list_worse(
    call: Any, shop: Path, tmp_path: Path
) -> None:
    plain = pl.read_csv(shop / "plain.csv")
    who = plain["user"][0]
    unseen = sorted(set(plain["item"]) - set(plain.filter(user=who)["item"]))[:3]
    new = pl.DataFrame({"user": [who] * 3, "item": unseen, "rating": [10.0] * 3})
    pl.concat([plain, new.cast(dict(plain.schema))]).write_csv(tmp_path / "mixed.csv")
    line = f"evaluate plain {tmp_path / 'mixed.csv'} --metrics ndcg@10 --json"
    assert "too low" in call(line)[1]
    assert "too low" not in call(f"{line} --relevant-from 10")[1]
