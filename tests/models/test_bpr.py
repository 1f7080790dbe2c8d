"""`bpr`: that it learns, that threads do not matter, and what folding in a user minimises."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import penchant.models.bpr as module
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none, split_random
from penchant.data.synthetic import checkerboard, planted
from penchant.errors import SettingError, UnsupportedError
from penchant.evaluate_lists import HeldOut, evaluate_lists
from penchant.models import build
from penchant.models.bpr import PAIRS_COUNT, Bpr, BprSettings, _BprTraining
from penchant.models.fitting import FitLog, FitOptions
from penchant.rank_metrics import parse_rank_metric
from penchant.threads import Workers

LOSSES = ["softmax", "bpr"]
QUICK = {"factors": 12, "epochs": 4, "learning_rate": 0.3}


@pytest.fixture(scope="module")
def plays() -> Split:
    return split_none(replace(planted(300, 200, 6000, seed=3), is_implicit=True))


def fitted(split: Split, options: FitOptions | None = None, **settings: Any) -> tuple[Bpr, FitLog]:
    model = Bpr(BprSettings(**{**QUICK, **settings}))
    return model, model.fit(split, options)


def learnt(model: Bpr) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.arrays().items()}


def history(train: Interactions, user: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    own = np.flatnonzero(train.user_rows == user)
    return train.item_rows[own], train.ratings[own]


# --- learning ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_starts_at_that_of_guessing_and_falls(plays: Split, loss: str) -> None:
    """With scores of 0: log of the items of a block, or log 2."""
    _, log_of_fit = fitted(plays, loss=loss, epochs=8, weighting="binary", learning_rate=1e-6)
    guessing = log(200 / 4) if loss == "softmax" else PAIRS_COUNT * log(2)
    assert log_of_fit.epochs[0].train_loss == pytest.approx(guessing, rel=0.002)
    _, log_of_fit = fitted(plays, loss=loss, epochs=8, weighting="binary")
    losses = [epoch.train_loss for epoch in log_of_fit.epochs]
    assert losses[0] < guessing
    assert losses[-1] < losses[3] < losses[0]


def of_four_tastes(n_users: int, n_items: int, each: int, seed: int) -> Interactions:
    """Users who take items of one taste of four ten times as often as others, and popular items more than rare ones."""
    draw = np.random.default_rng(seed)
    board = checkerboard(n_users, n_items)
    popularity = draw.permutation(np.arange(1, n_items + 1) ** -0.7)
    taken = []
    for user in range(n_users):
        chances = popularity * np.where(np.arange(n_items) % 4 == user % 4, 10.0, 1.0)
        taken.append(draw.choice(n_items, each, replace=False, p=chances / chances.sum()))
    rows = np.repeat(np.arange(n_users, dtype=np.int32), each), np.concatenate(taken).astype(np.int32)
    ones = np.ones(n_users * each, np.float32)
    return Interactions(board.users, board.items, *rows, ones, is_implicit=True).compact()


@pytest.mark.parametrize("loss", LOSSES)
def test_with_the_default_settings_it_finds_more_of_what_was_held_out_than_popularity(loss: str) -> None:
    split = split_random(of_four_tastes(400, 200, 30, seed=4), 0.2, seed=0)
    held_out = HeldOut.of(split.valid, (split.valid_user_rows, split.valid_item_rows))
    by_user = split.train.by_user
    taken = by_user.starts, split.train.item_rows[by_user.positions]
    found = {}
    for name, settings in {"popularity": {}, "bpr": {"loss": loss}}.items():
        model = build(name, **settings)
        model.fit(split)
        found[name] = evaluate_lists(model, held_out, taken, [parse_rank_metric("ndcg@10")]).metrics["ndcg@10"]
    assert found["bpr"] > 1.3 * found["popularity"]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_checkerboard_is_understood(loss: str) -> None:
    board = checkerboard()
    liked = board.take(np.flatnonzero(board.ratings > 3))
    model, _ = fitted(split_none(replace(liked, is_implicit=True)), factors=4, epochs=20, loss=loss)
    scores = model.scores(np.arange(model.n_users, dtype=np.int32))
    for user in range(model.n_users):
        assert scores[user, user % 2 :: 2].min() > scores[user, 1 - user % 2 :: 2].max()


def test_biases_follow_how_often_items_are_taken(plays: Split) -> None:
    model, _ = fitted(plays, epochs=20)
    biases = model.arrays()["item_biases"]
    assert np.corrcoef(biases, np.log(plays.train.item_counts))[0, 1] > 0.9


@pytest.mark.parametrize("loss", LOSSES)
def test_the_number_of_threads_changes_nothing(loss: str) -> None:
    split = split_none(replace(planted(700, 500, 9000, seed=5), is_implicit=True))
    one, two, three = (learnt(fitted(split, FitOptions(threads=n), loss=loss)[0]) for n in (1, 2, 3))
    assert one == two == three


def test_the_same_seed_gives_the_same_bytes(plays: Split) -> None:
    first, again, other = (learnt(fitted(plays, FitOptions(seed=seed))[0]) for seed in (1, 1, 2))
    assert first == again
    assert first["user_factors"] != other["user_factors"]


def test_an_epoch_leaves_the_tables_of_the_one_before_as_they_were(plays: Split) -> None:
    """Which is what the epoch that is kept after Ctrl-C relies on."""
    with Workers(2) as workers:
        training = _BprTraining(plays.train, BprSettings(**QUICK), 1, workers)
        training.run_epoch(0, lambda _: None)
        state = training.snapshot()
        before = [table.copy() for table in state]
        training.run_epoch(1, lambda _: None)
    assert not np.array_equal(training.users, before[0])
    training.restore(state)
    np.testing.assert_array_equal(training.users, before[0])
    np.testing.assert_array_equal(training.items, before[1])


@pytest.mark.parametrize(("n_items", "blocks"), [(2, 1), (50, 1), (80, 2), (200, 4)])
def test_blocks_have_items_enough_to_draw_from(n_items: int, blocks: int) -> None:
    train = checkerboard(100, n_items)
    with Workers(1) as workers:
        training = _BprTraining(replace(train, is_implicit=True), BprSettings(), 0, workers)
    assert training.blocks == blocks


def test_weights_count_as_the_setting_says(plays: Split) -> None:
    arrays = {name: learnt(fitted(plays, weighting=name)[0]) for name in ("log", "linear", "binary")}
    assert len({found["item_factors"] for found in arrays.values()}) == 3
    rated = split_none(replace(plays.train, is_implicit=False))  # ratings are no weights: each is a positive
    assert learnt(fitted(rated)[0])["item_factors"] == arrays["binary"]["item_factors"]


# --- folding in -------------------------------------------------------------------------------------


def slow_objective(model: Bpr, vector: NDArray[np.float64], items: Any, weights: Any) -> float:
    """What folding in minimises, item by item."""
    q, b = (model.arrays()[name].astype(np.float64) for name in ("item_factors", "item_biases"))
    scores = (q @ vector + b).tolist()
    total = model.settings.weight_decay * len(items) / 2 * float(vector @ vector)
    for item, weight in zip(items.tolist(), weights.tolist(), strict=True):
        others = [score for other, score in enumerate(scores) if other != item]
        if model.settings.loss == "softmax":
            total += weight * (log(sum(map(exp, scores))) - scores[item])
        else:
            total += weight * PAIRS_COUNT * float(np.mean([log(1 + exp(other - scores[item])) for other in others]))
    return total


@pytest.mark.parametrize("entries", [65_536, 300])
@pytest.mark.parametrize("loss", LOSSES)
def test_folding_in_is_the_minimum(plays: Split, loss: str, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all items at once, and of a few at a time."""
    monkeypatch.setattr(module, "ENTRIES_A_TIME", entries)
    model, _ = fitted(plays, loss=loss, weighting="linear")
    items, weights = history(plays.train, 11)
    vector = model.fold_in(items, weights)
    assert vector.dtype == np.float32
    found = vector.astype(np.float64)
    least = slow_objective(model, found, items, weights)
    for factor in range(len(found)):
        step = np.zeros(len(found))
        step[factor] = 1e-3
        up, down = (slow_objective(model, found + sign * step, items, weights) for sign in (1, -1))
        assert min(up, down) > least
        curvature = (up - 2 * least + down) / 1e-6
        assert abs(up - down) / 2e-3 < 1e-4 * curvature  # the slope is next to nothing


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighting", ["log", "binary"])
def test_contributions_sum_to_the_score(plays: Split, loss: str, weighting: str) -> None:
    model, _ = fitted(plays, loss=loss, weighting=weighting)
    items, weights = history(plays.train, 11)
    scores = model.scores_of(model.fold_in(items, weights)[None])[0]
    for item in (0, 5, int(items[0])):
        parts = model.contributions(items, weights, item)
        assert parts.dtype == np.float64
        assert parts.shape == items.shape
        np.testing.assert_allclose(parts.sum(), scores[item], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_a_user_took_counts_for_itself_most_more_often_than_not(plays: Split, loss: str) -> None:
    model, _ = fitted(plays, loss=loss, epochs=20, weighting="binary")
    items, weights = history(plays.train, 11)
    own = [np.argmax(model.contributions(items, weights, item)) == at for at, item in enumerate(items.tolist())]
    assert np.mean(own) > 0.5


@pytest.mark.parametrize("loss", LOSSES)
def test_a_user_folded_in_scores_as_the_user(plays: Split, loss: str) -> None:
    model, _ = fitted(plays, loss=loss, epochs=20)
    alike = []
    for user in range(0, 300, 10):
        own = model.scores(np.array([user], np.int32))[0]
        folded = model.scores_of(model.fold_in(*history(plays.train, user))[None])[0]
        alike.append(np.corrcoef(own, folded)[0, 1])
    assert np.mean(alike) > 0.95


def test_nobody_is_an_average_user(plays: Split) -> None:
    model, _ = fitted(plays)
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    users = model.user_vectors(np.arange(model.n_users, dtype=np.int32))
    np.testing.assert_allclose(model.fold_in(*nothing), users.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert model.contributions(*nothing, 3).shape == (0,)


def test_weights_that_are_enormous_are_folded_in(plays: Split) -> None:
    for loss in LOSSES:
        model, _ = fitted(plays, loss=loss, weighting="linear")
        items = np.array([3, 9, 40], np.int32)
        vector = model.fold_in(items, np.array([1e7, 1, 3e5], np.float32))
        scores = model.scores_of(vector[None])[0]
        assert np.isfinite(scores).all()
        assert np.argmax(scores) == 3


# --- the model --------------------------------------------------------------------------------------


def test_scores_of_pairs_are_those_of_all_items(plays: Split) -> None:
    model, _ = fitted(plays)
    users, items = np.array([0, 7, 7], np.int32), np.array([3, 1, 150], np.int32)
    np.testing.assert_allclose(model.pair_scores(users, items), model.scores(users)[range(3), items], rtol=1e-5)


def test_arrays_are_as_they_are_said_to_be(plays: Split) -> None:
    model, _ = fitted(plays)
    model.check_arrays(model.n_users, model.n_items)
    again = Bpr.from_arrays(model.settings, model.arrays())
    users = np.arange(5, dtype=np.int32)
    np.testing.assert_array_equal(again.scores(users), model.scores(users))
    assert model.item_factors().shape == (model.n_items, QUICK["factors"])


def test_biases_are_not_of_ratings_and_so_not_told(plays: Split) -> None:
    model, _ = fitted(plays)
    with pytest.raises(UnsupportedError, match="not on a scale of ratings"):
        model.item_biases()


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"negatives": 0}, {"weight_decay": 0}, {"loss": "hinge"}, {"learning_rate": -1}]
)
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        BprSettings(**wrong)
