"""Parts of training with torch against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from penchant.errors import InputError, SettingError  # noqa: E402
from penchant.models.torch_training import (  # noqa: E402
    Adam,
    Dropout,
    build_module,
    call_module,
    embedding_size,
    load_weights,
)


@pytest.mark.filterwarnings("ignore")  # of what torch.optim imports
def test_adam_is_that_of_torch() -> None:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(5, 3, generator=draw)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    adam = Adam([ours], weight_decay=0.1)
    reference = torch.optim.AdamW([theirs], weight_decay=0.1, betas=(0.9, 0.99), eps=1e-5)
    for step in range(60):
        rate = 0.01 * (1 + step % 7)
        gradient = torch.randn(5, 3, generator=draw) + ours**2
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        reference.param_groups[0]["lr"] = rate
        adam.step(rate)
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)
    assert ours.grad is None


def test_adam_leaves_alone_what_has_no_gradient() -> None:
    still = torch.ones(3)
    Adam([still], weight_decay=0.5).step(0.1)
    assert still.tolist() == [1, 1, 1]


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    layer = Dropout(0.25, np.random.default_rng(0))
    out = layer(torch.ones(400, 500))
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.005)
    assert float(out.mean()) == pytest.approx(1, abs=0.01)
    layer.eval()
    assert torch.equal(layer(torch.ones(3)), torch.ones(3))


@pytest.mark.parametrize(("n", "size"), [(611, 58), (9720, 274), (10**9, 600), (1, 2)])
def test_embeddings_are_sized_by_the_rule(n: int, size: int) -> None:
    assert embedding_size(n) == size


class Plain(torch.nn.Module):
    def __init__(self, n_users: int, n_items: int, factors: int = 3) -> None:
        super().__init__()
        assert n_items
        self.users = torch.nn.Embedding(n_users, factors)

    def forward(self, x: Any) -> Any:
        return self.users(x[:, 0]).sum(dim=1)


def test_the_same_seed_builds_the_same_module_and_leaves_torchs_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, other = (build_module(Plain, 4, 5, {"factors": 2}, seed=9) for _ in range(2))
    assert torch.equal(one.users.weight, other.users.weight)
    assert torch.equal(torch.rand(1), expected)
    assert not torch.equal(build_module(Plain, 4, 5, {"factors": 2}, seed=10).users.weight, one.users.weight)


def test_a_module_that_cannot_be_built_is_explained() -> None:
    with pytest.raises(SettingError, match=r"cannot be made with .*width"):
        build_module(Plain, 4, 5, {"width": 2}, seed=0)
    with pytest.raises(InputError, match=r"not a torch\.nn\.Module"):
        build_module(dict, 4, 5, {}, seed=0)


def test_a_module_that_answers_wrongly_is_explained() -> None:
    class Wrong(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.float()

    class Failing(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x[:, 2]

    rows = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(InputError, match=r"returned \(3, 2\) for a batch of 3"):
        call_module(Wrong(), rows, rows)
    with pytest.raises(InputError, match="Failing failed on a"):
        call_module(Failing(), rows, rows)


def test_weights_of_another_class_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit Plain"):
        load_weights(Plain(4, 5), {"module/items.weight": np.zeros((2, 2), np.float32)})
