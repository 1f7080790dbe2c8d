"""mlp: the embedding network, and beside it a factorisation machine of what was rated and of columns.

A fitted `mlp` is a few matrices and is scored, saved and served from them with NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, final

import numpy as np

from penchant.data.features import Columns, find_features
from penchant.data.split import Split
from penchant.models.base import (
    FALLBACK_USER_DAMPING,
    PAIRS_A_TIME,
    Explanation,
    Floats,
    Floats64,
    Model,
    Rows,
    Shapes,
)
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.folding import Array, Predictor, Prior, most_probable, pulls, slope_between
from penchant.models.machine import Machine
from penchant.models.machine_training import MachineTrainer
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.mlp_training import EPOCH, MlpTrainer, embedding_size
from penchant.models.network_epochs import NetworkTraining
from penchant.models.ranges import Squash
from penchant.models.schedule import ScheduleName
from penchant.models.settings import RatingRange, Settings, setting
from penchant.threads import Workers

# For estimates of memory, counted in the code and compared with what processes took.
EMBEDDING_COPIES = 3  # those trained, those validated, the best
HIDDEN_COPIES = 4  # of a block of pairs: the first layer's sums, those of the items, rectified, and one in the making
SET_ENTRY = 20  # bytes of a rating in the machine's sets, two ways
MACHINE_COPIES = 6  # of a row of it beside those of what is learnt: gradients, moments, sums and theirs


@dataclass(frozen=True)
class MlpSettings(Settings):
    """Settings of `mlp`."""

    layers: tuple[int, ...] = setting((100,), "Widths of the hidden layers.", low=1, search=((100,), (100, 50), (64,)))
    epochs: int = setting(8, "How often every rating is learnt from.", low=1, search=(1, 10))
    batch_size: int = setting(1024, "Ratings a step.", low=2, search=(128, 2048))
    learning_rate: float = setting(0.001, "Step length of the layers (Adam).", above=0, search=(3e-4, 1e-2))
    embedding_rate: float = setting(0.01, "Step length of the embeddings (Adagrad).", above=0, search=(0.003, 10))
    weight_decay: float = setting(0.0003, "Pull of layers towards 0.", low=0, search=(1e-4, 0.3))
    embedding_decay: float = setting(0.0003, "Pull of embeddings towards 0.", low=0, search=(1e-4, 0.1))
    initial_deviation: float = setting(0.0006, "Deviation of embeddings at the start.", low=0, search=(1e-4, 0.1))
    dropout: float = setting(0.0, "Part of each hidden layer left out in a step.", low=0, high=0.95, search=(0, 0.5))
    embedding_dropout: float = setting(
        0.1, "Part of the embeddings left out in a step.", low=0, high=0.95, search=(0, 0.6)
    )
    history: bool = setting(
        True, "Learn from which items a user rated, and which users rated an item.", search=(True, False)
    )
    item_columns: Columns = setting(
        "auto", "Columns of the items table to learn from; auto: all that can be.", search=("auto", "none")
    )
    user_columns: Columns = setting(
        "auto", "Columns of the users table to learn from; auto: all that can be.", search=("auto", "none")
    )
    factors: int = setting(32, "How many numbers describe what is learnt from these.", low=1, search=(8, 64))
    feature_rate: float = setting(0.003, "Step length of these factors (Adam).", above=0, search=(1e-3, 1e-2))
    feature_decay: float = setting(0.0001, "Pull of these factors towards 0.", low=0, search=(1e-6, 1e-3))
    batch_normalisation: bool = setting(False, "Normalise each hidden layer over the batch.", search=(False, True))
    rating_range: RatingRange = setting(
        "auto",
        "Range of the sigmoid that predictions pass; auto: a tenth beyond the scale on each side; none: no sigmoid.",
        search=("auto", "none"),
    )
    schedule: ScheduleName = setting("linear", "How the learning rates change.", search=("linear", "one-cycle"))


@final
class Mlp(Model):
    """Embeddings of user and item, side by side through hidden layers (fastai's EmbeddingNN, CollabNN), and a machine.

    hidden = relu(W [user embedding, item embedding] + b), …, prediction = sigmoid(w hidden + c + m) into the range,
    m being what the factorisation machine makes of histories and columns; without either there is none.
    A batch normalisation is folded into the layer after it when training ends, so that what is kept is
    matrices and vectors whatever the settings.
    """

    name = "mlp"
    settings_class = MlpSettings

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._hidden_of_items: Floats | None = None

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        machine = self._new_machine(split, options.seed)
        with Workers(options.n_threads) as workers:
            trainer = MlpTrainer(self.settings, split, options, workers, machine)
            log = run_epochs(NetworkTraining(self, trainer, split), self.name, options)
            self._adopt(trainer)
        everyone = self.user_vectors(np.arange(self.n_users, dtype=np.int32))
        self.parameters |= Prior.of(everyone, log.epochs[log.kept_epoch].train_loss).pack()
        return log

    def _new_machine(self, split: Split, seed: int) -> MachineTrainer | None:
        """To be trained beside the network, where there is anything for it to learn from."""
        asked, train = self.settings, split.train
        columns = (
            find_features(train.user_table, asked.user_columns, "user"),
            find_features(train.item_table, asked.item_columns, "item"),
        )
        if not asked.history and not any(columns):
            return None
        squash = Squash.of(asked.rating_range, train.scale)
        return MachineTrainer(asked, train, self.fallback, squash, seed, columns)

    def _adopt(self, trainer: Any) -> None:
        self.parameters |= trainer.arrays()
        self._forget()

    def _forget(self) -> None:
        self._hidden_of_items = None

    # --- scores ---------------------------------------------------------------------------------------

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        users = self._parameter("user_embeddings")[user_rows]
        sums = self._sums(self._hidden_of_users(users) + self._item_hidden()[item_rows])
        if self._machine is not None:
            sums += self._machine.pairs(user_rows, item_rows)
        return self._squash(sums)

    def user_vectors(self, user_rows: Rows) -> Floats:
        """The embedding of each user, and what the machine knows of it: (n, user embedding size + 1 + factors)."""
        embeddings = self._parameter("user_embeddings")[user_rows]
        if self._machine is None:
            return embeddings
        return np.concatenate((embeddings, self._machine.users[user_rows]), axis=1)

    def scores_of(self, user_vectors: Floats) -> Floats:
        return np.stack([self._squash(self._sums_of_items(vector)) for vector in user_vectors])

    def _sums_of_items(self, vector: Floats) -> Floats:
        sums = self._sums(self._hidden_of_users(vector[None, : self._own]) + self._item_hidden())
        if self._machine is not None:
            sums += self._machine.of_items(vector[self._own :], self._machine.items)
        return sums

    # --- new users ------------------------------------------------------------------------------------

    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        """The most probable vector, around what the machine makes of the items and ratings."""
        prior = self._prior_of(self._parts_of_user(item_rows, ratings))
        return most_probable(prior, self._predictor(item_rows), ratings).astype(np.float32)

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """What each rating moves a user vector by, times the slope of the score on the way from the average user.

        Each moves it in the machine's sets and by its pull around what they make. Of what an average user is beyond a
        user who has rated nothing, an even part is taken from each.
        """
        if not len(item_rows):
            return np.zeros(0)
        parts = self._parts_of_user(item_rows, ratings)
        prior, predict = self._prior_of(parts), self._predictor(item_rows)
        vector = most_probable(prior, predict, ratings)
        moves = pulls(prior, predict, ratings, vector)
        moves[:, self._own :] += parts[1:] + (parts[0] - self._prior.mean[self._own :]) / len(item_rows)
        of_item = self._predictor(np.array([item_row], np.int32))
        adds: Floats64 = moves @ slope_between(of_item, self._prior.mean, vector)
        return adds

    def _prior_of(self, parts: Floats64) -> Prior:
        """Of a new user: spread as training users are around their mean, but around what sets and columns say of it."""
        mean = np.concatenate((self._prior.mean[: self._own], parts.sum(axis=0)))
        return replace(self._prior, mean=mean)

    def _parts_of_user(self, item_rows: Rows, ratings: Floats) -> Floats64:
        """What a user is without ratings, and what each rating adds, in the machine: (1 + n, its width)."""
        if self._machine is None:
            return np.zeros((1 + len(item_rows), 0))
        if not len(item_rows):
            return self._prior.mean[None, self._own :]
        return self._machine.parts_of_user(item_rows, ratings, self.fallback, FALLBACK_USER_DAMPING, self._squash)

    def _predictor(self, item_rows: Rows) -> Predictor:
        """From a user vector to its scores of some items, and their derivatives by it."""
        hidden = self._item_hidden()[item_rows].astype(np.float64)
        weight, size, machine = self._user_weight().astype(np.float64), self._own, self._machine
        items = np.zeros((len(item_rows), 0)) if machine is None else machine.items[item_rows].astype(np.float64)

        def predict(vector: Array) -> tuple[Array, Array]:
            sums, slopes = self._sums_and_slopes(weight @ vector[:size] + hidden)
            slopes = slopes @ weight
            if machine is not None:
                sums = sums + machine.of_items(vector[size:], items)
                slopes = np.concatenate((slopes, machine.slopes(items)), axis=1)
            predictions, slope = self._squash.with_slope(sums)
            return predictions, slopes * slope[:, None]

        return predict

    # --- what is kept, and what it takes --------------------------------------------------------------

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        of_user, of_item = (self.parameters[f"{side}_embeddings"].shape[1] for side in ("user", "item"))
        widths = (of_user + of_item, *self.settings.layers, 1)
        layers: Shapes = {}
        for number, (narrow, wide) in enumerate(pairwise(widths)):
            layers |= {f"layer/{number}/weight": (wide, narrow), f"layer/{number}/bias": (wide,)}
        embeddings = {"user_embeddings": (n_users, of_user), "item_embeddings": (n_items, of_item)}
        machine = {} if self._machine is None else Machine.shapes(n_users, n_items, int(self.settings.factors))
        return {
            **embeddings,
            **layers,
            **machine,
            "rating_range": (2,),
            **Prior.shapes(of_user + self._width_of_machine * bool(machine)),
        }

    def fit_memory(self, sizes: Sizes) -> Parts:
        """In an epoch its order of ratings, then a block of validation pairs, then one more copy of the embeddings."""
        one = self.learnt_memory(sizes)
        return {
            "the embeddings of users and items, and copies": EMBEDDING_COPIES * one,
            "the ratings in an epoch, and their validation": max(EPOCH * sizes.train, self.block_memory(sizes), one),
            **self._machine_memory(sizes),
            "the hidden layer of items": 2 * FLOAT * self.settings.layers[0] * sizes.items,
            "the distribution of users": Prior.memory(embedding_size(sizes.users) + self._width_of_machine),
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        """The embeddings, and sums of the machine, which has rows for what columns say too: few."""
        embeddings = FLOAT * sum(embedding_size(n) * n for n in (sizes.users, sizes.items))
        return embeddings + FLOAT * self._width_of_machine * (sizes.rows + sizes.items)

    def _machine_memory(self, sizes: Sizes) -> Parts:
        if not self._width_of_machine:
            return {}
        rows = MACHINE_COPIES * FLOAT * self._width_of_machine * sizes.rows
        return {"the sets of what was rated": SET_ENTRY * sizes.train, "the factors of the sets": rows}

    @property
    def _width_of_machine(self) -> int:
        """Numbers of a row; whether there is a machine is known before a fit, were it not for the columns."""
        asked = self.settings
        wanted = asked.history or asked.item_columns != "none" or asked.user_columns != "none"
        return wanted * (1 + int(asked.factors))

    def block_memory(self, sizes: Sizes) -> int:
        numbers = embedding_size(sizes.users) + HIDDEN_COPIES * max(self.settings.layers)
        return FLOAT * numbers * min(sizes.valid, PAIRS_A_TIME)

    # --- looking in -----------------------------------------------------------------------------------

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        """Against an average user and an average item: what each side changes alone, and both together."""
        users = user_vector, self._average_vector()
        hidden, machine = self._item_hidden(), self._machine
        of_item = hidden[item_row], None if machine is None else machine.items[item_row]
        average = hidden.mean(axis=0), None if machine is None else machine.items.mean(axis=0)
        corners = [self._score(user, *item) for item in (of_item, average) for user in users]
        both, only_item, only_user, neither = corners
        parts = {
            "mean": neither,
            "user": only_user - neither,
            "item": only_item - neither,
            "match": both - only_user - only_item + neither,
        }
        return Explanation(parts, both)

    def _score(self, vector: Floats, hidden: Floats, of_machine: Floats | None) -> float:
        """Of a user vector and an item given by its part of the first layer, and in the machine."""
        sums = self._sums(self._hidden_of_users(vector[None, : self._own]) + hidden)
        if self._machine is not None and of_machine is not None:
            sums += self._machine.of_items(vector[self._own :], of_machine[None])
        return float(self._squash(sums)[0])

    def item_factors(self) -> Floats:
        """The machine's factors of each item, centred; without histories what an item brings to the first hidden layer.

        The embeddings themselves are wider than what the network uses of them: most of their directions
        keep the noise that they started with.
        """
        known = self._machine is not None and self.settings.history
        points = self._machine.items[:, 1:] if self._machine is not None and known else self._item_hidden()
        return points - points.mean(axis=0)

    def item_biases(self) -> Floats:
        """The prediction for an average user, less its mean over items."""
        scores = self._squash(self._sums_of_items(self._average_vector()))
        return scores - scores.mean()

    def _average_vector(self) -> Floats:
        return self._prior.mean.astype(np.float32)

    def _user_weight(self) -> Floats:
        """The part of the first layer that sees the user, (width, user embedding size)."""
        size = self._parameter("user_embeddings").shape[1]
        return self._parameter("layer/0/weight")[:, :size]

    def _hidden_of_users(self, user_vectors: Floats) -> Floats:
        return user_vectors @ self._user_weight().T

    def _item_hidden(self) -> Floats:
        """The items' part of the first layer with its bias, (n_items, width); computed once."""
        if self._hidden_of_items is None:
            size = self._parameter("user_embeddings").shape[1]
            weight = self._parameter("layer/0/weight")[:, size:]
            hidden = self._parameter("item_embeddings") @ weight.T + self._parameter("layer/0/bias")
            self._hidden_of_items = hidden
        return self._hidden_of_items

    def _sums(self, z: Floats) -> Floats:
        """From the first layer's sums (n, width) to the network's last ones (n,)."""
        for layer in range(1, len(self.settings.layers) + 1):
            weight, bias = self._layer(layer)
            z = np.maximum(z, np.float32(0)) @ weight.T + bias
        return z[:, 0]

    def _sums_and_slopes(self, z: Array) -> tuple[Array, Array]:
        """The same (n,), and derivatives by the first layer's sums (n, width)."""
        active = []
        for layer in range(1, len(self.settings.layers) + 1):
            weight, bias = self._layer(layer)
            active.append(z > 0)
            z = np.maximum(z, 0) @ weight.T.astype(np.float64) + bias
        slopes = np.ones((len(z), 1))
        for layer in range(len(self.settings.layers), 0, -1):
            slopes = slopes @ self._layer(layer)[0].astype(np.float64) * active[layer - 1]
        return z[:, 0], slopes

    def _layer(self, layer: int) -> tuple[Floats, Floats]:
        return self._parameter(f"layer/{layer}/weight"), self._parameter(f"layer/{layer}/bias")

    @property
    def _squash(self) -> Squash:
        return Squash.unpack(self._parameter("rating_range"))

    @property
    def _machine(self) -> Machine | None:
        return Machine.unpack(self.parameters)

    @property
    def _prior(self) -> Prior:
        return Prior.unpack(self.parameters)

    @property
    def _own(self) -> int:
        """Numbers of a user vector that are the network's."""
        return int(self._parameter("user_embeddings").shape[1])
