"""The libraries that the speed benchmark compares, each with the script that runs it and where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import peer_venv
from processes import WORKERS

OURS = "penchant mf"
SCRIPTS = WORKERS / "speed"
SHARED = "measuring.py"  # what all scripts there have in common


@dataclass(frozen=True)
class Peer:
    """One library with one model.

    Attributes:
        name: what tables and --only call it.
        script: in workers/speed.
        model: what is fitted, in words.
        venv, requirements, flags: its environment (peer_venv.ensure); no requirements for penchant's own.
        options: given to the script beside those that all are given.
        scenarios: where it takes part.
        most_ratings: how many ratings it is given at most; None for all.
        has_epochs: False for what is computed in one go.
        remark: what a reader of its numbers has to know.
    """

    name: str
    script: str
    model: str
    venv: str = ""
    requirements: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    scenarios: tuple[str, ...] = ("small", "large")
    most_ratings: int | None = None
    has_epochs: bool = True
    remark: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes with anything that its results could depend on, the machine apart."""
        sources = [SCRIPTS / self.script, SCRIPTS / SHARED]
        if not self.requirements:
            sources += sorted((peer_venv.ROOT / "src" / "penchant").rglob("*.py"))
        made = hashlib.sha256(repr((self.requirements, self.flags, self.options)).encode())
        for source in sources:
            made.update(source.read_bytes())
        return made.hexdigest()[:12]

    def python(self, ours: Path) -> Path:
        """The Python that runs it; its environment is made when it is not there."""
        return peer_venv.ensure(self.venv, self.requirements, self.flags) if self.requirements else ours


STRAIGHT_LINE = (
    "has no ratings in its model; its error is that of the straight line from score to rating that fits a million "
    "training pairs best, so that only time and memory compare"
)

ALL = (
    Peer(OURS, "penchant_worker.py", "SGD (Adagrad), biases, sigmoid", options={"model": "mf"}),
    Peer("penchant bias", "penchant_worker.py", "biases alone", options={"model": "bias"}, has_epochs=False),
    Peer(
        "libmf",
        "libmf_worker.py",
        "SGD (Adagrad), no biases",
        venv="libmf",
        requirements=("libmf==0.9.2",),
        flags={
            "CXXFLAGS": "-O3 -march=native -DUSEAVX -DUSEOMP -fopenmp",
            "CFLAGS": "-O3 -march=native -DUSEAVX -DUSEOMP -fopenmp",  # what older builders read for C++, too
            "LDFLAGS": "-fopenmp",
            "PIP_NO_CACHE_DIR": "1",  # pip's cache does not know the flags
        },
        remark="is compiled with -O3 -march=native -DUSEAVX -DUSEOMP, which pip by itself does not do; the "
        "binding's predict answers for other pairs than those given, so its factors are multiplied instead",
    ),
    Peer(
        "libmf, from pip",
        "libmf_worker.py",
        "SGD (Adagrad), no biases",
        venv="libmf-from-pip",
        requirements=("libmf==0.9.2",),
        flags={"PIP_NO_CACHE_DIR": "1"},  # so that it is not the one above
        remark="is the same as pip compiles it, without the processor's vectors",
    ),
    Peer(
        "cmfrec",
        "cmfrec_worker.py",
        "ALS (conjugate gradients), biases",
        venv="cmfrec",
        requirements=("cmfrec==3.5.1.post14", "threadpoolctl"),  # it imports the second without asking for it
    ),
    Peer(
        "lenskit",
        "lenskit_worker.py",
        "ALS (Cholesky) on what biases leave",
        venv="lenskit",
        requirements=("torch", "lenskit==2025.8.1"),  # torch first: constraints.txt then settles which build
    ),
    Peer(
        "implicit",
        "implicit_worker.py",
        "ALS for implicit feedback",
        venv="implicit",
        requirements=("implicit==0.7.3",),
        remark="takes ratings as confidence, and " + STRAIGHT_LINE,
    ),
    Peer(
        "lightfm-next",
        "lightfm_worker.py",
        "SGD (Adagrad), logistic, biases",
        venv="lightfm",
        requirements=("lightfm-next==1.19.0",),
        remark="learns whether a rating is 4 or more, and " + STRAIGHT_LINE,
    ),
    Peer(
        "scikit-surprise",
        "surprise_worker.py",
        "SGD, biases, one thread",
        venv="surprise",
        requirements=("scikit-surprise==1.1.5",),
        most_ratings=1_000_000,
        remark="has no threads",
    ),
    Peer(
        "fastai",
        "fastai_worker.py",
        "Adam, batches of 64, biases, sigmoid",
        venv="fastai",
        requirements=("torch", "fastai==2.8.12"),
        scenarios=("small",),
        remark="has its notebook's range, batches of 64, learning rate 5e-3 and weight decay 0.1",
    ),
)

PEERS: dict[str, Peer] = {peer.name: peer for peer in ALL}
