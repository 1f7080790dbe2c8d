"""Every metric of lists, from scores with ties to the value of a user, against scikit-learn to 1e-6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from penchant.data.split import Split
from penchant.evaluate_lists import HeldOut, evaluate_lists
from penchant.list_metrics import LIST_METRICS
from penchant.models import build
from penchant.models.popularity import Popularity
from penchant.rank_metrics import parse_rank_metric

UNKNOWN = 2  # of relevant items at most, that the model does not know


class Fixed(Popularity):
    """Users' scores as they are given; a user vector is a user's scores."""

    given: Any = None

    def user_vectors(self, user_rows: Any) -> Any:
        return self.given[user_rows]

    def scores_of(self, user_vectors: Any) -> Any:
        return user_vectors

    def _parameter(self, name: str) -> Any:
        return self.given[0] if name == "average" else super()._parameter(name)


@pytest.fixture(scope="module")
def fixed(split: Split) -> Fixed:
    model = Fixed(build("popularity").settings)
    model.fit(split)
    return model


def by_scikit_learn(kind: str, k: int, ranked: np.ndarray, n_relevant: int) -> float:
    """A metric of one ranking, bool (n,), best first, of which each place says whether it is relevant.

    Relevant items that are not in the ranking come after as many others as fill the list.
    """
    padded = np.concatenate((ranked, np.zeros(k, bool), np.ones(n_relevant - int(ranked.sum()), bool)))
    scores = -np.arange(len(padded), dtype=float)
    in_list = np.arange(len(padded)) < k
    if kind == "precision":
        return float(metrics.precision_score(padded, in_list))
    if kind == "recall":
        return float(metrics.recall_score(padded, in_list))
    if kind == "ndcg":
        return float(metrics.ndcg_score([padded], [scores], k=k))
    found = padded[:k]
    if not found.any():
        return 0.0
    if kind == "hit":
        return float(metrics.precision_score(padded, in_list) > 0)
    if kind == "map":
        return float(metrics.average_precision_score(found, scores[:k]) * found.sum() / min(k, n_relevant))
    assert kind == "mrr"
    first = np.zeros(len(padded), int)
    first[padded.argmax()] = 1
    return float(metrics.label_ranking_average_precision_score([first], [scores]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 130))
@settings(deadline=None, max_examples=60)
def test_every_metric(fixed: Fixed, seed: int, k: int) -> None:
    """Scores of few values; what was taken is left out; k from 1 to beyond all that is left."""
    draw = np.random.default_rng(seed)
    n_users, n_items = 6, fixed.n_items
    scores = draw.integers(0, draw.integers(1, 30), (n_users, n_items)).astype(np.float32)
    fixed.given = scores
    taken = [np.sort(draw.permutation(n_items)[: draw.choice([0, 5, n_items - 4])]) for _ in range(n_users)]
    relevant = [draw.permutation(n_items)[: draw.integers(0, 12)] for _ in range(n_users)]
    n_unknown = draw.integers(0, UNKNOWN + 1, n_users)
    items = [np.concatenate((rows, np.full(n, -1))) for rows, n in zip(relevant, n_unknown, strict=True)]
    if not any(len(rows) for rows in items):
        return
    users = np.arange(n_users, dtype=np.int32)
    held_out = HeldOut(users, users, starts(items), np.concatenate(items).astype(np.int32))
    asked = [parse_rank_metric(f"{kind}@{k}") for kind in LIST_METRICS] + [parse_rank_metric("auc")]
    before = starts(taken), np.concatenate(taken).astype(np.int32)
    found = evaluate_lists(fixed, held_out, before, asked)
    for place, user in enumerate(found.users):
        left = np.setdiff1d(np.arange(n_items), taken[user])
        order = left[np.lexsort((left, -scores[user, left]))]
        ranked = np.isin(order, relevant[user])
        for one in asked[:-1]:
            expected = by_scikit_learn(one.kind, k, ranked, len(items[user]))
            assert found.of_users[str(one)][place] == pytest.approx(expected, abs=1e-6), one
        area = found.of_users["auc"][place]
        if ranked.all() or not ranked.any():
            assert np.isnan(area)
        else:
            assert area == pytest.approx(metrics.roc_auc_score(ranked, -np.arange(len(ranked))), abs=1e-6)


def starts(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int64)
