"""The leave-one-out protocol with sampled negatives (He et al. 2017), for comparison with what papers report.

Each item that was left out is ranked among a few negatives instead of all items. Such numbers are higher than those of
full rankings, and put models in another order (Krichene and Rendle 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from penchant.errors import SettingError
from penchant.evaluate_lists import ListReport, intervals_of_means
from penchant.list_metrics import LIST_METRICS
from penchant.models.base import Model, Rows
from penchant.rank_metrics import RankMetric

WARNING = (
    "Sampled negatives: these numbers compare only with others of this protocol, are higher than those of full"
    " rankings, and may put models in another order (Krichene and Rendle 2020)."
)
ALLOWED = tuple(LIST_METRICS)


def evaluate_candidates(
    model: Model,
    user_rows: Rows,
    item_rows: Rows,
    starts: NDArray[np.int64],
    negative_rows: Rows,
    metrics: Sequence[RankMetric],
    *,
    seed: int = 0,
) -> ListReport:
    """Rank the item of each line among its negatives; a negative with the same score comes before it.

    Args:
        user_rows, item_rows: int32 (n,), -1 for what the model does not know.
        starts: int64 (n + 1,), where each line's negatives begin.
        negative_rows: int32 (m,).

    Raises:
        SettingError: a metric that has no meaning for one relevant item among a few.
    """
    for metric in metrics:
        if metric.kind not in ALLOWED:
            raise SettingError(
                f"'{metric}' cannot be measured among candidates.",
                remedy=f"Metrics among candidates: {', '.join(f'{kind}@k' for kind in ALLOWED)}.",
            )
    counts = np.diff(starts)
    own = model.pair_scores(user_rows, item_rows)
    others = model.pair_scores(np.repeat(user_rows, counts), negative_rows)
    before = np.add.reduceat(others >= np.repeat(own, counts), starts[:-1], dtype=np.int64)
    one = np.ones(len(own), np.int64)
    values: dict[str, NDArray[np.float64]] = {}
    for metric in metrics:
        hits = before[:, None] == np.arange(metric.k)
        values[str(metric)] = LIST_METRICS[metric.kind](hits, one)
    return ListReport(
        metrics={name: float(of_all.mean()) for name, of_all in values.items()},
        intervals=intervals_of_means(values, seed),
        n_users=len(own),
        n_without=0,
        n_unknown_users=int((user_rows < 0).sum()),
        n_relevant=len(own),
        n_unknown_items=int((item_rows < 0).sum()),
        users=np.arange(len(own), dtype=np.int32),
        of_users=values,
    )
