"""The models by name. `MODELS[name]` is a class; `build(name, **settings)` an unfitted model."""

from __future__ import annotations

from typing import Any

from penchant.errors import SettingError
from penchant.models.base import Explanation, Model
from penchant.models.baseline import Bias
from penchant.models.factors import Dot, Mf
from penchant.models.networks import Mlp

MODELS: dict[str, type[Model]] = {model.name: model for model in (Bias, Dot, Mf, Mlp)}


def build(name: str, **settings: Any) -> Model:
    """An unfitted model by name.

    Raises:
        SettingError: no such model, no such setting, or a value that it cannot have.
    """
    if name not in MODELS:
        raise SettingError(
            f"There is no model '{name}'.",
            remedy=f"The models: {', '.join(MODELS)}; or a module of your own: path/file.py:ClassName.",
        )
    model = MODELS[name]
    return model(model.settings_class.from_dict(settings, name))


__all__ = ["MODELS", "Explanation", "Model", "build"]
