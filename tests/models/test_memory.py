"""What a fit is estimated to take: every model, arithmetic, and against a process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant import job
from penchant.comparing import compare
from penchant.data.split import Split
from penchant.errors import NotEnoughMemoryError, SettingError
from penchant.models import MODELS, Model, build, build_own
from penchant.models import memory as estimating
from penchant.models.fitting import FitOptions
from penchant.models.memory import Sizes, check_fits, fitting, measuring

MANY = Sizes(train=8_000_000, valid=2_000_000, users=100_000, items=10_000)
SIZE = st.integers(2, 10**9)


def unfitted(name: str) -> Model:
    if name != "own":
        return build(name)
    torch = pytest.importorskip("torch")

    class Table(torch.nn.Module):
        def __init__(self, n_users: int, n_items: int) -> None:
            super().__init__()
            self.users, self.items = torch.nn.Embedding(n_users, 4), torch.nn.Embedding(n_items, 3)
            self.register_buffer("mean", torch.zeros(1))

    return build_own(Table)


def test_a_factorisation_is_tables_and_tiles() -> None:
    parts = fitting(build("mf", factors=50), MANY)
    assert parts["the factors of users and items, and a copy of the best"] == 2 * 4 * 64 * 110_000
    assert parts["the ratings"] == 12 * 8_000_000
    assert parts["the validation ratings"] == 20 * 2_000_000
    assert measuring(build("mf", factors=50), MANY)["what was learnt"] == 4 * 50 * 110_000


def test_a_module_is_counted_without_being_made() -> None:
    own = unfitted("own")
    assert own.learnt_memory(replace(MANY, users=10**12, items=10)) == 4 * (4 * 10**12 + 3 * 10 + 1)


def test_a_module_that_insists_on_real_weights_counts_nothing() -> None:
    torch = pytest.importorskip("torch")

    class Real(torch.nn.Module):
        def __init__(self, n_users: int, n_items: int) -> None:
            super().__init__()
            self.start = float(torch.ones(n_users + n_items).sum().item())

    assert build_own(Real).learnt_memory(MANY) == 0
    instance = torch.nn.Linear(3, 2)
    assert build_own(instance).learnt_memory(MANY) == 4 * (3 * 2 + 2)


@given(SIZE, SIZE, SIZE, SIZE, st.sampled_from(["bias", "dot", "mf", "mlp"]))
def test_more_of_anything_takes_no_less(train: int, valid: int, users: int, items: int, name: str) -> None:
    model, sizes = build(name), Sizes(train, valid, users, items)
    for phase in (fitting, measuring):
        parts = phase(model, sizes)
        assert all(isinstance(size, int) and size >= 0 for size in parts.values())
        for field in ("train", "valid", "users", "items"):
            more = phase(model, replace(sizes, **{field: 2 * getattr(sizes, field)}))
            assert sum(more.values()) >= sum(parts.values())


@pytest.mark.parametrize("name", [*MODELS, "own"])
def test_a_small_limit_refuses_every_model_and_leaves_it_unfitted(name: str, split: Split) -> None:
    model = unfitted(name)
    with pytest.raises(NotEnoughMemoryError, match=f"Fitting {name} would take about") as caught:
        job.fit_model(model, split, FitOptions(memory=1_000_000))
    assert "The limit (--memory) is 1.0 MB" in caught.value.problem
    assert model.parameters == {}


@pytest.mark.parametrize("memory", ["64GB", 64 * 10**9])
def test_a_limit_in_python(memory: Any, split: Split, tmp_path: Path) -> None:
    assert job.fit(split, "bias", memory=memory).log is not None
    assert len(compare(split, ["bias"], memory=memory)) == 1
    with pytest.raises(NotEnoughMemoryError, match="Fitting bias"):
        job.fit(split, "bias", memory="1MB")
    (tmp_path / "ratings.csv").write_text("user,item,rating\n1,1,5\n", encoding="utf-8")
    with pytest.raises(NotEnoughMemoryError, match="Reading"):
        job.fit(tmp_path / "ratings.csv", "bias", memory="1MB")
    with pytest.raises(SettingError, match="memory is 'much'"):
        job.fit(split, "bias", memory="much")


def test_a_comparison_is_refused_before_its_first_fit(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second model would fit, were the first not kept."""
    asked: list[tuple[str, dict[str, int]]] = []
    monkeypatch.setattr(estimating, "check_memory", lambda doing, parts, *_: asked.append((doing, parts)))
    check_fits([build("bias"), build("mf")], split, None)
    assert [doing for doing, _ in asked] == ["Fitting bias", "Fitting mf"]
    n = len(split.train) + len(split.valid or ())
    assert asked[0][1]["the models fitted before"] == 0
    assert asked[1][1]["the models fitted before"] == 9 * n + 16 * (split.train.n_users + split.train.n_items)


PEAK = """
import json, sys
import numpy as np, polars as pl
from penchant.data.interactions import Interactions
from penchant.data.split import split_random
from penchant.data.vocabulary import Vocabulary
from penchant.models import build
from penchant.models.memory import Sizes, fitting

def field(name):
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith(name)).split()[1])

def made(n, n_users, n_items):
    draw = np.random.default_rng(0)
    rows = draw.integers(0, n_users, n).astype(np.int32), draw.integers(0, n_items, n).astype(np.int32)
    rows[0][:n_users], rows[1][:n_items] = np.arange(n_users), np.arange(n_items)
    users, items = (Vocabulary(pl.Series(np.arange(size)), "user") for size in (n_users, n_items))
    return split_random(Interactions(users, items, *rows, draw.integers(1, 6, n).astype(np.float32)))

build("mf", factors=200, epochs=1).fit(made(2000, 100, 50))
split = made(400_000, 150_000, 10_000)
before = field("VmRSS")
model = build("mf", factors=200, epochs=1)
model.fit(split)
print(json.dumps([sum(fitting(model, Sizes.of(split)).values()), field("VmHWM") - before]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_the_estimate_is_what_a_process_takes() -> None:
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    estimate, measured = json.loads(run.stdout)
    assert measured > 200_000_000
    assert 0.9 * measured <= estimate <= 1.2 * measured
