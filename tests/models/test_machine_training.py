"""The machine of mlp: what its sets hold, that a step is torch's, that nothing leaks into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant.data.features import find_features
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_random
from penchant.data.synthetic import planted
from penchant.errors import SettingError
from penchant.models import build
from penchant.models.biases import damped_biases
from penchant.models.fitting import FitOptions
from penchant.models.machine_training import MachineTrainer, Sets
from penchant.models.ranges import Squash
from penchant.threads import Workers

ALONE: dict[str, Any] = {"history": False, "item_columns": "none", "user_columns": "none"}


@pytest.fixture(scope="module")
def told() -> Split:
    """Planted ratings with a table of items."""
    split = split_random(planted(50, 30, 900, seed=2), 0.2, seed=1)
    table = pl.DataFrame({"genres": [("drama", "war", "drama|war", "")[n % 4] for n in range(split.train.n_items)]})
    return replace(split, train=replace(split.train, item_table=table))


def trainer(train: Interactions, **settings: Any) -> MachineTrainer:
    asked = build("mlp", **{"factors": 4, "batch_size": 100, **settings}).settings
    columns = (), find_features(train.item_table, "auto", "item")
    biases = damped_biases(train, 5.0, 3.0, 5)
    return MachineTrainer(asked, train, biases, Squash.of(asked.rating_range, train.scale), 1, columns)


def dense(sets: Sets) -> np.ndarray[Any, Any]:
    found = np.zeros((sets.n_rows, sets.back_again.n_rows))
    for row in range(sets.n_rows):
        at = slice(sets.starts[row], sets.starts[row + 1])
        np.add.at(found[row], sets.members[at], sets.values[at])
    return found


def test_sets_are_who_rated_what_and_columns(told: Split) -> None:
    train, machine = told.train, trainer(told.train)
    rated = np.zeros((train.n_users, train.n_items))
    np.add.at(rated, (train.user_rows, train.item_rows), 1)
    np.testing.assert_array_equal(dense(machine.users.sets), rated)
    np.testing.assert_array_equal(dense(machine.items.sets), rated.T)
    columns = dense(machine.items.columns)
    np.testing.assert_allclose((columns**2).sum(axis=1), [n % 4 < 3 for n in range(train.n_items)], rtol=1e-6)


def test_a_step_is_that_of_torch(told: Split) -> None:
    """Sums of pairs left out of their sets, and gradients of all weights, by autograd over dense matrices."""
    torch = pytest.importorskip("torch")
    machine, n = trainer(told.train, feature_decay=0.01), 100
    machine.weights[:] = 0.3 * np.random.default_rng(0).standard_normal(machine.weights.shape)
    with Workers(1) as workers:
        machine.refresh(workers)
        users, items = told.train.user_rows[:n], told.train.item_rows[:n]
        weights = torch.tensor(machine.weights.copy(), dtype=torch.float64, requires_grad=True)
        sums = twin(torch, machine, weights, users, items)
        slopes = np.linspace(-1, 1, n).astype(np.float32)
        (sums @ torch.tensor(slopes).double()).backward()
        gathered = machine.room(n)
        np.testing.assert_allclose(machine.forward(users, items, *gathered), sums.detach(), rtol=1e-4, atol=1e-5)
        machine.backward(slopes, *gathered)
        machine.collect(users, items, *gathered, np.arange(2))
        found: list[Any] = []
        machine.adam.step = lambda gradients, _: found.append(gradients.copy())  # type: ignore[method-assign]
        machine.batch_done(n, 1.0, workers, last=True)
    expected = weights.grad.numpy() / n + 2 * 0.01 * machine.weights
    np.testing.assert_allclose(found[0].reshape(expected.shape), expected, rtol=1e-3, atol=1e-5)


def twin(torch: Any, machine: MachineTrainer, weights: Any, users: Any, items: Any) -> Any:
    n_users_members = sum(machine.users.sizes)
    vectors = []
    parts = (
        (machine.users, weights[:n_users_members], users, items),
        (machine.items, weights[n_users_members:], items, users),
    )
    for side, own, rows, others in parts:
        n = side.sizes[0]
        incidence = torch.tensor(dense(side.sets))[rows]
        incidence[torch.arange(len(rows)), others.astype(np.int64)] -= 1
        scales = torch.tensor(side.scales).double()[rows][:, None]
        vectors.append(incidence @ own[:n] * scales + torch.tensor(dense(side.columns))[rows] @ own[n:])
    one, other = vectors
    biases = torch.tensor(machine.user_biases[users] + machine.item_biases[items]).double()
    return (one[:, 1:] * other[:, 1:]).sum(dim=1) + one[:, 0] + other[:, 0] + biases


def test_what_is_learnt_from_a_pair_does_not_depend_on_its_own_place_in_the_sets(told: Split) -> None:
    """The sums of a training pair are those that a machine without the pair would have, were its weights the same."""
    train, machine = told.train, trainer(told.train)
    machine.weights[:] = np.random.default_rng(0).standard_normal(machine.weights.shape)
    machine.refresh(None)
    others = np.flatnonzero(np.arange(len(train)) != 7)
    without = trainer(train.take(others))
    without.weights[:] = machine.weights
    without.refresh(None)
    user, item = int(train.user_rows[7]), int(train.item_rows[7])
    of_user, of_item = machine.room(1)
    machine.forward(train.user_rows[7:8], train.item_rows[7:8], of_user, of_item)
    np.testing.assert_allclose(of_user[0], without.users.served()[user], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(of_item[0], without.items.served()[item], rtol=1e-4, atol=1e-5)


def test_nothing_of_the_validation_ratings_gets_in(told: Split) -> None:
    """Other validation pairs with other ratings, or none: the same bytes of everything learnt."""
    assert told.valid is not None
    valid = told.valid
    reversed_ = replace(valid, item_rows=valid.item_rows[::-1].copy(), ratings=6 - valid.ratings)
    found = []
    for split in (told, replace(told, valid=reversed_), replace(told, valid=None)):
        model = build("mlp", epochs=2)
        model.fit(split, FitOptions(seed=3))
        found.append({name: array.tobytes() for name, array in model.arrays().items()})
    assert found[0] == found[1] == found[2]


def test_a_rating_in_training_does_get_in(told: Split) -> None:
    """So that the test above can fail: one training pair fewer changes the sets of its user and its item."""
    fewer = told.train.take(np.arange(len(told.train) - 1))
    assert not np.array_equal(dense(trainer(told.train).users.sets), dense(trainer(fewer).users.sets))


def test_with_many_ratings_a_step_is_made_every_few_batches(told: Split) -> None:
    """80 steps an epoch: some 400 ratings in batches of 2 make one of every three batches, and one at the end."""
    machine = trainer(told.train, batch_size=2)
    assert 320 < len(told.train) < 480
    assert machine.every == 3
    steps: list[float] = []
    machine.adam.step = lambda _, rate: steps.append(rate)  # type: ignore[method-assign]
    with Workers(1) as workers:
        for number in range(7):
            machine.batch_done(2, 1.0, workers, last=number == 6)
    assert len(steps) == 3


@pytest.mark.parametrize("settings", [{"batch_size": 3}, {"rating_range": "none"}, {"history": False}])
def test_the_number_of_threads_does_not_matter(told: Split, settings: dict[str, Any]) -> None:
    found = []
    for threads in (1, 2, 5):
        model = build("mlp", epochs=2, **settings)
        model.fit(told, FitOptions(seed=3, threads=threads))
        found.append({name: array.tobytes() for name, array in model.arrays().items()})
    assert found[0] == found[1] == found[2]


def test_without_histories_and_columns_there_is_no_machine(told: Split) -> None:
    model = build("mlp", epochs=1, **ALONE)
    model.fit(told, FitOptions(seed=1))
    assert not [name for name in model.arrays() if name.startswith("machine/")]
    assert model.user_vectors(np.array([0], np.int32)).shape == model.arrays()["user_embeddings"][:1].shape


def test_histories_and_columns_pay(told: Split) -> None:
    """Ratings that hang on a genre alone, for items with few ratings each."""
    draw, n = np.random.default_rng(0), 4_000
    base = planted(80, 400, n, seed=5)
    genre = np.arange(base.n_items) % 2
    ratings = (2.5 + 2 * genre[base.item_rows] + draw.normal(0, 0.3, len(base))).astype(np.float32)
    table = pl.DataFrame({"genre": [("drama", "war")[one] for one in genre]})
    split = split_random(replace(base, ratings=ratings, item_table=table), 0.2, seed=1)
    losses = []
    for columns in ("auto", "none"):
        log = build("mlp", item_columns=columns, feature_rate=0.01).fit(split, FitOptions(seed=1))
        losses.append(log.valid_loss)
    assert losses[0] < 0.8 * losses[1]


def test_a_column_that_is_not_there_is_named(told: Split) -> None:
    with pytest.raises(SettingError, match="no column 'colour'"):
        build("mlp", item_columns=("colour",)).fit(told)


def test_a_new_users_taste_counts_and_not_only_what_was_rated(told: Split) -> None:
    model = build("mlp")
    model.fit(told, FitOptions(seed=1))
    items = np.array([0, 1, 2, 3], np.int32)
    one, other = (model.fold_in(items, np.array(given, np.float32)) for given in ([5, 1, 5, 1], [1, 5, 1, 5]))
    assert not np.allclose(model.scores_of(one[None]), model.scores_of(other[None]), atol=0.01)


@pytest.mark.parametrize("name", ["machine/users", "machine/items", "machine/rated"])
def test_a_machine_with_a_part_missing_or_cut_is_refused(told: Split, name: str) -> None:
    """As a damaged or hostile artifact would have it."""
    model = build("mlp", epochs=1)
    model.fit(told, FitOptions(seed=1))
    model.check_arrays(model.n_users, model.n_items)
    whole = dict(model.parameters)
    model.parameters = {**whole, name: whole[name][:-1]}
    with pytest.raises(ValueError, match=name):
        model.check_arrays(model.n_users, model.n_items)
    model.parameters = {other: array for other, array in whole.items() if other != name}
    with pytest.raises(LookupError, match=name):
        model.check_arrays(model.n_users, model.n_items)
