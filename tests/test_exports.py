"""The public names: there, documented, and light to import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import penchant
import penchant.models


def test_all_is_sorted_complete_and_without_repetition() -> None:
    assert len(set(penchant.__all__)) == len(penchant.__all__)
    assert set(penchant.__all__) == set(penchant._HOMES) | {"load", "__version__"}
    assert dir(penchant) == sorted(penchant.__all__)


@pytest.mark.parametrize("name", [name for name in penchant.__all__ if name != "__version__"])
def test_a_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(penchant, name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert inspect.getdoc(thing)
        assert thing.__module__.startswith("penchant")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = penchant.nonsense


def loaded_after(code: str) -> set[str]:
    """Top-level modules that are loaded in a fresh process after some code."""
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_penchant_loads_nothing_heavy() -> None:
    heavy = {"torch", "numba", "numpy", "polars", "scipy", "matplotlib", "rich", "typer", "pandas"}
    assert not loaded_after("import penchant") & heavy


def test_the_core_works_without_torch() -> None:
    """torch made unimportable: every model but those that torch trains is fitted and answers."""
    code = """
sys.modules["torch"] = None
import penchant
from penchant.data.synthetic import planted
ratings = planted(30, 40, 600)
from penchant.models import MODELS
for name in [name for name, model in MODELS.items() if model.trained_by != "torch"]:
    assert penchant.fit(ratings, name).recommend(rated={}, k=3)
"""
    assert "numba" in loaded_after(code)


@pytest.mark.parametrize("name", ["mlp", "sequence"])
def test_recommending_with_a_network_needs_no_torch(name: str, tmp_path: Path) -> None:
    from penchant.data.synthetic import planted

    folder, ratings = tmp_path / "model", planted(30, 40, 600)
    timed = replace(ratings, times=np.arange(len(ratings), dtype=np.int64))
    penchant.fit(timed, name, epochs=1).save(folder)
    code = f"""
import penchant
r = penchant.load({str(folder)!r})
assert r.recommend(r.users.ids[0], k=3)
assert r.recommend(rated={{0: 5, 3: 4}}, k=3)
"""
    assert not loaded_after(code) & {"torch", "matplotlib", "pandas"}
