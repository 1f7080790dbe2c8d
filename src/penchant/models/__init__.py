"""The models by name. `MODELS[name]` is a class; `build(name, **settings)` an unfitted model."""

from __future__ import annotations

from typing import Any

from penchant.errors import SettingError
from penchant.models.als import Als
from penchant.models.base import Explanation, Model
from penchant.models.baseline import Bias
from penchant.models.bayes import Bayes
from penchant.models.bpr import Bpr
from penchant.models.explicit_als import ExplicitAls
from penchant.models.factors import Dot, Mf
from penchant.models.itemitem import Ease, ItemKnn
from penchant.models.mlp import Mlp
from penchant.models.networks import Own
from penchant.models.popularity import Popularity
from penchant.models.sequence import Sequence

MODELS: dict[str, type[Model]] = {
    model.name: model
    for model in (Bias, Dot, Mf, ExplicitAls, Mlp, Bayes, Popularity, ItemKnn, Ease, Als, Bpr, Sequence)
}


def model_class(name: str) -> type[Model]:
    """The class of a name, "own" included: a torch module of the user's, which has no entry in MODELS.

    Raises:
        SettingError: no such model.
    """
    if name == Own.name:
        return Own
    if name not in MODELS:
        raise SettingError(
            f"There is no model '{name}'.",
            remedy=f"The models: {', '.join(MODELS)}; or a module of your own: path/file.py:ClassName.",
        )
    return MODELS[name]


def build(name: str, **settings: Any) -> Model:
    """An unfitted model by name.

    Raises:
        SettingError: no such model, no such setting, or a value that it cannot have.
    """
    model = model_class(name)
    return model(model.settings_class.from_dict(settings, name))


def build_own(module: Any, **settings: Any) -> Model:
    """An unfitted model around a torch module: a class called with (n_users, n_items, …), or an instance.

    Settings of the training (epochs, learning_rate, …) are taken out; all others go to the constructor.
    """
    of_training = {field.name for field in Own.settings_class.describe()}
    own = {name: value for name, value in settings.items() if name in of_training}
    others = {name: value for name, value in settings.items() if name not in of_training}
    return Own(Own.settings_class.from_dict(own, Own.name), module=module, module_settings=others)


__all__ = ["MODELS", "Explanation", "Model", "build", "build_own", "model_class"]
