"""The models that the accuracy benchmark compares: penchant's and, in environments of their own, peer libraries'."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import peer_venv
from processes import WORKERS

from penchant.models import build

SCRIPTS = WORKERS / "accuracy"
SHARED = (SCRIPTS / "split_files.py", WORKERS / "speed" / "measuring.py")
MYFM = ("myfm==0.4.0",)
SURPRISE = ("scikit-surprise==1.1.5",)
OURS = "penchant bayes"
TIMES = ("months", "days")


@dataclass(frozen=True)
class Contender:
    """One model of one library.

    Attributes:
        name: what tables and --only call it.
        script: in workers/accuracy.
        model: what the library calls it.
        settings: other than its defaults.
        quick: settings of a fit that only fills the cache of compiled kernels; None where nothing is compiled.
        venv, requirements: its environment (peer_venv.ensure); no requirements for penchant's own.
        data: which data sets it takes part in.
        remark: what a reader of its numbers has to know.
    """

    name: str
    script: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] | None = None
    venv: str = ""
    requirements: tuple[str, ...] = ()
    data: tuple[str, ...] = ("small", "100k")
    remark: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """Changes with anything that its results could depend on, machine and data apart."""
        sources = [SCRIPTS / self.script, *SHARED]
        if not self.requirements:
            sources += sorted((peer_venv.ROOT / "src" / "penchant").rglob("*.py"))
        made = hashlib.sha256(repr((self.requirements, self.model, sorted(self.settings.items()))).encode())
        for source in sources:
            made.update(source.read_bytes())
        return made.hexdigest()[:12]

    def python(self, ours: Path) -> Path:
        """The Python that runs it; its environment is made when it is not there."""
        return peer_venv.ensure(self.venv, self.requirements) if self.requirements else ours


@dataclass(frozen=True)
class Budget:
    """How much a sampler samples, the same for penchant and myFM.

    Attributes:
        factors: rank.
        sweeps, kept: of all chains together; those that are kept are averaged.
    """

    factors: int
    sweeps: int
    kept: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Budget:
        """Of settings of bayes, all of them."""
        chains, sweeps = settings["chains"], settings["sweeps"]
        return cls(settings["factors"], chains * sweeps, chains * (sweeps - settings["burn_in"]))


def resolved(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of bayes when some are given."""
    return build("bayes", **settings).settings.to_json()


def ids_only() -> dict[str, Any]:
    """Settings of bayes that leave it nothing but who rated what."""
    return {"history": False, "user_columns": "none", "item_columns": "none", **dict.fromkeys(TIMES, False)}


def contenders(sampling: Mapping[str, Any]) -> dict[str, Contender]:
    """All models by name.

    Args:
        sampling: settings of bayes other than its defaults (factors, sweeps, …), which myFM is given too.
    """
    found = [*_ours(sampling), *_myfm(resolved(sampling)), *_surprise()]
    return {one.name: one for one in found}


def _ours(sampling: Mapping[str, Any]) -> list[Contender]:
    script = "penchant_worker.py"
    quick = {"chains": 1, "sweeps": 2, "burn_in": 1}
    return [
        Contender("penchant bias", script, "bias", quick={}),
        Contender("penchant mf", script, "mf", quick={"epochs": 1}),
        Contender("penchant mlp", script, "mlp", quick={"epochs": 1}),
        Contender(f"{OURS}, ids only", script, "bayes", {**sampling, **ids_only()}, quick),
        Contender(OURS, script, "bayes", sampling, quick),
    ]


def _myfm(settings: Mapping[str, Any]) -> list[Contender]:
    budget = Budget.of(settings)
    common = {"factors": budget.factors, "sweeps": budget.sweeps, "kept": budget.kept}
    none = {"history": False, "tables": False, **dict.fromkeys(TIMES, False)}
    same = {"history": settings["history"], "tables": True, **{name: settings[name] for name in TIMES}}
    how = {"script": "myfm_worker.py", "model": "MyFMRegressor", "venv": "myfm", "requirements": MYFM}
    return [
        Contender("myFM, ids only", settings={**common, **none}, **how),
        Contender("myFM, same features", settings={**common, **same}, **how),
    ]


def _surprise() -> list[Contender]:
    how = {"script": "surprise_worker.py", "venv": "surprise", "requirements": SURPRISE, "data": ("small",)}
    by_items = {"sim_options": {"name": "pearson_baseline", "user_based": False}, "verbose": False}
    return [
        Contender("Surprise BaselineOnly", model="BaselineOnly", settings={"verbose": False}, **how),
        Contender("Surprise SVD", model="SVD", **how),
        Contender("Surprise SVDpp", model="SVDpp", **how),
        Contender(
            "Surprise KNNBaseline, item-based",
            model="KNNBaseline",
            settings=by_items,
            remark="has the similarity that its documentation advises (pearson_baseline)",
            **how,
        ),
    ]
