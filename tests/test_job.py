"""The main job in Python: fit, compare, classes from files, many lists at once, and Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant import job, own_modules
from penchant.comparing import compare, compare_models
from penchant.data.interactions import Interactions
from penchant.data.sizes import as_interactions
from penchant.data.split import Split
from penchant.data.synthetic import planted
from penchant.errors import ArtifactError, InputError, SettingError
from penchant.models import build
from penchant.models.fitting import Epoch, FitOptions, NothingLearnt
from penchant.serving import recommender as recommending
from penchant.serving.recommender import Recommender


@pytest.fixture(scope="module")
def fitted(ratings: Interactions) -> Recommender:
    return job.fit(ratings, "mf", factors=6, epochs=4, seed=2)


class Heard:
    """A Listener that remembers, and presses Ctrl-C after some model's epoch."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.stop = stop
        self.models: list[str] = []
        self.epochs: list[tuple[str, int]] = []

    def started(self, model: str, epochs: int) -> None:
        assert epochs > 0
        self.models.append(model)
        if self.stop == (model, -1):
            raise KeyboardInterrupt

    def progressed(self, epoch: int, fraction: float) -> None:
        assert epoch >= 0
        assert 0 <= fraction <= 1

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        self.epochs.append((model, epoch.epoch))
        if self.stop == (model, epoch.epoch):
            raise KeyboardInterrupt


# --- fit and compare --------------------------------------------------------------------------------


def test_fit_takes_a_table_interactions_or_a_split(ratings: Interactions, split: Split, tmp_path: Path) -> None:
    users, items = ratings.users.take(ratings.user_rows), ratings.items.take(ratings.item_rows)
    frame = pl.DataFrame({"user": users, "item": items, "rating": ratings.ratings})
    frame.write_csv(tmp_path / "ratings.csv")
    metrics = [
        job.fit(source, "bias").about["valid"]["metrics"] for source in (ratings, frame, tmp_path / "ratings.csv")
    ]
    assert metrics[0] == metrics[1] == metrics[2]
    assert job.fit(split, "bias").about["split"]["how"] == split.how


def test_a_table_of_its_own_validates(ratings: Interactions) -> None:
    other = planted(80, 120, 500, seed=9)
    about = job.fit(ratings, "bias", valid=other).about
    assert about["split"]["n_train"] == len(ratings)
    assert about["valid"]["n"] == len(other)


@pytest.mark.parametrize(
    ("how", "n_valid"), [({"valid_fraction": 0}, 0), ({"split": "last-n", "last_n": 2}, 160), ({}, None)]
)
def test_ways_to_split(ratings: Interactions, how: dict[str, Any], n_valid: int | None) -> None:
    fitted = job.fit(ratings, "bias", **how)
    expected = len(ratings) // 5 if n_valid is None else n_valid
    assert fitted.about["split"]["n_valid"] == pytest.approx(expected, abs=1)
    assert ("valid" in fitted.about) == (n_valid != 0)


def test_a_split_that_there_is_not(ratings: Interactions) -> None:
    with pytest.raises(SettingError, match="random, time, users or last-n"):
        job.make_split(ratings, split="half")


def test_what_the_manifest_says_of_the_data(ratings: Interactions, fitted: Recommender) -> None:
    data = fitted.about["data"]
    assert data["n_ratings"] == len(ratings)
    assert data["scale"] == [0.5, 5.0]
    assert data["source"] == ratings.source


def test_compare_is_sorted_by_error_and_fits_on_one_split(ratings: Interactions) -> None:
    found = compare(ratings, ["bias", "dot", "mf"], factors=4, epochs=2)
    errors = [one.about["valid"]["metrics"]["mse"] for one in found]
    assert errors == sorted(errors)
    assert len({one.about["valid"]["n"] for one in found}) == 1
    assert {one.model.name for one in found} == {"bias", "dot", "mf"}


def test_compare_needs_models_settings_of_theirs_and_validation(ratings: Interactions) -> None:
    with pytest.raises(SettingError, match="no models"):
        compare(ratings, [])
    with pytest.raises(SettingError, match="None of bias, mf has a setting 'layers'"):
        compare(ratings, ["bias", "mf"], layers=(5,))
    with pytest.raises(SettingError, match="on validation ratings"):
        compare(ratings, ["bias"], valid_fraction=0)


# --- Ctrl-C -----------------------------------------------------------------------------------------


def test_ctrl_c_before_anything_is_learnt(split: Split) -> None:
    with pytest.raises(NothingLearnt):
        job.fit_model(build("mf"), split, FitOptions(listener=Heard(("mf", -1))))


def test_ctrl_c_while_a_model_is_still_being_made(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("mf")

    def start(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "_start", start)
    with pytest.raises(NothingLearnt):
        job.fit_model(model, split, FitOptions())


@pytest.mark.parametrize(("stop", "left"), [(("dot", 1), ["bias", "dot"]), (("dot", -1), ["bias"])])
def test_ctrl_c_in_a_comparison_keeps_what_has_learnt(split: Split, stop: tuple[str, int], left: list[str]) -> None:
    heard = Heard(stop)
    found = compare_models([build("bias"), build("dot"), build("mf")], split, FitOptions(listener=heard))
    assert sorted(one.model.name for one in found) == left
    assert heard.models == ["bias", "dot"]
    assert [job.was_interrupted(one) for one in found if one.model.name == "dot"] == [True] * (len(left) - 1)


def test_ctrl_c_before_the_first_model_has_learnt(split: Split) -> None:
    with pytest.raises(NothingLearnt):
        compare_models([build("mf"), build("bias")], split, FitOptions(listener=Heard(("mf", -1))))


# --- many lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize("include_seen", [False, True])
@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("at_once", [1, 1000, 4_000_000])
def test_lists_as_tables_are_the_lists(
    fitted: Recommender, monkeypatch: pytest.MonkeyPatch, include_seen: bool, k: int, at_once: int
) -> None:
    monkeypatch.setattr(recommending, "SCORES_A_TIME", at_once)
    users = [5, 3, 40, 17]
    tables = list(fitted.recommend_tables(users, k, include_seen=include_seen))
    expected = fitted.lists_frame(fitted.recommend_many(users, k, include_seen=include_seen))
    assert sum(size for size, _ in tables) == len(users)
    assert all(table.schema == expected.schema for _, table in tables)
    found = pl.concat([table for _, table in tables])
    words, numbers = ["user", "rank", "item", "name"], ["prediction", "score"]
    assert found.select(words).equals(expected.select(words))
    assert np.allclose(found.select(numbers), expected.select(numbers), rtol=1e-6)  # sums of a block differ in a bit


@pytest.mark.parametrize("at_once", [1, 20, 500_000])
def test_many_lists_are_those_of_each_user(fitted: Recommender, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(recommending, "ENTRIES_A_TIME", at_once)
    users = [5, 3, 40]
    found = dict(fitted.recommend_many(users, 4))
    assert found == {user: fitted.recommend(user, 4) for user in users}


def test_memory_is_bounded_by_entries_as_well_as_scores(fitted: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommending, "ENTRIES_A_TIME", 300)
    sizes = [table.height for _, table in fitted.recommend_tables(list(range(20)), 50)]
    assert max(sizes) <= 300
    assert len(sizes) > 2


# --- what a model was trained on --------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 130)), min_size=1, max_size=40, unique=True))
@settings(deadline=None, max_examples=30)
def test_trained_on_is_counted_by_pairs(pairs: list[tuple[int, int]]) -> None:
    ratings = planted(80, 120, 4000, seed=1)
    split = job.make_split(ratings, seed=2)
    recommender = Recommender.of(build("bias"), split)
    trained = set(
        zip(split.train.users.take(split.train.user_rows), split.train.items.take(split.train.item_rows), strict=True)
    )
    users, items = zip(*pairs, strict=True)
    frame = pl.DataFrame({"user": users, "item": items, "rating": np.ones(len(pairs))})
    if len(set(users)) < 2 or len(set(items)) < 2:
        return
    assert job.count_trained_on(recommender, as_interactions(frame)) == len(trained & set(pairs))


# --- where a model is saved -------------------------------------------------------------------------


def test_a_destination_is_checked_before_the_work(fitted: Recommender, tmp_path: Path) -> None:
    job.check_destination(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []
    fitted.save(tmp_path / "model")
    job.check_destination(tmp_path / "model")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError, match="not a penchant model"):
        job.check_destination(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        job.check_destination(tmp_path / "file" / "model")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letter").write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError, match="left as it is"):
        job.check_destination(tmp_path / "folder")


# --- classes from files -----------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path / "net.py"
    sys.modules.pop("penchant_own_net", None)


@pytest.mark.parametrize(
    ("name", "kind", "is_reference"),
    [("mf", "mf", False), ("a/net.py:Net", "own", True), ("net.py", "own", True), ("C:\\net.py:Net", "own", True)],
)
def test_kinds_of_models(name: str, kind: str, is_reference: bool) -> None:
    assert job.kind_of(name) == kind
    assert job.is_module_reference(name) == is_reference


def test_a_class_is_loaded_from_its_file(file: Path) -> None:
    file.write_text("class Net:\n    answer = 42\n", encoding="utf-8")
    found = own_modules.load_class(f"{file}:Net")
    assert found.answer == 42
    assert sys.modules[found.__module__].__file__ == str(file)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (None, "Net", "no Python file"),
        ("class Net: ...\nclass _Own: ...\n", "Missing", "no class Missing"),
        ("class Net: ...\n", "", "Which class of"),
        ("Net = 3\n", "Net", "no class Net"),
        ("\n\nraise ValueError('no')\n", "Net", r"\(line 3 of net.py\): ValueError: no"),
        ("def f(:\n", "Net", r"\(line 1 of net.py\): SyntaxError: invalid syntax"),
        ("import nosuchmodule\n", "Net", "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("raise SystemExit(3)\n", "Net", "SystemExit: 3"),
    ],
)
def test_a_class_that_cannot_be_loaded(file: Path, text: str | None, name: str, said: str) -> None:
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        own_modules.load_class(f"{file}:{name}")
    if "class" in said and "class Net" in (text or ""):
        assert caught.value.remedy == f"Its classes: {file}:Net."


FAILING = """
import torch

class Net(torch.nn.Module):
    def __init__(self, n_users, n_items, size=3, fail_at=""):
        super().__init__()
        self.fail_at = fail_at
        self.items = torch.nn.Embedding(n_items, 1)
        if fail_at == "start":
            raise RuntimeError("no size " + str(size))

    def forward(self, x):
        return self.items(x[:, 1])
"""


def test_a_module_goes_by_the_name_of_its_class(file: Path, split: Split) -> None:
    pytest.importorskip("torch")
    file.write_text(FAILING, encoding="utf-8")
    heard = Heard()
    found = job.fit(split, f"{file}:Net", epochs=1, listener=heard)
    assert heard.models == ["Net"]
    assert heard.epochs == [("Net", 0)]
    assert found.log is not None
    assert found.log.model == "Net"
    assert found.model.name == "own"


def test_what_a_module_raises_is_told_with_its_line(file: Path, split: Split, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file.write_text(FAILING, encoding="utf-8")
    with pytest.raises(InputError, match=r"Net failed \(line 10 of net.py\): RuntimeError: no size 4") as caught:
        job.fit(split, f"{file}:Net", fail_at="start", size=4)
    assert isinstance(caught.value.__cause__, RuntimeError)
    job.fit(split, f"{file}:Net", epochs=1).save(tmp_path / "model")
    job.load_with(tmp_path / "model", f"{file}:Net")
    file.write_text(FAILING.replace('fail_at=""', 'fail_at="start"'), encoding="utf-8")
    with pytest.raises(InputError, match=r"Net failed \(line 10 of net.py\)"):
        job.load_with(tmp_path / "model", f"{file}:Net")
