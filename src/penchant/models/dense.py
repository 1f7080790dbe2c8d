"""Hidden layers in NumPy: sums, rectified, normalised, some left out; the way there and the way back.

All weights lie in one vector, so that an optimiser's step is one pass over it and gradients of parts of a batch are
added as vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NORMAL_EPSILON = np.float32(1e-5)
NORMAL_MOMENTUM = np.float32(0.1)  # how fast the averages follow that replace a batch's when training is over


class Layer(NamedTuple):
    """Weights of one layer, as views of the one vector.

    Attributes:
        weight: (wide, narrow).
        bias: (wide,).
        scale, shift: (wide,) after normalisation; empty where there is none.
    """

    weight: Floats
    bias: Floats
    scale: Floats
    shift: Floats


@dataclass
class Average:
    """What a batch normalisation divides by when training is over.

    Attributes:
        mean, variance: float32 (wide,).
    """

    mean: Floats
    variance: Floats

    def follow(self, mean: Floats, variance: Floats, n: int) -> None:
        """Move towards a batch of n."""
        self.mean += NORMAL_MOMENTUM * (mean - self.mean)
        self.variance += NORMAL_MOMENTUM * (variance * np.float32(n / max(n - 1, 1)) - self.variance)

    def undone(self, layer: Layer) -> tuple[Floats, Floats]:
        """What a normalised number is multiplied by, and what is added then, when training is over."""
        factor = layer.scale / np.sqrt(self.variance + NORMAL_EPSILON)
        return factor, layer.shift - self.mean * factor


class Step(NamedTuple):
    """What the way back needs of one hidden layer.

    Attributes:
        given: what came in, (n, narrow).
        active: rectified sums, (n, wide).
        normal: with mean 0 and variance 1, (n, wide); None without normalisation.
        inverse: one over the deviation, (wide,).
    """

    given: Floats
    active: Floats
    normal: Floats | None
    inverse: Floats


@dataclass(frozen=True)
class Noise:
    """Which numbers a dropout leaves out.

    Attributes:
        left_out: of 256; 0 for none.
        seeds: one of each hidden layer.
        first: the number of a batch's first rating.
    """

    left_out: int
    seeds: NDArray[np.uint64]
    first: int

    def apply(self, x: Floats, layer: int) -> None:
        """Leave out, in place; done twice to the same x, the same is left out."""
        from penchant.kernels.network import drop_out

        if self.left_out:
            drop_out(x, self.left_out, self.seeds[layer], self.first)


class Dense:
    """Hidden layers and one sum at the end.

    Args:
        widths: of the input and of each hidden layer.
        normalised: whether each hidden layer is normalised over the batch (Ioffe and Szegedy 2015).
        last_bias: where the last sum starts.
        generator: draws the weights, uniform within 1 / sqrt(narrow) of 0 (torch's rule).
    """

    def __init__(
        self, widths: Sequence[int], normalised: bool, last_bias: float, generator: np.random.Generator
    ) -> None:
        self.shapes = [self._shapes(*pair, normalised=normalised) for pair in pairwise(widths)]
        self.shapes.append(self._shapes(widths[-1], 1, normalised=False))
        self.weights = np.zeros(sum(int(np.prod(shape)) for layer in self.shapes for shape in layer), np.float32)
        self.layers = self.views(self.weights)
        for layer in self.layers:
            reach = 1 / np.sqrt(layer.weight.shape[1])
            layer.weight[:] = generator.uniform(-reach, reach, layer.weight.shape)
            layer.bias[:] = generator.uniform(-reach, reach, layer.bias.shape)
            layer.scale[:] = 1
        self.layers[-1].bias[:] = last_bias
        self.averages = [Average(np.zeros(n, np.float32), np.ones(n, np.float32)) for n in widths[1:]]

    @staticmethod
    def _shapes(narrow: int, wide: int, *, normalised: bool) -> tuple[tuple[int, ...], ...]:
        return (wide, narrow), (wide,), (wide * normalised,), (wide * normalised,)

    def views(self, vector: Floats) -> list[Layer]:
        """The layers in a vector of weights or of gradients."""
        layers, at = [], 0
        for shapes in self.shapes:
            parts = []
            for shape in shapes:
                size = int(np.prod(shape))
                parts.append(vector[at : at + size].reshape(shape))
                at += size
            layers.append(Layer(*parts))
        return layers

    def forward(self, x: Floats, noise: Noise) -> tuple[Floats, Floats, list[Step]]:
        """The last sums (n,), what went into them (n, width), and the steps that led there; x is (n, width)."""
        steps = []
        for number, layer in enumerate(self.layers[:-1]):
            active = x @ layer.weight.T
            active += layer.bias
            np.maximum(active, 0, out=active)
            step = Step(x, active, None, layer.scale)
            x = active
            if len(layer.scale):
                step, x = self._normalise(step, layer, self.averages[number])
            noise.apply(x, number)
            steps.append(step)
        last = self.layers[-1]
        return (x @ last.weight.T + last.bias)[:, 0], x, steps

    @staticmethod
    def _normalise(step: Step, layer: Layer, average: Average) -> tuple[Step, Floats]:
        mean, variance = step.active.mean(axis=0), step.active.var(axis=0)
        average.follow(mean, variance, len(step.active))
        inverse = 1 / np.sqrt(variance + NORMAL_EPSILON)
        normal = (step.active - mean) * inverse
        return step._replace(normal=normal, inverse=inverse), normal * layer.scale + layer.shift

    def backward(
        self, slopes: Floats, last: Floats, steps: list[Step], noise: Noise, gradients: list[Layer], back: Floats
    ) -> None:
        """Gradients of all weights and of the input, written.

        Args:
            slopes: derivatives of what is minimised by the last sums, (n,).
            last, steps, noise: of the way there.
            gradients: of the weights; views of one vector.
            back: of the input, (n, width).
        """
        x = slopes[:, None]
        self._add_up(x, last, gradients[-1])
        x = x @ self.layers[-1].weight
        for number in reversed(range(len(steps))):
            layer, step, gradient = self.layers[number], steps[number], gradients[number]
            noise.apply(x, number)
            if step.normal is not None:
                x = self._denormalise(x, step, step.normal, layer, gradient)
            x *= step.active > 0
            self._add_up(x, step.given, gradient)
            x = np.matmul(x, layer.weight, out=back if number == 0 else None)

    @staticmethod
    def _add_up(x: Floats, given: Floats, gradient: Layer) -> None:
        np.matmul(x.T, given, out=gradient.weight)
        x.sum(axis=0, out=gradient.bias)

    @staticmethod
    def _denormalise(x: Floats, step: Step, normal: Floats, layer: Layer, gradient: Layer) -> Floats:
        (x * normal).sum(axis=0, out=gradient.scale)
        x.sum(axis=0, out=gradient.shift)
        x *= layer.scale
        x -= x.mean(axis=0) + normal * (x * normal).mean(axis=0)
        x *= step.inverse
        return x

    def folded(self) -> list[tuple[Floats, Floats]]:
        """Weight and bias of each layer as they are when training is over, normalisations in the layer after them."""
        found: list[tuple[Floats, Floats]] = []
        before: tuple[Floats, Floats] | None = None
        for number, layer in enumerate(self.layers):
            weight, bias = layer.weight.copy(), layer.bias.copy()
            if before is not None:
                factor, shift = before
                bias += weight @ shift
                weight *= factor
            before = self.averages[number].undone(layer) if len(layer.scale) else None
            found.append((weight, bias))
        return found
