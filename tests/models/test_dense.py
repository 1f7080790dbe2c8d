"""Hidden layers against torch: the same sums, the same gradients, the same folding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from penchant.models.dense import Dense, Noise  # noqa: E402

NO_NOISE = Noise(0, np.zeros(3, np.uint64), 0)


def make(normalised: bool) -> Dense:
    return Dense((6, 5, 4), normalised, 0.3, np.random.default_rng(0))


def twin(network: Dense) -> Any:
    """The same network in torch."""
    layers: list[Any] = []
    for number, layer in enumerate(network.layers):
        wide, narrow = layer.weight.shape
        linear = torch.nn.Linear(narrow, wide)
        linear.weight.data, linear.bias.data = torch.tensor(layer.weight), torch.tensor(layer.bias)
        layers.append(linear)
        if number < len(network.layers) - 1:
            layers.append(torch.nn.ReLU())
            if len(layer.scale):
                normal = torch.nn.BatchNorm1d(wide)
                normal.weight.data, normal.bias.data = torch.tensor(layer.scale), torch.tensor(layer.shift)
                layers.append(normal)
    return torch.nn.Sequential(*layers)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("normalised", [False, True])
def test_there_and_back_as_torch_goes(normalised: bool) -> None:
    network = make(normalised)
    draw = np.random.default_rng(1)
    for layer in network.layers[:-1]:
        layer.scale[:] = draw.uniform(0.5, 2, layer.scale.shape)
        layer.shift[:] = draw.standard_normal(layer.shift.shape)
    x, slopes = draw.standard_normal((9, 6), np.float32), draw.standard_normal(9).astype(np.float32)
    other, given = twin(network), torch.tensor(x, requires_grad=True)
    sums = other(given)[:, 0]
    (sums * torch.tensor(slopes)).sum().backward()

    z, last, steps = network.forward(x, NO_NOISE)
    gradients = network.views(np.full_like(network.weights, np.nan))
    back = np.empty_like(x)
    network.backward(slopes, last, steps, NO_NOISE, gradients, back)
    assert_close(z, sums)
    assert_close(back, given.grad)
    linears = [layer for layer in other if isinstance(layer, torch.nn.Linear)]
    for gradient, linear in zip(gradients, linears, strict=True):
        assert_close(gradient.weight, linear.weight.grad)
        assert_close(gradient.bias, linear.bias.grad)
    normals = [layer for layer in other if isinstance(layer, torch.nn.BatchNorm1d)]
    for gradient, normal in zip(gradients, normals, strict=False):
        assert_close(gradient.scale, normal.weight.grad)
        assert_close(gradient.shift, normal.bias.grad)


@pytest.mark.parametrize("normalised", [False, True])
def test_what_is_kept_answers_as_torch_does_after_training(normalised: bool) -> None:
    network, draw = make(normalised), np.random.default_rng(2)
    other = twin(network)
    for _ in range(20):
        x = draw.standard_normal((11, 6), np.float32)
        network.forward(x, NO_NOISE)
        other(torch.tensor(x))
    other.eval()
    x = z = draw.standard_normal((7, 6), np.float32)
    folded = network.folded()
    for number, (weight, bias) in enumerate(folded):
        z = z @ weight.T + bias
        if number < len(folded) - 1:
            z = np.maximum(z, 0)
    assert_close(z[:, 0], other(torch.tensor(x))[:, 0])


def test_with_numbers_left_out_the_way_back_is_the_slope() -> None:
    """Derivatives by the input, against differences, with the same numbers left out both times."""
    network, noise = make(False), Noise(100, np.arange(3, dtype=np.uint64), 50)
    x = np.random.default_rng(3).standard_normal((4, 6), np.float32)
    slopes = np.ones(4, np.float32)
    _, last, steps = network.forward(x, noise)
    back = np.empty_like(x)
    network.backward(slopes, last, steps, noise, network.views(np.empty_like(network.weights)), back)
    for row, column in np.ndindex(4, 6):
        moved = [x.copy(), x.copy()]
        moved[0][row, column] += 1e-2
        moved[1][row, column] -= 1e-2
        higher, lower = (float(network.forward(one, noise)[0].sum(dtype=np.float64)) for one in moved)
        assert back[row, column] == pytest.approx((higher - lower) / 2e-2, abs=5e-3)


def test_weights_start_as_in_torch_and_all_lie_in_one_vector() -> None:
    network = Dense((100, 50), False, 0.25, np.random.default_rng(0))
    weight = network.layers[0].weight
    assert float(np.abs(weight).max()) == pytest.approx(0.1, rel=0.01)
    assert float(weight.std()) == pytest.approx(0.1 / np.sqrt(3), rel=0.03)
    assert network.layers[-1].bias.tolist() == [0.25]
    network.weights[:] = 0
    assert not any(part.any() for layer in network.layers for part in layer)
