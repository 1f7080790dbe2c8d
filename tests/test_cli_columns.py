"""Columns of any name: named once at the fit, in Python or on the command line, and found again afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penchant
from penchant.artifact import load_artifact, save_artifact
from penchant.cli import run
from penchant.data.columns import known_columns
from penchant.data.read import read_ratings
from penchant.data.split import split_random
from penchant.data.synthetic import planted
from penchant.errors import DataError, SettingError

NAMES = {"user": "Kunde", "item": "Ware", "rating": "Punkte", "time": "Wann"}
SMALL = {"factors": 3, "epochs": 2}


def table() -> pl.DataFrame:
    data = planted(40, 50, 900, seed=5)
    columns = {"Kunde": data.user_rows, "Ware": data.item_rows, "Punkte": data.ratings, "Wann": range(len(data))}
    return pl.DataFrame({**columns, "value": [7.0] * len(data)})  # "value" is a usual name of ratings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shop.csv of strange names, taken.csv of items alone, and the models mf and als."""
    folder = tmp_path_factory.mktemp("made")
    table().write_csv(folder / "shop.csv", separator=";")
    table().select("Kunde", "Ware").write_csv(folder / "taken.csv")
    flags = ["--user", "Kunde", "--item", "Ware", "--time", "Wann"]
    for model, more in (("mf", ["--rating", "Punkte"]), ("als", ["--weight", "Punkte"])):
        line = ["fit", str(folder / "shop.csv"), "--model", model, "--factors", "3", *flags, *more]
        assert run([*line, "-o", str(folder / model), "--json"]) == 0
    return folder


@pytest.fixture
def call(made: Path, calling: Any) -> Any:
    return calling(made)


# --- in Python: arguments of read_ratings beside settings -------------------------------------------


def test_fit_compare_and_tune_read_as_read_ratings_does() -> None:
    read = read_ratings(table(), **NAMES)
    fitted = penchant.fit(table(), "mf", **NAMES, **SMALL, seed=3)
    again = penchant.fit(read, "mf", **SMALL, seed=3)
    assert fitted.recommend(1, 5) == again.recommend(1, 5)
    assert fitted.about["data"]["columns"] == NAMES == dict(read.columns)
    assert len(penchant.compare(table(), ["bias"], **NAMES)) == 1
    assert penchant.compare(table(), ["bias"], folds=2, **NAMES)[0].name == "bias"
    assert penchant.fit(table(), "bias", valid=table(), **NAMES).about["split"]["n_valid"] == len(read)
    assert penchant.fit(read, "bias", valid=table(), **NAMES).about["split"]["n_valid"] == len(read)


def test_tune_reads_too() -> None:
    pytest.importorskip("optuna")
    fitted, search = penchant.tune(table(), "bias", trials=1, **NAMES)
    assert len(search.trials) == 1
    assert fitted.about["data"]["columns"] == NAMES


@pytest.mark.parametrize("do", [penchant.fit, penchant.compare])
def test_what_is_read_already_cannot_be_read_otherwise(do: Any) -> None:
    read = read_ratings(table(), **NAMES)
    for ratings, how in ((read, "read already"), (split_random(read, 0.2), "split already")):
        with pytest.raises(SettingError, match=rf"user=… says how to read a table, and these ratings are {how}"):
            do(ratings, user="Kunde")
    with pytest.raises(DataError, match="There is no column 'Kunden'"):
        do(table(), user="Kunden", item="Ware", rating="Punkte")
    with pytest.raises(SettingError, match="userr"):
        penchant.fit(table(), "mf", userr="Kunde")


def test_a_recommender_is_evaluated_on_what_read_ratings_takes(made: Path) -> None:
    fitted = penchant.load(made / "mf")
    read = read_ratings(table(), **NAMES)
    expected = fitted.evaluate(read).metrics
    assert fitted.evaluate(table()).metrics == expected
    assert fitted.evaluate(str(made / "shop.csv")).metrics == expected
    renamed = table().rename({"Kunde": "who", "Punkte": "rating"})
    assert fitted.evaluate(renamed, user="who", rating="rating").metrics == expected
    assert fitted.coverage(table()).levels == fitted.coverage(read).levels
    with pytest.raises(DataError, match="A Split is not a table"):
        fitted.evaluate(split_random(read, 0.2))


# --- on the command line: names are remembered ------------------------------------------------------


def test_evaluate_finds_the_columns_again(call: Any) -> None:
    flags = "--user Kunde --item Ware --rating Punkte --time Wann"
    named = json.loads(call(f"evaluate mf shop.csv {flags} --json")[0])
    assert json.loads(call("evaluate mf shop.csv --json")[0]) == named
    other = json.loads(call("evaluate mf shop.csv --rating value --json")[0])  # a flag wins
    assert other["metrics"]["rmse"] != named["metrics"]["rmse"]
    assert json.loads(call("evaluate als shop.csv --metrics hit@5 --json")[0])["n_users"] > 30
    given = json.loads(call("evaluate mf shop.csv --given shop.csv --json")[0])
    assert given["metrics"] == named["metrics"]


def test_predict_finds_the_columns_again(call: Any, made: Path) -> None:
    assert (
        call("predict mf shop.csv")[0].splitlines()[1:]
        == call("predict mf shop.csv --user Kunde --item Ware")[0].splitlines()[1:]
    )
    table().select("Kunde", "Ware").rename({"Kunde": "user"}).write_csv(made / "half.csv")
    assert call("predict mf half.csv")[0].startswith("user,item,prediction")
    assert "There is no column 'nosuch'" in call("predict mf half.csv --user nosuch", 2)[1]


def test_recommend_finds_the_columns_again(call: Any, made: Path) -> None:
    pl.DataFrame({"n": [1, 2], "Kunde": [3, 4]}).write_csv(made / "many.csv")
    assert [json.loads(line)["user"] for line in call("recommend mf --users many.csv --json")[0].splitlines()] == [3, 4]
    pl.DataFrame({"n": [1, 2], "Ware": [3, 4], "Punkte": [2.0, 4.0]}).write_csv(made / "mine.csv")
    items = json.loads(call("recommend mf --rated mine.csv --json")[0])["items"]
    fitted = penchant.load(made / "mf")
    assert [one["item"] for one in items] == [one.item for one in fitted.recommend(rated={3: 2.0, 4: 4.0})]
    ranked = json.loads(call("recommend als --rated mine.csv --json")[0])["items"]
    expected = penchant.load(made / "als").recommend(rated={3: 2.0, 4: 4.0})
    assert [one["item"] for one in ranked] == [one.item for one in expected]


@pytest.mark.parametrize("text", ["item\n3\n4\n", "Ware\n3\n4\n", "3\n4\n", "who,Ware\na,3\nb,4\n"])
def test_items_alone_are_enough_for_a_model_that_ranks(call: Any, made: Path, text: str) -> None:
    (made / "taste.csv").write_text(text, encoding="utf-8")
    items = json.loads(call("recommend als --rated taste.csv --json")[0])["items"]
    expected = penchant.load(made / "als").recommend(rated=[3, 4])
    assert [one["item"] for one in items] == [one.item for one in expected]
    assert "No column looks like the rating" in call("recommend mf --rated taste.csv", 2)[1]


# --- in artifacts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [None, 3, [], {"user": 5, "item": None, "who": "x", "rating": ""}])
def test_artifacts_that_tell_no_names_are_read_as_ever(made: Path, tmp_path: Path, columns: Any, call: Any) -> None:
    artifact = load_artifact(made / "mf")
    del artifact.manifest["about"]["data"]["columns"]
    if columns is not None:
        artifact.manifest["about"]["data"]["columns"] = columns
    save_artifact(artifact, tmp_path / "old")
    assert known_columns(penchant.load(tmp_path / "old").about) == {}
    assert "No column looks like the user" in call(f"evaluate {tmp_path / 'old'} shop.csv", 2)[1]
    table().rename({"Kunde": "user", "Ware": "item"}).write_csv(tmp_path / "usual.csv")
    call(f"evaluate {tmp_path / 'old'} {tmp_path / 'usual.csv'}")


def test_a_stripped_model_knows_the_names(made: Path, call: Any) -> None:
    shutil.rmtree(made / "shared", ignore_errors=True)
    call("artifact strip mf -o shared")
    assert known_columns(penchant.load(made / "shared").about) == NAMES


def test_names_of_before_that_are_given_another_meaning_are_not_used() -> None:
    frame = table().rename({"Kunde": "customer"}).with_columns(Kunde=pl.col("Ware") + 1)
    read = read_ratings(frame, item="Kunde", columns=NAMES)
    assert dict(read.columns) == {**NAMES, "user": "customer", "item": "Kunde"}
    assert read_ratings(frame, implicit=True, item="Ware", columns=NAMES).is_implicit
    assert not read_ratings(frame, rating="Punkte", columns={"weight": "value"}, item="Ware").is_implicit
    assert read_ratings(frame, columns={"item": "Ware", "weight": "value"}).is_implicit
