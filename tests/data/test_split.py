"""Every way of splitting parts the ratings in two, the same two for the same seed, and leaks no more than it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penchant.data.interactions import Interactions
from penchant.data.split import (
    Split,
    split_file,
    split_folds,
    split_last,
    split_none,
    split_random,
    split_time,
    split_users,
)
from penchant.data.vocabulary import Vocabulary
from penchant.errors import InputError, SettingError

Rating = tuple[Any, Any, float, int | None]


def make(ratings: list[Rating], source: str = "made up") -> Interactions:
    users = Vocabulary.from_ids(pl.Series([rating[0] for rating in ratings]), "user")
    items = Vocabulary.from_ids(pl.Series([rating[1] for rating in ratings]), "item")
    return Interactions(
        users=users,
        items=items,
        user_rows=users.rows([rating[0] for rating in ratings]),
        item_rows=items.rows([rating[1] for rating in ratings]),
        ratings=np.array([rating[2] for rating in ratings], np.float32),
        times=None if ratings[0][3] is None else np.array([rating[3] for rating in ratings], np.int64),
        item_names=pl.Series([f"Item {id_}" for id_ in items.ids]),
        source=source,
    )


def told(data: Interactions) -> list[Rating]:
    times = [None] * len(data) if data.times is None else data.times.tolist()
    return list(
        zip(data.users.take(data.user_rows), data.items.take(data.item_rows), data.ratings.tolist(), times, strict=True)
    )


@st.composite
def tables(draw: st.DrawFn, timed: bool | None = None) -> Interactions:
    size = draw(st.integers(4, 30))
    has_times = draw(st.booleans()) if timed is None else timed
    ratings: list[Rating] = []
    for number in range(size):
        time = draw(st.integers(0, 12)) if has_times else None
        # the rating numbers the line, so that all ratings differ
        ratings.append((draw(st.integers(1, 5)), draw(st.sampled_from("abcdefg")), float(number), time))
    return make(ratings)


def parted(split: Split) -> tuple[list[Rating], list[Rating]]:
    assert split.valid is not None
    return told(split.train), told(split.valid)


def check_partition(split: Split, data: Interactions) -> None:
    """Nothing is lost or doubled, both parts keep the order of the file, and rows mean the same ids."""
    train, valid = parted(split)
    lines = told(data)
    assert train == [rating for rating in lines if rating in train]
    assert valid == [rating for rating in lines if rating in valid]
    assert Counter(train) + Counter(valid) == Counter(lines)
    assert train
    assert valid
    assert split.valid is not None
    assert split.valid.users is data.users
    assert set(split.train.users.ids) == {rating[0] for rating in train}
    assert set(split.train.items.ids) == {rating[1] for rating in train}
    assert split.train.names.to_list() == [f"Item {id_}" for id_ in split.train.items.ids]
    for rating, user, item in zip(valid, split.valid_user_rows.tolist(), split.valid_item_rows.tolist(), strict=True):
        for id_, row, known in ((rating[0], user, split.train.users.ids), (rating[1], item, split.train.items.ids)):
            assert (known[row] == id_) if row >= 0 else (id_ not in known.to_list())
    n_unknown = sum(
        rating[0] not in split.train.users.ids.to_list() or rating[1] not in split.train.items.ids.to_list()
        for rating in valid
    )
    assert split.n_unknown == n_unknown
    assert str(split).startswith(f"{len(train)} ratings to train on, {len(valid)} to validate on ({split.how})")
    assert ("not in training" in str(split)) == (n_unknown > 0)


@given(tables(), st.floats(0.15, 0.85), st.integers(0, 2**32))
def test_random(data: Interactions, fraction: float, seed: int) -> None:
    split = split_random(data, fraction, seed)
    check_partition(split, data)
    assert split.valid is not None
    assert len(split.valid) == round(fraction * len(data))
    assert parted(split_random(data, fraction, seed)) == parted(split)
    assert ("learn from ratings given after" in split.may_leak) == (data.times is not None)


def test_random_by_seed() -> None:
    data = make([(number % 7, number % 11, float(number), None) for number in range(200)])
    parts = [parted(split_random(data, 0.25, seed)) for seed in range(5)]
    assert len({tuple(valid) for _, valid in parts}) == 5
    assert split_random(data, 0.25, 3).how == "random 25%, seed 3"
    assert split_random(data, 0.125).how == "random 12.5%, seed 0"


@given(tables(timed=True), st.floats(0.15, 0.85))
def test_time_never_trains_on_what_is_later(data: Interactions, fraction: float) -> None:
    assert data.times is not None
    times = np.sort(data.times)
    assume(times[0] < times[-1])
    try:
        split = split_time(data, fraction)
    except SettingError as error:
        assert "leaves" in error.problem  # noqa: PT017
        assert times[-1] == times[int(np.floor((1 - fraction) * (len(times) - 1)))]  # so many ties that none is later
        return
    check_partition(split, data)
    train, valid = parted(split)
    assert max(rating[3] for rating in train) < min(rating[3] for rating in valid)
    assert len(valid) <= np.ceil(fraction * len(data))
    assert split.may_leak == ""
    assert parted(split_time(data, fraction)) == parted(split)


@given(tables(timed=True), st.integers(-1, 13))
def test_time_after(data: Interactions, after: int) -> None:
    assert data.times is not None
    if not data.times.min() <= after < data.times.max():
        with pytest.raises(SettingError, match="The times reach from 1970-01-01T00:00"):
            split_time(data, after=after)
        return
    split = split_time(data, after=after)
    check_partition(split, data)
    train, valid = parted(split)
    assert all(rating[3] <= after for rating in train)
    assert all(rating[3] > after for rating in valid)


@given(tables(), st.integers(1, 4))
def test_last_never_trains_on_a_users_later_ratings(data: Interactions, n: int) -> None:
    counts = Counter(rating[0] for rating in told(data))
    if max(counts.values()) <= n:
        with pytest.raises(SettingError, match=f"No user has more than {n} ratings"):
            split_last(data, n)
        return
    split = split_last(data, n)
    check_partition(split, data)
    train, valid = parted(split)
    held_out = Counter(rating[0] for rating in valid)
    assert held_out == {user: n for user, count in counts.items() if count > n}
    assert not (split.valid_user_rows < 0).any()
    for user in held_out:
        # of equal times the later line is the later rating; the rating is the number of the line
        latest = max((rating[3] or 0, rating[2]) for rating in train if rating[0] == user)
        assert all((rating[3] or 0, rating[2]) > latest for rating in valid if rating[0] == user)
    assert parted(split_last(data, n)) == parted(split)
    assert split.may_leak
    assert split.how == f"the last {n} of each user"


def test_none() -> None:
    data = make([(1, "a", 5.0, None), (2, "b", 4.0, None)])
    split = split_none(data)
    assert split.train is data
    assert split.valid is None
    assert split.valid_user_rows.tolist() == split.valid_item_rows.tolist() == []
    assert split.n_unknown == 0
    assert str(split) == "2 ratings to train on, none to validate on"


def test_file() -> None:
    train = make([(1, "a", 5.0, None), (2, "b", 4.0, None)], "train.csv")
    valid = make([(2, "a", 3.0, None), (9, "b", 2.0, None), (1, "z", 1.0, None)], "test.csv")
    split = split_file(train, valid)
    assert split.train is train
    assert split.valid is valid
    assert split.how == "validated on test.csv"
    assert split.valid_user_rows.tolist() == [1, -1, 0]
    assert split.valid_item_rows.tolist() == [0, 1, -1]
    assert split.n_unknown == 2
    assert str(split).endswith("; 2 of these have a user or item that is not in training")


def test_file_with_ids_of_another_type() -> None:
    train = make([(1, "a", 5.0, None), (2, "b", 4.0, None)])
    valid = make([("2", "a", 3.0, None), ("x", "b", 2.0, None)])
    assert split_file(train, valid).valid_user_rows.tolist() == [1, -1]


def test_file_that_has_nothing_to_do_with_it() -> None:
    train = make([(1, "a", 5.0, None), (2, "b", 4.0, None)], "train.csv")
    valid = make([(7, "y", 3.0, None), (8, "z", 2.0, None)], "other.csv")
    with pytest.raises(InputError, match=r"No user and no item of other\.csv occurs in train\.csv") as caught:
        split_file(train, valid)
    assert "--user and --item" in caught.value.remedy


DATA = make([(1, "a", 5.0, 1), (1, "b", 4.0, 2), (2, "a", 3.0, 3), (2, "b", 2.0, 4)])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 3)), min_size=4), st.sampled_from([1, 2**29, 2**61]))
def test_last_by_times_near_and_far(ratings: list[tuple[int, int]], unit: int) -> None:
    """The order by user, time and line, also where times are more than 68 years apart."""
    data = make([(user, line, 1.0, time * unit) for line, (user, time) in enumerate(ratings)])
    held_out = set()
    for user in {user for user, _ in ratings}:
        lines = sorted((time, line) for line, (other, time) in enumerate(ratings) if other == user)
        held_out |= {lines[-1][1]} if len(lines) > 1 else set()
    if held_out:
        valid = split_last(data, 1).valid
        assert valid is not None
        assert set(valid.items.take(valid.item_rows)) == held_out


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda: split_random(DATA, 0.0), "The fraction to hold out is 0.0"),
        (lambda: split_random(DATA, 1.0), "The fraction to hold out is 1.0"),
        (lambda: split_random(DATA, -0.5), "The fraction to hold out is -0.5"),
        (lambda: split_random(DATA, float("nan")), "The fraction to hold out is nan"),
        (lambda: split_random(DATA, 0.1), "10.00% of 4 ratings are 0: one side would be empty"),
        (lambda: split_random(DATA, 0.9), "90.00% of 4 ratings are 4: one side would be empty"),
        (lambda: split_time(DATA, 1.5), "The fraction to hold out is 1.5"),
        (lambda: split_time(replace(DATA, times=np.ones(4, np.int64))), "leaves 4 ratings to train on and 0"),
        (lambda: split_last(DATA, 0), "n is 0"),
        (lambda: split_last(DATA, 2), "No user has more than 2 ratings"),
    ],
)
def test_settings_that_cannot_be(split: Callable[[], Split], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        split()
    assert caught.value.remedy


def test_a_split_by_time_needs_times() -> None:
    with pytest.raises(InputError, match="A split by time needs times, and made up has none") as caught:
        split_time(replace(DATA, times=None))
    assert "--time COLUMN" in caught.value.remedy


# --- users held out, and folds ----------------------------------------------------------------------


@given(tables(), st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(0, 2**32))
def test_users_are_held_out_altogether(data: Interactions, fraction: float, given_fraction: float, seed: int) -> None:
    try:
        split = split_users(data, fraction, given_fraction, seed)
    except SettingError as error:
        assert "have 2 ratings or more" in error.problem  # noqa: PT017
        return
    train, valid = parted(split)
    assert split.given is not None
    shown = told(split.given)
    assert Counter(train) + Counter(valid) + Counter(shown) == Counter(told(data))
    held_out = {rating[0] for rating in valid}
    assert len(held_out) == round(fraction * len({rating[0] for rating in told(data)}))
    assert held_out == {rating[0] for rating in shown}
    assert not held_out & set(split.train.users.ids)
    for user in held_out:
        before, after = ([rating for rating in part if rating[0] == user] for part in (shown, valid))
        assert len(before) == min(max(round(given_fraction * len(before + after)), 1), len(before + after) - 1)
        if data.times is not None:  # lines are numbered by the rating: ties are broken by line
            assert max((time, line) for _, _, line, time in before) < min((time, line) for _, _, line, time in after)
    unknown = [rating for rating in valid if rating[1] not in split.train.items.ids.to_list()]
    assert split.n_unknown == len(unknown)  # their users are folded in
    assert split.to_learn_from.valid is None
    assert split.to_learn_from.given is None
    assert bool(split.may_leak) == (data.times is not None)
    again = split_users(data, fraction, given_fraction, seed)
    assert again.given is not None
    assert (parted(again), told(again.given)) == (parted(split), shown)


def test_which_users_and_which_of_their_ratings_are_given_is_by_seed() -> None:
    data = make([(number % 20, number % 13, float(number), None) for number in range(400)])
    found = [split_users(data, 0.3, 0.5, seed) for seed in range(4)]
    assert len({tuple(parted(split)[1]) for split in found}) == 4
    assert found[2].how == "30% of users, seed 2; a random 50% of each given"
    assert "are given to fold them in" in str(found[2])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_fractions_of_users_that_cannot_be(fraction: float) -> None:
    data = make([(number % 5, number % 3, float(number), None) for number in range(15)])
    with pytest.raises(SettingError, match="to hold out is"):
        split_users(data, fraction)
    with pytest.raises(SettingError, match="to give of each held-out user is"):
        split_users(data, 0.5, fraction)


def test_users_with_one_rating_are_never_held_out() -> None:
    data = make([(number, number % 2, float(number), None) for number in range(9)] + [(8, 5, 9.0, None)])
    assert {rating[0] for rating in parted(split_users(data, 0.1))[1]} == {8}
    with pytest.raises(SettingError, match="1 users have 2 ratings or more"):
        split_users(data, 0.5)


@given(tables(), st.integers(2, 6), st.integers(0, 2**32))
def test_every_rating_is_in_exactly_one_fold(data: Interactions, folds: int, seed: int) -> None:
    assume(folds <= len(data))
    splits = split_folds(data, folds, seed)
    assert len(splits) == folds
    held_out: Counter[Rating] = Counter()
    for split in splits:
        check_partition(split, data)
        held_out += Counter(parted(split)[1])
    assert held_out == Counter(told(data))
    sizes = [len(split.valid) for split in splits if split.valid is not None]
    assert max(sizes) - min(sizes) <= 1
    assert [parted(split) for split in split_folds(data, folds, seed)] == [parted(split) for split in splits]
    assert parted(splits[-1]) == parted(splits[1:][-1])


@pytest.mark.parametrize("folds", [0, 1, -2, 2.5, True, 16])
def test_folds_that_cannot_be(folds: Any) -> None:
    data = make([(number % 5, number % 3, float(number), None) for number in range(15)])
    with pytest.raises(SettingError, match=f"folds is {folds}, of 15 ratings"):
        split_folds(data, folds)
