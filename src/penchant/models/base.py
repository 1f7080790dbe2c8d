"""Model: what every model is asked, whatever it is made of."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
from numpy.typing import NDArray

from penchant.data.context import Context
from penchant.data.split import Split
from penchant.errors import NotFittedError, SettingError, UnsupportedError
from penchant.models.biases import Biases, damped_biases
from penchant.models.fitting import FitLog, FitOptions
from penchant.models.folding import Prior
from penchant.models.memory import Parts, Sizes
from penchant.models.settings import Settings
from penchant.threads import one_blas_thread

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Floats64 = NDArray[np.float64]
Shapes = dict[str, tuple[int, ...]]

FALLBACK_USER_DAMPING = 5.0
FALLBACK_ITEM_DAMPING = 3.0
FALLBACK_PASSES = 5
PAIRS_A_TIME = 65_536  # that are scored at once: each has the factors of its user and its item gathered

_SHARED_SHAPES: Shapes = {"scale": (2,), "fallback/mean": (1,)}


@dataclass(frozen=True)
class Explanation:
    """Why a score is what it is.

    Attributes:
        parts: what each cause adds, in the order to tell them; their sum is the score.
        score: the model's score of the pair, on the rating scale but not clipped to it.
    """

    parts: Mapping[str, float]
    score: float


class Model(ABC):
    """A recommender on rows. Ids, names and files are other modules' business.

    A user is a *user vector*: the numbers that the model knows about one user. Known users have theirs
    from training (`user_vectors`), new ones from a few ratings (`fold_in`), and all scores come from it.

    Scores are on the rating scale but not clipped, so that they never tie at its end; predictions are
    scores clipped to the lowest and highest rating of training. A pair whose user or item is unknown (-1)
    is answered by damped biases (`FALLBACK_…`) from the side that is known.

    Subclasses are final and keep everything learnt in `parameters`, arrays by name.
    """

    name: ClassVar[str]
    settings_class: ClassVar[type[Settings]]
    trained_by: ClassVar[Literal["numba", "torch"] | None] = "numba"  # the library that a fit loads
    ranks_only: ClassVar[bool] = False  # scores are on no scale: preferences.PreferenceModel
    has_valid_loss: ClassVar[bool] = True  # of which the best epoch can be kept
    in_order: ClassVar[bool] = False  # a history is read in the order in which it came: by time
    memory_remedy: ClassVar[str] = "Use another model (bias, or mf with few --factors)."

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings: Any = settings if settings is not None else self.settings_class()
        self.parameters: dict[str, NDArray[Any]] = {}

    # --- what a subclass provides -------------------------------------------------------------------

    @abstractmethod
    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        """Learn from split.train; `parameters` already holds the fallback and the scale."""

    @abstractmethod
    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        """Scores of pairs that are all known, float32 (n,); not more than PAIRS_A_TIME."""

    @abstractmethod
    def user_vectors(self, user_rows: Rows) -> Floats:
        """What the model knows about some users, float32 (n, d)."""

    @abstractmethod
    def scores_of(self, user_vectors: Floats) -> Floats:
        """Scores of all items for users given by their vectors, float32 (n, n_items)."""

    @abstractmethod
    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        """The vector of a new user with a few ratings, float32 (d,); nothing else changes.

        Without ratings it is the vector of an average user.
        """

    def fold_in_all(self, histories: Sequence[tuple[Rows, Floats]]) -> list[Floats]:
        """The vectors of several new users, as `fold_in` gives each, but for roundings; some models are faster so."""
        return [self.fold_in(*history) for history in histories]

    @abstractmethod
    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        """The shapes of the arrays that a fit on so many users and items leaves, by name."""

    @abstractmethod
    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        """The causes of one score, summing to it."""

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """What each rating of a history adds to the score of one item, float64 (n,).

        Together with the score of an average user (`fold_in` of nothing) they sum to the score of the vector that
        `fold_in` gives for the history; of a model that ranks only, alone.

        Args:
            item_rows, ratings: the history, int32 and float32 (n,), as for `fold_in`.
            item_row: whose score it is.

        Raises:
            UnsupportedError: the model cannot tell.
        """
        del item_rows, ratings, item_row
        raise UnsupportedError(
            f"The {self.name} model cannot tell what each rating adds to a score.",
            remedy="Ask for its causes: explain.",
        )

    def _forget(self) -> None:  # noqa: B027, most models keep nothing
        """Drop what was computed from `parameters` and kept; they have changed."""

    @abstractmethod
    def fit_memory(self, sizes: Sizes) -> Parts:
        """Bytes that training takes at its peak, by what they are for; what all models take is not in it."""

    @abstractmethod
    def learnt_memory(self, sizes: Sizes) -> int:
        """Bytes of what is learnt."""

    def block_memory(self, sizes: Sizes) -> int:
        """Bytes of predicting as many validation pairs as are predicted at a time."""
        del sizes
        return 0

    def check_device(self, device: str) -> None:
        """Raise SettingError, or MissingExtraError, unless the model can be trained on "auto", "cpu" or "cuda"."""
        if device == "cuda":
            raise SettingError(
                f"{self.name} is trained on the processor.",
                remedy="Use --device auto or cpu; sequence, or a torch module of your own, can be trained on a GPU.",
            )

    def item_factors(self) -> Floats:
        """Items as points whose directions say what is alike, float32 (n_items, d).

        Raises:
            UnsupportedError: the model has nothing of the kind.
        """
        raise UnsupportedError(
            f"The {self.name} model has no item factors, so there are no similar items and no map.",
            remedy="Fit a model that has them: dot, mf, explicit-als, mlp, bayes, ease, als, bpr or sequence.",
        )

    def item_biases(self) -> Floats:
        """How much better than average each item is liked, in rating steps, float32 (n_items,)."""
        return self.fallback.item_biases

    # --- what all share -----------------------------------------------------------------------------

    @final
    def fit(self, split: Split, options: FitOptions | None = None) -> FitLog:
        """Learn from the training part; the validation part only measures (and stops, on request).

        Users that were held out altogether are folded in after a fit and have no part in it.

        A refit starts from nothing and gives what a fresh model would.

        Raises:
            UnsupportedError: the model learns from ratings, and there are none; or it has no validation loss, and
                the best epoch by it is asked for.
        """
        started = time.perf_counter()
        options, split = options or FitOptions(), split.to_learn_from
        self.check_data(split, options)
        self.check_device(options.device)
        fallback = damped_biases(split.train, FALLBACK_USER_DAMPING, FALLBACK_ITEM_DAMPING, FALLBACK_PASSES)
        before, self.parameters = self.parameters, _pack(fallback, split.train.scale)
        try:
            with one_blas_thread():
                log = self._fit(split, options)
            return replace(log, fit_seconds=time.perf_counter() - started)
        except BaseException:
            self.parameters = before
            self._forget()
            raise

    @final
    @one_blas_thread()
    def scores(self, user_rows: Rows) -> Floats:
        """Scores of all items for known users, float32 (n, n_items)."""
        return self.scores_of(self.user_vectors(user_rows))

    @final
    @one_blas_thread()
    def pair_scores(self, user_rows: Rows, item_rows: Rows, context: Context | None = None) -> Floats:
        """Scores of pairs, float32 (n,); -1 stands for an unknown user or item.

        Args:
            context: what else is known of the pairs, for models that can make use of it.
        """
        scores = np.empty(len(user_rows), np.float32)
        known = context or Context()
        for at in range(0, len(scores), PAIRS_A_TIME):
            some = slice(at, at + PAIRS_A_TIME)
            scores[some] = self._scores_of_any(user_rows[some], item_rows[some], known.take(some))
        return scores

    def check_data(self, split: Split, options: FitOptions) -> None:
        """Raise what a fit would say of the data and options before it starts.

        Raises:
            UnsupportedError: nobody rated, there are no times, or there is no validation loss, and one is needed.
        """
        if split.train.is_implicit and not self.ranks_only:
            raise UnsupportedError(
                f"The {self.name} model learns from ratings, and nobody rated in {split.train.source or 'this table'}.",
                remedy="Fit popularity, item-knn, ease, als, bpr or sequence.",
            )
        if self.in_order and split.train.times is None:
            raise UnsupportedError(
                f"The {self.name} model learns from the order in which users took items, and "
                f"{split.train.source or 'this table'} has no times.",
                remedy="Name the column of times (--time COLUMN), or fit als.",
            )
        if not self.has_valid_loss and (options.patience is not None or options.keep_best):
            raise UnsupportedError(
                f"The {self.name} model has no validation loss by which an epoch could be the best.",
                remedy="Leave --patience and --keep-best out.",
            )

    def _scores_of_any(self, user_rows: Rows, item_rows: Rows, context: Context) -> Floats:
        """Scores of pairs, -1 standing for an unknown user or item; not more than PAIRS_A_TIME."""
        del context
        scores = self.fallback.predict(user_rows, item_rows)
        known = np.flatnonzero((user_rows >= 0) & (item_rows >= 0))
        scores[known] = self._pair_scores(user_rows[known], item_rows[known])
        return scores

    def deviations(self, user_rows: Rows, item_rows: Rows, context: Context | None = None) -> Floats | None:
        """Standard deviations of ratings around the scores of pairs, float32 (n,), if the model knows them.

        What is not known of the score itself is in them.
        """
        del user_rows, item_rows, context
        return None

    def distribution(self, user_rows: Rows, item_rows: Rows, context: Context | None = None) -> tuple[Floats, Floats]:
        """How likely each rating is for pairs: the ratings that there are, (steps,), and their chances, (n, steps).

        Raises:
            UnsupportedError: the model does not know.
        """
        del user_rows, item_rows, context
        raise UnsupportedError(
            f"The {self.name} model does not know how likely each rating is.",
            remedy="Fit a bayes model, or ask for an interval.",
        )

    @final
    def predict(self, user_rows: Rows, item_rows: Rows, context: Context | None = None) -> Floats:
        """Predicted ratings of pairs, float32 (n,), on the scale of training.

        Raises:
            UnsupportedError: the model ranks only.
        """
        if self.ranks_only:
            raise UnsupportedError(
                f"The {self.name} model ranks items; it does not predict ratings.",
                remedy="Ask for recommendations, or fit a model of ratings: bias, dot, mf, explicit-als, mlp or bayes.",
            )
        return self.clip(self.pair_scores(user_rows, item_rows, context))

    @final
    def clip(self, scores: Floats) -> Floats:
        """Scores as predictions: moved into the range of the training ratings."""
        low, high = self._parameter("scale")
        return np.clip(scores, low, high)

    @final
    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest training rating."""
        low, high = self._parameter("scale")
        return float(low), float(high)

    @final
    @property
    def fallback(self) -> Biases:
        """The damped biases that answer for the unknown."""
        return Biases(
            float(self._parameter("fallback/mean")[0]),
            self._parameter("fallback/user_biases"),
            self._parameter("fallback/item_biases"),
        )

    @final
    @property
    def n_users(self) -> int:
        """Users in training."""
        return len(self._parameter("fallback/user_biases"))

    @final
    @property
    def n_items(self) -> int:
        """Items in training."""
        return len(self._parameter("fallback/item_biases"))

    @final
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything learnt, by name."""
        self._parameter("scale")
        return dict(self.parameters)

    @final
    def check_arrays(self, n_users: int, n_items: int) -> None:
        """Raise ValueError or LookupError unless the arrays are as a fit on so many users and items leaves them."""
        shapes = self.all_shapes(n_users, n_items)
        for name, shape in shapes.items():
            if name not in self.parameters:
                raise ValueError(f"{name} is missing")
            array, dtype = self.parameters[name], self._dtype(name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"{name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
            is_no_range = name == "rating_range" and np.isnan(array).all()
            if not np.isfinite(array).all() and not is_no_range:
                raise ValueError(f"{name} has numbers that are not finite")
        if "prior/noise" in shapes:
            Prior.unpack(self.parameters).check()
        self._check_values()

    @final
    def all_shapes(self, n_users: int, n_items: int) -> Shapes:
        """The shapes of all arrays that a fit on so many users and items leaves, by name."""
        fallback: Shapes = {"fallback/user_biases": (n_users,), "fallback/item_biases": (n_items,)}
        return {**_SHARED_SHAPES, **fallback, **self._shapes(n_users, n_items)}

    @final
    def without_users(self) -> Self:
        """A model that keeps nothing of any one user, and answers for everybody else as this one does.

        Its arrays have the shapes that a fit on no users would leave. Users stand first wherever their rows are stacked
        with others, so that of each axis as many of the last entries are kept as there are to be; `_less_users` takes
        out what lies elsewhere. An array without a declared shape is left out: nobody knows what it holds.

        Raises:
            UnsupportedError: newcomers are made of training users, or what is of users cannot be told.
        """
        arrays, extra = self._less_users()
        model = self.from_arrays(self.settings, arrays, extra)
        shapes = model.all_shapes(0, self.n_items)
        model.parameters = {name: _last(model.parameters[name], shape) for name, shape in shapes.items()}
        return model

    def _less_users(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What is learnt and `extra`, without what is of users and is not first on an axis that grows with users."""
        return dict(self.parameters), self.extra()

    def _check_values(self) -> None:  # noqa: B027, most models can compute with any finite numbers
        """Raise ValueError where arrays of the right shapes hold what no fit leaves."""

    def _dtype(self, name: str) -> type[np.generic]:
        """The type of the array of a name."""
        return np.float64 if name.startswith("prior/") or name in ("fallback/mean", "noise") else np.float32

    def extra(self) -> dict[str, Any]:
        """What there is to save besides settings and arrays, as plain JSON values."""
        return {}

    @final
    @classmethod
    def from_arrays(
        cls,
        settings: Settings,
        arrays: Mapping[str, NDArray[Any]],
        extra: Mapping[str, Any] | None = None,
        module: Any = None,
    ) -> Self:
        """The inverse of `arrays` and `extra`.

        Args:
            module: the class of a torch module of the user's own; the built-in models have no use for it.
        """
        model = cls(settings)
        model.parameters = dict(arrays)
        model._take_extra(extra or {}, module)
        return model

    def _take_extra(self, extra: Mapping[str, Any], module: Any) -> None:  # noqa: B027, most models have nothing
        """Take back what `extra` gave, and the class of a module of the user's own."""

    def _parameter(self, name: str) -> NDArray[Any]:
        try:
            return self.parameters[name]
        except KeyError:
            raise NotFittedError(f"This {self.name} model is not fitted.", remedy="Call fit first.") from None


def _last(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The last entries of each axis, a copy of its own."""
    return array[tuple(slice(size - kept, None) for size, kept in zip(array.shape, shape, strict=True))].copy()


def _pack(fallback: Biases, scale: tuple[float, float]) -> dict[str, NDArray[Any]]:
    return {
        "scale": np.array(scale, np.float32),
        "fallback/mean": np.array([fallback.mean], np.float64),
        "fallback/user_biases": fallback.user_biases,
        "fallback/item_biases": fallback.item_biases,
    }


class Validation:
    """The validation loss of a model in training; what does not change from epoch to epoch is computed once."""

    def __init__(self, model: Model, split: Split) -> None:
        self.model = model
        users, items = split.valid_user_rows, split.valid_item_rows
        self.known = (users >= 0) & (items >= 0)
        self.user_rows, self.item_rows = users[self.known], items[self.known]
        self.ratings = split.valid.ratings if split.valid is not None else np.empty(0, np.float32)
        self.scores = model.fallback.predict(users, items)

    def loss(self, known_scores: Callable[[Rows, Rows], Floats]) -> float | None:
        """Mean squared error with the scores that known pairs have now, None without validation ratings."""
        if not len(self.ratings):
            return None
        self.scores[self.known] = known_scores(self.user_rows, self.item_rows)
        return float(np.mean((self.model.clip(self.scores) - self.ratings) ** 2, dtype=np.float64))
