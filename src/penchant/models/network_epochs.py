"""Epochs of a network's trainer, whatever trains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penchant.data.split import Split
from penchant.models.base import Validation


class NetworkTraining:
    """Epochs of a trainer ; what is validated is the model as it would be served."""

    def __init__(self, model: Any, trainer: Any, split: Split) -> None:
        self.model = model
        self.trainer = trainer
        self.validation = Validation(model, split)
        self.epochs: int = model.settings.epochs

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        return float(self.trainer.run_epoch(epoch, progressed))

    def valid_loss(self) -> float | None:
        self.model._adopt(self.trainer)
        return self.validation.loss(self.model.pair_scores)

    def snapshot(self) -> Any:
        return self.trainer.state()

    def restore(self, state: Any) -> None:
        self.trainer.load(state)
