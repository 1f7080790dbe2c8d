"""What was held out, by a history alone, is what measuring finds with the table at hand."""

from __future__ import annotations

import numpy as np
import pytest

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none, split_random
from penchant.errors import InputError, SettingError
from penchant.models import build
from penchant.rank_metrics import parse_rank_metric
from penchant.serving.list_curves import CURVES, LENGTHS, by_length, kept_of, measure_kept, unknown_to
from penchant.serving.measuring import measure
from penchant.serving.recommender import Recommender

NAMES = ["recall@5", "ndcg@10", "precision@3", "hit@1", "coverage@10"]


def recommender_of(name: str, split: Split, about: dict[str, object] | None = None) -> Recommender:
    model = build(name)
    return Recommender.of(model, split, model.fit(split), about)


@pytest.fixture(scope="module")
def popularity(split: Split) -> Recommender:
    return recommender_of("popularity", split)


@pytest.mark.parametrize("relevant_from", [None, 4.0])
def test_measured_as_on_the_table_that_was_held_out(
    popularity: Recommender, split: Split, relevant_from: float | None
) -> None:
    """Without rows of users or items that training has not seen, which no history holds."""
    valid = split.valid
    assert valid is not None
    known = (split.valid_user_rows >= 0) & (split.valid_item_rows >= 0)
    metrics = [parse_rank_metric(name) for name in NAMES]
    found = measure_kept({"popularity": popularity}, metrics, relevant_from=relevant_from)["popularity"]
    expected = measure(popularity, valid.take(np.flatnonzero(known)), NAMES, relevant_from=relevant_from).lists
    assert expected is not None
    assert found.metrics == pytest.approx(dict(expected.metrics))
    assert (found.n_users, found.n_without, found.n_relevant) == (
        expected.n_users,
        expected.n_without,
        expected.n_relevant,
    )
    assert found.n_unknown_items == 0


def test_the_relevant_items_of_each_user_are_their_own(popularity: Recommender, split: Split) -> None:
    held_out, valid = kept_of(popularity), split.valid
    assert valid is not None
    for place, user in enumerate(held_out.user_rows.tolist()):
        mine = (split.valid_user_rows == user) & (split.valid_item_rows >= 0)
        entries = held_out.item_rows[held_out.starts[place] : held_out.starts[place + 1]]
        assert sorted(entries.tolist()) == sorted(split.valid_item_rows[mine].tolist())


def test_several_models_of_one_split(popularity: Recommender, split: Split) -> None:
    other = recommender_of("item-knn", split)
    found = measure_kept({"popularity": popularity, "item-knn": other}, [parse_rank_metric("ndcg@10")])
    assert list(found) == ["popularity", "item-knn"]
    assert found["popularity"].n_relevant == found["item-knn"].n_relevant
    assert found["popularity"].metrics != found["item-knn"].metrics


def test_models_of_two_splits_are_not_drawn_together(popularity: Recommender, ratings: Interactions) -> None:
    other = recommender_of("popularity", split_random(ratings, 0.2, seed=4))
    with pytest.raises(InputError, match="one and two were not fitted and measured on the same") as caught:
        measure_kept({"one": popularity, "two": other}, [parse_rank_metric("ndcg@10")])
    assert "penchant compare" in caught.value.remedy


def test_nothing_held_out_or_nothing_high_enough(popularity: Recommender, ratings: Interactions) -> None:
    with pytest.raises(InputError, match="was held out"):
        kept_of(recommender_of("popularity", split_none(ratings)))
    with pytest.raises(SettingError, match="held out is 9 or more") as caught:
        kept_of(popularity, 9)
    assert "from 0.5 to 5" in caught.value.remedy


def test_no_list_is_longer_than_the_catalogue() -> None:
    assert len(by_length(1000)) == len(CURVES) * len(LENGTHS)
    assert {metric.k for metric in by_length(4)} == {1, 2, 3, 4}


def test_what_the_model_does_not_know_is_counted_by_the_fit(popularity: Recommender, split: Split) -> None:
    assert unknown_to(popularity) == 0
    assert unknown_to(recommender_of("popularity", split, {"split": {"n_unknown": 12}})) == 12
    assert unknown_to(recommender_of("popularity", split, {"split": None})) == 0
