"""What every model promises. A model joins by being in MODELS; a torch module of one's own joins as "own"."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none, split_random
from penchant.data.synthetic import withheld_item
from penchant.errors import NotFittedError, SettingError, UnknownIdError, UnsupportedError
from penchant.models import MODELS, Model, build, build_own
from penchant.models.fitting import FitOptions
from penchant.serving.recommender import Recommender

torch = pytest.importorskip("torch")

EVERY_MODEL = [*MODELS, "own"]
PREFERENCES = [name for name, model in MODELS.items() if model.ranks_only]
RATED = [name for name in EVERY_MODEL if name not in PREFERENCES]  # those that predict ratings
PERSONAL = [name for name in EVERY_MODEL if name not in ("bias", "popularity")]  # that tell two users' tastes apart
SEEDED = [name for name in EVERY_MODEL if name not in ("bias", "popularity", "item-knn", "ease")]

# Enough epochs for a board of a thousand ratings, where the defaults are meant for a hundred thousand.
ON_THE_BOARD: dict[str, dict[str, Any]] = {
    "dot": {"factors": 8, "epochs": 60},
    "mf": {"factors": 8, "epochs": 60},
    "mlp": {"epochs": 60, "batch_size": 32, "learning_rate": 0.01, "embedding_rate": 0.3},
    "own": {"epochs": 60, "batch_size": 32, "learning_rate": 0.02, "weight_decay": 0.01},
    "als": {"factors": 8},
    "bpr": {"factors": 8},
    "ease": {"regularisation": 10.0},
    "sequence": {"factors": 16, "epochs": 60, "batch_size": 4, "learning_rate": 0.005},
}
# Of models that are asked for many fits.
BRIEFLY: dict[str, dict[str, Any]] = {"sequence": {"epochs": 3}}


class DotProduct(torch.nn.Module):
    """The notebook's first model, as a user would bring it."""

    def __init__(self, n_users: int, n_items: int, n_factors: int = 8) -> None:
        super().__init__()
        self.user_factors = torch.nn.Embedding(n_users, n_factors)
        self.item_factors = torch.nn.Embedding(n_items, n_factors)
        torch.nn.init.normal_(self.user_factors.weight, std=0.3)
        torch.nn.init.normal_(self.item_factors.weight, std=0.3)
        self.level = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Any) -> Any:
        return self.level + (self.user_factors(x[:, 0]) * self.item_factors(x[:, 1])).sum(dim=1)


def make(name: str, **settings: Any) -> Model:
    return build_own(DotProduct, **settings) if name == "own" else build(name, **settings)


def module_of(name: str) -> Any:
    return DotProduct if name == "own" else None


@pytest.fixture(scope="module")
def fitted(split: Split) -> Callable[[str], Recommender]:
    """Each model once, fitted on the planted ratings."""
    kept: dict[str, Recommender] = {}

    def get(name: str) -> Recommender:
        if name not in kept:
            model, told = make(name), told_to(name, split)
            kept[name] = Recommender.of(model, told, model.fit(told, FitOptions(seed=5)))
        return kept[name]

    return get


@pytest.fixture(scope="module")
def on_the_board(board: Split) -> Callable[[str], Recommender]:
    kept: dict[str, Recommender] = {}

    def get(name: str) -> Recommender:
        if name not in kept:
            model, told = make(name, **ON_THE_BOARD.get(name, {})), board_for(name, board)
            kept[name] = Recommender.of(model, told, model.fit(told, FitOptions(seed=2)))
        return kept[name]

    return get


def board_for(name: str, board: Split) -> Split:
    """The board; for models of preferences what is liked alone, as interactions that nobody rated."""
    if name not in PREFERENCES:
        return board
    positions = np.flatnonzero(board.train.ratings > 3)
    if MODELS[name].in_order:  # an order that says nothing
        positions = np.random.default_rng(0).permutation(positions)
    return told_to(name, split_none(replace(board.train.take(positions), is_implicit=True)))


def told_to(name: str, split: Split) -> Split:
    """The split, with times in the order of the table for models that learn from order."""
    if name == "own" or not MODELS[name].in_order:
        return split
    return replace(split, train=replace(split.train, times=np.arange(len(split.train), dtype=np.int64)))


@pytest.mark.parametrize("name", PERSONAL)
def test_the_withheld_pair_of_the_checkerboard_comes_first(name: str, on_the_board: Any, board: Split) -> None:
    recommender = on_the_board(name)
    for user in board.train.users.ids:
        first = recommender.recommend(user, k=1)[0]
        assert first.item == withheld_item(user, board.train.n_items), f"user {user}"


def test_bias_alone_cannot_understand_the_checkerboard(on_the_board: Any) -> None:
    scores = on_the_board("bias").model.scores(np.arange(40, dtype=np.int32))
    assert np.ptp(scores) < 0.5


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_a_batch_of_users_scores_as_each_alone(name: str, fitted: Any) -> None:
    model = fitted(name).model
    together = model.scores(np.arange(10, dtype=np.int32))
    assert together.shape == (10, model.n_items)
    assert together.dtype == np.float32
    for user in range(10):
        alone = model.scores(np.array([user], np.int32))[0]
        np.testing.assert_allclose(together[user], alone, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_all_items_score_as_an_explicit_list_of_pairs(name: str, fitted: Any) -> None:
    model = fitted(name).model
    items = np.arange(model.n_items, dtype=np.int32)
    pairs = model.pair_scores(np.full(len(items), 7, np.int32), items)
    np.testing.assert_allclose(model.scores(np.array([7], np.int32))[0], pairs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_seen_items_are_never_returned_unless_asked(name: str, fitted: Any, split: Split) -> None:
    recommender = fitted(name)
    held_out = split.valid
    assert held_out is not None
    for user in split.train.users.ids.head(20):
        seen = set(rated_by(split.train, user)) | set(rated_by(held_out, user))
        assert not seen & {one.item for one in recommender.recommend(user, k=30)}
        everything = {one.item for one in recommender.recommend(user, k=1000, include_seen=True)}
        assert everything == set(split.train.items.ids)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_lists_are_ordered_and_as_long_as_there_are_items(name: str, fitted: Any, split: Split) -> None:
    recommender = fitted(name)
    user = split.train.users.ids[3]
    items = recommender.recommend(user, k=10_000)
    known = [item for item in rated_by(split.valid, user) if item in set(split.train.items.ids)]
    assert len(items) == split.train.n_items - len(rated_by(split.train, user)) - len(known)
    scores = [one.score for one in items]
    assert scores == sorted(scores, reverse=True)
    assert recommender.recommend(user, k=3) == items[:3]
    with pytest.raises(SettingError, match="k is 0"):
        recommender.recommend(user, k=0)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_many_users_get_what_each_would_get(name: str, fitted: Any) -> None:
    recommender = fitted(name)
    users = recommender.users.ids.head(7).to_list()
    for user, items in recommender.recommend_many(users, k=5):
        assert [one.item for one in items] == [one.item for one in recommender.recommend(user, k=5)]


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_an_unknown_id_is_named_and_a_remedy_given(name: str, fitted: Any) -> None:
    recommender = fitted(name)
    with pytest.raises(UnknownIdError, match="no user 987654") as caught:
        recommender.recommend(987654)
    assert "--rated" in caught.value.remedy
    with pytest.raises(UnknownIdError, match="no item 987654"):
        recommender.predict(recommender.users.ids[0], 987654)
    with pytest.raises(UnknownIdError, match="no item 'no such film'"):
        recommender.recommend(rated={"no such film": 4})


@pytest.mark.parametrize("name", RATED)
def test_the_unknown_is_answered_by_damped_biases(name: str, fitted: Any, split: Split) -> None:
    model = fitted(name).model
    fallback = model.fallback
    users, items = np.array([-1, 4, -1], np.int32), np.array([9, -1, -1], np.int32)
    expected = np.array(
        [fallback.mean + fallback.item_biases[9], fallback.mean + fallback.user_biases[4], fallback.mean]
    )
    np.testing.assert_allclose(model.pair_scores(users, items), expected, rtol=1e-6)
    assert fallback.mean == pytest.approx(float(split.train.ratings.mean()), rel=1e-6)


@pytest.mark.parametrize("name", PREFERENCES)
def test_of_preferences_an_unknown_user_is_an_average_one_and_an_unknown_item_comes_last(
    name: str, fitted: Any
) -> None:
    model = fitted(name).model
    nobody = model.scores_of(model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))[None])[0]
    scores = model.pair_scores(np.array([-1, 4, -1], np.int32), np.array([9, -1, -1], np.int32))
    assert scores[0] == pytest.approx(nobody[9], rel=1e-5)
    assert np.isneginf(scores[1:]).all()


@pytest.mark.parametrize("name", PREFERENCES)
def test_models_of_preferences_predict_no_ratings(name: str, fitted: Any) -> None:
    recommender = fitted(name)
    with pytest.raises(UnsupportedError, match="does not predict ratings"):
        recommender.predict(recommender.users.ids[0], recommender.items.ids[0])
    assert all(one.prediction is None for one in recommender.recommend(recommender.users.ids[0], k=3))


@pytest.mark.parametrize("name", [name for name in RATED if name != "own"])
def test_models_of_ratings_refuse_interactions_that_nobody_rated(name: str, split: Split) -> None:
    implicit = split_none(replace(split.train, is_implicit=True))
    with pytest.raises(UnsupportedError, match="nobody rated") as caught:
        make(name).fit(implicit)
    assert "als" in caught.value.remedy


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_somebody_with_no_history_gets_a_list(name: str, fitted: Any) -> None:
    items = fitted(name).recommend(rated={}, k=5)
    assert len(items) == 5
    assert all(np.isfinite(one.score) for one in items)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_nothing_is_nan_and_predictions_keep_to_the_scale(name: str, fitted: Any) -> None:
    recommender = fitted(name)
    model = recommender.model
    assert all(np.isfinite(array).all() or key == "rating_range" for key, array in model.arrays().items())
    assert np.isfinite(model.scores(np.arange(model.n_users, dtype=np.int32))).all()
    if name in PREFERENCES:
        return
    low, high = model.scale
    predictions = [one.prediction for one in recommender.recommend(recommender.users.ids[0], k=1000, include_seen=True)]
    assert low <= min(predictions)
    assert max(predictions) <= high


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_a_refit_equals_a_fresh_fit(name: str, split: Split, board: Split) -> None:
    model, fresh = (make(name, **BRIEFLY.get(name, {})) for _ in range(2))
    split = told_to(name, split)
    model.fit(told_to(name, board), FitOptions(seed=1))
    model.fit(split, FitOptions(seed=4))
    fresh.fit(split, FitOptions(seed=4))
    assert digest(model) == digest(fresh)


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_gives_another_model(name: str, split: Split) -> None:
    one, other = (make(name, **BRIEFLY.get(name, {})) for _ in range(2))
    split = told_to(name, split)
    one.fit(split, FitOptions(seed=1))
    other.fit(split, FitOptions(seed=2))
    assert digest(one) != digest(other)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_saved_and_loaded_it_gives_equal_scores(name: str, fitted: Any, tmp_path: Path) -> None:
    recommender = fitted(name)
    loaded = Recommender.load(recommender.save(tmp_path / "model"), module=module_of(name))
    users = np.arange(12, dtype=np.int32)
    np.testing.assert_array_equal(loaded.model.scores(users), recommender.model.scores(users))
    assert loaded.recommend(recommender.users.ids[5], k=8) == recommender.recommend(recommender.users.ids[5], k=8)
    assert loaded.model.settings == recommender.model.settings
    assert loaded.log == recommender.log
    assert digest(loaded.model) == digest(recommender.model)


def settings_of_models() -> list[Any]:
    models: list[type[Model]] = [*MODELS.values(), type(build_own(DotProduct))]
    return [(model.name, field) for model in models for field in model.settings_class.describe()]


@pytest.mark.parametrize(("name", "field"), [pytest.param(n, f, id=f"{n}-{f.name}") for n, f in settings_of_models()])
def test_every_setting_changes_the_outcome(name: str, field: Any, split: Split) -> None:
    """A setting that is accepted and ignored is a lie; the search space is where it is looked for."""
    assert field.search is not None, "a tuner must know where to look"
    other = next(value for value in reversed(field.search) if value != field.default)
    if isinstance(field.default, int) and not isinstance(field.default, bool):
        other = int(other)
    if (name, field.name) == ("sequence", "negatives"):  # no more than there are items
        other = field.search[0]
    few = {setting: value for setting, value in FEW.get(name, {"epochs": 2}).items() if setting != field.name}
    plain, changed = make(name, **few), make(name, **few, **{field.name: other})
    told = described(split)
    if name in PREFERENCES:
        told = replace(told, train=replace(told.train, is_implicit=True))
    plain.fit(told, FitOptions(seed=1))
    changed.fit(told, FitOptions(seed=1))
    everyone = np.arange(plain.n_users, dtype=np.int32)
    own, others = (model.deviations(everyone, everyone) for model in (plain, changed))
    same_scores = np.array_equal(plain.scores(everyone), changed.scores(everyone))
    assert not same_scores or (own is not None and not np.array_equal(own, others))


# So few rounds of learning that every setting can be tried.
FEW: dict[str, dict[str, Any]] = {
    "bias": {},
    "popularity": {},
    "item-knn": {},
    "ease": {},
    "sequence": {"epochs": 2, "negatives": 20},
    "bayes": {"chains": 2, "sweeps": 80, "burn_in": 5, "samples": 4, "averaged_factors": 16},
}


def described(split: Split) -> Split:
    """The same ratings with times, and tables of users and items."""
    train = split.train
    days = np.arange(len(train), dtype=np.int64) % 90
    items = pl.DataFrame({"genre": [("drama", "war", "drama|war")[row % 3] for row in range(train.n_items)]})
    users = pl.DataFrame({"age": [str(20 + row % 7) for row in range(train.n_users)]})
    return replace(split, train=replace(train, times=86_400 * days, item_table=items, user_table=users), valid=None)


@pytest.mark.parametrize("factor", [25.0, 0.2])
@pytest.mark.parametrize("name", [name for name in RATED if name != "own"])
def test_the_scale_of_ratings_makes_no_difference(name: str, factor: float, fitted: Any, split: Split) -> None:
    """Half stars, points of a hundred and thumbs are learnt alike, by training users and by those folded in."""

    def scaled(ratings: Interactions) -> Interactions:
        return replace(ratings, ratings=ratings.ratings * np.float32(factor))

    assert split.valid is not None
    told = replace(split, train=scaled(split.train), valid=scaled(split.valid))
    plain, other = fitted(name).model, make(name)
    other.fit(told, FitOptions(seed=5))
    everyone = np.arange(plain.n_users, dtype=np.int32)
    close = {"rtol": 0.02, "atol": 0.03}
    np.testing.assert_allclose(other.scores(everyone) / factor, plain.scores(everyone), **close)
    items, ratings = np.array([3, 50, 7], np.int32), np.array([5, 1, 3], np.float32)
    vectors = plain.fold_in(items, ratings), other.fold_in(items, ratings * np.float32(factor))
    of_plain, of_other = (model.scores_of(one[None]) for model, one in zip((plain, other), vectors, strict=True))
    np.testing.assert_allclose(of_other / factor, of_plain, **close)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_an_explanation_sums_to_the_score(name: str, fitted: Any) -> None:
    recommender = fitted(name)
    model = recommender.model
    for user, item in ((0, 0), (3, 50), (40, 11)):
        vector = model.user_vectors(np.array([user], np.int32))[0]
        found = model.explain(vector, item)
        assert sum(found.parts.values()) == pytest.approx(found.score, abs=2e-5)
        score = model.pair_scores(np.array([user], np.int32), np.array([item], np.int32))[0]
        assert found.score == pytest.approx(float(score), abs=2e-5)


TELLING = [name for name in EVERY_MODEL if name != "popularity"]  # what each item of a history adds to a score
# How far contributions may be from their sum: of mlp the most probable vector may lie on a kink of its network, where
# no slope is 0.
UNTOLD = {"mlp": 0.03}


@pytest.mark.parametrize("name", TELLING)
def test_what_a_history_adds_sums_to_the_score_that_it_gives(name: str, fitted: Any, split: Split) -> None:
    model, nothing = fitted(name).model, (np.empty(0, np.int32), np.empty(0, np.float32))
    nobody = model.scores_of(model.fold_in(*nothing)[None])[0]
    moves, untold = [], []
    for user in (0, 3, 40):
        mine = split.train.by_user.of(user)
        history = split.train.item_rows[mine], split.train.ratings[mine]
        scores = model.scores_of(model.fold_in(*history)[None])[0]
        for item in range(0, model.n_items, 11):
            adds = model.contributions(*history, item)
            assert (adds.shape, adds.dtype) == ((len(mine),), np.float64)
            moves.append(float(scores[item] - (0 if name in PREFERENCES else nobody[item])))
            untold.append(moves[-1] - adds.sum())
    assert np.abs(untold).max() < UNTOLD.get(name, 2e-4)
    assert np.std(moves) > 5 * np.std(untold)
    assert model.contributions(*nothing, 5).tolist() == []


@pytest.mark.parametrize("name", TELLING)
def test_without_the_item_that_adds_most_a_score_is_lower(name: str, fitted: Any, split: Split) -> None:
    """In nearly all cases: what is left of a history is weighed anew, so that there is no proof."""
    model, lower = fitted(name).model, []
    for user in range(0, 40, 5):
        mine = split.train.by_user.of(user)
        history = split.train.item_rows[mine], split.train.ratings[mine]
        scores = model.scores_of(model.fold_in(*history)[None])[0]
        for item in range(3, model.n_items, 40):
            most = int(np.argmax(model.contributions(*history, item)))
            without = model.fold_in(*(np.delete(column, most) for column in history))
            lower.append(bool(model.scores_of(without[None])[0, item] < scores[item]))
    assert np.mean(lower) >= 0.9


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_reasons_sum_to_the_score_that_is_recommended_by(name: str, fitted: Any) -> None:
    recommender = fitted(name)
    user = recommender.users.ids[3]
    first = recommender.recommend(user, k=1)[0]
    found = recommender.reasons(user, first.item)
    if name not in TELLING:
        assert found is None
        return
    assert found.score == pytest.approx(first.score, abs=1e-5)
    total = found.average + sum(one.value for one in found.items) + found.rest
    assert total == pytest.approx(found.score, abs=1e-4)
    assert [one.value for one in found.items] == sorted((one.value for one in found.items), reverse=True)
    history = recommender.history
    mine = np.arange(len(history.ratings))[history.of(3)]
    mine = mine[history.in_training[mine]]
    ids = recommender.items.take(history.item_rows[mine])
    assert {one.item: one.rating for one in found.items} == dict(zip(ids, history.ratings[mine], strict=True))


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_folding_in_a_training_user_lands_near_the_user(name: str, on_the_board: Any, board: Split) -> None:
    """On the board, whose answer is known: the same taste, and the withheld item first."""
    model, train = on_the_board(name).model, board_for(name, board).train
    for user in range(0, 40, 3):
        mine = train.by_user.of(user)
        vector = model.fold_in(train.item_rows[mine], train.ratings[mine])
        own = model.scores(np.array([user], np.int32))[0]
        folded = model.scores_of(vector[None])[0]
        assert np.sqrt(np.mean((own - folded) ** 2)) < 0.5
        if name in PERSONAL:
            assert np.corrcoef(own, folded)[0, 1] > 0.95


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_a_fold_in_changes_nothing_else(name: str, fitted: Any) -> None:
    model = fitted(name).model
    before = digest(model)
    model.fold_in(np.array([1, 2], np.int32), np.array([5, 1], np.float32))
    assert digest(model) == before


@pytest.mark.parametrize("name", [name for name in PREFERENCES if name in PERSONAL])
def test_a_fold_in_of_strangers_tells_what_they_like_from_what_not(name: str, board: Split) -> None:
    """Users of the board that training never saw: a third of what they like folds them in."""
    liked = board_for(name, board).train
    model = make(name, **ON_THE_BOARD.get(name, {}))
    model.fit(split_none(liked.take(np.flatnonzero(liked.user_rows < 30))))
    for user in range(30, 40):
        mine = liked.item_rows[liked.by_user.of(user)]
        scores = model.scores_of(model.fold_in(mine[::3], np.ones(len(mine[::3]), np.float32))[None])[0]
        others = np.setdiff1d(np.arange(user % 2, model.n_items, 2), mine[::3])
        ordered = scores[others][:, None] > scores[1 - user % 2 :: 2]
        assert ordered.mean() > 0.9


@pytest.mark.parametrize("name", RATED)
def test_a_fold_in_of_strangers_predicts_better_than_no_history(name: str, ratings: Interactions) -> None:
    """Users that training never saw: half of their ratings fold them in, the other half is predicted."""
    strangers = ratings.user_rows >= 60
    split = split_none(ratings.take(np.flatnonzero(~strangers)).compact())
    model = make(name, **({"epochs": 20, "batch_size": 64} if name == "own" else {}))
    model.fit(split, FitOptions(seed=1))
    item_rows = split.train.items.rows(ratings.items.ids, missing="minus one")
    informed, average = [], []
    nobody = model.scores_of(model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))[None])[0]
    for user in range(60, 80):
        mine = ratings.by_user.of(user)
        mine = mine[item_rows[ratings.item_rows[mine]] >= 0]
        given, asked = mine[::2], mine[1::2]
        vector = model.fold_in(item_rows[ratings.item_rows[given]], ratings.ratings[given])
        rows = item_rows[ratings.item_rows[asked]]
        informed.extend((model.scores_of(vector[None])[0][rows] - ratings.ratings[asked]) ** 2)
        average.extend((nobody[rows] - ratings.ratings[asked]) ** 2)
    assert np.mean(informed) < np.mean(average)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_an_unfitted_model_says_so(name: str) -> None:
    with pytest.raises(NotFittedError, match="not fitted"):
        make(name).scores(np.zeros(1, np.int32))


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_the_log_has_every_epoch_and_measures_the_kept_one(name: str, fitted: Any, split: Split) -> None:
    recommender = fitted(name)
    log = recommender.log
    assert [epoch.epoch for epoch in log.epochs] == list(range(len(log.epochs)))
    assert all(epoch.train_loss > 0 and epoch.seconds > 0 for epoch in log.epochs)
    if not recommender.model.has_valid_loss:
        assert log.valid_loss is None
        return
    assert all(epoch.valid_loss > 0 for epoch in log.epochs)
    if name in PREFERENCES:
        return
    report = recommender.evaluate(split.valid)
    assert report.metrics["mse"] == pytest.approx(log.valid_loss, rel=1e-5)


@pytest.mark.parametrize("name", EVERY_MODEL)
def test_one_item_a_user_and_one_user_an_item_are_enough(name: str) -> None:
    """The smallest table that reading lets through."""
    from penchant.data.synthetic import checkerboard

    whole = checkerboard(2, 4)
    model = make(name)
    model.fit(told_to(name, split_none(whole.take(np.array([0, 3])).compact())))
    assert np.isfinite(model.scores(np.arange(2, dtype=np.int32))).all()


BYTES_PROGRAM = """
import json, sys
sys.path.insert(0, {tests!r})
from test_contract import BRIEFLY, EVERY_MODEL, digest, make, told_to
from penchant.data.split import split_random
from penchant.data.synthetic import planted
from penchant.models.fitting import FitOptions
split = split_random(planted(300, 400, 20000, seed=7), 0.2, seed=3)
found = {{}}
for name in EVERY_MODEL:
    model = make(name, **BRIEFLY.get(name, {{}}))
    model.fit(told_to(name, split), FitOptions(seed=9))
    found[name] = digest(model)
print(json.dumps(found))
"""


def test_same_seed_same_bytes_for_any_number_of_threads() -> None:
    """Fresh processes with 1, 2 and 16 threads for BLAS, Numba and torch."""
    found = []
    for threads in ("1", "2", "16"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        program = BYTES_PROGRAM.format(tests=str(Path(__file__).parent))
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **dict.fromkeys(names, threads)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        found.append(json.loads(run.stdout))
    assert found[0] == found[1] == found[2]
    assert set(found[0]) == set(EVERY_MODEL)


def rated_by(ratings: Interactions | None, user: int) -> list[int]:
    """Item ids of one user's ratings."""
    if ratings is None or user not in set(ratings.users.ids):
        return []
    row = ratings.users.row(user)
    found: list[int] = ratings.items.take(ratings.item_rows[ratings.user_rows == row])
    return found


def digest(model: Model) -> str:
    """Of all that a model has learnt."""
    whole = hashlib.sha256()
    for name, array in sorted(model.arrays().items()):
        whole.update(name.encode() + array.tobytes())
    return whole.hexdigest()


def test_a_split_made_twice_is_the_same(ratings: Interactions) -> None:
    one, other = split_random(ratings, 0.2, seed=3), split_random(ratings, 0.2, seed=3)
    np.testing.assert_array_equal(one.train.ratings, other.train.ratings)
    assert replace(one.train, source="").n_users == other.train.n_users
