"""The only epoch loop: the log of a fit, early stopping, the best weights, Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal, Protocol

from penchant.errors import InputError, SettingError
from penchant.machine import count_threads

Ending = Literal["finished", "stopped early", "interrupted"]


@dataclass(frozen=True)
class Epoch:
    """One line of the epoch table.

    Attributes:
        epoch: 0-based.
        train_loss: mean squared error on the rating scale over the training ratings, each predicted just
            before the model learnt from it. Models that rank have a loss of their own, which their classes state.
        valid_loss: mean squared error of the validation ratings after the epoch, None without any.
        seconds: wall time of the epoch, validation included.
    """

    epoch: int
    train_loss: float
    valid_loss: float | None
    seconds: float

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Epoch:
        """From an entry of a log in JSON."""
        loss = fields["valid_loss"]
        valid_loss = None if loss is None else float(loss)
        return cls(int(fields["epoch"]), float(fields["train_loss"]), valid_loss, float(fields["seconds"]))


@dataclass(frozen=True)
class FitLog:
    """What happened in a fit.

    Attributes:
        model: the model's name.
        epochs: the epoch table.
        kept_epoch: the epoch whose weights the model has.
        ending: whether it ran to the end, stopped early, or was interrupted.
        fit_seconds: wall time of the whole fit.
        seed: what the fit drew its random numbers from.
    """

    model: str
    epochs: tuple[Epoch, ...]
    kept_epoch: int
    ending: Ending
    fit_seconds: float
    seed: int

    @property
    def valid_loss(self) -> float | None:
        """The validation loss of the epoch whose weights were kept."""
        return self.epochs[self.kept_epoch].valid_loss

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and words for the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FitLog:
        """The inverse of `to_json`; ValueError, KeyError or TypeError when the fields are not of a log."""
        log = cls(**{**fields, "epochs": tuple(Epoch.from_json(epoch) for epoch in fields["epochs"])})
        if not 0 <= log.kept_epoch < len(log.epochs):
            raise ValueError(f"kept_epoch is {log.kept_epoch} of {len(log.epochs)} epochs")
        return log


class Listener(Protocol):
    """Somebody who watches a fit: a progress table, a JSON stream, a notebook."""

    def started(self, model: str, epochs: int) -> None:
        """The first epoch is about to begin."""

    def progressed(self, epoch: int, fraction: float) -> None:
        """A part of an epoch is done, 0 to 1."""

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """An epoch is done."""


class Silent:
    """A Listener that does nothing."""

    def started(self, model: str, epochs: int) -> None:
        """Do nothing."""

    def progressed(self, epoch: int, fraction: float) -> None:
        """Do nothing."""

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class FitOptions:
    """How to fit, as opposed to what: nothing here is a setting of a model.

    Attributes:
        seed: all randomness comes from it.
        device: "auto", "cpu" or "cuda"; only networks have a choice.
        threads: how many may work at once; the result is the same for any number. None for every core that this
            process may use.
        patience: stop after this many epochs without a better validation loss and keep the best; None to
            run all epochs.
        keep_best: run all epochs, but keep the weights of the best by validation loss.
        listener: who watches.
        memory: the most that this process may hold, in bytes; a fit that would take more is refused before it starts.
            None for what the machine has.
    """

    seed: int = 0
    device: str = "auto"
    patience: int | None = None
    keep_best: bool = False
    listener: Listener = Silent()
    threads: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise SettingError(f"device is {self.device!r}.", remedy="Give auto, cpu or cuda.")
        if self.patience is not None and self.patience < 1:
            raise SettingError(f"patience is {self.patience}.", remedy="Give 1 epoch or more.")
        count_threads(self.threads)
        if self.memory is not None and (not isinstance(self.memory, int) or self.memory < 1):
            raise SettingError(f"memory is {self.memory!r}.", remedy="Give a whole number of bytes, such as 2 * 10**9.")

    @property
    def n_threads(self) -> int:
        """How many threads to use."""
        return count_threads(self.threads)


class NothingLearnt(KeyboardInterrupt):
    """Ctrl-C before the first epoch ended: there is nothing to keep."""


class Training(Protocol):
    """What the loop asks of a model in training."""

    @property
    def epochs(self) -> int:
        """How many epochs to run."""

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        """Train for one epoch and return the train loss; call `progressed` with 0 to 1 now and then."""

    def valid_loss(self) -> float | None:
        """The mean squared error of the validation ratings now, None without any."""

    def snapshot(self) -> Any:
        """A copy of all weights."""

    def restore(self, state: Any) -> None:
        """Take back a copy."""


def run_epochs(training: Training, model: str, options: FitOptions) -> FitLog:
    """Run a training to its end, to its early stop, or to Ctrl-C, which keeps the best epoch so far.

    Raises:
        NothingLearnt: Ctrl-C before the first epoch ended.
        SettingError: patience or keep_best without validation ratings.
        InputError: the loss became infinite or NaN.
    """
    started = time.perf_counter()
    chosen = options.patience is not None or options.keep_best
    epochs: list[Epoch] = []
    kept = -1
    state: Any = None
    ending: Ending = "finished"
    options.listener.started(model, training.epochs)
    try:
        for number in range(training.epochs):
            epoch = _one_epoch(training, number, options.listener)
            _check_learning(model, epoch, chosen)
            epochs.append(epoch)
            if kept < 0 or _is_better(epoch, epochs[kept]) or epoch.valid_loss is None:
                kept, state = number, training.snapshot()
            options.listener.ended_epoch(model, epoch)
            if options.patience is not None and number - kept >= options.patience:
                ending = "stopped early"
                break
    except KeyboardInterrupt:
        if kept < 0:
            raise NothingLearnt from None
        ending = "interrupted"
    if ending == "finished" and not chosen:
        kept = len(epochs) - 1
    else:
        training.restore(state)
    return FitLog(model, tuple(epochs), kept, ending, time.perf_counter() - started, options.seed)


def _one_epoch(training: Training, number: int, listener: Listener) -> Epoch:
    started = time.perf_counter()
    train_loss = training.run_epoch(number, lambda fraction: listener.progressed(number, fraction))
    return Epoch(number, train_loss, training.valid_loss(), time.perf_counter() - started)


def _check_learning(model: str, epoch: Epoch, chosen: bool) -> None:
    if chosen and epoch.valid_loss is None:
        raise SettingError(
            "Early stopping and keeping the best epoch need validation ratings.",
            remedy="Hold some out (--valid-fraction 0.2), or do without.",
        )
    for which, loss in (("train", epoch.train_loss), ("validation", epoch.valid_loss)):
        if loss is not None and not isfinite(loss):
            raise InputError(
                f"{model} diverged: the {which} loss of epoch {epoch.epoch} is {loss}.",
                remedy="Use a smaller learning_rate.",
            )


def _is_better(epoch: Epoch, than: Epoch) -> bool:
    return epoch.valid_loss is not None and than.valid_loss is not None and epoch.valid_loss < than.valid_loss
