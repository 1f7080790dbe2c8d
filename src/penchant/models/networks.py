"""Networks of a user's own: any torch module. It is code, and is trained and scored by torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from penchant.data.split import Split
from penchant.errors import ArtifactError, UnsupportedError
from penchant.models.base import PAIRS_A_TIME, Explanation, Floats, Floats64, Model, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.memory import Parts, Sizes
from penchant.models.network_epochs import NetworkTraining
from penchant.models.schedule import ScheduleName
from penchant.models.settings import Settings, setting

if TYPE_CHECKING:
    import torch

# For estimates of memory, counted in the code and compared with what processes took.
MODULE_COPIES = 6  # weights, gradients, two moments, those validated, the best
MODULE_PAIR = 1200  # bytes that a module makes of a pair: nobody knows, and this is 300 numbers
TORCH_EPOCH = 44  # bytes of a rating: rows as int64, an order, and the ratings in it
SAMPLED = 256  # users or items that stand for all where a black box has to be averaged
REFERENCES = 256  # training users that a folded-in user of a black box is mixed from


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
            log = run_epochs(NetworkTraining(self, trainer, split), self.name, options)
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

    def _less_users(self) -> tuple[dict[str, Any], dict[str, Any]]:
        raise UnsupportedError(
            "A torch module of your own cannot do without its users: which of its weights are theirs only its code"
            " knows, and newcomers are mixed from them.",
            remedy="Strip a built-in model, such as mf, mlp or als.",
        )

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
