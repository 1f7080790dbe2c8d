"""An artifact without its users: nothing of them is in it, and whoever gives ratings is answered as before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import safetensors.numpy

from penchant.artifact import ARRAYS, ITEMS, MANIFEST, USERS, load_artifact
from penchant.cli import run
from penchant.data.split import Split, split_random
from penchant.data.synthetic import planted
from penchant.data.vocabulary import Vocabulary
from penchant.errors import UnknownIdError, UnsupportedError
from penchant.intervals import around, has_intervals
from penchant.job import fit_model
from penchant.models import MODELS, build, build_own
from penchant.models.base import Model
from penchant.models.fitting import FitOptions
from penchant.serving.recommender import Recommender
from test_artifact import QUICK, refused, sign

N_USERS, MORE_USERS, N_ITEMS = 67, 71, 90  # primes that no other axis has
WHO = "quixotic-"  # begins every user's id
RATED = {"item 3": 5.0, "item 14": 1.0, "item 15": 4.0, "item 71": 3.0}
NAMES = list(MODELS)


def people(n_users: int) -> Split:
    """Planted ratings at all hours, by users with distinctive ids and a table that nearly names them."""
    table = planted(n_users, N_ITEMS, 2_500, seed=2)
    assert (table.n_users, table.n_items) == (n_users, N_ITEMS)
    users = pl.DataFrame(
        {
            "name": [f"{WHO}name-{n:03}" for n in range(n_users)],
            "job": [("clerk", "painter", "pilot")[n % 3] for n in range(n_users)],
        }
    )
    table = replace(
        table,
        users=Vocabulary(pl.Series([f"{WHO}{n:03}" for n in range(n_users)]), "user"),
        items=Vocabulary(pl.Series(sorted(f"item {n}" for n in range(N_ITEMS))), "item"),
        user_table=users,
        item_table=pl.DataFrame({"genre": [("drama", "war")[n % 2] for n in range(N_ITEMS)]}),
        times=1_600_000_000 + 40_000 * np.arange(len(table), dtype=np.int64),
        notes=(f"Feedback: 1 left out, which have users such as '{WHO}007', which are not integers as the table's.",),
    )
    return split_random(table, 0.2, seed=1)


@pytest.fixture(scope="module")
def split() -> Split:
    return people(N_USERS)


@pytest.fixture(scope="module")
def whole(split: Split) -> Callable[[str], Recommender]:
    """Each model once, with its users, told about by somebody who names one."""
    kept: dict[str, Recommender] = {}

    def get(name: str) -> Recommender:
        if name not in kept:
            found = fit_model(build(name, **QUICK[name]), split, FitOptions(seed=3))
            kept[name] = replace(found, about={**found.about, "best customer": f"{WHO}001"})
        return kept[name]

    return get


@pytest.fixture(scope="module")
def folders(whole: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """The artifact of each model, and the stripped one."""
    kept: dict[str, tuple[Path, Path]] = {}

    def get(name: str) -> tuple[Path, Path]:
        if name not in kept:
            folder = tmp_path_factory.mktemp(name)
            kept[name] = whole(name).save(folder / "whole"), whole(name).stripped().save(folder / "stripped")
        return kept[name]

    return get


def texts(folder: Path) -> Iterator[bytes]:
    """All that is in an artifact, also what is compressed there."""
    for file in folder.iterdir():
        yield file.read_bytes()
    for name in (USERS, ITEMS):
        yield pl.read_parquet(folder / name).write_json().encode()


# --- nothing is left ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_no_id_is_anywhere_in_it(name: str, folders: Any) -> None:
    before, after = folders(name)
    assert any(WHO.encode() in text for text in texts(before))  # or the test would find nothing in anything
    assert not any(WHO.encode() in text for text in texts(after))


@pytest.mark.parametrize("name", NAMES)
def test_no_array_has_an_axis_of_users(name: str, folders: Any, whole: Any) -> None:
    """Neither of users, nor of one more or less, nor of what users are stacked with."""
    before, after = (safetensors.numpy.load_file(folder / ARRAYS) for folder in folders(name))
    with_users = {size for array in before.values() for size in array.shape} - {
        size for array in after.values() for size in array.shape
    }
    assert any(N_USERS in array.shape for array in before.values())
    assert {N_USERS, N_USERS + 1} <= with_users
    sizes = {size for array in after.values() for size in array.shape}
    assert not sizes & {N_USERS - 1, N_USERS, N_USERS + 1, N_USERS + N_ITEMS, N_USERS + N_ITEMS + 1}
    assert sum(array.size for array in after.values()) < sum(array.size for array in before.values())


@pytest.mark.parametrize("name", NAMES)
def test_its_arrays_do_not_tell_how_many_users_there_were(name: str, whole: Any) -> None:
    other = people(MORE_USERS)
    model = build(name, **QUICK[name])
    model.fit(other, FitOptions(seed=3))
    stripped = (whole(name).model.without_users(), model.without_users())
    one, another = ({of: array.shape for of, array in each.arrays().items()} for each in stripped)
    if name in ("item-knn", "bayes"):  # how many similar items, which steps of the scale occur: of all users together
        one, another = ({of: len(shape) for of, shape in each.items()} for each in (one, another))
    assert one == another


@pytest.mark.parametrize("name", NAMES)
def test_what_every_model_keeps_has_a_declared_shape(name: str, whole: Any) -> None:
    """An array without one would be left out of a stripped model."""
    model: Model = whole(name).model
    assert set(model.arrays()) == set(model.all_shapes(model.n_users, model.n_items))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_told_of_the_fit_is_of_all_users(name: str, folders: Any, whole: Any) -> None:
    about = Recommender.load(folders(name)[1]).about
    told = whole(name).about
    assert set(about) == {"data", "split", "valid"}
    assert about["valid"] == json.loads(json.dumps(told["valid"]))
    assert about["data"] == {**told["data"], "notes": []}


def test_a_model_that_was_not_measured_is_stripped_too(split: Split, tmp_path: Path) -> None:
    model = build("mf", **QUICK["mf"])
    recommender = Recommender.of(model, split, model.fit(split), {"data": [f"{WHO}001"]})
    loaded = Recommender.load(recommender.stripped().save(tmp_path / "model"))
    assert (loaded.about, loaded.conformal, loaded.is_stripped) == ({}, None, True)


# --- and nothing else is missing ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_visitor_gets_the_same_list(name: str, folders: Any) -> None:
    before, after = map(Recommender.load, folders(name))
    assert after.is_stripped
    assert not before.is_stripped
    for rated in (RATED, {}, {"item 8": 2.0}):
        for wishes in ({}, {"popularity_damping": 0.7, "where": "genre=war"}, {"diversity": 0.4}):
            wanted = before.recommend(rated=rated, k=20, **wishes)  # type: ignore[arg-type]
            assert after.recommend(rated=rated, k=20, **wishes) == wanted  # type: ignore[arg-type]
            assert wanted


@pytest.mark.parametrize("name", NAMES)
def test_a_visitor_gets_the_same_scores_causes_and_intervals(name: str, folders: Any) -> None:
    before, after = map(Recommender.load, folders(name))
    rows = np.array([before.items.row(item) for item in RATED], np.int32)
    ratings = np.array(list(RATED.values()), np.float32)
    vectors = [one.model.fold_in(rows, ratings) for one in (before, after)]
    np.testing.assert_array_equal(*vectors)
    scores = [one.model.scores_of(vector[None])[0] for one, vector in zip((before, after), vectors, strict=True)]
    np.testing.assert_array_equal(*scores)
    assert before.model.explain(vectors[0], 5) == after.model.explain(vectors[1], 5)
    if name != "popularity":
        np.testing.assert_array_equal(*(one.model.contributions(rows, ratings, 5) for one in (before, after)))
    nobody, everything = np.full(N_ITEMS, -1, np.int32), np.arange(N_ITEMS, dtype=np.int32)
    if not before.model.ranks_only:
        assert has_intervals(after.model, after.conformal)
        ends = [
            around(one.model, one.conformal, nobody, everything, scores=of).ends(0.9)
            for one, of in zip((before, after), scores, strict=True)
        ]
        np.testing.assert_array_equal(*ends)
        pairs = [f"{WHO}stranger"] * 2 + ["else"], ["item 4", "item 5", "no item"]
        assert after.predict_pairs(*pairs, 0.8).equals(before.predict_pairs(*pairs, 0.8))
    np.testing.assert_array_equal(*(one.model.pair_scores(nobody, everything) for one in (before, after)))


def test_chances_and_columns_of_newcomers_are_the_same(folders: Any) -> None:
    """Of bayes, which knows whom it has never seen by their columns."""
    before, after = map(Recommender.load, folders("bayes"))
    table = pl.DataFrame({"user": ["somebody"], "name": ["no name"], "job": ["pilot"]})
    items = pl.DataFrame({"item": ["a new item"], "genre": ["war"]})
    for pairs in ((["somebody"] * 2, ["item 4", "item 5"]), (["somebody"], ["a new item"])):
        how: dict[str, Any] = {"interval": 0.9, "chances": True, "user_table": table, "item_table": items}
        assert after.predict_pairs(*pairs, **how).equals(before.predict_pairs(*pairs, **how))


@pytest.mark.parametrize("name", NAMES)
def test_items_are_looked_at_as_before(name: str, folders: Any) -> None:
    before, after = map(Recommender.load, folders(name))
    np.testing.assert_array_equal(before.item_counts, after.item_counts)
    assert after.item_counts.dtype == np.int64
    assert before.items.ids.equals(after.items.ids)
    assert before.item_table.equals(after.item_table)  # type: ignore[union-attr, arg-type]
    for asked in (lambda one: one.similar("item 7", 5), lambda one: one.extremes(5)):
        try:
            wanted = asked(before)
        except UnsupportedError:
            with pytest.raises(UnsupportedError):
                asked(after)
        else:
            assert asked(after) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_held_out_users_are_folded_in_as_before(name: str, folders: Any) -> None:
    before, after = map(Recommender.load, folders(name))
    strangers = planted(20, N_ITEMS, 600, seed=9)
    items = Vocabulary(pl.Series(sorted(f"item {n}" for n in range(N_ITEMS))), "item").ids
    strangers = replace(strangers, items=Vocabulary(items.head(strangers.n_items), "item"))
    half = np.arange(len(strangers)) % 2 == 0
    given, asked = (strangers.take(np.flatnonzero(part)) for part in (half, ~half))
    scores = [one.questions(asked, given).scores for one in (before, after)]
    np.testing.assert_array_equal(*scores)
    if not before.model.ranks_only:
        assert before.coverage(asked) == after.coverage(asked)


def test_saved_again_or_stripped_again_it_is_the_same(folders: Any, tmp_path: Path) -> None:
    stripped = Recommender.load(folders("bayes")[1])
    assert stripped.stripped() is stripped
    stripped.save(tmp_path / "again")
    for file in folders("bayes")[1].iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_what_was_not_stripped_is_as_it_was(whole: Any) -> None:
    recommender = whole("mf")
    before = {name: array.copy() for name, array in recommender.model.arrays().items()}
    recommender.stripped().model.parameters["item_factors"][:] = 0
    for name, array in recommender.model.arrays().items():
        np.testing.assert_array_equal(array, before[name])
    assert recommender.recommend(f"{WHO}003", k=3)


# --- users are not known, and that is said ------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_asking_for_a_user_says_that_there_are_none(name: str, folders: Any) -> None:
    stripped = Recommender.load(folders(name)[1])
    questions: list[Callable[[Recommender], Any]] = [
        lambda one: one.recommend(f"{WHO}003"),
        lambda one: list(one.recommend_many([f"{WHO}003"])),
        lambda one: list(one.recommend_tables([f"{WHO}003"])),
        lambda one: one.predict(f"{WHO}003", "item 4"),
        lambda one: one.explain(f"{WHO}003", "item 4"),
        lambda one: one.reasons(f"{WHO}003", "item 4"),
    ]
    for question in questions:
        with pytest.raises(UnknownIdError, match="it is stripped, and knows no users") as caught:
            question(stripped)
        assert "rated=" in caught.value.remedy
    assert list(stripped.recommend_many([])) == []


def test_ids_are_still_of_the_kind_they_were(folders: Any, tmp_path: Path) -> None:
    assert Recommender.load(folders("mf")[1]).users.ids.dtype == pl.String
    numbers = split_random(planted(20, 30, 300, seed=1), 0.2, seed=1)
    model = build("bias")
    fitted = Recommender.of(model, numbers, model.fit(numbers))
    assert Recommender.load(fitted.stripped().save(tmp_path / "model")).users.is_integer


def test_a_module_of_ones_own_cannot_be_stripped(split: Split) -> None:
    torch = pytest.importorskip("torch")

    class Level(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, n_users: int, n_items: int) -> None:
            super().__init__()
            self.users, self.items = (torch.nn.Embedding(n, 1) for n in (n_users, n_items))

        def forward(self, x: Any) -> Any:
            return (self.users(x[:, 0]) + self.items(x[:, 1]))[:, 0]

    model = build_own(Level, epochs=1)
    recommender = Recommender.of(model, split, model.fit(split))
    with pytest.raises(UnsupportedError, match="cannot do without its users"):
        recommender.stripped()


# --- what says so and is not --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_users_left_in_an_artifact_that_is_marked_as_stripped_are_refused(
    name: str, folders: Any, tmp_path: Path
) -> None:
    whole, stripped = folders(name)
    arrays, left = (safetensors.numpy.load_file(folder / ARRAYS) for folder in (whole, stripped))
    of_users = [of for of, array in arrays.items() if of not in left or array.shape != left[of].shape]
    assert len(of_users) >= 3
    for of in of_users:
        folder = Path(shutil.copytree(stripped, tmp_path / of.replace("/", "-")))
        sign(folder, arrays={of: arrays[of]})
        refused(folder)
    folder = Path(shutil.copytree(stripped, tmp_path / "users"))
    sign(folder, users=pl.read_parquet(whole / USERS))
    refused(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"manifest": {"stripped": False}},
        {"manifest": {"stripped": None}},
        {"manifest": {"stripped": 1}},
        {"manifest": {"stripped": "true"}},
        {"arrays": {"item_counts": None}},
        {"arrays": {"item_counts": np.ones(N_ITEMS, np.int32)}},
        {"arrays": {"item_counts": np.ones(N_ITEMS + 1, np.int64)}},
        {"arrays": {"item_counts": np.full(N_ITEMS, -1, np.int64)}},
        {"arrays": {"model/user_factors": np.zeros((1, 2), np.float32)}},
        {"arrays": {"model/more_of_users": np.zeros(N_USERS, np.float32)}},
        {"arrays": {"history/starts": np.zeros(2, np.int64)}},
        {"arrays": {"history/item_rows": np.zeros(1, np.int32)}},
        {"arrays": {"notes of users": np.zeros(N_USERS)}},
        {"arrays": {"intervals/user_spreads": np.ones(1, np.float32)}},
        {"users": pl.DataFrame({"id": ["somebody"]})},
        {"users": pl.DataFrame({"id": []}, {"id": pl.Null})},
    ],
    ids=str,
)
def test_a_stripped_artifact_that_does_not_fit_together_is_refused(
    change: dict[str, Any], folders: Any, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders("mf")[1], tmp_path / "model"))
    sign(folder)
    assert Recommender.load(folder).is_stripped
    sign(folder, **change)
    refused(folder)


@pytest.mark.parametrize("name", NAMES)
def test_no_users_without_the_mark_are_refused(name: str, folders: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders(name)[1], tmp_path / "model"))
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    assert manifest.pop("stripped") is True
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    sign(folder)
    assert "0 users, and it is marked as not stripped" in refused(folder).problem


def test_users_with_the_mark_are_refused(folders: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders("mf")[0], tmp_path / "model"))
    sign(folder, manifest={"stripped": True})
    assert "67 users, and it is marked as stripped" in refused(folder).problem


def test_an_artifact_with_users_has_neither_mark_nor_counts(folders: Any) -> None:
    whole = load_artifact(folders("mf")[0])
    assert "stripped" not in whole.manifest
    assert "item_counts" not in whole.arrays


# --- on the command line ------------------------------------------------------------------------------


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a command line says on stdout and on stderr; it begins in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(line: str, code: int = 0) -> tuple[str, str]:
        found = run(line.split())
        captured = capsys.readouterr()
        assert found == code, captured.err
        assert "Traceback" not in captured.err
        return captured.out, captured.err

    return call


def test_strip_writes_another_folder_and_leaves_the_first(said: Any, folders: Any, tmp_path: Path) -> None:
    shutil.copytree(folders("mf")[0], tmp_path / "model")
    before = (tmp_path / "model" / MANIFEST).read_bytes()
    out, err = said("artifact strip model -o shared")
    assert (tmp_path / "model" / MANIFEST).read_bytes() == before
    assert [line.split() for line in out.splitlines()[:2]] == [["before", "after"], ["users", "67", "0"]]
    assert "The stripped model is in shared." in out
    assert err == ""
    assert Recommender.load(tmp_path / "shared").is_stripped


def test_strip_without_out_is_in_place(said: Any, folders: Any, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folders("als")[0], tmp_path / "model"))
    n_ratings = len(Recommender.load(model).history.item_rows)
    Path(f"{model}.feedback.db").touch()
    out, err = said("artifact strip model --json")
    told = json.loads(out)
    assert set(told) == {"artifact", "users", "ratings", "bytes_before", "bytes_after"}
    assert (told["artifact"], told["users"], told["ratings"]) == ("model", N_USERS, n_ratings)
    assert told["bytes_before"] > told["bytes_after"] == sum(file.stat().st_size for file in model.iterdir())
    assert "model.feedback.db has feedback of users" in err
    assert Recommender.load(model).is_stripped
    before = (model / MANIFEST).read_bytes()
    out, err = said("artifact strip model")
    assert "model is stripped already" in err
    assert out == ""
    assert (model / MANIFEST).read_bytes() == before
    assert json.loads(said("artifact strip model --json -o again")[0])["users"] == 0
    assert Recommender.load(tmp_path / "again").is_stripped
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "model", "model.feedback.db"]


def test_the_model_before_has_its_users_still_and_that_is_told(said: Any, folders: Any, tmp_path: Path) -> None:
    for name in ("model", "model.previous"):
        shutil.copytree(folders("mf")[0], tmp_path / name)
    assert "previous" not in said("artifact strip model -o shared")[1]
    _, err = said("artifact strip model")
    assert "model.previous, the model before this one, has its users still" in " ".join(err.split())
    assert "penchant artifact strip" in err
    said("artifact strip model.previous")
    assert "previous" not in said("artifact strip model")[1]  # though that is stripped already
    (tmp_path / "model.previous" / MANIFEST).write_text("{")
    assert "model.previous" in said("artifact strip model")[1]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("artifact strip nothing", "There is no model at nothing"),
        ("artifact strip model -o theirs", "theirs exists and is not a penchant model"),
        ("artifact strip", "MODEL_DIR"),
        ("recommend stripped --user quixotic-003", "it is stripped, and knows no users"),
        ("recommend stripped --users users.csv", "it is stripped, and knows no users"),
        ("recommend stripped --users users.csv --skip-unknown", "it is stripped, and knows no users"),
        ("explain stripped --user quixotic-003 --item item", "it is stripped, and knows no users"),
        ("plot stripped lists -o x.png", "The model is stripped"),
        ("plot stripped coverage -o x.png", "The model is stripped"),
        ("evaluate stripped ratings.csv --metrics ndcg@10 --by activity", "The model is stripped"),
    ],
)
def test_what_cannot_be_done_is_told(line: str, told: str, said: Any, folders: Any, tmp_path: Path) -> None:
    if "plot" in line:
        pytest.importorskip("matplotlib")
    shutil.copytree(folders("mf")[0], tmp_path / "model")
    shutil.copytree(folders("mf")[1], tmp_path / "stripped")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "photo.jpg").touch()
    (tmp_path / "users.csv").write_text(f"user\n{WHO}003\n{WHO}004\n")
    (tmp_path / "ratings.csv").write_text(f"user,item,rating\n{WHO}003,item 4,3\n{WHO}004,item 5,4\n")
    assert told in said(line, code=2)[1]
    assert (tmp_path / "theirs" / "photo.jpg").exists()


def test_every_other_command_answers(said: Any, folders: Any, tmp_path: Path) -> None:
    for name, folder in zip(("model", "stripped"), folders("mf"), strict=True):
        shutil.copytree(folder, tmp_path / name)
    (tmp_path / "rated.csv").write_text("item,rating\nitem 4,3\nitem 5,4.5\n")
    rows = [f"{who},item {n},{1 + n % 4}" for who in (f"{WHO}003", "new") for n in range(20, 40)]
    (tmp_path / "held-out.csv").write_text("\n".join(["user,item,rating", *rows]))
    given = [f"new,item {n},{1 + n % 4}" for n in range(40, 60)]
    (tmp_path / "given.csv").write_text("\n".join(["user,item,rating", *given, "other,item 4,3"]))
    for line in ("recommend {} --rated rated.csv --json", "explain {} --json"):
        assert said(line.format("stripped"))[0].replace("stripped", "model") == said(line.format("model"))[0]
    out, err = said("predict stripped held-out.csv --interval 0.9")
    assert {row.split(",")[-1] for row in out.splitlines()[1:]} == {"item"}
    assert "The model is stripped: it knows no users; see the column 'known'." in err
    out, err = said("evaluate stripped held-out.csv --given given.csv --metrics rmse,ndcg@10 --json")
    assert (json.loads(out)["n_trained_on"], json.loads(out)["n_users_folded_in"]) == (None, 1)
    assert "what it was trained on is not known" in err
    assert "ndcg@10" in said("evaluate stripped held-out.csv --metrics ndcg@10,recall@5 --by popularity")[0]
    (tmp_path / "candidates").write_text(f"({WHO}003,item 4)\titem 5\titem 6\n(new,item 4)\titem 7\titem 9\n")
    assert "ndcg@10" in said("evaluate stripped --candidates candidates")[0]


@pytest.mark.parametrize("what", ["history", "map", "calibration"])
def test_pictures_of_items_and_of_the_fit_are_drawn(what: str, said: Any, folders: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = []
    for name, folder in zip(("whole", "stripped"), folders("mf"), strict=True):
        shutil.copytree(folder, tmp_path / name)
        drawn.append(said(f"plot {name} {what} -o {name}.png --json")[0].replace("stripped", "whole"))
        assert (tmp_path / f"{name}.png").exists()
    assert drawn[0] == drawn[1]
