"""What a command writes is never what it reads: refused before anything is read, by whatever name it goes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from penchant.artifact import FILES, MANIFEST
from penchant.cli import app, run
from penchant.commands.asking import check_apart
from penchant.data.synthetic import planted
from penchant.errors import InputError

# Every command with an output: what it is typed as, and which of its words is read as well.
LINES = {
    "predict -o": ["predict model pairs.csv -o pairs.csv", "predict model pairs.csv -o model/items.parquet"],
    "recommend -o": [
        "recommend model --users users.csv -o users.csv",
        "recommend model --rated taste.csv -o taste.csv",
        "recommend model --user 1 -o model/users.parquet",
    ],
    "evaluate --per-user": [
        "evaluate model ratings.csv --metrics ndcg@10 --per-user ratings.csv",
        "evaluate model ratings.csv --metrics ndcg@10 --items items.csv --per-user items.csv",
        "evaluate model ratings.csv --metrics ndcg@10 --users users.csv --per-user users.csv",
        "evaluate model ratings.csv --metrics ndcg@10 --given users.csv --per-user users.csv",
        "evaluate model --candidates pairs.csv --per-user pairs.csv",
        "evaluate model folder --metrics ndcg@10 --per-user folder/ratings.csv",
        "evaluate model ratings.csv --metrics ndcg@10 --per-user model/items.parquet",
    ],
    "plot -o": ["plot model history -o linked.png", "plot models history -o nested.png"],
    "export-feedback -o": ["export-feedback feedback.csv -o feedback.csv"],
    "fit -o": [
        "fit model/items.parquet -o model",
        "fit ratings.csv --valid model/items.parquet -o model",
        "fit ratings.csv --items model/items.parquet -o model",
        "fit ratings.csv --users model/users.parquet -o model",
    ],
    "compare -o": ["compare ratings.csv --items models/bias/items.parquet -o models"],
    "tune -o": ["tune ratings.csv --items model/items.parquet -o model"],
    "tune --plot": ["tune drawn.png --plot drawn.png", "tune ratings.csv --storage trials.png --plot trials.png"],
}
IN_PLACE = {"artifact strip -o", "demo -o"}  # the one reads what it replaces, as it says; the other reads no file
OUTPUTS = {"--out": "-o", "--per-user": "--per-user", "--plot": "--plot"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    data = planted(40, 50, 900, seed=5)
    ratings = pl.DataFrame({"user": data.user_rows, "item": data.item_rows, "rating": data.ratings})
    (folder / "folder").mkdir()
    for name in ("ratings.csv", "folder/ratings.csv"):
        ratings.write_csv(folder / name)
    for name in ("items.csv", "folder/items.csv"):
        pl.DataFrame({"item": range(50), "title": [f"Item {n}" for n in range(50)]}).write_csv(folder / name)
    ratings.select("user", "item").write_csv(folder / "pairs.csv")
    pl.DataFrame({"user": range(30), "item": range(30), "rating": [3.0] * 30}).write_csv(folder / "users.csv")
    pl.DataFrame({"item": [1, 2], "rating": [3.0, 4.0]}).write_csv(folder / "taste.csv")
    shutil.copy(folder / "ratings.csv", folder / "drawn.png")
    assert run(["fit", str(folder / "ratings.csv"), "--model", "bias", "-o", str(folder / "model"), "--json"]) == 0
    shutil.copytree(folder / "model", folder / "models" / "bias")
    return folder


@pytest.fixture
def there(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own with everything that is read."""
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "linked.png").symlink_to(tmp_path / "model" / MANIFEST)
    (tmp_path / "nested.png").symlink_to(tmp_path / "models" / "bias" / FILES[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {str(one): sha256(one.read_bytes()).hexdigest() for one in folder.rglob("*") if one.is_file()}


def flags() -> Iterator[str]:
    """Each command with each of its flags that name something to write."""
    group: Any = typer.main.get_command(app)
    commands = dict(group.commands)
    for name in ("data", "keys", "artifact"):
        commands |= {f"{name} {inner}": one for inner, one in commands.pop(name).commands.items()}
    for name, command in commands.items():
        for parameter in command.params:
            yield from (f"{name} {OUTPUTS[flag]}" for flag in parameter.opts if flag in OUTPUTS)


def test_no_command_that_writes_is_left_out_here() -> None:
    assert set(flags()) == set(LINES) | IN_PLACE


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Choose another name" in err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_what_is_read_is_not_written(line: str, there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("sqlalchemy")
    if "feedback.csv" in line:
        from penchant.serving.store import FeedbackStore

        FeedbackStore.open("feedback.csv").close()
    if "trials.png" in line:
        (there / "trials.png").touch()
    before = contents(there)
    err = refused(line, capsys)
    assert line.split()[-1] in err or "models/bias" in err
    assert contents(there) == before


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_another_name_of_the_same_file_is_no_other_file(
    link: Any, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link("pairs.csv", "other.csv")
    err = refused("predict model pairs.csv -o other.csv", capsys)
    assert "other.csv is read by this command, as pairs.csv" in err
    refused("predict model other.csv -o pairs.csv", capsys)
    (there / "way").symlink_to(there)
    refused("predict model pairs.csv -o way/pairs.csv", capsys)
    refused("predict model pairs.csv -o ./model/../pairs.csv", capsys)


def test_the_folder_of_a_data_set_by_name_is_read_too(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENCHANT_DATA", str(there))
    data = there / "ml-latest-small"
    data.mkdir()
    for name in ("ratings.csv", "movies.csv"):
        shutil.copy("ratings.csv", data / name)
    refused("evaluate model ml-latest-small --metrics ndcg@10 --per-user ml-latest-small/ratings.csv", capsys)


def test_a_new_name_beside_what_is_read_is_none_of_it(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # also when it is there from the first time
        assert run(["predict", "model", "pairs.csv", "-o", "predicted.csv"]) == 0
        assert run(["evaluate", "model", "folder", "--metrics", "ndcg@10", "--per-user", "folder/users.csv"]) == 0
    assert (there / "predicted.csv").exists()
    assert (there / "folder" / "users.csv").exists()
    capsys.readouterr()


def test_places_that_cannot_be_looked_at_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "circle.csv").symlink_to(tmp_path / "circle.csv")
    for source in (None, "nothing there", "x" * 5_000, "a\0b", tmp_path / "circle.csv", "postgresql://host/db"):
        check_apart(tmp_path / "circle.csv", source)
        check_apart(tmp_path, source)
    (tmp_path / "one.csv").touch()
    with pytest.raises(InputError, match="is read by this command"):
        check_apart(tmp_path, tmp_path / "one.csv")
