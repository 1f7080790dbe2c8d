"""Metrics of ranked lists: by hand, and against scikit-learn."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from penchant.list_metrics import (
    CATALOGUE_METRICS,
    LIST_METRICS,
    auc,
    average_precision,
    coverage,
    gini,
    hit_rate,
    intra_list_diversity,
    ndcg,
    novelty,
    popularity_bias,
    precision,
    recall,
    reciprocal_rank,
)

HITS = np.array([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
RELEVANT = np.array([3, 1, 2, 0])


def test_by_hand() -> None:
    nothing = float("nan")
    dcg, best = 1 / log2(3) + 1 / log2(5), 1 + 1 / log2(3) + 1 / log2(4)
    expected = {
        precision: [2 / 4, 1 / 4, 0, nothing],
        recall: [2 / 3, 1 / 1, 0, nothing],
        hit_rate: [1, 1, 0, nothing],
        ndcg: [dcg / best, 1, 0, nothing],
        average_precision: [(1 / 2 + 2 / 4) / 3, 1, 0, nothing],
        reciprocal_rank: [1 / 2, 1, 0, nothing],
    }
    assert set(expected) == set(LIST_METRICS.values())
    for metric, values in expected.items():
        np.testing.assert_allclose(metric(HITS, RELEVANT), values, err_msg=metric.__name__)


def test_more_relevant_items_than_places_can_all_be_met() -> None:
    everything, many = np.ones((1, 3), bool), np.array([50])
    for metric in (precision, hit_rate, ndcg, average_precision, reciprocal_rank):
        assert metric(everything, many).tolist() == [1]
    assert recall(everything, many).tolist() == [3 / 50]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_against_scikit_learn(seed: int, n_candidates: int, k: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.permutation(n_candidates).astype(float)
    relevant = draw.random(n_candidates) < 0.4
    order = np.argsort(-scores)
    hits = np.zeros((1, k), bool)
    hits[0, : min(k, n_candidates)] = relevant[order][:k]
    n_relevant = np.array([relevant.sum()])
    if not relevant.any():
        assert np.isnan(ndcg(hits, n_relevant)).all()
        return
    if n_candidates > 1:
        assert ndcg(hits, n_relevant)[0] == pytest.approx(metrics.ndcg_score([relevant], [scores], k=k))
    if k >= n_candidates:
        assert average_precision(hits, n_relevant)[0] == pytest.approx(
            metrics.average_precision_score(relevant, scores)
        )
    places = np.flatnonzero(relevant[order]) + 1
    found = auc(places, np.zeros(len(places), int), n_relevant, np.array([n_candidates]))
    if relevant.all():
        assert np.isnan(found).all()
    else:
        assert found[0] == pytest.approx(metrics.roc_auc_score(relevant, scores))


@given(st.integers(0, 2**32 - 1))
def test_all_lie_between_none_and_all(seed: int) -> None:
    draw = np.random.default_rng(seed)
    hits = draw.random((5, 4)) < 0.4
    n_relevant = hits.sum(axis=1) + draw.integers(0, 3, 5)
    for metric in LIST_METRICS.values():
        values = metric(hits, n_relevant)
        assert (np.isnan(values) == (n_relevant == 0)).all()
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()


def test_an_earlier_hit_is_worth_more_where_places_count() -> None:
    early, late = np.array([[1, 0, 0]], bool), np.array([[0, 0, 1]], bool)
    one = np.array([1])
    for metric in (ndcg, average_precision, reciprocal_rank):
        assert metric(early, one)[0] > metric(late, one)[0] > 0
    for metric in (precision, recall, hit_rate):
        assert metric(early, one)[0] == metric(late, one)[0]


LISTS = np.array([[0, 1], [0, 2], [0, -1]], np.int32)
COUNTS = np.array([8, 4, 0, 4])


def test_the_catalogue_by_hand() -> None:
    assert coverage(LISTS, COUNTS) == 3 / 4
    assert novelty(LISTS, COUNTS) == pytest.approx((3 * log2(16 / 8) + log2(16 / 4) + log2(16 / 1)) / 5)
    times = [0, 1, 1, 3]  # rising
    differences = sum(abs(a - b) for a in times for b in times)
    assert gini(LISTS, COUNTS) == pytest.approx(differences / (2 * 4 * 5))
    assert popularity_bias(LISTS, COUNTS) == pytest.approx(((3 * 8 + 4 + 0) / 5) / ((64 + 16 + 16) / 16))


def test_everybody_gets_everything_or_one_item() -> None:
    alike, one = np.arange(4, dtype=np.int32)[None], np.zeros((9, 1), np.int32)
    assert (coverage(alike, COUNTS), gini(alike, COUNTS)) == (1, 0)
    assert (coverage(one, COUNTS), gini(one, COUNTS)) == (1 / 4, 3 / 4)


@pytest.mark.parametrize("name", CATALOGUE_METRICS)
def test_of_no_recommendation_there_is_no_number(name: str) -> None:
    assert np.isnan(CATALOGUE_METRICS[name](np.full((3, 2), -1, np.int32), COUNTS))


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    vectors = np.array([[2, 0], [0, 1], [3, 0], [0, 0], [-1, 0]], float)
    lists = np.array([[0, 1, 2], [0, 4, -1], [0, 2, 3], [1, -1, -1], [-1, -1, -1]], np.int32)
    expected = [(1 + 0 + 1) / 3, 2, (0 + 1 + 1) / 3, np.nan, np.nan]
    np.testing.assert_allclose(intra_list_diversity(lists, vectors), expected)
