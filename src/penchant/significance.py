"""Which differences between models are real: paired tests over users, corrected for how many are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penchant.seeds import numpy_generator

FLIPS = 2_000
LEVEL = 0.05

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One model against the best.

    Attributes:
        difference: the mean over users of its value minus the best's.
        low, high: a 95 % interval of it, by bootstrap over users.
        p: how likely so large a difference is between models that are alike, by flipping signs of users' differences
            at random, corrected for the number of models compared (Holm 1979).
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def is_real(self) -> bool:
        """Whether it is significant at 5 %."""
        return self.p < LEVEL


def against_best(of_models: Mapping[str, Values], best: str, seed: int = 0) -> dict[str, Difference]:
    """Every model but the best against the best.

    Args:
        of_models: name -> float64 (n_users,), the value of each user; the same users in the same order.
    """
    names = [name for name in of_models if name != best]
    raw = {name: _compare(of_models[name] - of_models[best], seed) for name in names}
    corrected = holm([raw[name].p for name in names])
    return {
        name: Difference(raw[name].difference, raw[name].low, raw[name].high, p)
        for name, p in zip(names, corrected, strict=True)
    }


def _compare(differences: Values, seed: int) -> Difference:
    known = differences[~np.isnan(differences)]
    if not len(known):
        return Difference(float("nan"), float("nan"), float("nan"), 1.0)
    generator, n = numpy_generator(seed, "paired test"), len(known)
    found = float(known.mean())
    extreme, means = 0, np.empty(FLIPS)
    for at in range(FLIPS):
        signs = 2.0 * generator.integers(0, 2, n) - 1.0
        extreme += abs(float(signs @ known)) / n >= abs(found) * (1 - 1e-12)
        means[at] = known @ np.bincount(generator.integers(n, size=n), minlength=n) / n
    low, high = np.percentile(means, (2.5, 97.5))
    return Difference(found, float(low), float(high), (1 + extreme) / (1 + FLIPS))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected by Holm's step-down method (1979): the chance of any false find stays below the level."""
    order = sorted(range(len(ps)), key=lambda at: ps[at])
    corrected, largest = [0.0] * len(ps), 0.0
    for place, at in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[at]))
        corrected[at] = largest
    return corrected
