"""What an Adam of NumPy's arrays and one of torch's tensors share: fastai's constants, and what the means still owe."""

from __future__ import annotations


class Momenta:
    """The numbers of AdamW (Loshchilov and Hutter 2019) that are the same for all weights.

    Attributes:
        mean_start, square_start: what the means still owe to their start at 0; products, since one-cycle moves the
            momentum.
    """

    momentum = 0.9
    square_momentum = 0.99
    epsilon = 1e-5

    def __init__(self, weight_decay: float) -> None:
        self.weight_decay = weight_decay
        self.mean_start = self.square_start = 1.0

    def advance(self) -> None:
        """One step on."""
        self.mean_start *= self.momentum
        self.square_start *= self.square_momentum
