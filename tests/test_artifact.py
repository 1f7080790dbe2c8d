"""The artifact: written whole or not at all, and believed only after all of it was checked.

The files are taken apart here by their specification (docs/artifact.md), not by the code under test.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from penchant.artifact import (
    ARRAYS,
    FILES,
    ITEMS,
    MANIFEST,
    USERS,
    Artifact,
    load_artifact,
    load_manifest,
    save_artifact,
)
from penchant.data.split import split_random
from penchant.data.synthetic import checkerboard
from penchant.errors import ArtifactError
from penchant.models import MODELS, build
from penchant.models.fitting import FitOptions
from penchant.serving.recommender import Recommender

GOLDEN = Path(__file__).parent / "golden"
ALL_FILES = [MANIFEST, *FILES]
QUICK: dict[str, dict[str, Any]] = {
    "bias": {},
    "dot": {"factors": 2, "epochs": 2},
    "mf": {"factors": 2, "epochs": 2},
    "mlp": {"layers": (4, 3), "epochs": 2},
    "popularity": {},
    "item-knn": {"neighbours": 3},
    "ease": {},
    "als": {"factors": 2, "epochs": 2},
    "explicit-als": {"factors": 2, "epochs": 2},
    "bpr": {"factors": 2, "epochs": 2},
    "sequence": {"factors": 2, "epochs": 2, "blocks": 1},
    "bayes": {"factors": 2, "chains": 2, "sweeps": 6, "burn_in": 2, "averaged_factors": 4, "samples": 2},
}


def small_recommender(name: str, seed: int = 1) -> Recommender:
    split = split_random(checkerboard(6, 8), 0.2, seed=1)
    names = pl.Series([f"Film {n}" for n in range(split.train.n_items)])
    table = pl.DataFrame({"genre": ["drama"] * split.train.n_items})
    split = replace(split, train=replace(split.train, item_names=names, item_table=table))
    model = build(name, **QUICK[name])
    if model.in_order:
        split = replace(split, train=replace(split.train, times=np.arange(len(split.train), dtype=np.int64)))
    return Recommender.of(model, split, model.fit(split, FitOptions(seed=seed)), {"data": {"source": "board"}})


@pytest.fixture(scope="module", params=MODELS)
def every_saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_recommender(request.param).save(tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mf, to be read only."""
    return small_recommender("mf").save(tmp_path_factory.mktemp("mf") / "model")


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """An mf, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def nothing(_: Any) -> None:
    """Makes nothing, leaves nothing."""


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refused(folder: Path, *, naming: Path | None = None) -> ArtifactError:
    """Loading raises an ArtifactError that names the path and says what to do."""
    with pytest.raises(ArtifactError) as caught:
        Recommender.load(folder)
    assert str(naming or folder) in caught.value.problem
    assert caught.value.remedy
    return caught.value


# --- there and back -----------------------------------------------------------------------------------


def test_four_files_and_no_code_in_them(every_saved: Path) -> None:
    found = contents(every_saved)
    assert sorted(found) == sorted(ALL_FILES)
    for name in (USERS, ITEMS):
        assert found[name][:4] == found[name][-4:] == b"PAR1"
    assert json.loads(found[MANIFEST])["format"] == "penchant artifact"
    header_length = int.from_bytes(found[ARRAYS][:8], "little")
    header = json.loads(found[ARRAYS][8 : 8 + header_length])
    assert {entry["dtype"] for entry in header.values()} <= {"F16", "F32", "F64", "I32", "I64", "BOOL"}
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(found[ARRAYS]) - 8 - header_length
    for content in found.values():
        with pytest.raises((pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, AttributeError)):
            pickle.loads(content)


def test_checksums_are_as_specified(every_saved: Path) -> None:
    manifest = json.loads((every_saved / MANIFEST).read_text("utf-8"))
    for name in FILES:
        assert manifest["files"][name] == hashlib.sha256((every_saved / name).read_bytes()).hexdigest()
    assert manifest["checksum"] == checksum_of(manifest)


def test_an_artifact_comes_back_as_it_was(tmp_path: Path) -> None:
    whole = Artifact(
        {"model": "x", "about": {"name": "Amélie ☕", "numbers": [0.1, 1e-300, 2**70], "none": None}},
        {
            "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
            "b": np.array([True, False]),
            "c": np.zeros((0, 4), np.int64),
            "d": np.array(7, np.int64),
        },
        pl.DataFrame({"id": ["ä", "z"]}),
        pl.DataFrame({"id": [1, 2], "name": ["one", "two"], "column/name": [None, [1.5]]}),
    )
    save_artifact(whole, tmp_path / "deep" / "model")
    back = load_artifact(tmp_path / "deep" / "model")
    assert back.manifest["about"] == whole.manifest["about"]
    assert sorted(back.manifest) == ["about", "format", "format_version", "model", "penchant"]
    for name, array in whole.arrays.items():
        assert (back.arrays[name].dtype, back.arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(back.arrays[name], array)
    assert back.users.equals(whole.users)
    assert back.items.equals(whole.items)


def test_a_recommender_comes_back_as_it_was(every_saved: Path) -> None:
    loaded = Recommender.load(every_saved)
    fresh = small_recommender(loaded.model.name)
    everyone = np.arange(fresh.model.n_users, dtype=np.int32)
    np.testing.assert_array_equal(loaded.model.scores(everyone), fresh.model.scores(everyone))
    assert loaded.recommend(0, k=9) == fresh.recommend(0, k=9)
    assert loaded.item_names.equals(fresh.item_names)
    assert loaded.item_table.equals(fresh.item_table)
    assert loaded.about == fresh.about
    assert loaded.model.settings == fresh.model.settings
    for part in ("starts", "item_rows", "ratings", "in_training"):
        np.testing.assert_array_equal(getattr(loaded.history, part), getattr(fresh.history, part))


GOLDEN_SCORES = {
    "mf": {
        "user a": [4.8103423, 0.9483302, 4.8744307, 1.1098077, 4.1654844, 1.1439861, 4.9334292, 1.0156562],
        "user f": [1.0601385, 4.7161169, 1.0229692, 4.8969603, 1.0366795, 4.8095598, 1.1262331, 4.8710408],
    },
    "mlp": {
        "user a": [2.9493530, 2.8414605, 2.9344318, 2.9232972, 2.7610226, 3.1575758, 3.1297569, 2.9480345],
        "user f": [2.8526704, 2.8497734, 2.8377831, 2.8266773, 2.7527754, 3.0609159, 3.0330400, 2.8701761],
    },
    "bayes": {
        "user a": [2.7420235, 2.7666280, 2.7999032, 2.9575837, 2.1982942, 3.0171237, 3.1374190, 3.3572762],
        "user f": [2.4422524, 2.6207206, 2.6024914, 2.8037243, 2.1013029, 3.2398417, 2.9750812, 3.4187436],
    },
}
FOLDED_IN = {"mf": (6, 5.0128860), "mlp": (5, 3.1740320), "bayes": (7, 3.5440943)}
RECOMMENDED = {"mf": [0, 1], "mlp": [0, 1], "bayes": [1, 0]}  # to user a


@pytest.mark.parametrize("name", GOLDEN_SCORES)
def test_format_1_is_read_for_ever(name: str) -> None:
    """Artifacts that the first version wrote (golden/make.py). When this fails, format_version has to go up."""
    loaded = Recommender.load(GOLDEN / f"{name}-format-1")
    assert loaded.model.name == name
    assert loaded.users.ids.to_list() == [f"user {letter}" for letter in "abcdef"]
    assert loaded.items.ids.to_list() == list(range(8))
    assert loaded.item_names.to_list() == [*(f"Film {n} (19{90 + n})" for n in range(7)), "Amélie"]
    assert loaded.item_table.to_dict(as_series=False) == {"genre": ["drama", None] * 4, "year": list(range(1990, 1998))}
    for user, scores in GOLDEN_SCORES[name].items():
        row = np.array([loaded.users.row(user)], np.int32)
        np.testing.assert_allclose(loaded.model.scores(row)[0], scores, rtol=0, atol=1e-6)
    assert [one.item for one in loaded.recommend("user a")] == RECOMMENDED[name]
    item, score = FOLDED_IN[name]
    best = loaded.recommend(rated={"Film 2 (1992)": 5, 1: 1}, k=1)[0]
    assert (best.item, best.score) == (item, pytest.approx(score, abs=1e-5))
    assert loaded.item_counts.sum() == loaded.history.in_training.sum() == 29
    assert (loaded.log.ending, loaded.log.seed, loaded.about) == ("finished", 1, {"data": {"source": "golden"}})


def modes(folder: Path) -> tuple[int, set[int]]:
    """Of a folder, and of the files in it."""
    return stat.S_IMODE(folder.stat().st_mode), {stat.S_IMODE((folder / name).stat().st_mode) for name in ALL_FILES}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o700), (0o027, 0o750), (0o022, 0o755)])
def test_who_may_read_it_is_what_the_umask_says(mask: int, mode: int, tmp_path: Path) -> None:
    with umask(mask):
        folder = small_recommender("bias").save(tmp_path / "model")
    assert modes(folder) == (mode, {mode & 0o666})


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o700, 0o600), (0o755, 0o644), (0o2750, 0o440)])
@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_whoever_could_read_a_model_can_read_the_next(
    mask: int, folder_mode: int, file_mode: int, tmp_path: Path
) -> None:
    folder = small_recommender("bias").save(tmp_path / "model")
    for name in ALL_FILES:
        (folder / name).chmod(file_mode)
    folder.chmod(folder_mode)
    with umask(mask):
        small_recommender("bias").save(folder)
    assert modes(folder) == (folder_mode, {file_mode})


def test_file_names_that_are_no_utf_8_do_not_stop_a_save(tmp_path: Path) -> None:
    """Python has half a surrogate pair in the name of a file of another encoding."""
    small = small_recommender("bias")
    folder = replace(small, about={"data": {"source": os.fsdecode(b"caf\xe9.csv")}}).save(tmp_path / "model")
    assert Recommender.load(folder).about == {"data": {"source": "caf?.csv"}}


def test_keys_that_json_makes_strings_of_do_not_break_the_checksum(tmp_path: Path) -> None:
    folder = replace(small_recommender("bias"), about={2: "two", 10: "ten"}).save(tmp_path / "model")
    assert Recommender.load(folder).about == {"2": "two", "10": "ten"}


@pytest.mark.parametrize(
    "value", [{1, 2}, float("nan"), float("inf"), object(), b"bytes"], ids=lambda value: type(value).__name__
)
def test_what_json_has_no_word_for_is_refused_before_anything_is_written(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be written as JSON"):
        replace(small_recommender("bias"), about={"x": value}).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# --- damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("kept", [0, 1, 7, 0.3, 0.7, -1])
def test_a_truncated_file_is_refused(name: str, kept: float, copy: Path) -> None:
    content = (copy / name).read_bytes()
    length = int(kept * len(content)) if isinstance(kept, float) else kept
    (copy / name).write_bytes(content[: length if length >= 0 else -2])
    refused(copy, naming=copy / name)


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("bit", [0x01, 0x10, 0x80])
def test_a_flipped_bit_is_refused(name: str, bit: int, copy: Path) -> None:
    """Anywhere: at both ends and at twenty places between."""
    content = (copy / name).read_bytes()
    for place in np.linspace(0, len(content) - 1, 22).astype(int):
        damaged = bytearray(content)
        damaged[place] ^= bit
        (copy / name).write_bytes(damaged)
        refused(copy, naming=copy / name if name != MANIFEST else copy)


@pytest.mark.parametrize("name", FILES)
def test_bytes_after_the_end_are_refused(name: str, copy: Path) -> None:
    with (copy / name).open("ab") as file:
        file.write(b"\0")
    refused(copy, naming=copy / name)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_file_is_refused(name: str, copy: Path) -> None:
    (copy / name).unlink()
    refused(copy, naming=copy if name == MANIFEST else copy / name)


@pytest.mark.parametrize("name", FILES)
def test_files_of_another_model_are_refused(name: str, copy: Path, tmp_path: Path) -> None:
    other = small_recommender("mf", seed=2) if name == ARRAYS else renamed(small_recommender("mf"))
    other.save(tmp_path / "other")
    (copy / name).write_bytes((tmp_path / "other" / name).read_bytes())
    refused(copy, naming=copy / name)


def renamed(recommender: Recommender) -> Recommender:
    users, items = recommender.users, recommender.items
    return replace(recommender, users=replace(users, ids=users.ids + 1), items=replace(items, ids=items.ids + 1))


def test_a_pickle_in_place_of_arrays_is_not_run(copy: Path, tmp_path: Path) -> None:
    for signed in (False, True):
        (copy / ARRAYS).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
        if signed:
            sign(copy)
        refused(copy)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_the_trap_would_have_sprung(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_links_and_pipes(copy: Path, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(copy)
    assert Recommender.load(tmp_path / "link").recommend(0) == Recommender.load(saved).recommend(0)
    arrays = copy / ARRAYS
    arrays.unlink()
    for target in (tmp_path / "nowhere", arrays, Path("/dev/zero"), saved / USERS, tmp_path):
        arrays.symlink_to(target)
        refused(copy, naming=arrays)
        arrays.unlink()
    os.mkfifo(arrays)
    refused(copy, naming=arrays)  # not a reader that waits for ever


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(nothing, id="nothing"),
        pytest.param(lambda place: place.mkdir(), id="empty folder"),
        pytest.param(lambda place: place.write_text("x"), id="file"),
        pytest.param(lambda place: place.symlink_to(place), id="link to itself"),
        pytest.param(lambda place: (place.mkdir(), (place / "photo.jpg").write_text("x")), id="foreign folder"),
        pytest.param(lambda place: (place / MANIFEST).mkdir(parents=True), id="manifest is a folder"),
    ],
)
def test_what_is_no_artifact_is_refused(make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / "model")
    refused(tmp_path / "model")


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "/dev/null", "/dev/null/model"])
def test_paths_that_cannot_be(path: str) -> None:
    refused(Path(path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        '"penchant artifact"',
        "{}",
        '{"name": "a web app", "icons": []}',
        "[" * 100_000,
        "\ufeff{}",
        '{"format": "penchant artifact"}',
        '{"format": ["penchant artifact"], "format_version": 1}',
        "9" * 10_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_manifest_of_something_else_is_refused(text: str, copy: Path) -> None:
    (copy / MANIFEST).write_text(text)
    refused(copy)


@pytest.mark.parametrize("version", [2, 0, "1", None, 1.5, [1]])
def test_another_format_is_named_with_ours(version: Any, copy: Path) -> None:
    sign(copy, manifest={"format_version": version})
    error = refused(copy)
    assert f"has format {version}" in error.problem
    assert "reads format 1" in error.problem


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda text: text.replace('"checksum": "', '"checksum": "0'), id="edited checksum"),
        pytest.param(lambda text: text.replace('"checksum": ', '"check": '), id="no checksum"),
        pytest.param(lambda text: text.replace('"epochs": 2', '"epochs": 3'), id="edited setting"),
        pytest.param(lambda text: "{" + '"checksum": "0",' + text[1:], id="two checksums, the right one last"),
        pytest.param(lambda text: "{" + '"model": "dot",' + text[1:], id="two models, the right one last"),
        pytest.param(lambda text: text.replace('"factors": 2', '"factors": 9, "factors": 2'), id="two settings"),
        pytest.param(lambda text: text.replace('"board"', r'"\ud800"'), id="half a surrogate pair"),
        pytest.param(lambda text: text.replace('"board"', "NaN"), id="NaN"),
        pytest.param(lambda text: text.replace('"board"', "1e999"), id="infinity"),
        pytest.param(lambda text: text.replace('"board"', "[" * 900 + "]" * 900), id="deep"),
        pytest.param(lambda text: text.replace('"board"', "1" * 5000), id="a long number"),
    ],
)
def test_an_edited_manifest_is_refused(edit: Callable[[str], str], copy: Path) -> None:
    text = (copy / MANIFEST).read_text()
    assert edit(text) != text
    (copy / MANIFEST).write_text(edit(text))
    refused(copy, naming=copy / MANIFEST)


@given(start=st.floats(0, 1), length=st.integers(0, 60), content=st.binary(max_size=60))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_over_the_manifest(start: float, length: int, content: bytes, saved: Path, tmp_path: Path) -> None:
    """Whatever is put anywhere: it is refused, or it still says the same."""
    folder = tmp_path / "fuzzed"
    folder.mkdir(exist_ok=True)
    whole = (saved / MANIFEST).read_bytes()
    at = int(start * len(whole))
    (folder / MANIFEST).write_bytes(whole[:at] + content + whole[at + length :])
    try:
        found = load_manifest(folder)
    except ArtifactError:
        refused(folder)
    else:
        assert found == load_manifest(saved)


@given(content=st.binary(max_size=400))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_manifest_of_random_bytes(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactError):
        load_manifest(tmp_path)


# --- right checksums, wrong contents ------------------------------------------------------------------


def checksum_of(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sign(
    folder: Path,
    *,
    manifest: dict[str, Any] | None = None,
    arrays: dict[str, NDArray[Any] | None] | None = None,
    users: pl.DataFrame | None = None,
    items: pl.DataFrame | None = None,
) -> None:
    """Change parts of an artifact (None takes an array away) and make all checksums right, as an attacker would."""
    if arrays is not None:
        whole = safetensors.numpy.load_file(folder / ARRAYS) | arrays
        kept = {name: np.asarray(array, order="C") for name, array in whole.items() if array is not None}
        (folder / ARRAYS).write_bytes(safetensors.numpy.save(kept))
    for frame, name in ((users, USERS), (items, ITEMS)):
        if frame is not None:
            frame.write_parquet(folder / name)
    found = json.loads((folder / MANIFEST).read_text("utf-8")) | (manifest or {})
    found["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    found["checksum"] = checksum_of(found)
    (folder / MANIFEST).write_text(json.dumps(found), "utf-8")


def array_of(folder: Path, name: str) -> NDArray[Any]:
    return safetensors.numpy.load_file(folder / ARRAYS)[name]


def test_a_signed_artifact_without_changes_is_believed(copy: Path, saved: Path) -> None:
    """The forger of the tests below does nothing else that could be refused."""
    users, items = pl.read_parquet(copy / USERS), pl.read_parquet(copy / ITEMS)
    sign(copy, manifest={}, arrays={"unheard of": np.zeros(3)}, users=users, items=items)
    assert Recommender.load(copy).recommend(0) == Recommender.load(saved).recommend(0)


def learnt() -> list[Any]:
    """Every array of every model."""
    return [
        pytest.param(model, f"model/{name}", id=f"{model}-{name}")
        for model in MODELS
        for name in sorted(small_recommender(model).model.arrays())
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("every")
    return {name: small_recommender(name).save(place / name) for name in MODELS}


@pytest.mark.parametrize(("model", "name"), learnt())
def test_every_array_has_its_type_shape_and_finite_numbers(
    model: str, name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    array = array_of(folders[model], name)
    is_whole = array.dtype.kind == "i"
    not_finite, one_infinite = (array.astype(float if is_whole else array.dtype) for _ in range(2))
    not_finite.flat[-1] = np.nan
    one_infinite.flat[0] = -np.inf
    wrongs = {
        "missing": None,
        "a row less": array[:-1],
        "a row more": np.concatenate((array, array[:1])),
        "empty": array[:0],
        "a number": np.array(array.flat[0]),
        "another dimension": array[None],
        "float16": array.astype(np.float16 if array.dtype != np.float16 else np.float64),
        "integers": np.nan_to_num(array).astype(np.int16 if is_whole else np.int64),
        "other precision": array.astype(np.float64 if array.dtype == np.float32 else np.float32),
        "NaN": not_finite,
        "infinity": one_infinite,
    }
    if array.ndim == 2:
        wrongs |= {"a column less": array[:, :-1], "a column more": np.concatenate((array, array[:, :1]), axis=1)}
    if name == "model/rating_range" and model in ("dot", "explicit-als"):
        del wrongs["NaN"]  # that is what it has: no range
    for what, wrong in wrongs.items():
        folder = Path(shutil.copytree(folders[model], tmp_path / what))
        sign(folder, arrays={name: wrong})
        error = refused(folder)
        # The width of embeddings and the length of lists are only known from the array itself, so another array may be
        # the one that misfits.
        is_list = name.split("/")[-1] in ("columns", "weights", "values")
        told = name.removeprefix("model/") in error.problem or "IndexError" in error.problem
        assert told or is_list or "embeddings" in name, what


@pytest.mark.parametrize("model", ["mf", "mlp"])
def test_a_prior_that_cannot_fold_in_is_refused(model: str, folders: dict[str, Path], tmp_path: Path) -> None:
    covariance = array_of(folders[model], "model/prior/covariance")
    for number, wrong in enumerate(
        (
            {"model/prior/covariance": -covariance},
            {"model/prior/noise": np.zeros(1)},
            {"model/prior/noise": -np.ones(1)},
        )
    ):
        folder = Path(shutil.copytree(folders[model], tmp_path / str(number)))
        sign(folder, arrays=wrong)
        refused(folder)


LARGEST, SMALLEST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@pytest.mark.parametrize(
    ("part", "change"),
    [
        pytest.param("starts", nothing, id="no starts"),
        pytest.param("starts", lambda a: a[:-1], id="a start too few"),
        pytest.param("starts", lambda a: np.append(a, a[-1]), id="a start too many"),
        pytest.param("starts", lambda a: a + 1, id="starts at 1"),
        pytest.param("starts", lambda a: np.append([1], a[1:]), id="does not start at 0"),
        pytest.param("starts", lambda a: a * 10**6, id="starts beyond the end"),
        pytest.param("starts", lambda a: np.concatenate((a[:2], a[1:2] - 1, a[3:])), id="goes down"),
        pytest.param("starts", lambda a: np.concatenate(([0, -5], a[2:])), id="negative"),
        pytest.param(
            "starts", lambda a: np.concatenate(([0, LARGEST, SMALLEST, -1], a[4:])), id="differences overflow"
        ),
        pytest.param("starts", lambda a: a.astype(np.int32), id="starts of int32"),
        pytest.param("starts", lambda a: a.astype(np.float64), id="starts of float64"),
        pytest.param("item_rows", nothing, id="no items"),
        pytest.param("item_rows", lambda a: np.where(a == 7, 8, a), id="an item row beyond"),
        pytest.param("item_rows", lambda a: np.where(a == 0, 2**31 - 1, a), id="an item row far beyond"),
        pytest.param("item_rows", lambda a: a - 1, id="an item row of -1"),
        pytest.param("item_rows", lambda a: a.astype(np.int64), id="item rows of int64"),
        pytest.param("item_rows", lambda a: a[:-1], id="an item row too few"),
        pytest.param("item_rows", lambda a: a[:, None], id="item rows in a column"),
        pytest.param("ratings", nothing, id="no ratings"),
        pytest.param("ratings", lambda a: np.append(a, a[:1]), id="a rating too many"),
        pytest.param("ratings", lambda a: np.where(a == 5, np.nan, a), id="NaN"),
        pytest.param("ratings", lambda a: a.astype(np.float64), id="ratings of float64"),
        pytest.param("in_training", nothing, id="no in_training"),
        pytest.param("in_training", lambda a: a[:-1], id="in_training too short"),
        pytest.param("in_training", lambda a: a.astype(np.uint8), id="in_training of bytes"),
    ],
)
def test_a_history_that_points_outside_is_refused(part: str, change: Callable[[Any], Any], copy: Path) -> None:
    changed = change(array_of(copy, f"history/{part}"))
    sign(copy, arrays={f"history/{part}": None if changed is None else changed.astype(changed.dtype)})
    error = refused(copy)
    assert "history" in error.problem


IDS = pl.Series("id", range(6), dtype=pl.Int64)


@pytest.mark.parametrize(
    "users",
    [
        pytest.param(pl.DataFrame({"id": IDS.head(5)}), id="a user less"),
        pytest.param(pl.DataFrame({"id": pl.Series(range(7), dtype=pl.Int64)}), id="a user more"),
        pytest.param(pl.DataFrame({"id": IDS.head(0)}), id="no users"),
        pytest.param(pl.DataFrame({"id": IDS.reverse()}), id="descending"),
        pytest.param(pl.DataFrame({"id": pl.Series([0, 1, 2, 2, 4, 5])}), id="twice the same"),
        pytest.param(pl.DataFrame({"id": pl.Series([0, 1, None, 3, 4, 5])}), id="null"),
        pytest.param(pl.DataFrame({"id": IDS.cast(pl.Float64)}), id="floats"),
        pytest.param(pl.DataFrame({"id": IDS.cast(pl.Int32)}), id="int32"),
        pytest.param(pl.DataFrame({"id": pl.Series([[n] for n in range(6)])}), id="lists"),
        pytest.param(pl.DataFrame({"user": IDS}), id="another column"),
        pytest.param(pl.DataFrame(), id="no column"),
    ],
)
def test_users_that_do_not_fit_are_refused(users: pl.DataFrame, copy: Path) -> None:
    sign(copy, users=users)
    refused(copy)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda items: items.head(7), id="an item less"),
        pytest.param(
            lambda items: pl.concat((items, items.tail(1).with_columns(id=pl.lit(99, pl.Int64)))), id="an item more"
        ),
        pytest.param(lambda items: items.head(0), id="no items"),
        pytest.param(lambda items: items.reverse(), id="descending"),
        pytest.param(lambda items: items.drop("name"), id="no names"),
        pytest.param(lambda items: items.with_columns(name=pl.lit(None, pl.String)), id="null names"),
        pytest.param(lambda items: items.with_columns(name=pl.col("id")), id="names that are numbers"),
        pytest.param(lambda items: items.with_columns(id=pl.lit(1)), id="one id for all"),
    ],
)
def test_items_that_do_not_fit_are_refused(change: Callable[[pl.DataFrame], pl.DataFrame], copy: Path) -> None:
    sign(copy, items=change(pl.read_parquet(copy / ITEMS)))
    refused(copy)


@pytest.mark.parametrize(
    "manifest",
    [
        {"model": "gpt"},
        {"model": None},
        {"model": ["mf"]},
        {"model": "dot"},
        {"model": "mlp"},
        {"model": "own"},
        {"settings": {}},  # of 50 factors
        {"settings": {"factors": 0}},
        {"settings": {"factors": 1e999}},
        {"settings": {"secret": 1}},
        {"settings": ["factors"]},
        {"settings": None},
        {"settings": "mf"},
        {"log": "long"},
        {"log": [1]},
        {"log": {}},
        {"log": {"epochs": []}},
        {"about": None},
        {"about": "nothing"},
        {"about": [1]},
    ],
    ids=str,
)
def test_a_manifest_that_does_not_fit_is_refused(manifest: dict[str, Any], copy: Path) -> None:
    sign(copy, manifest=manifest)
    refused(copy)


@pytest.mark.parametrize("key", ["model", "settings", "extra", "log", "about"])
def test_a_manifest_without_a_key_is_refused(key: str, copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text("utf-8"))
    del manifest[key]
    (copy / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    sign(copy)
    refused(copy)


@pytest.mark.parametrize("files", [None, [], "all", {}])
def test_a_manifest_without_files_is_refused(files: Any, copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text("utf-8")) | {"files": files}
    (copy / MANIFEST).write_text(json.dumps(manifest | {"checksum": checksum_of(manifest)}), "utf-8")
    refused(copy)


@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=9))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_in_arrays_with_right_checksums(
    places: list[tuple[float, int]], saved: Path, tmp_path: Path
) -> None:
    """Refused or believed, and what is believed answers; never another exception."""
    folder = Path(shutil.copytree(saved, tmp_path / "fuzzed", dirs_exist_ok=True))
    content = bytearray((folder / ARRAYS).read_bytes())
    for place, byte in places:
        content[int(place * (len(content) - 1))] = byte
    (folder / ARRAYS).write_bytes(content)
    sign(folder)
    try:
        loaded = Recommender.load(folder)
    except ArtifactError:
        refused(folder)
    else:
        with np.errstate(all="ignore"):  # numbers of 1e38 are allowed, if not wise
            assert len(loaded.recommend(0, k=3, include_seen=True)) <= 3
            loaded.recommend(rated={1: 5}, k=3)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 9, b"{}", b"\xff" * 8 + b"{}", b"\0" * 100], ids=str)
def test_what_is_neither_arrays_nor_parquet(name: str, content: bytes, copy: Path) -> None:
    """Not fuzzed further: a forged Parquet file may make polars' reader abort the process (docs: no signature)."""
    for whole in (content, (copy / name).read_bytes()[:-9], (copy / name).read_bytes()[9:]):
        (copy / name).write_bytes(whole)
        sign(copy)
        refused(copy)


def test_a_panic_of_the_parquet_reader_is_an_artifact_error(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forged files make it panic, which is no Exception in Python."""
    assert not issubclass(pl.exceptions.PanicException, Exception)

    def panics(*_: Any) -> Any:
        raise pl.exceptions.PanicException("called `Result::unwrap()` on an `Err` value")

    monkeypatch.setattr(pl, "read_parquet", panics)
    assert "Result::unwrap" in refused(copy).problem


# --- writing ------------------------------------------------------------------------------------------


def test_a_later_model_replaces_an_earlier(tmp_path: Path) -> None:
    one, other = small_recommender("bias"), small_recommender("mf")
    folder = one.save(tmp_path / "model")
    before = contents(folder)
    other.save(folder)
    assert Recommender.load(folder).model.name == "mf"
    assert list(tmp_path.iterdir()) == [folder]
    one.save(folder)
    assert contents(folder) | {MANIFEST: b""} == before | {MANIFEST: b""}
    assert list(tmp_path.iterdir()) == [folder]


def test_an_empty_folder_and_a_damaged_artifact_are_replaced(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (copy / MANIFEST).write_bytes((copy / MANIFEST).read_bytes()[:60])
    (copy / USERS).unlink()
    for folder in (tmp_path / "empty", copy):
        assert Recommender.load(small_recommender("bias").save(folder)).model.name == "bias"


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "years"},
        {"manifest.json": '{"manifest_version": 3, "name": "a browser extension"}'},
        {"manifest.json": '{"name": "a web app"}', "index.html": "<p>"},
        {"users.parquet": "somebody else's"},
        {"manifest.json/x": ""},
    ],
    ids=lambda files: "+".join(files),
)
def test_a_folder_of_something_else_is_left_as_it_is(files: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "model"
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    with pytest.raises(ArtifactError) as caught:
        small_recommender("bias").save(place)
    assert str(place) in caught.value.problem
    assert {name: (place / name).read_text() for name in files} == files
    assert list(tmp_path.iterdir()) == [place]


def test_notes_beside_a_model_are_not_deleted_with_it(copy: Path) -> None:
    (copy / "notes.txt").write_text("tried learning_rate 0.1")
    before = contents(copy)
    with pytest.raises(ArtifactError, match=r"holds 'notes\.txt'; it is left as it is"):
        small_recommender("bias").save(copy)
    assert contents(copy) == before


def test_a_file_in_the_way_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a diary")
    for place in (tmp_path / "model", tmp_path / "model" / "inside"):
        with pytest.raises(ArtifactError, match="model"):
            small_recommender("bias").save(place)
    assert (tmp_path / "model").read_text() == "a diary"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "large disk" / "model")
    for name in ("bias", "mf"):
        small_recommender(name).save(tmp_path / "model")
        assert (tmp_path / "model").is_symlink()
        assert Recommender.load(tmp_path / "large disk" / "model").model.name == name
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(ArtifactError, match="circle"):
        small_recommender("bias").save(tmp_path / "circle")


@pytest.mark.parametrize("path", ["/dev/null/model", "/proc/model", "x" * 300])
def test_places_where_nothing_can_be_written(path: str) -> None:
    with pytest.raises(ArtifactError, match=r"cannot be written|exists and is not"):
        small_recommender("bias").save(path)


def full(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


def interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def cannot_exchange(first: Path, second: Path) -> bool:
    del first, second
    return False


@pytest.mark.parametrize("there", [True, False], ids=["replacing", "new"])
@pytest.mark.parametrize("what", ["fsync", "mkdir", "rename"])
def test_a_disk_that_refuses_leaves_the_old_model_whole(
    what: str, there: bool, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(copy)
    if not there:
        shutil.rmtree(copy)
    small = small_recommender("bias")
    monkeypatch.setattr("penchant.folders.exchange", cannot_exchange)
    monkeypatch.setattr({"fsync": "os.fsync", "mkdir": "os.mkdir", "rename": "pathlib.Path.rename"}[what], full)
    with pytest.raises(ArtifactError, match="cannot be written: No space left on device") as caught:
        small.save(copy)
    assert str(copy) in caught.value.problem
    assert list(copy.parent.iterdir()) == ([copy] if there else [])
    assert not there or contents(copy) == before


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path: Path) -> None:
    recommender = small_recommender("bias")
    left = {name: tmp_path / f".model.{name}" for name in ("killed__", "recent__", "of_other", "a_file__")}
    for name in ("killed__", "recent__", "of_other"):
        left[name].mkdir()
        (left[name] / "users.parquet").write_bytes(b"half")
    (left["of_other"] / "photo.jpg").write_bytes(b"a photo")
    left["a_file__"].write_bytes(b"a file")
    days_ago = time.time() - 2 * 24 * 60 * 60
    for name in ("killed__", "of_other", "a_file__"):
        os.utime(left[name], (days_ago, days_ago))
    recommender.save(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {
        "model",
        ".model.recent__",
        ".model.of_other",
        ".model.a_file__",
    }


@pytest.mark.parametrize("fails", [full, interrupted], ids=["full", "Ctrl-C"])
@pytest.mark.parametrize("when", [1, 2])
def test_the_old_model_is_put_back_when_the_swap_fails(
    when: int, fails: Callable[..., Any], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two renames, where a system has nothing better: the old aside, the new in; the third puts the old one back."""
    monkeypatch.setattr("penchant.folders.exchange", cannot_exchange)
    before, renames, rename = contents(copy), [], Path.rename

    def failing(self: Path, target: Path) -> Path:
        renames.append(target)
        return fails() if len(renames) == when else rename(self, target)

    small = small_recommender("bias")
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises((ArtifactError, KeyboardInterrupt)):
        small.save(copy)
    assert len(renames) == (1 if when == 1 else 3)
    assert contents(copy) == before
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize("moment", ["penchant.artifact._write", "penchant.artifact.put", "os.fsync"])
def test_ctrl_c_while_saving_leaves_nothing_behind(moment: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, small = contents(copy), small_recommender("bias")
    monkeypatch.setattr(moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        small.save(copy)
    assert contents(copy) == before
    assert list(copy.parent.iterdir()) == [copy]


FULL_DISK = """
import resource, signal, sys
from penchant.errors import ArtifactError
from penchant.serving.recommender import Recommender
loaded = Recommender.load(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in (0, 10, 700, 1500):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        loaded.save(sys.argv[2])
    except ArtifactError as error:
        print(error.problem)
"""


def test_a_file_system_that_takes_only_so_much(saved: Path, copy: Path) -> None:
    """A real refusal by the kernel, in a process of its own: at once, in the first file, in the second."""
    before = contents(copy)
    assert max(map(len, before.values())) > 1500
    run = subprocess.run([sys.executable, "-c", FULL_DISK, saved, copy], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert run.stdout.splitlines() == [f"{copy} cannot be written: File too large."] * 4
    assert contents(copy) == before
    assert list(copy.parent.iterdir()) == [copy]


def test_parquet_is_written_for_other_readers_too(saved: Path) -> None:
    """Column names and types as docs/artifact.md says, read by another library."""
    parquet = pytest.importorskip("pyarrow.parquet")
    users, items = (parquet.read_table(io.BytesIO((saved / name).read_bytes())) for name in (USERS, ITEMS))
    assert users.column_names == ["id"]
    assert items.column_names == ["id", "name", "column/genre"]
    assert users["id"].to_pylist() == list(range(6))
