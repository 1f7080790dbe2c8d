"""Networks: the embedding network `mlp`, and any torch module that a user brings.

Only training needs torch (models/torch_training.py). A fitted `mlp` is a few matrices and is scored, saved
and served from them with NumPy. A module of the user's own is code, and is scored by torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import numpy as np

from penchant.data.split import Split
from penchant.errors import ArtifactError
from penchant.models.base import PAIRS_A_TIME, Explanation, Floats, Floats64, Model, Rows, Shapes, Validation
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.folding import Array, Predictor, Prior, contributions, most_probable
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.mlp_training import EPOCH, MlpTrainer, embedding_size
from penchant.models.ranges import Squash
from penchant.models.schedule import ScheduleName
from penchant.models.settings import RatingRange, Settings, setting
from penchant.threads import Workers

if TYPE_CHECKING:
    import torch

# For estimates of memory, counted in the code and compared with what processes took.
EMBEDDING_COPIES = 3  # those trained, those validated, the best
HIDDEN_COPIES = 4  # of a block of pairs: the first layer's sums, those of the items, rectified, and one in the making
MODULE_COPIES = 6  # weights, gradients, two moments, those validated, the best
MODULE_PAIR = 1200  # bytes that a module makes of a pair: nobody knows, and this is 300 numbers
TORCH_EPOCH = 44  # bytes of a rating: rows as int64, an order, and the ratings in it
SAMPLED = 256  # users or items that stand for all where a black box has to be averaged
REFERENCES = 256  # training users that a folded-in user of a black box is mixed from


@dataclass(frozen=True)
class MlpSettings(Settings):
    """Settings of `mlp`."""

    layers: tuple[int, ...] = setting((100,), "Widths of the hidden layers.", low=1, search=((100,), (100, 50), (64,)))
    epochs: int = setting(2, "How often every rating is learnt from.", low=1, search=(1, 10))
    batch_size: int = setting(512, "Ratings a step.", low=2, search=(64, 1024))
    learning_rate: float = setting(0.001, "Step length of the layers (Adam).", above=0, search=(3e-4, 1e-2))
    embedding_rate: float = setting(3.0, "Step length of the embeddings (Adagrad).", above=0, search=(0.02, 10))
    weight_decay: float = setting(0.0003, "Pull of layers towards 0.", low=0, search=(1e-4, 0.3))
    embedding_decay: float = setting(0.0003, "Pull of embeddings towards 0.", low=0, search=(1e-4, 0.1))
    initial_deviation: float = setting(0.0006, "Deviation of embeddings at the start.", low=0, search=(1e-4, 0.1))
    dropout: float = setting(0.0, "Part of each hidden layer left out in a step.", low=0, high=0.95, search=(0, 0.5))
    embedding_dropout: float = setting(
        0.1, "Part of the embeddings left out in a step.", low=0, high=0.95, search=(0, 0.6)
    )
    batch_normalisation: bool = setting(False, "Normalise each hidden layer over the batch.", search=(False, True))
    rating_range: RatingRange = setting(
        "auto",
        "Range of the sigmoid that predictions pass; auto: a tenth beyond the scale on each side; none: no sigmoid.",
        search=("auto", "none"),
    )
    schedule: ScheduleName = setting("linear", "How the learning rates change.", search=("linear", "one-cycle"))


@final
class Mlp(Model):
    """Embeddings of user and item, side by side through hidden layers (fastai's EmbeddingNN, CollabNN).

    hidden = relu(W [user embedding, item embedding] + b), …, prediction = sigmoid(w hidden + c) into the range.
    A batch normalisation is folded into the layer after it when training ends, so that what is kept is
    matrices and vectors whatever the settings.
    """

    name = "mlp"
    settings_class = MlpSettings

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._hidden_of_items: Floats | None = None

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        with Workers(options.n_threads) as workers:
            trainer = MlpTrainer(self.settings, split, options, workers)
            log = run_epochs(_NetworkTraining(self, trainer, split), self.name, options)
            self._adopt(trainer)
        self.parameters |= Prior.of(self._parameter("user_embeddings"), log.epochs[log.kept_epoch].train_loss).pack()
        return log

    def _adopt(self, trainer: Any) -> None:
        self.parameters |= trainer.arrays()
        self._forget()

    def _forget(self) -> None:
        self._hidden_of_items = None

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        return self._finish(self._hidden_of_users(self.user_vectors(user_rows)) + self._item_hidden()[item_rows])

    def user_vectors(self, user_rows: Rows) -> Floats:
        """The embedding of each user, (n, user embedding size)."""
        return self._parameter("user_embeddings")[user_rows]

    def scores_of(self, user_vectors: Floats) -> Floats:
        hidden = self._hidden_of_users(user_vectors)
        return np.stack([self._finish(one + self._item_hidden()) for one in hidden])

    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        prior = Prior.unpack(self.parameters)
        return most_probable(prior, self._predictor(item_rows), ratings).astype(np.float32)

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        of_item = self._predictor(np.array([item_row], np.int32))
        return contributions(Prior.unpack(self.parameters), self._predictor(item_rows), ratings, of_item)

    def _predictor(self, item_rows: Rows) -> Predictor:
        """From a user vector to its scores of some items, and their derivatives by it."""
        items = self._item_hidden()[item_rows].astype(np.float64)
        weight = self._user_weight().astype(np.float64)

        def predict(vector: Array) -> tuple[Array, Array]:
            predictions, slopes = self._forward_and_slope(weight @ vector + items)
            return predictions, slopes @ weight

        return predict

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        of_user, of_item = (self.parameters[f"{side}_embeddings"].shape[1] for side in ("user", "item"))
        widths = (of_user + of_item, *self.settings.layers, 1)
        layers: Shapes = {}
        for number, (narrow, wide) in enumerate(pairwise(widths)):
            layers |= {f"layer/{number}/weight": (wide, narrow), f"layer/{number}/bias": (wide,)}
        embeddings = {"user_embeddings": (n_users, of_user), "item_embeddings": (n_items, of_item)}
        return {**embeddings, **layers, "rating_range": (2,), **Prior.shapes(of_user)}

    def fit_memory(self, sizes: Sizes) -> Parts:
        """In an epoch its order of ratings, then a block of validation pairs, then one more copy of the embeddings."""
        one = self.learnt_memory(sizes)
        return {
            "the embeddings of users and items, and copies": EMBEDDING_COPIES * one,
            "the ratings in an epoch, and their validation": max(EPOCH * sizes.train, self.block_memory(sizes), one),
            "the hidden layer of items": 2 * FLOAT * self.settings.layers[0] * sizes.items,
            "the distribution of users": Prior.memory(embedding_size(sizes.users)),
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        return FLOAT * sum(embedding_size(n) * n for n in (sizes.users, sizes.items))

    def block_memory(self, sizes: Sizes) -> int:
        numbers = embedding_size(sizes.users) + HIDDEN_COPIES * max(self.settings.layers)
        return FLOAT * numbers * min(sizes.valid, PAIRS_A_TIME)

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        """Against an average user and an average item: what each side changes alone, and both together."""
        user = self._hidden_of_users(user_vector[None])
        average_user = self._average_user_hidden()
        item = self._item_hidden()[item_row]
        average_item = self._item_hidden().mean(axis=0)
        corners = np.concatenate((average_user + average_item, user + average_item, average_user + item, user + item))
        neither, only_user, only_item, both = self._finish(corners).astype(np.float64).tolist()
        parts = {
            "mean": neither,
            "user": only_user - neither,
            "item": only_item - neither,
            "match": both - only_user - only_item + neither,
        }
        return Explanation(parts, both)

    def item_factors(self) -> Floats:
        """What each item contributes to the first hidden layer, centred.

        The embeddings themselves are wider than what the network uses of them: most of their directions
        keep the noise that they started with.
        """
        hidden = self._item_hidden()
        return hidden - hidden.mean(axis=0)

    def item_biases(self) -> Floats:
        """The prediction for an average user, less its mean over items."""
        scores = self._finish(self._average_user_hidden() + self._item_hidden())
        return scores - scores.mean()

    def _average_user_hidden(self) -> Floats:
        average = self._parameter("user_embeddings").mean(axis=0, dtype=np.float64)
        return self._hidden_of_users(average[None].astype(np.float32))

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

    def _finish(self, z: Floats) -> Floats:
        """From the first layer's sums (n, width) to scores (n,)."""
        for layer in range(1, len(self.settings.layers) + 1):
            weight, bias = self._layer(layer)
            z = np.maximum(z, np.float32(0)) @ weight.T + bias
        return self._squash(z[:, 0])

    def _forward_and_slope(self, z: Array) -> tuple[Array, Array]:
        """Scores (n,) and their derivatives by the first layer's sums (n, width)."""
        active = []
        for layer in range(1, len(self.settings.layers) + 1):
            weight, bias = self._layer(layer)
            active.append(z > 0)
            z = np.maximum(z, 0) @ weight.T.astype(np.float64) + bias
        scores, slope = self._squash.with_slope(z[:, 0])
        slopes = slope[:, None]
        for layer in range(len(self.settings.layers), 0, -1):
            slopes = slopes @ self._layer(layer)[0].astype(np.float64) * active[layer - 1]
        return scores, slopes

    def _layer(self, layer: int) -> tuple[Floats, Floats]:
        return self._parameter(f"layer/{layer}/weight"), self._parameter(f"layer/{layer}/bias")

    @property
    def _squash(self) -> Squash:
        return Squash.unpack(self._parameter("rating_range"))


class _NetworkTraining:
    """Epochs of a trainer of torch_training; what is validated is the model as it would be served."""

    def __init__(self, model: Mlp | Own, trainer: Any, split: Split) -> None:
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


@dataclass(frozen=True)
class OwnSettings(Settings):
    """How a module of the user's own is trained; its constructor's settings are kept beside these."""

    epochs: int = setting(5, "How often every rating is learnt from.", low=1, search=(2, 20))
    batch_size: int = setting(256, "Ratings a step.", low=1, search=(64, 1024))
    learning_rate: float = setting(0.005, "Step length (Adam).", above=0, search=(3e-4, 3e-2))
    weight_decay: float = setting(0.1, "Pull of all weights towards 0 (AdamW).", low=0, search=(1e-3, 1))
    schedule: ScheduleName = setting("one-cycle", "How the learning rate changes.", search=("linear", "one-cycle"))


@final
class Own(Model):
    """A torch module of the user's own, called with a (batch, 2) integer tensor of user and item rows.

    It must return (batch,) or (batch, 1) predictions on the rating scale. Its artifact holds the weights and
    the name of the class, never code: who loads it says where the class is.

    New users are mixed from training users: what users think of items is taken to be normally distributed as
    the module's scores of up to REFERENCES training users are, and the new user is the mean of that
    distribution given the new ratings (a Gaussian process whose kernel is the covariance over users; for a
    module that is linear in its users it is what `folding` does). Nothing but scores is asked of the module.
    """

    name = "own"
    trained_by = "torch"
    memory_remedy = "Use a smaller module."
    settings_class = OwnSettings

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        module: type[torch.nn.Module] | torch.nn.Module | None = None,
        module_settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(settings)
        self.module_source = module
        self.module_settings = dict(module_settings or {})
        self._module: torch.nn.Module | None = None
        self._references: tuple[Floats, Floats] | None = None

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        from penchant.models.torch_training import OwnTrainer

        module = self._build(split.train.n_users, split.train.n_items, options.seed)
        with OwnTrainer(module, self.settings, split, options) as trainer:
            log = run_epochs(_NetworkTraining(self, trainer, split), self.name, options)
            self._adopt(trainer)
        self.parameters["noise"] = np.array([log.epochs[log.kept_epoch].train_loss])
        return log

    def check_device(self, device: str) -> None:
        from penchant.models.torch_training import find_device

        find_device(device)

    def fit_memory(self, sizes: Sizes) -> Parts:
        return {
            "the module's weights, gradients and copies": MODULE_COPIES * self.learnt_memory(sizes),
            "the ratings in an epoch": TORCH_EPOCH * sizes.train,
            "a block of validation": self.block_memory(sizes),
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        """Bytes of the module's weights, found without making them; 0 where its constructor insists on real ones."""
        from penchant.models.torch_training import weigh_module

        return weigh_module(self.module_source, sizes.users, sizes.items, self.module_settings)

    def block_memory(self, sizes: Sizes) -> int:
        return MODULE_PAIR * min(sizes.valid, PAIRS_A_TIME)

    def _adopt(self, trainer: Any) -> None:
        self.parameters |= trainer.arrays()
        self._forget()
        self._module = trainer.module

    def _forget(self) -> None:
        self._module = None
        self._references = None

    def _build(self, n_users: int, n_items: int, seed: int = 0) -> torch.nn.Module:
        from penchant.models.torch_training import build_module

        return build_module(self.module_source, n_users, n_items, self.module_settings, seed)

    @property
    def module(self) -> torch.nn.Module:
        """The fitted module, in evaluation mode."""
        if self._module is None:
            if self.module_source is None:
                raise ArtifactError(
                    "This model is a torch module, and its artifact holds weights, not code.",
                    remedy="Say where the class is: --module path/file.py:ClassName (module=… in Python).",
                )
            from penchant.models.torch_training import load_weights

            self._module = load_weights(self._build(self.n_users, self.n_items), self.parameters)
        return self._module

    def extra(self) -> dict[str, Any]:
        """The class's name and its constructor's settings."""
        source = self.module_source
        name = source.__name__ if isinstance(source, type) else type(source).__name__
        return {"class": name, "module_settings": self.module_settings}

    def _take_extra(self, extra: Mapping[str, Any], module: Any) -> None:
        """The weights are put into a fresh `module` when it is first asked."""
        self.module_source, self.module_settings = module, dict(extra.get("module_settings") or {})

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        from penchant.models.torch_training import module_scores

        return module_scores(self.module, user_rows, item_rows)

    def user_vectors(self, user_rows: Rows) -> Floats:
        """[user row + 1, weights of reference users], (n, 1 + references); of a known user the weights are 0."""
        vectors = np.zeros((len(user_rows), 1 + len(self._reference_rows())), np.float32)
        vectors[:, 0] = user_rows + 1
        return vectors

    def scores_of(self, user_vectors: Floats) -> Floats:
        return np.stack([self._scores_of_one(vector) for vector in user_vectors])

    def _scores_of_one(self, vector: Floats) -> Floats:
        if vector[0] > 0:
            everything = np.arange(self.n_items, dtype=np.int32)
            return self.pair_scores(np.full(self.n_items, int(vector[0]) - 1, np.int32), everything)
        mean, deviations = self._reference_scores()
        return mean + vector[1:] @ deviations

    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        mean, _ = self._reference_scores()
        known, system = self._covariances(item_rows)
        weights = known @ np.linalg.solve(system, ratings - mean[item_rows]) / len(known)
        return np.concatenate(([0.0], weights)).astype(np.float32)

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """Scores are linear in what is unexpected of each rating."""
        mean, deviations = self._reference_scores()
        known, system = self._covariances(item_rows)
        with_item = known.T @ deviations[:, item_row].astype(np.float64) / len(known)
        adds: Floats64 = np.linalg.solve(system, with_item) * (ratings - mean[item_rows])
        return adds

    def _covariances(self, item_rows: Rows) -> tuple[Floats64, Floats64]:
        """How references differ from their mean on some items, (references, n), and the covariance of ratings, (n, n).

        The noise of ratings is in the covariance.
        """
        known = self._reference_scores()[1][:, item_rows].astype(np.float64)
        system = known.T @ known / len(known)
        system[np.diag_indices_from(system)] += max(float(self._parameter("noise")[0]), 1e-6)
        return known, system

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        """The module's own are checked by torch when they are put into it."""
        del n_users, n_items
        return {"noise": (1,)}

    def _reference_rows(self) -> Rows:
        """Training users spread evenly over all rows."""
        return np.unique(np.linspace(0, self.n_users - 1, min(REFERENCES, self.n_users)).astype(np.int32))

    def _reference_scores(self) -> tuple[Floats, Floats]:
        """The mean of the reference users' scores (n_items,), and how each differs from it; computed once."""
        if self._references is None:
            rows, items = self._reference_rows(), np.arange(self.n_items, dtype=np.int32)
            scores = np.stack([self.pair_scores(np.full(len(items), row, np.int32), items) for row in rows])
            mean = scores.mean(axis=0)
            self._references = mean, scores - mean
        return self._references

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        """Against averages over a sample of users and of items: what each side changes, and both together."""
        users = np.unique(np.linspace(0, self.n_users - 1, min(SAMPLED, self.n_users)).astype(np.int32))
        items = np.unique(np.linspace(0, self.n_items - 1, min(SAMPLED, self.n_items)).astype(np.int32))
        own = self.scores_of(user_vector[None])[0].astype(np.float64)
        score = float(own[item_row])
        for_item = self.pair_scores(users, np.full(len(users), item_row, np.int32)).astype(np.float64)
        everywhere = self.pair_scores(np.repeat(users, len(items)), np.tile(items, len(users)))
        mean = float(everywhere.mean(dtype=np.float64))
        user, item = float(own[items].mean()) - mean, float(for_item.mean()) - mean
        return Explanation({"mean": mean, "user": user, "item": item, "match": score - mean - user - item}, score)

    def item_factors(self) -> Floats:
        """The module's item embeddings, where it has exactly one embedding of n_items rows."""
        tables = [
            array
            for name, array in self.parameters.items()
            if name.startswith("module/") and array.ndim == 2 and array.shape[0] == self.n_items and array.shape[1] > 1
        ]
        return tables[0].astype(np.float32) if len(tables) == 1 else super().item_factors()
