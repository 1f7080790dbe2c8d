"""Popularity and the models of items by items, against their formulas and against what they claim to minimise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none
from penchant.data.synthetic import checkerboard, planted, withheld_item
from penchant.errors import NotEnoughMemoryError, SettingError, UnsupportedError
from penchant.machine import check_memory
from penchant.models import itemitem
from penchant.models.base import Model
from penchant.models.fitting import FitOptions
from penchant.models.itemitem import Ease, EaseSettings, ItemKnn, ItemKnnSettings, scores_by_counting
from penchant.models.memory import Sizes, fitting
from penchant.models.popularity import Popularity, PopularitySettings
from penchant.models.preferences import weigh

Doubles = NDArray[np.float64]

MODELS = [Popularity, Ease, ItemKnn]
WITH_HISTORY = [Ease, ItemKnn]


@pytest.fixture(scope="module")
def plays() -> Split:
    """Weights of 0.5 to 5 of 80 users and 120 items."""
    return split_none(replace(planted(80, 120, 4000, seed=1), is_implicit=True))


def dense(train: Interactions, weighting: Any = "log") -> Doubles:
    """Users by items, the twin of Positives."""
    table = np.zeros((train.n_users, train.n_items))
    table[train.user_rows, train.item_rows] = weigh(train.ratings, weighting)
    return table


def fitted(model: Any, split: Split, **options: Any) -> Any:
    model.fit(split, FitOptions(**options))
    return model


def everyone(model: Model) -> NDArray[np.int32]:
    return np.arange(model.n_users, dtype=np.int32)


# --- popularity -------------------------------------------------------------------------------------


def test_popularity_adds_weights(plays: Split) -> None:
    for weighting in ("log", "linear", "binary"):
        model = fitted(Popularity(PopularitySettings(weighting=weighting)), plays)
        sums = dense(plays.train, weighting).sum(axis=0)
        np.testing.assert_allclose(model.scores(everyone(model)), np.tile(sums, (80, 1)), rtol=1e-6)


def test_popularity_of_ratings_counts_them(ratings: Interactions) -> None:
    model = fitted(Popularity(), split_none(ratings))
    assert model.scores(everyone(model)[:1])[0].tolist() == ratings.item_counts.tolist()
    assert model.explain(model.user_vectors(everyone(model)[:1])[0], 3).parts == {"popularity": ratings.item_counts[3]}
    new = model.fold_in(np.array([3], np.int32), np.array([5], np.float32))
    np.testing.assert_array_equal(model.scores_of(new[None]), model.scores(everyone(model)[:1]))


def test_the_loss_of_popularity_is_the_entropy_of_an_item() -> None:
    """Items of the board are taken about equally often: nearly log2 of 30 bits."""
    log = Popularity().fit(split_none(checkerboard()))
    assert log.epochs[0].train_loss == pytest.approx(np.log2(30), abs=0.01)


# --- ease -------------------------------------------------------------------------------------------


def ease_by_formula(table: Doubles, strength: float) -> Doubles:
    inverse = np.linalg.inv(table.T @ table + strength * np.eye(table.shape[1]))
    weights: Doubles = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("swept", [256, 120, 32, 7, 1])
def test_ease_is_its_formula_in_steps_of_any_size(swept: int, plays: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(itemitem, "SWEPT", swept)
    model = fitted(Ease(EaseSettings(regularisation=3)), plays, threads=2)
    expected = ease_by_formula(dense(plays.train), 3)
    np.testing.assert_allclose(model.item_factors(), expected, rtol=1e-5, atol=1e-7)


def test_ease_is_a_ridge_regression_of_each_item_on_all_others(plays: Split) -> None:
    model, table = fitted(Ease(EaseSettings(regularisation=3)), plays), dense(plays.train)
    for item in range(0, 120, 10):
        others = np.delete(table, item, axis=1)
        weights = np.linalg.solve(others.T @ others + 3 * np.eye(119), others.T @ table[:, item])
        found = model.item_factors()[:, item]
        assert found[item] == 0
        np.testing.assert_allclose(np.delete(found, item), weights, rtol=1e-4, atol=1e-6)


def test_the_loss_of_ease_is_what_is_not_reconstructed(plays: Split) -> None:
    model, table = Ease(EaseSettings(regularisation=3)), dense(plays.train)
    loss = model.fit(plays).epochs[0].train_loss
    assert loss == pytest.approx(((table - table @ model.item_factors()) ** 2).sum() / len(plays.train), rel=1e-5)


@pytest.mark.parametrize("gathered", [256, 40, 1])
def test_ease_scores_are_a_product_however_it_is_cut(
    gathered: int, plays: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(itemitem, "GATHERED", gathered)
    model = fitted(Ease(EaseSettings(regularisation=3)), plays)
    expected = dense(plays.train) @ model.item_factors().astype(np.float64)
    np.testing.assert_allclose(model.scores(everyone(model)), expected, rtol=2e-6, atol=2e-6)
    assert not model.scores_of(np.zeros((2, 120), np.float32)).any()


def test_ease_refuses_more_items_than_there_is_memory_for() -> None:
    many, some = Sizes(10**7, 0, 10**5, 10**5), Sizes(10**7, 0, 10**5, 20_000)
    model = Ease()
    with pytest.raises(NotEnoughMemoryError, match="items by items") as caught:
        check_memory("Fitting ease", fitting(model, many), 64 * 10**9, model.memory_remedy)
    assert "item-knn" in caught.value.remedy
    check_memory("Fitting ease", fitting(model, some), 8 * 10**9, model.memory_remedy)
    check_memory("Fitting item-knn", fitting(ItemKnn(), many), 8 * 10**9, "")


def test_ease_says_when_rounding_drowns_its_regularisation() -> None:
    """Two items that the same users took cannot be told apart without any."""
    train = planted(30, 40, 900, seed=2)
    loud = replace(train, is_implicit=True, ratings=train.ratings * np.float32(1e15))
    with pytest.raises(SettingError, match="no solution") as caught:
        Ease(EaseSettings(regularisation=1e-9, weighting="linear")).fit(split_none(loud))
    assert "larger regularisation" in caught.value.remedy


# --- item-knn ---------------------------------------------------------------------------------------


def knn_by_formula(table: Doubles, neighbours: int, shrinkage: float) -> Doubles:
    """Item by item: column i holds the similarities that item i keeps."""
    lengths = np.sqrt((table**2).sum(axis=0))
    similar: Doubles = table.T @ table / (np.outer(lengths, lengths) + shrinkage)
    np.fill_diagonal(similar, 0)
    for item in range(len(similar)):
        worst_first = np.argsort(similar[:, item], kind="stable")
        similar[worst_first[: max(0, len(similar) - neighbours)], item] = 0
    return similar


@pytest.mark.parametrize(("neighbours", "shrinkage"), [(1, 0), (10, 10), (500, 30)])
def test_item_knn_is_its_formula(neighbours: int, shrinkage: float, plays: Split) -> None:
    model = fitted(ItemKnn(ItemKnnSettings(neighbours=neighbours, shrinkage=shrinkage)), plays)
    table = dense(plays.train)
    expected = table @ knn_by_formula(table, neighbours, shrinkage)
    np.testing.assert_allclose(model.scores(everyone(model)), expected, rtol=1e-5, atol=1e-6)


def test_rare_takers_say_more_in_the_scheme_tf_idf(plays: Split) -> None:
    model = fitted(ItemKnn(ItemKnnSettings(scheme="tf-idf")), plays)
    table = dense(plays.train)
    rarity = np.log(1 + 120 / plays.train.user_counts)
    similar = knn_by_formula(table * (rarity / rarity.mean())[:, None], 100, 10)
    np.testing.assert_allclose(model.scores(everyone(model)), table @ similar, rtol=1e-5, atol=1e-6)


def test_item_knn_scores_are_the_same_with_and_without_the_kernel(plays: Split) -> None:
    model = fitted(ItemKnn(), plays)
    vectors = model.user_vectors(everyone(model))
    lists = [model.parameters[f"similar/{part}"] for part in ("starts", "columns", "values")]
    np.testing.assert_array_equal(scores_by_counting(vectors, *lists), model.scores_of(vectors))
    assert not scores_by_counting(np.zeros((1, 120), np.float32), *lists).any()


def test_the_loss_of_item_knn_is_that_of_the_best_multiple(plays: Split) -> None:
    model, table = ItemKnn(), dense(plays.train)
    loss = model.fit(plays).epochs[0].train_loss
    scores = model.scores(everyone(model)).ravel()[:, None]
    left = np.linalg.lstsq(scores, table.ravel(), rcond=None)[1]
    assert loss == pytest.approx(float(left[0]) / len(plays.train), rel=1e-5)


def test_item_knn_has_no_item_factors(plays: Split) -> None:
    with pytest.raises(UnsupportedError):
        fitted(ItemKnn(), plays).item_factors()


# --- all --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
def test_any_number_of_threads_gives_the_same_bytes(kind: Any, plays: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(itemitem, "SWEPT", 16)
    one, *others = (fitted(kind(), plays, threads=threads).arrays() for threads in (1, 2, 3))
    for other in others:
        assert {name: array.tobytes() for name, array in other.items()} == {
            name: array.tobytes() for name, array in one.items()
        }


@pytest.mark.parametrize("kind", MODELS)
def test_a_fit_leaves_what_is_checked_and_a_positive_loss(kind: Any, plays: Split, ratings: Interactions) -> None:
    for split in (plays, split_none(ratings)):
        model = kind()
        log = model.fit(split)
        model.check_arrays(split.train.n_users, split.train.n_items)
        assert log.epochs[0].train_loss > 0
        again = kind.from_arrays(model.settings, model.arrays())
        np.testing.assert_array_equal(again.scores(everyone(model)), model.scores(everyone(model)))


@pytest.mark.parametrize("kind", WITH_HISTORY)
def test_understands_the_board(kind: Any) -> None:
    """The withheld item of what a user likes comes before the disliked one beside it."""
    board = checkerboard()
    liked = board.take(np.flatnonzero(board.ratings > 3)).compact()
    model = fitted(kind(), split_none(liked))
    scores = model.scores(everyone(model))
    for user in range(40):
        good = withheld_item(user, 30)
        assert scores[user, good] > scores[user, good ^ 1]


@pytest.mark.parametrize("kind", WITH_HISTORY)
def test_a_new_user_is_scored_as_a_known_one_with_the_same_history(kind: Any, plays: Split) -> None:
    model, train = fitted(kind(), plays), plays.train
    for user in (0, 7, 41):
        mine = train.user_rows == user
        new = model.fold_in(train.item_rows[mine], train.ratings[mine])
        np.testing.assert_array_equal(new, model.user_vectors(np.array([user], np.int32))[0])


@pytest.mark.parametrize("kind", WITH_HISTORY)
def test_an_average_user_took_a_little_of_everything(kind: Any, plays: Split) -> None:
    model = fitted(kind(), plays)
    nobody = model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))
    np.testing.assert_allclose(nobody, dense(plays.train).mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("kind", WITH_HISTORY)
def test_a_batch_scores_as_each_alone(kind: Any, plays: Split) -> None:
    model = fitted(kind(), plays)
    together = model.scores(everyone(model))
    for user in everyone(model):
        alone = model.scores(np.array([user], np.int32))[0]
        np.testing.assert_allclose(together[user], alone, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", WITH_HISTORY)
def test_contributions_sum_to_the_score(kind: Any, weighted: bool, plays: Split, ratings: Interactions) -> None:
    model = fitted(kind(), plays if weighted else split_none(ratings))
    items, weights = np.array([90, 3, 17, 50], np.int32), np.array([5, 0.5, 2, 1], np.float32)
    scores = model.scores_of(model.fold_in(items, weights)[None])[0]
    for item in range(0, 120, 7):
        parts = model.contributions(items, weights, item)
        assert parts.dtype == np.float64
        assert parts.sum() == pytest.approx(scores[item], rel=1e-5, abs=1e-7)
        for place in range(4):  # without one item, its part is missing
            rest = np.delete(np.arange(4), place)
            without = model.scores_of(model.fold_in(items[rest], weights[rest])[None])[0, item]
            assert scores[item] - without == pytest.approx(parts[place], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", WITH_HISTORY)
def test_contributions_of_nothing_are_none(kind: Any, plays: Split) -> None:
    model = fitted(kind(), plays)
    assert model.contributions(np.empty(0, np.int32), np.empty(0, np.float32), 4).tolist() == []


def spoilt(array: NDArray[Any], place: int, value: int) -> NDArray[Any]:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("kind", "name"), [(Ease, "history"), (ItemKnn, "history"), (ItemKnn, "similar")], ids=["ease", "knn", "lists"]
)
def test_sparse_rows_of_hostile_files_are_refused(kind: Any, name: str, plays: Split) -> None:
    model = fitted(kind(), plays)
    starts, columns = (model.parameters[f"{name}/{part}"] for part in ("starts", "columns"))
    bad: list[tuple[str, NDArray[Any]]] = [
        ("starts", spoilt(starts, 0, 1)),
        ("starts", spoilt(starts, -1, len(columns) + 1)),
        ("starts", spoilt(starts, -1, len(columns) - 1)),
        ("starts", spoilt(starts, 5, -3)),
        ("starts", spoilt(starts, 5, 2**62)),
        ("starts", starts[:-1]),
        ("starts", starts.astype(np.int32)),
        ("columns", spoilt(columns, 4, -1)),
        ("columns", spoilt(columns, 4, 120)),
        ("columns", spoilt(columns, 1, columns[0])),
        ("columns", columns[:-1]),
        ("columns", np.array(3, np.int32)),
        ("columns", columns.astype(np.int64)),
        ("columns", np.empty(0, np.int32)),
    ]
    for part, array in bad:
        hostile = kind.from_arrays(model.settings, {**model.arrays(), f"{name}/{part}": array})
        with pytest.raises(ValueError, match=f"{name}/"):
            hostile.check_arrays(80, 120)
    missing = {key: array for key, array in model.arrays().items() if key != f"{name}/columns"}
    with pytest.raises(ValueError, match=f"{name}/"):
        kind.from_arrays(model.settings, missing).check_arrays(80, 120)


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_learnt_takes_what_is_said(kind: Any, plays: Split) -> None:
    model = fitted(kind(), plays)
    learnt = sum(
        array.nbytes for name, array in model.parameters.items() if not name.startswith(("fallback/", "scale"))
    )
    assert learnt <= model.learnt_memory(Sizes.of(plays)) + 100
    assert model.learnt_memory(Sizes.of(plays)) <= 1.3 * learnt
