"""`als`: what it minimises, that it does, and what follows from its being least squares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none
from penchant.data.synthetic import checkerboard, planted
from penchant.errors import SettingError
from penchant.models import als
from penchant.models.als import Als, AlsSettings, _AlsTraining
from penchant.models.fitting import FitLog, FitOptions
from penchant.models.least_squares import DIRECT, LAST_STEP
from penchant.models.preferences import Positives
from penchant.threads import Workers

SOLVERS = ["cholesky", "conjugate-gradient"]
QUICK = {"factors": 12, "epochs": 4, "unobserved_weight": 0.1, "regularisation": 0.002}


@pytest.fixture(scope="module")
def plays() -> Split:
    return split_none(replace(planted(300, 200, 6000, seed=3), is_implicit=True))


def fitted(split: Split, options: FitOptions | None = None, **settings: Any) -> tuple[Als, FitLog]:
    model = Als(AlsSettings(**{**QUICK, **settings}))
    return model, model.fit(split, options)


def learnt(model: Als) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.arrays().items()}


def history(train: Interactions, user: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    own = np.flatnonzero(train.user_rows == user)
    return train.item_rows[own], train.ratings[own]


def slow_half_step(data: Positives, others: NDArray[Any], settings: AlsSettings) -> NDArray[np.float64]:
    """The equations of the paper, a row at a time."""
    a, k = settings.unobserved_weight, settings.factors
    q = others.astype(np.float64)
    found = np.zeros((data.n_rows, k))
    for row in range(data.n_rows):
        own = slice(data.starts[row], data.starts[row + 1])
        count = own.stop - own.start
        ridge = settings.regularisation * (count + a * data.n_columns) ** settings.frequency_scaling
        matrix = a * q.T @ q + ridge * np.eye(k)
        right = np.zeros(k)
        for column, weight in zip(data.columns[own], data.weights[own], strict=True):
            matrix += float(weight) * np.outer(q[column], q[column])
            right += float(weight) * q[column]
        found[row] = np.linalg.solve(matrix, right)
    return found


def slow_objective(data: Positives, p: NDArray[Any], q: NDArray[Any], settings: AlsSettings) -> float:
    """The loss of the paper, over all pairs."""
    a, nu = settings.unobserved_weight, settings.frequency_scaling
    scores = p.astype(np.float64) @ q.T.astype(np.float64)
    total = a * (scores**2).sum()
    for row in range(data.n_rows):
        for at in range(data.starts[row], data.starts[row + 1]):
            total += data.weights[at] * (1 - scores[row, data.columns[at]]) ** 2
    counts = np.diff(data.starts), np.bincount(data.columns, minlength=data.n_columns)
    for factors, count, others in ((p, counts[0], data.n_columns), (q, counts[1], data.n_rows)):
        total += settings.regularisation * ((count + a * others) ** nu * (factors**2).sum(axis=1)).sum()
    return float(total)


@pytest.mark.parametrize("scaling", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("solver", SOLVERS)
def test_half_steps_and_the_loss_are_the_papers(plays: Split, solver: str, scaling: float) -> None:
    settings = AlsSettings(**{**QUICK, "solver": solver, "frequency_scaling": scaling})
    data = Positives.of(plays.train, "log")
    with Workers(2) as workers:
        training = _AlsTraining(data, settings, 1, workers)
        for side, other in ((training.users, training.items), (training.items, training.users)):
            training._solve(side, other, *(LAST_STEP if solver == "conjugate-gradient" else DIRECT))
            expected = slow_half_step(side.positives, other.factors, settings)
            np.testing.assert_allclose(side.factors, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
        p, q = training.users.factors, training.items.factors
        np.testing.assert_allclose(training._objective(), slow_objective(data, p, q, settings), rtol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_objective_falls_in_every_epoch(plays: Split, solver: str) -> None:
    _, log = fitted(plays, solver=solver, epochs=8)
    losses = [epoch.train_loss for epoch in log.epochs]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] > 0


def test_conjugate_gradients_are_as_good(plays: Split) -> None:
    ends = [fitted(plays, solver=solver, epochs=8)[1].epochs[-1].train_loss for solver in SOLVERS]
    np.testing.assert_allclose(ends[1], ends[0], rtol=0.001)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_number_of_threads_changes_nothing(solver: str) -> None:
    split = split_none(replace(planted(1200, 700, 9000, seed=5), is_implicit=True))  # several pieces on both sides
    one, two, three = (learnt(fitted(split, FitOptions(threads=n), solver=solver)[0]) for n in (1, 2, 3))
    assert one == two == three


def test_the_same_seed_gives_the_same_bytes(plays: Split) -> None:
    first, again, other = (learnt(fitted(plays, FitOptions(seed=seed))[0]) for seed in (1, 1, 2))
    assert first == again
    assert first["user_factors"] != other["user_factors"]


def test_weights_count_as_the_setting_says(plays: Split) -> None:
    log, linear, binary = (learnt(fitted(plays, weighting=name)[0]) for name in ("log", "linear", "binary"))
    assert len({arrays["item_factors"] for arrays in (log, linear, binary)}) == 3
    rated = split_none(replace(plays.train, is_implicit=False))  # ratings are no weights: each is a positive
    as_rated = learnt(fitted(rated)[0])
    assert as_rated["item_factors"] == binary["item_factors"]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("implicit", [True, False])
def test_a_user_folded_in_is_the_user(plays: Split, solver: str, implicit: bool) -> None:
    split = split_none(replace(plays.train, is_implicit=implicit))
    model, _ = fitted(split, solver=solver, epochs=2)
    for user in range(0, 300, 17):
        own = model.user_vectors(np.array([user], np.int32))[0]
        np.testing.assert_allclose(model.fold_in(*history(split.train, user)), own, atol=1e-4 * np.abs(own).max())


def test_nobody_is_an_average_user(plays: Split) -> None:
    model, _ = fitted(plays)
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    users = model.user_vectors(np.arange(model.n_users, dtype=np.int32))
    np.testing.assert_allclose(model.fold_in(*nothing), users.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert model.contributions(*nothing, 3).shape == (0,)


@pytest.mark.parametrize("weighting", ["log", "binary"])
def test_contributions_sum_to_the_score(plays: Split, weighting: str) -> None:
    model, _ = fitted(plays, weighting=weighting)
    items, weights = history(plays.train, 11)
    scores = model.scores_of(model.fold_in(items, weights)[None])[0]
    for item in (0, 5, int(items[0])):
        parts = model.contributions(items, weights, item)
        assert parts.dtype == np.float64
        assert parts.shape == items.shape
        np.testing.assert_allclose(parts.sum(), scores[item], rtol=1e-4, atol=1e-6)


def test_a_few_items_are_folded_in_as_many_are(plays: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = fitted(plays)
    few = np.array([3, 150, 7], np.int32), np.array([1, 30, 2.5], np.float32)
    by_items = model.fold_in(*few)
    monkeypatch.setattr(als, "FEW", 1_000)
    np.testing.assert_allclose(model.fold_in(*few), by_items, rtol=1e-5, atol=1e-7)
    monkeypatch.undo()
    model.fit(plays, FitOptions(seed=5))  # what was kept of the first fit is not the second's
    again = model.fold_in(*few)
    monkeypatch.setattr(als, "FEW", 1_000)
    np.testing.assert_allclose(model.fold_in(*few), again, rtol=1e-5, atol=1e-7)
    assert not np.allclose(again, by_items)


def test_users_folded_in_together_are_as_alone(plays: Split) -> None:
    """Whatever the lengths of their histories: none, few items, many."""
    model, _ = fitted(plays)
    draw = np.random.default_rng(3)
    items = [draw.permutation(model.n_items)[:n].astype(np.int32) for n in (3, 0, 1, 60, 3, 4, 2, 0, 90, 5)]
    histories = [(one, draw.uniform(0.5, 20, len(one)).astype(np.float32)) for one in items]
    together = model.fold_in_all(histories)
    for vector, history_of_one in zip(together, histories, strict=True):
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, model.fold_in(*history_of_one), rtol=1e-5, atol=1e-7)
    assert model.fold_in_all([]) == []


def test_what_a_user_took_counts_for_itself_most(plays: Split) -> None:
    model, _ = fitted(plays)
    items, weights = history(plays.train, 11)
    own = [np.argmax(model.contributions(items, weights, item)) == at for at, item in enumerate(items.tolist())]
    assert np.mean(own) > 0.9


def test_scores_of_pairs_are_those_of_all_items(plays: Split) -> None:
    model, _ = fitted(plays)
    users, items = np.array([0, 7, 7], np.int32), np.array([3, 1, 150], np.int32)
    np.testing.assert_allclose(model.pair_scores(users, items), model.scores(users)[range(3), items], rtol=1e-5)


def test_arrays_are_as_they_are_said_to_be(plays: Split) -> None:
    model, _ = fitted(plays)
    model.check_arrays(model.n_users, model.n_items)
    again = Als.from_arrays(model.settings, model.arrays())
    users = np.arange(5, dtype=np.int32)
    np.testing.assert_array_equal(again.scores(users), model.scores(users))
    assert model.item_factors().shape == (model.n_items, QUICK["factors"])


def test_the_checkerboard_is_understood() -> None:
    board = checkerboard()
    liked = board.take(np.flatnonzero(board.ratings > 3))
    model, _ = fitted(split_none(replace(liked, is_implicit=True)), factors=4)
    scores = model.scores(np.arange(model.n_users, dtype=np.int32))
    for user in range(model.n_users):
        assert scores[user, user % 2 :: 2].min() > scores[user, 1 - user % 2 :: 2].max()


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"unobserved_weight": 0}, {"regularisation": 0}, {"solver": "lu"}, {"weighting": "square"}]
)
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        AlsSettings(**wrong)
