"""Parts of training with torch against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from penchant.data.split import split_random  # noqa: E402
from penchant.data.synthetic import planted  # noqa: E402
from penchant.errors import InputError, SettingError  # noqa: E402
from penchant.models.fitting import FitOptions  # noqa: E402
from penchant.models.networks import OwnSettings  # noqa: E402
from penchant.models.torch_training import (  # noqa: E402
    Adam,
    LazyAdam,
    OwnTrainer,
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


class Pairs(torch.nn.Module):
    """A dot product of tables that no batch of 8 covers; `dense` also uses the users' weights as a whole."""

    def __init__(self, n_users: int, n_items: int, *, dense: bool = False) -> None:
        super().__init__()
        self.users = torch.nn.Embedding(n_users, 4)
        self.items = torch.nn.Embedding(n_items, 4)
        self.dense = dense

    def forward(self, x: Any) -> Any:
        found = (self.users(x[:, 0]) * self.items(x[:, 1])).sum(dim=1)
        return found + self.users.weight.sum() if self.dense else found


def trained(module: Any, *, lazy: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any]]:
    """The weights after 3 epochs of 40 steps, and the tables that were stepped lazily to the end."""
    monkeypatch.setattr(Adam, "epsilon", 1e-12)  # what lazy steps leave out
    if not lazy:
        monkeypatch.setattr(LazyAdam, "suits", staticmethod(lambda *_: False))
    monkeypatch.setattr(LazyAdam, "steps_at_most", 25)
    monkeypatch.setattr(LazyAdam, "rows_for_each", 4)
    split = split_random(planted(60, 50, 400, seed=4), 0.2, seed=0)
    settings = OwnSettings(batch_size=8, learning_rate=0.02, weight_decay=0.1)
    with OwnTrainer(module, settings, split, FitOptions(seed=1)) as trainer:
        for epoch in range(3):
            trainer.run_epoch(epoch, lambda _: None)
        tables = list(trainer.tables)
    monkeypatch.undo()
    return module, tables


def test_rows_stepped_lazily_end_where_adam_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    start = build_module(Pairs, 60, 50, {}, seed=2)
    lazy, tables = trained(build_module(start, 60, 50, {}, seed=2), lazy=True, monkeypatch=monkeypatch)
    dense, none = trained(build_module(start, 60, 50, {}, seed=2), lazy=False, monkeypatch=monkeypatch)
    assert (len(tables), len(none)) == (2, 0)
    for ours, theirs, before in zip(lazy.parameters(), dense.parameters(), start.parameters(), strict=True):
        assert not torch.allclose(theirs, before, atol=0.05)
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_table_that_is_used_as_a_whole_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    start = build_module(Pairs, 60, 50, {"dense": True}, seed=2)
    lazy, tables = trained(build_module(start, 60, 50, {}, seed=2), lazy=True, monkeypatch=monkeypatch)
    dense, _ = trained(build_module(start, 60, 50, {}, seed=2), lazy=False, monkeypatch=monkeypatch)
    assert [table.embedding is lazy.items for table in tables] == [True]
    for ours, theirs in zip(lazy.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_module_is_left_as_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = trained(build_module(Pairs, 60, 50, {}, seed=2), lazy=True, monkeypatch=monkeypatch)
    assert not module.users.sparse
    assert not module.users._forward_pre_hooks


@pytest.mark.parametrize(
    ("module", "suits"),
    [
        (torch.nn.Embedding(1000, 3), True),
        (torch.nn.Embedding(1000, 3, padding_idx=0), True),
        (torch.nn.Embedding(512, 3), False),
        (torch.nn.Embedding(1000, 3, max_norm=1.0), False),
        (torch.nn.Embedding(1000, 3, scale_grad_by_freq=True), False),
        (torch.nn.Embedding(1000, 3).requires_grad_(False), False),
        (torch.nn.Linear(100, 3), False),
    ],
)
def test_which_parts_of_a_module_are_stepped_by_rows(module: Any, suits: bool) -> None:
    assert LazyAdam.suits(module, 8) is suits
