"""A challenger against the current model: the decision, and that both are asked the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import penchant
from penchant.challenging import Comparison, asked, compare, neither_has_seen
from penchant.data.interactions import Interactions
from penchant.data.synthetic import planted
from penchant.data.vocabulary import Vocabulary
from penchant.serving.history import History
from penchant.significance import Difference


def found(by: str, low: float, high: float) -> Comparison:
    difference = Difference((low + high) / 2, low, high, 0.5)
    return Comparison(by, 1.0, 1.0 + difference.difference, difference, 100, 10, 0, (0, 0))


@pytest.mark.parametrize(
    ("low", "high", "margin", "of_errors", "of_lists"),
    [
        (-0.2, -0.1, None, True, False),  # surely less: fewer errors, worse lists
        (0.1, 0.2, None, False, True),
        (-0.1, 0.2, None, True, True),  # unsure
        (0.0, 0.2, None, True, True),  # 0 is not worse
        (0.0, 0.0, None, True, True),
        (-0.1, 0.04, 0.05, True, False),  # surely not worse by more than the margin
        (-0.1, 0.06, 0.05, False, False),
        (-0.04, 0.1, 0.05, False, True),
        (0.01, 0.05, 0.05, True, True),  # surely worse, and within the margin
        (-0.2, -0.1, 0.0, True, False),  # 0: surely not worse
        (-0.1, 0.01, 0.0, False, False),
        (float("nan"), float("nan"), None, False, False),
        (float("nan"), float("nan"), 1.0, False, False),
    ],
)
def test_the_decision(low: float, high: float, margin: float | None, of_errors: bool, of_lists: bool) -> None:
    assert found("mse", low, high).is_accepted(margin) == of_errors
    assert found("ndcg@10", low, high).is_accepted(margin) == of_lists


@pytest.mark.parametrize(
    ("low", "high", "margin", "words"),
    [
        (0.1, 0.2, None, "it is worse: the 95 % interval of the difference lies wholly on the worse side, by 0.1000"),
        (-0.2, -0.1, None, "it is better"),
        (-0.2, 0.1, None, "it is not surely worse: the 95 % interval of the difference includes 0"),
        (-0.2, 0.01, 0.02, "it is not worse by more than 0.02: at the worst by 0.0100"),
        (-0.2, -0.1, 0.02, "it is better"),
        (-0.2, 0.1, 0.02, "it may be worse by 0.1000, more than the margin of 0.02"),
        (float("nan"), float("nan"), None, "there is nothing to go by"),
    ],
)
def test_the_reason(low: float, high: float, margin: float | None, words: str) -> None:
    one = found("mse", low, high)
    assert one.verdict(margin).startswith(words)
    json.dumps(one.to_json())


@pytest.fixture(scope="module")
def parts() -> tuple[Interactions, Interactions, Interactions]:
    """What the current model is fitted on, what the challenger is, and everything; the last users are new."""
    data = planted(80, 60, 3_000, seed=4)
    order = np.random.default_rng(0).permutation(len(data))
    old = order[: len(order) // 3]
    old = old[data.user_rows[old] < 60]
    return data.take(np.sort(old)).compact(), data.take(np.sort(order[: 2 * len(order) // 3])).compact(), data


def test_neither_has_seen_what_is_held_out(parts: tuple[Interactions, Interactions, Interactions]) -> None:
    old, train, everything = parts
    current = penchant.fit(old, "bias", valid_fraction=0.2)
    held_out = neither_has_seen(everything, train, current)
    pairs = [set(zip(t.users.take(t.user_rows), t.items.take(t.item_rows), strict=True)) for t in (held_out, train)]
    assert not pairs[0] & pairs[1]
    assert len(held_out) == len(everything) - len(train)
    swapped = neither_has_seen(everything, old, penchant.fit(train, "bias"))  # of the history, validation included
    assert len(swapped) == len(held_out)


@pytest.mark.parametrize("model", ["bias", "mf", "als"])
def test_a_model_against_itself_is_not_worse(
    model: str, parts: tuple[Interactions, Interactions, Interactions]
) -> None:
    _, train, everything = parts
    one = penchant.fit(train, model, valid_fraction=0)
    told = compare(one, one, neither_has_seen(everything, train, one), train)
    assert told.by == ("ndcg@10" if model == "als" else "mse")
    assert (told.difference.difference, told.difference.low, told.difference.high) == (0, 0, 0)
    assert told.is_accepted()
    assert told.is_accepted(0)


@pytest.mark.parametrize("model", ["bias", "mf", "als"])
def test_what_learnt_from_more_is_better(model: str, parts: tuple[Interactions, Interactions, Interactions]) -> None:
    old, train, everything = parts
    current, challenger = (penchant.fit(table, model, valid_fraction=0) for table in (old, train))
    held_out = neither_has_seen(everything, train, current)
    there = compare(current, challenger, held_out, train)
    back = compare(challenger, current, held_out, train)
    assert there.difference.difference == pytest.approx(-back.difference.difference)
    assert (there.current, there.challenger) == (back.challenger, back.current)
    assert (there.n, there.n_users) == (len(held_out), int((held_out.user_counts > 0).sum()))
    assert there.is_accepted()
    assert model != "mf" or not back.is_accepted()


def test_a_user_is_folded_in_whoever_knows_them(parts: tuple[Interactions, Interactions, Interactions]) -> None:
    """So a model without users of its own is asked the very same."""
    old, train, everything = parts
    current = penchant.fit(old, "mf", valid_fraction=0)
    held_out = neither_has_seen(everything, train, current)
    questions = asked(current, held_out, train)
    there = held_out.user_counts > 0
    assert questions.n_folded_in == there.sum()
    assert (questions.user_rows == -1).all()
    user = int(held_out.user_rows[0])
    place = np.flatnonzero(held_out.user_rows == user)[0]
    of_user = np.flatnonzero(train.user_rows == train.users.row(held_out.users.ids[user]))
    rows = current.items.rows(train.items.ids, missing="minus one")[train.item_rows[of_user]]
    vector = current.model.fold_in(rows[rows >= 0], train.ratings[of_user][rows >= 0])
    score = current.model.scores_of(vector[None])[
        0, current.items.row(held_out.items.ids[int(held_out.item_rows[place])])
    ]
    assert questions.predictions()[place] == pytest.approx(float(current.model.clip(np.array([score]))[0]), abs=1e-5)
    nobody = Vocabulary(pl.Series("user", [], pl.Int64), "user")
    empty = History(np.zeros(1, np.int64), *(np.zeros(0, kind) for kind in (np.int32, np.float32, np.bool_)))
    stripped = replace(current, users=nobody, history=empty)
    assert (asked(stripped, held_out, train).predictions() == questions.predictions()).all()


def test_items_that_a_model_does_not_know_count_and_are_told(
    parts: tuple[Interactions, Interactions, Interactions],
) -> None:
    old, train, everything = parts
    narrow = old.take(np.flatnonzero(old.item_rows < 40)).compact()
    current, challenger = penchant.fit(narrow, "als", valid_fraction=0), penchant.fit(train, "als", valid_fraction=0)
    held_out = neither_has_seen(everything, train, current)
    told = compare(current, challenger, held_out, train)
    assert told.n == len(held_out)
    assert told.n_unknown[0] > 0
    assert told.n_unknown[1] == 0
    assert told.to_json()["n_unknown_to_current"] == told.n_unknown[0]


def test_users_without_a_history_are_told(parts: tuple[Interactions, Interactions, Interactions]) -> None:
    _, train, everything = parts
    without = train.take(np.flatnonzero(train.user_rows > 3)).compact()
    one = penchant.fit(without, "mf", valid_fraction=0)
    held_out = neither_has_seen(everything, without, one)
    assert compare(one, one, held_out, without).n_strange == 4
