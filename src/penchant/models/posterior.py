"""Samples of a factorisation machine that are kept: for how sure a score is, and for whoever was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from penchant.data.context import Newcomers
from penchant.models.blocks import Design
from penchant.models.designing import ITEMS, TIMES, USERS, Coding

if TYPE_CHECKING:
    from penchant.models.gibbs_sampling import Sample

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int32]
Shapes = dict[str, tuple[int, ...]]

# Of samples and of their average: half the size, and 2e-6 more of mean squared error (docs/accuracy.md).
KEPT = np.float16


@dataclass(frozen=True, eq=False)
class Compiled:
    """One sample as rows see it, with one row more a block for what is not known.

    Attributes:
        level: what every score begins with.
        biases: float32 (rows,).
        factors: float32 (rows, factors).
    """

    level: float
    biases: Floats
    factors: Floats


def compile_sample(sample: Sample, design: Design, coding: Coding) -> Compiled:
    """Rows of all blocks, and after those of each block what its own features are on average."""
    starts, added = design.row_starts, coding.starts
    biases = np.empty(added[-1], np.float32)
    factors = np.empty((added[-1], len(sample.factors)), np.float32)
    for block in range(len(design.blocks)):
        to = slice(added[block], added[block + 1] - 1)
        rows, own = slice(starts[block], starts[block + 1]), design.group_starts[block]
        biases[to], factors[to] = sample.row_biases[rows], sample.factors[:, rows].T
        biases[to.stop], factors[to.stop] = sample.means[-1, own], sample.means[:-1, own]
    return Compiled(sample.level, biases, factors)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Some samples.

    Attributes:
        levels: float32 (samples,).
        biases, factors: float16 (samples, rows) and (samples, rows, factors), rows as in Compiled.
        weights, features: float16 (samples, shared) and (samples, shared, factors): of features that several rows
            share, those of users before those of items.
        own_precisions: float32 (samples, blocks, factors + 1): of the factors of a block's own features and, last, of
            their weights.
    """

    levels: Floats
    biases: NDArray[np.float16]
    factors: NDArray[np.float16]
    weights: NDArray[np.float16]
    features: NDArray[np.float16]
    own_precisions: Floats

    @classmethod
    def of(cls, sample: Sample, compiled: Compiled, design: Design) -> Self:
        """Of one state of a chain, as it is and as rows see it."""
        shared = np.concatenate([_shared(design, side) for side in (USERS, ITEMS)])
        return cls(
            np.array([compiled.level], np.float32),
            compiled.biases[None].astype(KEPT),
            compiled.factors[None].astype(KEPT),
            sample.weights[None, shared].astype(KEPT),
            sample.features[None, :, shared].swapaxes(1, 2).astype(KEPT),
            sample.precisions[None, :, design.group_starts[:-1]].swapaxes(1, 2).astype(np.float32),
        )

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """All samples of several."""
        return cls(*(np.concatenate([getattr(one, name) for one in several]) for name in cls.__dataclass_fields__))

    @staticmethod
    def shapes(samples: int, blocks: int, rows: int, shared: int, factors: int) -> Shapes:
        """The shapes of `pack`'s arrays."""
        return {
            "samples/levels": (samples,),
            "samples/biases": (samples, rows),
            "samples/factors": (samples, rows, factors),
            "samples/weights": (samples, shared),
            "samples/features": (samples, shared, factors),
            "samples/own_precisions": (samples, blocks, factors + 1),
        }

    def pack(self) -> dict[str, NDArray[Any]]:
        """As arrays by name."""
        return {f"samples/{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def unpack(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """The inverse of `pack`."""
        return cls(*(arrays[f"samples/{name}"] for name in cls.__dataclass_fields__))

    def without_users(self, coding: Coding) -> Posterior:
        """The same samples without rows of users and of their days, and without features for sets of users."""
        rows, shared = coding.rows_of_nobody, coding.shared_by_nobody
        return replace(
            self,
            biases=self.biases[:, rows],
            factors=self.factors[:, rows],
            weights=self.weights[:, shared],
            features=self.features[:, shared],
        )

    def __len__(self) -> int:
        return len(self.levels)

    def compiled(self, number: int) -> Compiled:
        """One sample in the type that is computed with."""
        return Compiled(
            float(self.levels[number]),
            self.biases[number].astype(np.float32),
            self.factors[number].astype(np.float32),
        )

    def scores(self, rows: Rows, more: Sequence[tuple[Floats, Floats]] | None = None) -> Doubles:
        """Scores of pairs in each sample, float64 (samples, n).

        Args:
            rows: int32 (blocks, n), numbered through.
            more: for each sample biases (m,) and factors (m, factors) of rows that come after all others.
        """
        from penchant.kernels.row_sums import score_rows

        scores = np.zeros((len(self), rows.shape[1]))
        for number in range(len(self)):
            one = self.compiled(number)
            biases, factors = one.biases, one.factors
            if more is not None:
                biases = np.concatenate((biases, more[number][0]))
                factors = np.concatenate((factors, more[number][1]))
            score_rows(scores[number], rows, biases, factors, one.level)
        return scores

    def variance_of_unknown(self, rows: Rows, unknown: NDArray[np.bool_]) -> Doubles:
        """What own features that nobody knows add to the variance of scores, float64 (n,).

        A row that is not known stands for the average of a block: its own weight and factors scatter around that as
        those of other rows do.

        Args:
            rows: int32 (blocks, n), numbered through.
            unknown: bool (blocks, n), which of them are not known by an own feature.
        """
        added = np.zeros(rows.shape[1])
        for block in range(len(rows)):
            pairs = np.flatnonzero(unknown[block])
            others = [rows[other, pairs] for other in range(len(rows)) if other != block]
            for number in range(len(self) if len(pairs) else 0):
                factors = self.factors[number].astype(np.float32)
                met = sum(factors[np.minimum(of_other, len(factors) - 1)] for of_other in others)
                of_factors, of_weight = self.own_precisions[number, block, :-1], self.own_precisions[number, block, -1]
                added[pairs] += (met * met @ (1 / of_factors) + 1 / of_weight) / len(self)
        return added

    def newcomers(self, side: int, new: Newcomers, coding: Coding) -> list[tuple[Floats, Floats]]:
        """For each sample, biases (m,) and factors (m, factors) of users or items known only by their columns."""
        first = self._first_shared(side, coding)
        features = coding.user_features if side == USERS else coding.item_features
        if coding.history:
            first += coding.n_items if side == USERS else coding.n_users
        unknown = coding.starts[side + 1] - 1
        n = new.table.height
        found = [
            (np.repeat(self.biases[s, unknown, None].astype(np.float32), n), _rows_of(self.factors[s, unknown], n))
            for s in range(len(self))
        ]
        own = [(factors * factors).sum(axis=1) for _, factors in found]
        for feature in features:
            rows, members = feature.entries(new.table)
            values = (1 / np.sqrt(np.bincount(rows, minlength=n)[rows])).astype(np.float32)
            for s, (biases, factors) in enumerate(found):
                products = self.features[s, first + members].astype(np.float32) * values[:, None]
                np.add.at(biases, rows, self.weights[s, first + members].astype(np.float32) * values)
                np.add.at(factors, rows, products)
                np.add.at(own[s], rows, (products * products).sum(axis=1))
            first += len(feature.members)
        for s, (biases, factors) in enumerate(found):
            biases += ((factors * factors).sum(axis=1) - own[s]) / 2
        return found

    def rated(self, item_rows: Rows, coding: Coding) -> tuple[Doubles, Doubles]:
        """What having rated each of a set of items adds to a user, biases (samples, n), factors (samples, n, factors).

        Of the product of two of the items, each has a half.
        """
        if not coding.history:
            return np.zeros((len(self), len(item_rows))), np.zeros((len(self), len(item_rows), self.features.shape[2]))
        first, x = self._first_shared(USERS, coding), 1 / np.sqrt(max(len(item_rows), 1))
        factors = x * self.features[:, first + item_rows].astype(np.float64)
        others = factors.sum(axis=1, keepdims=True) - factors
        return x * self.weights[:, first + item_rows].astype(np.float64) + (factors * others).sum(axis=2) / 2, factors

    def own_pulls(self, side: int, design: Doubles, unexpected: Doubles, noise: float) -> Doubles:
        """What each rating moves the most probable own [weight, factors] of a user or item by, by ridge regression.

        Args:
            side: USERS or ITEMS.
            design: (samples, n, 1 + factors), what scores of the ratings have of them.
            unexpected: (samples, n), what the ratings are beyond what the mean [weight, factors] would give.
            noise: the variance of a rating.

        Returns:
            float64 (samples, n, 1 + factors); the sum over ratings is what to add to the mean.
        """
        precisions = np.roll(self.own_precisions[:, side].astype(np.float64), 1, axis=1)  # the weights' is last
        system = design.swapaxes(1, 2) @ design
        system[:, np.arange(system.shape[1]), np.arange(system.shape[1])] += precisions * noise
        moved = np.linalg.solve(system, design.swapaxes(1, 2)).swapaxes(1, 2) * unexpected[..., None]
        return np.asarray(moved, np.float64)

    @staticmethod
    def _first_shared(side: int, coding: Coding) -> int:
        return 0 if side == USERS else sum(count for _, count in coding.shared(USERS))


def now_of(coding: Coding, biases: NDArray[Any], factors: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the last month and an unknown day add, sample by sample: biases (samples,) and factors (samples, k)."""
    nobody = np.zeros(1, np.int32)
    rows = coding.rows(nobody, nobody, None)[TIMES:, 0]
    own = factors[:, rows].astype(np.float64)  # (samples, blocks, k)
    total = own.sum(axis=1)
    pairs = ((total**2).sum(axis=1) - (own**2).sum(axis=(1, 2))) / 2
    return biases[:, rows].sum(axis=1, dtype=np.float64) + pairs, total


def _shared(design: Design, side: int) -> NDArray[np.int64]:
    """Numbers of the features of a side that are not the rows' own."""
    block, first = design.blocks[side], design.feature_starts[side]
    return np.arange(first + block.bounds[1], first + block.bounds[-1])


def _rows_of(factors: NDArray[Any], n: int) -> Floats:
    return np.repeat(factors.astype(np.float32)[None], n, axis=0)
