"""Parts of training with torch against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from penchant.errors import InputError, SettingError  # noqa: E402
from penchant.models.torch_training import (  # noqa: E402
    Adam,
    build_module,
    call_module,
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
