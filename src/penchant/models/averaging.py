"""The average of many factorisations, as one factorisation of bounded size.

Averaged over samples, the score of rows a and b is the average of products f_a . f_b, which is a product of factors
again: those of all samples side by side. Their number grows with every sample; here it is kept down by rotating the
columns to where they matter most, and dropping the rest (a truncated singular value decomposition of the columns so
far; Liberty 2013, "Simple and deterministic matrix sketching", without its shrinking).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ROWS_A_TIME = 8192


class AverageFactors:
    """Columns so far, of which as many as `rank` are kept, and as many more wait for room.

    Args:
        weights: float64 (rows,), how much an error of a row's factors matters. Roots of numbers of ratings were
            measured at half the error of equal weights.
        rank: how many factors the average may have.
    """

    def __init__(self, weights: NDArray[np.float64], rank: int) -> None:
        self.weights = weights.astype(np.float32)[:, None]
        self.rank = rank
        self.columns = np.zeros((len(weights), 2 * rank), np.float32)
        self.used = 0
        self.n = 0

    def add(self, factors: Floats) -> None:
        """Take in one more factorisation, float32 (factors, rows)."""
        self.n += 1
        for start in range(0, len(factors), self.rank):
            part = factors[start : start + self.rank]
            if self.used + len(part) > self.columns.shape[1]:
                self._shrink()
            self.columns[:, self.used : self.used + len(part)] = part.T
            self.used += len(part)

    def result(self) -> Floats:
        """Factors whose products are the averages of products, float32 (rows, rank); the most telling first."""
        self._shrink()
        return self.columns[:, : self.rank] / np.float32(np.sqrt(max(self.n, 1)))

    def _shrink(self) -> None:
        used = self.columns[:, : self.used]
        squares = np.zeros((self.used, self.used))
        for at in range(0, len(used), ROWS_A_TIME):
            part = used[at : at + ROWS_A_TIME] * self.weights[at : at + ROWS_A_TIME]
            squares += part.T @ part
        vectors = np.linalg.eigh(squares)[1][:, ::-1][:, : self.rank]
        vectors *= np.where(vectors.sum(axis=0) < 0, -1, 1)  # a sign of its own, whatever the library returns
        kept = vectors.astype(np.float32)
        for at in range(0, len(used), ROWS_A_TIME):
            rotated = used[at : at + ROWS_A_TIME] @ kept
            self.columns[at : at + ROWS_A_TIME, : kept.shape[1]] = rotated
        self.columns[:, kept.shape[1] :] = 0
        self.used = kept.shape[1]
