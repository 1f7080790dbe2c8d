"""Long work, followed: epochs, downloads, blocks. Lines in a pipe, a moving bar on a screen."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.text import Text

from penchant import terminal
from penchant.terminal import headline, say, say_json, seconds, show

if TYPE_CHECKING:
    from rich.progress import Progress

    from penchant.models.fitting import Epoch

EPOCH_HEADER = f"{'epoch':>7}{'train loss':>13}{'valid loss':>13}{'time':>10}"
SECONDS_BETWEEN_LINES = 10.0

T = TypeVar("T")


class EpochTable:
    """A Listener that prints each epoch when it ends, over a bar where there is a screen."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.epochs = 0

    def started(self, model: str, epochs: int) -> None:
        """Print the header."""
        self.close()
        self.epochs = epochs
        headline(model)
        show(terminal.output, Text(EPOCH_HEADER, "dim"))
        if _moves(terminal.output):
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=terminal.output, transient=True)
            self.task = self.bar.add_task("", total=1.0)
            self.bar.start()

    def progressed(self, epoch: int, fraction: float) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(self.task, completed=(epoch + fraction) / self.epochs, description=f"  epoch {epoch}")

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """Print the line."""
        del model
        valid = "—" if epoch.valid_loss is None else _loss(epoch.valid_loss)
        say(f"{epoch.epoch:>7}{_loss(epoch.train_loss):>13}{valid:>13}{seconds(epoch.seconds):>10}")
        if epoch.epoch + 1 == self.epochs:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _loss(value: float) -> str:
    return f"{value:.4f}" if value < 1e6 else f"{value:.3g}"


class EpochLines:
    """A Listener that prints each epoch as a JSON object."""

    def started(self, model: str, epochs: int) -> None:
        """Say nothing."""

    def progressed(self, epoch: int, fraction: float) -> None:
        """Say nothing."""

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """Print the object."""
        say_json({"event": "epoch", "model": model, **asdict(epoch)})

    def close(self) -> None:
        """Nothing is open."""


class NoEpochs(EpochLines):
    """A Listener of many fits that prints nothing."""

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """Say nothing."""


class FitsBar:
    """A Listener of many fits one after the other: a bar of all of them where there is a screen, and no epochs."""

    def __init__(self, fits: int, what: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        is_off = not _moves(terminal.output)
        self.bar = Progress(*columns, console=terminal.output, transient=True, disable=is_off)
        self.task = self.bar.add_task(what, total=fits)
        self.what, self.done, self.epochs = what, 0, 1

    def started(self, model: str, epochs: int) -> None:
        """Name what is fitted."""
        self.epochs = epochs
        self.bar.start()
        self.bar.update(self.task, completed=self.done, description=f"{self.what}  {model}")

    def progressed(self, epoch: int, fraction: float) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=self.done + (epoch + fraction) / self.epochs)

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        """Say nothing."""

    def ended_fit(self) -> None:
        """One more is done."""
        self.done += 1
        self.bar.update(self.task, completed=self.done)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()


class DownloadBar:
    """How far a download is; one of pooch's progress objects."""

    def __init__(self, title: str) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self.total = 0
        self.started = False
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=terminal.errors,
            transient=True,
        )
        self.task = self.bar.add_task(title, total=None)

    def update(self, n: int, /) -> None:
        """`n` more bytes came."""
        if not self.started:
            self.started = True
            self.bar.start()
        self.bar.update(self.task, total=self.total or None, advance=n)

    def reset(self) -> None:
        """Start at 0 again."""
        self.bar.reset(self.task)

    def close(self) -> None:
        """The download ended, well or not."""
        if self.started:
            self.bar.stop()


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A word on what takes long, gone when it is done; only on a screen."""
    if _moves(terminal.errors):
        with terminal.errors.status(Text(what)):
            yield
    else:
        yield


def following(blocks: Iterable[tuple[int, T]], total: int, what: str) -> Iterator[T]:
    """The blocks, while a bar on a screen, or a line now and then in a pipe, says how much has passed.

    Args:
        blocks: how much is in a block, and the block.
        total: how much there is.
        what: is done to it.
    """
    from rich.progress import Progress

    done, last = 0, time.monotonic()
    with Progress(console=terminal.errors, transient=True, disable=not _moves(terminal.errors)) as bar:
        task = bar.add_task(what, total=total)
        for size, block in blocks:
            yield block
            done += size
            bar.update(task, completed=done)
            if bar.disable and time.monotonic() - last > SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                show(terminal.errors, Text(f"{what}: {done:,} of {total:,}"))


def _moves(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal
