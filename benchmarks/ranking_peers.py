"""The models that the ranking benchmark tunes and compares: penchant's and, in environments of their own, peers'."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import peer_venv
from processes import WORKERS

from penchant.models import model_class
from penchant.search_space import Dimension

SCRIPTS = WORKERS / "ranking"
SHARED = "trials.py"
IMPLICIT = ("implicit==0.7.3",)
RECTOOLS = ("rectools==0.19.0",)
LENSKIT = ("torch", "lenskit==2025.8.1")  # torch first: constraints.txt then settles which build


@dataclass(frozen=True)
class Range:
    """Numbers that are tried.

    Attributes:
        low, high: ends.
        is_whole: only whole numbers.
        is_log: every factor alike; otherwise every difference, as where 0 is among them.
    """

    low: float
    high: float
    is_whole: bool = False
    is_log: bool = True

    def draw(self, generator: np.random.Generator) -> float | int:
        """One of them."""
        if self.is_log:
            value = float(np.exp(generator.uniform(np.log(self.low), np.log(self.high))))
        else:
            value = float(generator.uniform(self.low, self.high))
        return round(value) if self.is_whole else float(f"{value:.3g}")

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


Space = Mapping[str, "Range | tuple[Any, ...]"]


@dataclass(frozen=True)
class Contender:
    """One model of one library.

    Attributes:
        name: what tables and --only call it.
        script: in workers/ranking.
        model: what the script calls it.
        space: what is searched.
        default: settings of the first trial: the library's defaults where it is empty.
        venv, requirements: its environment (peer_venv.ensure); no requirements for penchant's own.
    """

    name: str
    script: str
    model: str
    space: Space
    default: Mapping[str, Any] = field(default_factory=dict)
    venv: str = ""
    requirements: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it is penchant's."""
        return not self.requirements

    @cached_property
    def fingerprint(self) -> str:
        """Changes with anything that its results could depend on, machine and data apart."""
        sources = [SCRIPTS / self.script, SCRIPTS / SHARED, Path(__file__)]
        if self.is_ours:
            sources += sorted((peer_venv.ROOT / "src" / "penchant").rglob("*.py"))
        made = hashlib.sha256(repr((self.requirements, self.model)).encode())
        for source in sources:
            made.update(source.read_bytes())
        return made.hexdigest()[:12]

    def python(self, ours: Path) -> Path:
        """The Python that runs it; its environment is made when it is not there."""
        return peer_venv.ensure(self.venv, self.requirements) if self.requirements else ours

    def trials(self, n: int, seed: int) -> list[dict[str, Any]]:
        """The settings of n trials: the default's, then random ones."""
        generator = np.random.default_rng([seed, *self.name.encode()])
        drawn = [
            {
                name: among.draw(generator) if isinstance(among, Range) else among[int(generator.integers(len(among)))]
                for name, among in self.space.items()
            }
            for _ in range(n - 1)
        ]
        return [dict(self.default), *drawn]


def of_penchant(model: str, *names: str) -> Contender:
    """A model of penchant; the ranges of the named settings are those that `penchant tune` searches."""
    found: dict[str, Any] = {}
    for setting in model_class(model).settings_class.describe():
        if setting.name in names:
            one = Dimension.of(setting)
            numbers = Range(one.low, one.high, one.is_whole, one.is_log)
            found[one.name] = tuple(one.values.values()) if one.values else numbers
    return Contender(f"penchant {model}", "penchant_worker.py", model, found)


def contenders() -> dict[str, Contender]:
    """All models by name."""
    implicit = {"script": "implicit_worker.py", "venv": "implicit", "requirements": IMPLICIT}
    rectools = {"script": "rectools_worker.py", "venv": "rectools", "requirements": RECTOOLS}
    lenskit = {"script": "lenskit_worker.py", "venv": "lenskit", "requirements": LENSKIT}
    factors = Range(16, 256, is_whole=True)
    found = [
        of_penchant("popularity"),
        of_penchant("item-knn", "neighbours", "shrinkage", "scheme"),
        of_penchant("ease", "regularisation"),
        of_penchant("als", "factors", "regularisation", "unobserved_weight"),
        of_penchant("bpr", "factors", "learning_rate", "weight_decay", "epochs"),
        Contender(
            "implicit item kNN",
            model="item-knn",
            space={
                "kind": ("cosine", "tf-idf", "bm25"),
                "K": Range(10, 500, is_whole=True),
                "K1": Range(0.3, 100),
                "B": Range(0.05, 1),
            },
            **implicit,
        ),
        Contender(
            "implicit ALS",
            model="als",
            space={"factors": factors, "regularization": Range(0.3, 300), "alpha": Range(1, 100)},
            **implicit,
        ),
        Contender(
            "implicit BPR",
            model="bpr",
            space={
                "factors": factors,
                "learning_rate": Range(0.003, 0.1),
                "regularization": Range(0.001, 0.1),
                "iterations": Range(50, 300, is_whole=True),
            },
            **implicit,
        ),
        Contender("RecTools EASE", model="ease", space={"regularization": Range(10, 2000)}, **rectools),
        Contender("LensKit EASE", model="ease", space={"regularization": Range(10, 2000)}, **lenskit),
        Contender(
            "LensKit ImplicitMF",
            model="als",
            space={"embedding_size": factors, "regularization": Range(0.01, 100), "weight": Range(1, 100)},
            **lenskit,
        ),
        Contender(
            "LensKit ItemKNN",
            model="item-knn",
            space={"max_nbrs": Range(10, 500, is_whole=True), "min_sim": Range(1e-6, 0.1)},
            **lenskit,
        ),
    ]
    return {one.name: one for one in found}
