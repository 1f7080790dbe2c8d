"""What a user takes next, from what they took in which order: `sequence`, by self-attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from penchant.data.split import Split
from penchant.models.attention import PLACES_A_TIME, Attention, Histories, Padded, shapes
from penchant.models.base import PAIRS_A_TIME, Explanation, Floats, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.preferences import SCORES_A_TIME
from penchant.models.products import BiasedPreferences
from penchant.models.schedule import ScheduleName
from penchant.models.settings import Settings, setting

Floats64 = NDArray[np.float64]

COPIES = 5  # of weights in training: themselves, gradients, two means of Adam, and the best epoch's
ORDERED = 40  # bytes of an interaction while histories are sorted, and of its copies for torch
STATES = 20  # numbers that a block keeps of each place, in multiples of the factors; measured with two sizes
SCORE_COPIES = 3  # of the scores that a validation loss is taken from


@dataclass(frozen=True)
class SequenceSettings(Settings):
    """Settings of `sequence`."""

    factors: int = setting(64, "How many numbers describe each user and each item.", low=1, search=(16, 128))
    blocks: int = setting(2, "How many layers of attention follow each other.", low=1, search=(1, 3))
    heads: int = setting(2, "How many items each layer can look for at once.", low=1, search=(1, 4))
    max_length: int = setting(50, "How many of the last items of a history count.", low=1, search=(10, 200))
    dropout: float = setting(0.3, "Part of the numbers left out in training.", low=0, high=0.9, search=(0.0, 0.6))
    negatives: int = setting(256, "How many items are drawn a step as not taken.", low=1, search=(32, 1024))
    calibration: float = setting(
        0.75, "How far scores are freed of being too sure: 0 not at all, 1 wholly.", low=0, high=1, search=(0.0, 1.0)
    )
    epochs: int = setting(20, "How often every interaction is learnt from.", low=1, search=(10, 100))
    batch_size: int = setting(32, "Histories a step.", low=1, search=(16, 128))
    learning_rate: float = setting(0.002, "Step length (Adam).", above=0, search=(3e-4, 1e-2))
    weight_decay: float = setting(0.1, "Pull of all weights towards 0 (AdamW).", low=0, search=(1e-3, 1))
    schedule: ScheduleName = setting("one-cycle", "How the learning rate changes.", search=("linear", "one-cycle"))


@final
class Sequence(BiasedPreferences):
    """score = item bias + the state after a user's history . item factors, by SASRec's network and gSASRec's loss.

    Kang and McAuley 2018, Petrov and Macdonald 2023. The state is the user vector: what follows after a start and the
    last `max_length` items. Items, as they are looked at and as they are scored, have the same factors. Every
    interaction counts 1. Of somebody without a history only the item biases count: the state
    after the start alone foretells what users begin with, not what they take.

    The train loss is gBCE for each interaction, times one more than there are negatives. The validation loss is the
    mean of -log of the softmax over all items, of what known users took of the validation part, after what they took in
    training.

    `parameters`, all float32: those of `attention.shapes`, "user_factors" (users, factors), "average" (factors,),
    "weighted" (1,), which is 0.
    """

    name = "sequence"
    settings_class = SequenceSettings
    trained_by = "torch"
    memory_remedy = "Use fewer --factors, or a smaller --batch-size."
    in_order: ClassVar[bool] = True
    has_valid_loss: ClassVar[bool] = True

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        from penchant.models.sequence_training import SequenceTrainer

        histories = Histories.of(split.train)
        self.parameters["weighted"] = np.zeros(1, np.float32)
        with SequenceTrainer(self.settings, split, options) as trainer:
            log = run_epochs(_SequenceTraining(self, trainer, split, histories), self.name, options)
            self.parameters |= trainer.arrays()
        self.parameters["user_factors"] = self._after(histories, np.arange(split.train.n_users, dtype=np.int32))
        self.parameters["average"] = np.zeros(self.settings.factors, np.float32)
        return log

    def check_device(self, device: str) -> None:
        from penchant.models.torch_training import find_device

        find_device(device)

    def _fold(self, item_rows: Rows, weights: Floats) -> Floats:
        """The state after the items in the order in which they are given."""
        del weights
        return self._states(item_rows[None, -self.settings.max_length :])[0]

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """What the score of an item loses without one of the history, and what is left over in equal parts.

        Attention does not add up its items, so that these losses sum to less or more than the score.
        """
        longest = self.settings.max_length
        last = item_rows[-longest - 1 :]  # without one of the last, one more is among them
        n = len(last)
        if not n:
            return np.empty(0)
        others = np.arange(n - 1) + (np.arange(n - 1) >= np.arange(n)[:, None])  # (n, n - 1), each without one place
        factors = self._parameter("item_factors")[item_row].astype(np.float64)
        match = float(self._fold(item_rows, ratings) @ factors)
        losses = np.zeros(len(item_rows))
        losses[-n:] = match - self._states(last[others]) @ factors
        return losses + (match + float(self._parameter("item_biases")[item_row]) - losses.sum()) / len(losses)

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        bias = float(self._parameter("item_biases")[item_row])
        match = float(user_vector @ self._parameter("item_factors")[item_row])
        return Explanation({"item": bias, "match": match}, float(self.scores_of(user_vector[None])[0, item_row]))

    def item_factors(self) -> Floats:
        return self._parameter("item_factors")

    def _states(self, rows: Rows) -> Floats:
        """The states after some histories of one length, (n, length)."""
        return self._network().last_states(Padded(rows, np.full(len(rows), rows.shape[1], np.int64)))

    def _after(self, histories: Histories, user_rows: Rows) -> Floats:
        """The states after the histories of some users, (n, factors)."""
        return self._network().last_states(histories.tails(user_rows, self.settings.max_length))

    def _network(self) -> Attention:
        self._parameter("item_factors")
        return Attention(self.parameters, self.settings.blocks, self.settings.heads)

    def _weights_shapes(self, n_items: int) -> Shapes:
        s = self.settings
        return shapes(n_items, s.factors, s.blocks, s.heads, s.max_length)

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        k = self.settings.factors
        return {**self._weights_shapes(n_items), "user_factors": (n_users, k), "average": (k,), "weighted": (1,)}

    def fit_memory(self, sizes: Sizes) -> Parts:
        """A batch in training and a block of validation come one after the other."""
        s = self.settings
        of_place = s.blocks * STATES * s.factors + 4 * min(s.negatives, sizes.items)
        batch = FLOAT * s.batch_size * (s.max_length + 1) * of_place
        block = self.block_memory(sizes) + SCORE_COPIES * FLOAT * _scored_at_once(sizes)
        return {
            "the network, gradients and copies": COPIES * self._network_memory(sizes),
            "the interactions in order": ORDERED * sizes.train,
            "the states of a batch, or a block of validation": max(batch, block),
            "the states of users and their last items": FLOAT * (s.factors + 3 * s.max_length) * sizes.users,
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        return self._network_memory(sizes) + FLOAT * int(self.settings.factors) * sizes.users

    def _network_memory(self, sizes: Sizes) -> int:
        return FLOAT * sum(int(np.prod(shape, dtype=object)) for shape in self._weights_shapes(sizes.items).values())

    def block_memory(self, sizes: Sizes) -> int:
        """Factors of the users and of the items of some pairs, and states of some histories."""
        pairs = 2 * int(self.settings.factors) * min(sizes.valid, PAIRS_A_TIME)
        return FLOAT * (pairs + STATES * int(self.settings.factors) * PLACES_A_TIME)


def _scored_at_once(sizes: Sizes) -> int:
    return min(max(SCORES_A_TIME, sizes.items), min(sizes.valid, sizes.users) * sizes.items)


class _SequenceTraining:
    """Epochs of the trainer in torch; what is validated is the model as it would be served, in NumPy."""

    def __init__(self, model: Sequence, trainer: Any, split: Split, histories: Histories) -> None:
        self.model, self.trainer, self.histories = model, trainer, histories
        self.epochs: int = model.settings.epochs
        known = (split.valid_user_rows >= 0) & (split.valid_item_rows >= 0)
        self.users, self.places = np.unique(split.valid_user_rows[known], return_inverse=True)
        order = np.argsort(self.places, kind="stable")
        self.places, self.items = self.places[order], split.valid_item_rows[known][order]

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        return float(self.trainer.run_epoch(epoch, progressed))

    def valid_loss(self) -> float | None:
        """Of what was held out of known users; None without any."""
        if not len(self.users):
            return None
        self.model.parameters |= self.trainer.arrays()
        total, at_once = 0.0, max(1, SCORES_A_TIME // self.model.n_items)
        for at in range(0, len(self.users), at_once):
            scores = self.model.scores_of(self.model._after(self.histories, self.users[at : at + at_once]))
            scores -= scores.max(axis=1, keepdims=True)
            wholes = np.log(np.exp(scores).sum(axis=1, dtype=np.float64))
            low, high = np.searchsorted(self.places, (at, at + len(scores)))
            places = self.places[low:high] - at
            total += float((wholes[places] - scores[places, self.items[low:high]]).sum())
        return total / len(self.items)

    def snapshot(self) -> Any:
        return self.trainer.state()

    def restore(self, state: Any) -> None:
        self.trainer.load(state)
