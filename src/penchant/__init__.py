"""penchant: from a table of ratings to a trained, explained, evaluated and saved recommender.

    import penchant

    recommender = penchant.fit("ml-latest-small", "mf")
    recommender.recommend(user=42, k=10)
    recommender.save("model")

Names are loaded when they are first used: importing penchant loads neither torch nor numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from penchant.comparing import compare
    from penchant.data.interactions import Interactions
    from penchant.data.read import read_ratings
    from penchant.data.split import (
        Split,
        split_file,
        split_folds,
        split_last,
        split_none,
        split_random,
        split_time,
        split_users,
    )
    from penchant.errors import PenchantError
    from penchant.evaluate import Report
    from penchant.job import fit
    from penchant.models import MODELS, Model, build
    from penchant.models.fitting import Epoch, FitLog, FitOptions
    from penchant.serving.answers import Prediction, Recommendation
    from penchant.serving.recommender import Recommender
    from penchant.tuning import tune

_HOMES = {
    "Epoch": "penchant.models.fitting",
    "FitLog": "penchant.models.fitting",
    "FitOptions": "penchant.models.fitting",
    "Interactions": "penchant.data.interactions",
    "MODELS": "penchant.models",
    "Model": "penchant.models",
    "PenchantError": "penchant.errors",
    "Prediction": "penchant.serving.answers",
    "Recommendation": "penchant.serving.answers",
    "Recommender": "penchant.serving.recommender",
    "Report": "penchant.evaluate",
    "Split": "penchant.data.split",
    "build": "penchant.models",
    "compare": "penchant.comparing",
    "fit": "penchant.job",
    "read_ratings": "penchant.data.read",
    "split_file": "penchant.data.split",
    "split_folds": "penchant.data.split",
    "split_last": "penchant.data.split",
    "split_none": "penchant.data.split",
    "split_random": "penchant.data.split",
    "split_time": "penchant.data.split",
    "split_users": "penchant.data.split",
    "tune": "penchant.tuning",
}

__all__ = [
    "MODELS",
    "Epoch",
    "FitLog",
    "FitOptions",
    "Interactions",
    "Model",
    "PenchantError",
    "Prediction",
    "Recommendation",
    "Recommender",
    "Report",
    "Split",
    "__version__",
    "build",
    "compare",
    "fit",
    "load",
    "read_ratings",
    "split_file",
    "split_folds",
    "split_last",
    "split_none",
    "split_random",
    "split_time",
    "split_users",
    "tune",
]


def load(folder: Any, *, module: Any = None) -> Recommender:
    """Read a saved recommender; see `Recommender.load`."""
    from penchant.serving.recommender import Recommender

    return Recommender.load(folder, module=module)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'penchant' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
