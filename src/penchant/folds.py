"""Cross-validation summed up: means over folds, their spread, and intervals over users.

A metric of one fold is a quotient of sums over users: of lists the users' values over the number of users, of ratings
the errors over the number of ratings. So a fold is kept as what each user adds above and below the line, and users are
resampled with all that they add in all folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.evaluate import LEVEL, RESAMPLES
from penchant.seeds import numpy_generator
from penchant.threads import one_blas_thread

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fold:
    """One model measured on one fold.

    Attributes:
        report: as it was measured, for JSON; its "metrics" are the values by name.
        sums: name -> float64 (2, n_users), what each user adds above and below the line; of the same users in every
            fold. Metrics of the catalogue have none.
        fit_seconds: wall time of the fit.
    """

    report: Mapping[str, Any]
    sums: Mapping[str, Values]
    fit_seconds: float


@dataclass(frozen=True, eq=False)
class OverFolds:
    """One model over all folds.

    Attributes:
        name: of the model.
        is_baseline: whether it was added to compare with, and not asked for.
        folds: in their order.
        metrics: name -> mean over folds.
        spreads: name -> standard deviation over folds (divided by folds - 1), NaN of one fold.
        intervals: name -> 95 % interval of the mean, by bootstrap over users; of the metrics that have sums.
    """

    name: str
    is_baseline: bool
    folds: tuple[Fold, ...]
    metrics: Mapping[str, float]
    spreads: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, name: str, is_baseline: bool, folds: Sequence[Fold], seed: int = 0) -> OverFolds:
        """Summed up; there is at least one fold."""
        names = list(folds[0].report["metrics"])
        values = {one: np.array([fold.report["metrics"][one] for fold in folds], np.float64) for one in names}
        spreads = {one: float(np.std(of, ddof=1)) if len(of) > 1 else float("nan") for one, of in values.items()}
        means = {one: float(np.mean(of)) for one, of in values.items()}
        return cls(name, is_baseline, tuple(folds), means, spreads, intervals_over_users(folds, seed))

    @property
    def fit_seconds(self) -> float:
        """Wall time of all fits."""
        return sum(fold.fit_seconds for fold in self.folds)

    def values_of_users(self, metric: str) -> Values:
        """Each user's average over folds, float64 (n_users,), NaN for users without a value.

        Of "mse" it is what the user contributes: all their squared errors, times users over ratings.
        """
        above, below = np.sum([fold.sums[metric] for fold in self.folds], axis=0)
        if metric == "mse":
            below = np.where(below > 0, below.sum() / max(int((below > 0).sum()), 1), 0)
        return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers for JSON, every fold included."""
        return {
            "metrics": dict(self.metrics),
            "spreads": dict(self.spreads),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "folds": [{**fold.report, "fit_seconds": fold.fit_seconds} for fold in self.folds],
        }


@one_blas_thread()
def intervals_over_users(folds: Sequence[Fold], seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % intervals of means over folds: users are drawn with replacement, the same for all folds and metrics."""
    names = list(folds[0].sums)
    if not names:
        return {}
    sums = np.stack([[fold.sums[name] for fold in folds] for name in names])  # (metrics, folds, 2, users)
    there = np.flatnonzero(sums[:, :, 1].any(axis=(0, 1)))
    parts = np.ascontiguousarray(sums[..., there]).reshape(-1, len(there))
    is_root = np.array([name == "rmse" for name in names])
    generator, n = numpy_generator(seed, "bootstrap"), len(there)
    means = np.empty((RESAMPLES, len(names)))
    for sample in means:
        drawn = parts @ np.bincount(generator.integers(n, size=n), minlength=n).astype(np.float64)
        above, below = np.moveaxis(drawn.reshape(len(names), len(folds), 2), 2, 0)
        values = above / np.maximum(below, 1)
        values[is_root] = np.sqrt(values[is_root])
        sample[:] = values.mean(axis=1)
    tail = 100 * (1 - LEVEL) / 2
    ends = np.percentile(means, (tail, 100 - tail), axis=0)
    return {name: (float(ends[0, at]), float(ends[1, at])) for at, name in enumerate(names)}
