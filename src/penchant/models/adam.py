"""Adam over a vector of weights, in NumPy and a kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from penchant.models.momenta import Momenta

Floats = NDArray[np.float32]


class Adam(Momenta):
    """AdamW over one vector of weights."""

    def __init__(self, weights: Floats, weight_decay: float) -> None:
        super().__init__(weight_decay)
        self.weights = weights
        self.means, self.squares = np.zeros_like(weights), np.zeros_like(weights)

    def step(self, gradients: Floats, rate: float) -> None:
        """Move the weights."""
        from penchant.kernels.network import adam_step

        self.advance()
        numbers = (
            self.momentum, self.square_momentum, rate / (1 - self.mean_start), 1 - self.square_start,
            1 - rate * self.weight_decay, self.epsilon,
        )  # fmt: skip
        adam_step(self.weights, self.means, self.squares, gradients, *map(np.float32, numbers))
