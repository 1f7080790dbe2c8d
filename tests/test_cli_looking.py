"""The command line looks into several models at once: pictures of lists, and what a history adds."""

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
    """A folder with ratings.csv and the models of a comparison in `models`."""
    folder = tmp_path_factory.mktemp("shop")
    data = planted(60, 90, 2500, seed=5)
    pl.DataFrame({"user": data.user_rows, "item": data.item_rows, "rating": data.ratings}).write_csv(
        folder / "ratings.csv"
    )
    line = f"compare {folder / 'ratings.csv'} --models popularity,bias,mf -o {folder / 'models'} --json"
    assert run(line.split()) == 0
    assert run(f"fit {folder / 'ratings.csv'} --model bias --seed 3 -o {folder / 'alone'} --json".split()) == 0
    return folder


@pytest.fixture
def call(shop: Path, calling: Any) -> Any:
    return calling(shop)


@pytest.mark.parametrize("what", ["lists", "coverage", "history"])
@pytest.mark.parametrize("models", ["models", "models/mf"])
def test_pictures_of_one_model_or_of_all_in_a_folder(call: Any, what: str, models: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    assert call(f"plot {models} {what} -o {picture}")[0] == f"The picture is in {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_numbers_that_are_drawn(call: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.svg"
    found = json.loads(call(f"plot models lists --relevant-from 3 -o {picture} --json")[0])
    assert (found["what"], found["picture"], found["relevant_from"]) == ("lists", str(picture), 3)
    assert list(found["models"]) == ["bias", "mf", "popularity"]
    metrics = found["models"]["mf"]["metrics"]
    assert len(metrics) == 4 * 15
    assert 0 < metrics["recall@1"] <= metrics["recall@10"] <= metrics["recall@50"] <= 1
    low, high = found["models"]["mf"]["intervals"]["recall@10"]
    assert low < metrics["recall@10"] < high
    found = json.loads(call(f"plot models coverage -k 7 -o {picture} --json")[0])
    assert set(found["models"]["bias"]["metrics"]) == {"ndcg@7", "coverage@7"}
    assert "logs" in json.loads(call(f"plot models history -o {picture} --json")[0])
    assert "levels" in json.loads(call(f"plot alone calibration -o {picture} --json")[0])["coverage"]
    drawn = json.loads(call(f"plot models/mf map --items 5 -o {picture} --json")[0])
    assert len(drawn["items"]) == 5


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("plot models map -o a.png", "holds 3 models, and a picture of map is of one"),
        ("plot models calibration -o a.png", "models/mf"),
        ("plot models lists --relevant-from 9 -o a.png", "No rating that was held out is 9"),
        ("plot nowhere lists -o a.png", "no model at nowhere"),
        ("plot . lists -o a.png", "were not fitted and measured on the same"),
        ("plot models lists -o a.bmp", "a.bmp"),
        ("plot models coverage -k 0 -o a.png", "-k is 0"),
    ],
)
def test_what_cannot_be_drawn_is_said(call: Any, shop: Path, line: str, what: str) -> None:
    pytest.importorskip("matplotlib")
    if "plot . " in line and not (shop / "mf").exists():
        (shop / "mf").symlink_to(shop / "models" / "mf")
    _, err = call(line, code=2)
    assert what in " ".join(err.split())


@pytest.mark.parametrize("model", ["bias", "mf"])
def test_a_rating_is_told_by_the_history(call: Any, model: str) -> None:
    found = json.loads(call(f"explain models/{model} --user 3 --item 7 --json")[0])
    added = sum(one["value"] for one in found["history"])
    assert found["average_user"] + added + found["rest"] == pytest.approx(found["score"], abs=1e-4)
    rated = pl.read_csv("ratings.csv").filter(pl.col("user") == 3)
    own = dict(zip(rated["item"], rated["rating"], strict=True))
    assert all(own[one["item"]] == one["rating"] for one in found["history"])
    assert 0 < len(found["history"]) < rated.height  # the others were held out
    out, _ = call(f"explain models/{model} --user 3 --item 7 -k 2")
    assert "an average user" in out
    assert f"{len(found['history']) - 2} other items" in out
    assert f"{found['score']:.4f}" in out


def test_items_that_take_away_the_most_are_shown_too(call: Any) -> None:
    """By size, not by sign; what is shown and the others sum to the score."""
    found = json.loads(call("explain models/mf --user 3 --item 7 --json")[0])
    largest = sorted((one["value"] for one in found["history"]), key=lambda value: -abs(value))[:4]
    lines = call("explain models/mf --user 3 --item 7 -k 4")[0].splitlines()
    lines = lines[lines.index("What the history adds") + 2 :]
    values = [float(line.split()[-1]) for line in lines]
    assert values[1:5] == pytest.approx(sorted(largest, reverse=True), abs=1e-4)
    assert sum(values[:-1]) == pytest.approx(values[-1], abs=5e-4)
