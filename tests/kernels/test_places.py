"""Places by counting against a sort of whole rankings."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.kernels.places import places_of


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 12))
@settings(deadline=None)
def test_places_are_those_of_a_stable_sort(seed: int, rows: int, columns: int) -> None:
    """Scores of few values, so that ties are everywhere; some are NaN, infinite, excluded (even twice)."""
    draw = np.random.default_rng(seed)
    values = np.array([-np.inf, -1, 0, 0.5, 2, np.inf, np.nan], np.float32)
    scores = draw.choice(values, (rows, columns))
    excluded = [draw.integers(0, columns, draw.integers(0, 4)) for _ in range(rows)]
    wanted = [draw.permutation(columns)[: draw.integers(0, columns + 1)] for _ in range(rows)]

    def starts(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(([0], np.cumsum([len(part) for part in parts]))).astype(np.int64)

    flat = [np.concatenate(parts).astype(np.int32) for parts in (excluded, wanted)]
    places, ranked = places_of(scores, starts(excluded), flat[0], starts(wanted), flat[1])
    expected: list[int] = []
    for row in range(rows):
        left = [c for c in range(columns) if c not in excluded[row] and not np.isnan(scores[row, c])]
        order = sorted(left, key=lambda c: (-scores[row, c], c))
        expected += [order.index(c) + 1 if c in order else 0 for c in wanted[row]]
        assert ranked[row] == len(left)
    assert places.tolist() == expected
