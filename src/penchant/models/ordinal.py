"""Ratings as steps of a scale: how likely each is, and what rating to expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from penchant.errors import SettingError

if TYPE_CHECKING:
    from penchant.models.gibbs_sampling import Chain

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Shapes = dict[str, tuple[int, ...]]

FEWEST, MOST = 3, 100


@dataclass(frozen=True, eq=False)
class Steps:
    """The ratings that there are, and where on the scale of scores one turns into the next.

    Attributes:
        ratings: float32 (steps,), rising.
        cuts: float32 (steps - 1,), rising.
        centres: float32 (steps,), where a rating of each step is on average, on the scale of scores.
    """

    ratings: Floats
    cuts: Floats
    centres: Floats

    @classmethod
    def halfway(cls, ratings: Floats) -> Self:
        """Of scores that are ratings: a step begins halfway from the one before."""
        cuts = ((ratings[1:] + ratings[:-1]) / 2).astype(np.float32)
        return cls(ratings, cuts, ratings)

    def expected(self, scores: NDArray[Any], spread: NDArray[Any]) -> Floats:
        """The rating to expect, float32 (n,), of ratings normal around scores.

        Args:
            scores, spread: (n,), means and standard deviations.
        """
        found = np.full(scores.shape, self.ratings[-1], np.float64)
        for cut, lower, upper in zip(self.cuts, self.ratings[:-1], self.ratings[1:], strict=True):
            found -= (upper - lower) * normal_below((cut - scores) / spread)
        return found.astype(np.float32)

    def chances(self, scores: NDArray[Any], spread: NDArray[Any]) -> Floats:
        """The chance of each step, float32 (n, steps)."""
        below = normal_below((self.cuts - scores[:, None]) / spread[:, None])
        edges = np.zeros((len(scores), 1)), np.ones((len(scores), 1))
        return np.maximum(np.diff(np.concatenate((edges[0], below, edges[1]), axis=1), axis=1), 0).astype(np.float32)

    def deviations(self, scores: NDArray[Any], spread: NDArray[Any]) -> Floats:
        """Standard deviations of the ratings themselves, float32 (n,)."""
        chances = self.chances(scores, spread).astype(np.float64)
        mean = chances @ self.ratings
        return np.sqrt(np.maximum(chances @ self.ratings.astype(np.float64) ** 2 - mean**2, 0)).astype(np.float32)

    def centres_of(self, ratings: Floats) -> Floats:
        """Where ratings are on the scale of scores, each taken for the nearest step."""
        nearest = np.abs(ratings[:, None] - self.ratings).argmin(axis=1)
        return self.centres[nearest]

    def pack(self) -> dict[str, NDArray[Any]]:
        """As arrays by name."""
        return {"steps/ratings": self.ratings, "steps/cuts": self.cuts, "steps/centres": self.centres}

    @classmethod
    def unpack(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """The inverse of `pack`."""
        return cls(arrays["steps/ratings"], arrays["steps/cuts"], arrays["steps/centres"])

    @staticmethod
    def shapes(steps: int) -> Shapes:
        """The shapes of `pack`'s arrays."""
        return {"steps/ratings": (steps,), "steps/cuts": (max(steps - 1, 0),), "steps/centres": (steps,)}

    def check(self) -> None:
        """Raise ValueError unless ratings and cuts rise."""
        if (np.diff(self.ratings) <= 0).any() or (np.diff(self.cuts) < 0).any():
            raise ValueError("the steps of the scale do not rise")


def distinct_steps(ratings: Floats) -> Floats:
    """The ratings that occur, rising, float32; all of them if they are few enough to be steps, otherwise none."""
    found = np.unique(ratings[:100_000])
    if len(found) <= MOST:
        found = np.unique(ratings)
    return found.astype(np.float32) if len(found) <= MOST else np.empty(0, np.float32)


def normal_below(x: NDArray[Any]) -> Doubles:
    """The chance that a standard normal number is below x, to 7.5e-8 (Abramowitz and Stegun 1964, 26.2.17).

    NumPy has no error function, and what recommends to one user must not wait for a library to load.
    """
    away = np.abs(x, dtype=np.float64)
    t = 1 / (1 + 0.2316419 * away)
    polynomial = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    above = np.exp(-away * away / 2) / np.sqrt(2 * np.pi) * polynomial
    return np.where(x > 0, 1 - above, above)


class Latent:
    """Latent values of the ratings of one chain, which learns them in place of ratings, and the cuts between steps.

    The first and the last cut stay halfway between ratings, which keeps latent values on the scale of ratings.

    Args:
        ratings: float32 (n,), as the chain was given them; replaced by latent values.
        steps: the distinct ratings, rising.

    Raises:
        SettingError: there are too few or too many steps.
    """

    def __init__(self, ratings: Floats, steps: Floats, generator: np.random.Generator) -> None:
        if not FEWEST <= len(steps) <= MOST:
            raise SettingError(
                f"An ordered-probit model needs {FEWEST} to {MOST} distinct ratings; there are {len(steps)}.",
                remedy="Leave --likelihood gaussian.",
            )
        self.generator = generator
        self.values = ratings.copy()
        self.steps = np.searchsorted(steps, ratings).astype(np.int8)
        self.counts = np.bincount(self.steps, minlength=len(steps)).astype(np.int64)
        middles = (steps[1:].astype(np.float64) + steps[:-1]) / 2
        self.cuts = np.concatenate(([-np.inf], middles, [np.inf]))

    def sample(self, chain: Chain) -> None:
        """Sample cuts, then latent values, given the chain's scores; its errors are brought up to date."""
        from penchant.kernels.ordinal import sample_cuts, sample_latent

        draw, n_cuts = self.generator, len(self.cuts)
        normals, uniforms = draw.standard_normal(n_cuts), 1 - draw.random(n_cuts)
        scores = self.values - chain.errors
        sample_cuts(self.cuts, scores, self.steps, chain.rating_precisions, self.counts, normals, uniforms)
        uniform = draw.random(len(self.values), np.float32)
        sample_latent(self.values, chain.errors, self.steps, chain.rating_precisions, self.cuts, uniform)

    def centres(self) -> Doubles:
        """The mean latent value of each step, float64 (steps,)."""
        return np.bincount(self.steps, self.values, minlength=len(self.counts)) / self.counts
