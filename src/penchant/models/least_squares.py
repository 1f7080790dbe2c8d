"""How alternating least squares solves rows: by which solver, how closely, and over threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from penchant.threads import Workers

Solver = Literal["conjugate-gradient", "cholesky"]
SOLVING = "How each row is solved: nearly, from where it was, or exactly, which takes longer."  # of the setting

ROWS_A_PIECE = 256  # that a thread solves at a time
# Conjugate gradients of a half-step and of the last one: at most so many steps, until so close. Where pairs that were
# not observed count much, 2 or 3 are enough; with weak pulls, always 3 steps left the objective of 6 epochs 5 per cent
# above that of direct solutions, and these leave it 0.05 above or less, in about the same time.
HALF_STEP = 8, 0.01
LAST_STEP = 100, 1e-6
DIRECT = 0, 0.0


def share_rows(workers: Workers, n: int, work: Callable[[slice], None]) -> None:
    """Do some work on n rows, some at a time."""

    def some(pieces: NDArray[np.int64]) -> None:
        for start in pieces.tolist():
            work(slice(start, min(start + ROWS_A_PIECE, n)))

    workers.share(np.arange(0, n, ROWS_A_PIECE), some)


def padded(factors: int) -> int:
    """How wide the kernel wants a row of so many numbers."""
    from penchant.kernels.als import UNIT

    return -(-factors // UNIT) * UNIT
