"""Recommender: a fitted model with its ids, names and histories. Every answer to the outside comes from here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.artifact import load_artifact, save_artifact
from penchant.calibration import LEVELS, Coverage, Rated, measure
from penchant.data.columns import known_columns
from penchant.data.context import Context
from penchant.data.interactions import Interactions
from penchant.data.pairs import described_context, lists_table
from penchant.data.sizes import as_interactions
from penchant.data.split import Split
from penchant.data.vocabulary import Id, Vocabulary
from penchant.errors import InputError, SettingError
from penchant.evaluate import DEFAULT_METRICS, Report, evaluate_questions
from penchant.explain import Neighbours, Ranked, extreme_items, reasons_of
from penchant.intervals import Around, Conformal, around, around_questions
from penchant.machine import count_threads
from penchant.models import Explanation, Model
from penchant.models.base import Rows
from penchant.models.fitting import FitLog
from penchant.newcomers import Questions
from penchant.serving.answers import Named, Prediction, Reason, Reasons, Recommendation
from penchant.serving.history import History
from penchant.serving.lists import Ids, Ranker, Wished, Wishes, as_rated, liked, ratings_of
from penchant.serving.naming import ItemNames
from penchant.serving.saving import checked_fields, to_artifact
from penchant.serving.stripping import strip
from penchant.threads import in_order, one_blas_thread

USERS_A_TIME = 256
SCORES_A_TIME = 4_000_000  # 16 MB: how many scores a thread has in memory at once
ENTRIES_A_TIME = 500_000  # recommendations that a thread has in memory at once


@dataclass(frozen=True, eq=False)
class Recommender:
    """A fitted model that speaks the caller's ids.

    Args:
        model: fitted.
        users, items: its vocabularies.
        item_names: String (n_items,).
        history: what its users rated.
        item_table: the columns known of items, row by row, or None.
        log: of the fit.
        about: data, split and metrics, for people; goes into the manifest as it is.
        conformal: what intervals are made from, where the model does not know its own uncertainty.
        kept_counts: training ratings of each item, int64 (n_items,), of a recommender that is stripped of its users;
            None where the history has them.
    """

    model: Model
    users: Vocabulary
    items: Vocabulary
    item_names: pl.Series
    history: History
    item_table: pl.DataFrame | None = None
    log: FitLog | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    conformal: Conformal | None = None
    kept_counts: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        split: Split,
        log: FitLog | None = None,
        about: Mapping[str, Any] | None = None,
        conformal: Conformal | None = None,
    ) -> Recommender:
        """Of a model that was fitted on a split."""
        train, history = split.train, History.of_split(split, in_order=model.in_order)
        columns = (train.users, train.items, train.names, history, train.item_table)
        return cls(model, *columns, log, about or {}, conformal)

    # --- recommending -------------------------------------------------------------------------------

    @one_blas_thread()
    def recommend(
        self,
        user: Id | None = None,
        k: int = 10,
        *,
        rated: Mapping[Id, float] | Iterable[Id] | None = None,
        **wished: Unpack[Wished],
    ) -> list[Recommendation]:
        """The k best items for a user of training, or for somebody new who has rated a few items.

        Args:
            user: an id of training; or None when `rated` is given.
            rated: item -> rating of a new user, who is folded in without retraining; of a model that ranks only item
                -> weight, or items alone, each of which counts 1; of one that was told what is positive
                (`positive_from`) item -> rating, or items alone. {} is an average user.
            wished: include_seen, only, exclude, where, diversity, diversity_by, popularity_damping: see `Wishes`.

        Raises:
            InputError: `rated` is of another form, or a rating is not on the model's scale.
            UnknownIdError: the user, or an item of `rated`, `only` or `exclude`, is unknown.
            SettingError: k is below 1; neither or both of user and rated are given; a wish cannot be.
            UnsupportedError: diversity of a model whose items cannot be compared.
        """
        if (user is None) == (rated is None):
            raise SettingError(
                "Give either a user or ratings.", remedy="recommend(user) or recommend(rated={item: rating})."
            )
        if rated is not None:
            given = as_rated(rated, self.model)
            has_ratings = hasattr(rated, "keys")
            seen, taken = self._item_rows(given), liked(given, self.about, self.model) if has_ratings else given
            vectors = self.model.fold_in(self._item_rows(taken), ratings_of(taken, self.model))[None]
        else:
            row = self.users.row(user)
            vectors = self.model.user_vectors(np.array([row], np.int32))
            seen = self.history.item_rows[self.history.of(row)]
        best, scores = self._ranker(k, wished).of_vectors(vectors, [seen])
        return self._recommendations(best[0], scores[0])

    def recommend_many(
        self, users: Iterable[Id], k: int = 10, *, threads: int | None = None, **wished: Unpack[Wished]
    ) -> Iterator[tuple[Id, list[Recommendation]]]:
        """The k best items for many users, computed in blocks so that memory stays bounded.

        Args:
            threads: how many may work; the lists are the same for any number. None for every core.
            wished: as for `recommend`.

        Raises:
            UnknownIdError, SettingError, UnsupportedError: as for `recommend`; before anything is computed.
        """
        ids = list(users)
        ranker, rows, count = self._ranker(k, wished), self.users.rows(ids), count_threads(threads)

        def lists_of(part: NDArray[np.int32]) -> list[list[Recommendation]]:
            return [self._recommendations(*of_one) for of_one in zip(*ranker.of_rows(part), strict=True)]

        blocks = in_order(lists_of, self._parts(rows, ranker.pool), count)
        return zip(ids, (items for block in blocks for items in block), strict=True)

    def recommend_tables(
        self, users: Iterable[Id], k: int = 10, *, threads: int | None = None, **wished: Unpack[Wished]
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """The same lists as tables, block by block, each with how many users it is of.

        Columns: user, rank (from 1), item, name, prediction, score. No list is ever a Python object: for 180,000
        users and k = 10 that was measured at a twentieth of the time.

        Raises:
            UnknownIdError, SettingError, UnsupportedError: as for `recommend`; before anything is computed.
        """
        ranker, rows, count = self._ranker(k, wished), self.users.rows(users), count_threads(threads)

        def table_of(part: NDArray[np.int32]) -> tuple[int, pl.DataFrame]:
            best, scores = ranker.of_rows(part)
            places = np.nonzero(best >= 0)
            taken = scores[places[0], best[places]]
            columns = part[places[0]], places[1] + 1, best[places], self._predictions(taken), taken
            return len(part), lists_table(self.users, self.items, self.item_names, *columns)

        return in_order(table_of, self._parts(rows, ranker.pool), count)

    def _parts(self, rows: NDArray[np.int32], k: int) -> Iterator[NDArray[np.int32]]:
        """So many users at a time that memory is bounded, and whatever the number of threads, the same ones."""
        n_items = len(self.items)
        at_once = max(1, min(USERS_A_TIME, SCORES_A_TIME // n_items, ENTRIES_A_TIME // min(k, n_items)))
        return (rows[start : start + at_once] for start in range(0, len(rows), at_once))

    def _ranker(self, k: int, wished: Wished) -> Ranker:
        """What ranks the lists of one request."""
        _check_k(k)
        wishes = Wishes(**wished)
        counts = self.item_counts if wishes.popularity_damping else None
        return Ranker.of(wishes, k, self.model, self.history, self.item_table, counts, self._item_rows)

    def _item_rows(self, items: Ids) -> NDArray[np.int32]:
        """Rows of one or several items, by id or name."""
        each = items if isinstance(items, Iterable) and not isinstance(items, str) else [items]
        return np.array([self.find_item(item) for item in each], np.int32)

    def _predictions(self, scores: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The predicted ratings of scores; None of a model that ranks only."""
        return None if self.model.ranks_only else self.model.clip(scores)

    def _recommendations(self, best: NDArray[np.int32], scores: NDArray[np.float32]) -> list[Recommendation]:
        rows = best[best >= 0]
        taken = scores[rows]
        predictions = self._predictions(taken)
        predicted = [None] * len(rows) if predictions is None else predictions.tolist()
        columns = (self.items.take(rows), self._names(rows), predicted, taken.tolist())
        return [Recommendation(*entry) for entry in zip(*columns, strict=True)]

    def lists_frame(self, lists: Iterable[tuple[Any, list[Recommendation]]]) -> pl.DataFrame:
        """Recommendations of many users as a table: user, rank (from 1), item, name, prediction, score."""
        rows = [
            (user, rank, one.item, one.name, one.prediction, one.score)
            for user, items in lists
            for rank, one in enumerate(items, start=1)
        ]
        id_types = {"user": None, "rank": pl.Int32, "item": self.items.ids.dtype, "name": pl.String}
        return pl.DataFrame(rows, {**id_types, "prediction": pl.Float32, "score": pl.Float32}, orient="row")

    # --- predicting ---------------------------------------------------------------------------------

    @overload
    def predict(self, user: Id, item: Id, interval: None = None) -> float: ...
    @overload
    def predict(self, user: Id, item: Id, interval: float) -> Prediction: ...
    def predict(self, user: Id, item: Id, interval: float | None = None) -> float | Prediction:
        """The predicted rating of one pair; both must be known.

        Args:
            interval: the probability, such as 0.9, with which the rating is to be within an interval.

        Raises:
            UnknownIdError: one of them is not.
            SettingError, UnsupportedError: as for `predict_pairs`.
        """
        rows = np.array([self.users.row(user)], np.int32), np.array([self.items.row(item)], np.int32)
        if interval is None:
            return float(self.model.predict(*rows)[0])
        intervals = self._intervals(*rows)
        low, high = intervals.ends(interval)
        return Prediction(float(self.model.clip(intervals.centres)[0]), float(low[0]), float(high[0]))

    def predict_pairs(
        self,
        users: Any,
        items: Any,
        interval: float | None = None,
        times: Any = None,
        *,
        chances: bool = False,
        user_table: Any = None,
        item_table: Any = None,
    ) -> pl.DataFrame:
        """Predicted ratings of many pairs.

        An unknown user or item is answered from the side that is known, and marked.

        Args:
            interval: the probability, such as 0.9, with which a rating is to be within its interval.
            times: whole numbers (n,), seconds since 1970, of when the ratings would be given; None for now.
            chances: also how likely each rating of the scale is.
            user_table, item_table: paths or frames that describe users or items which the model does not know, for
                models that learn from columns (bayes).

        Returns:
            columns "prediction" (Float32), with an interval "low" and "high" (Float32), with chances "chance of R" for
            each rating R (Float32), and "known": "both", "user", "item" or "neither".

        Raises:
            InputError: not as many users as items or times.
            SettingError: the interval is not between 0 and 1.
            UnsupportedError: the model ranks only, does not know its uncertainty and was fitted without validation
                ratings, or does not know how likely ratings are.
        """
        user_rows = self.users.rows(users, missing="minus one")
        item_rows = self.items.rows(items, missing="minus one")
        if len(user_rows) != len(item_rows):
            raise InputError(f"{len(user_rows)} users and {len(item_rows)} items.", remedy="Give as many of both.")
        kind = 2 * (user_rows >= 0) + (item_rows >= 0)
        known = pl.Series("known", ["neither", "item", "user", "both"]).gather(kind.astype(np.uint32))
        when = None if times is None else np.asarray(times, np.int64)
        if when is not None and when.shape != user_rows.shape:
            raise InputError(f"{len(user_rows)} pairs and {when.size} times.", remedy="Give as many of both.")
        context = described_context(users, items, user_rows, item_rows, when, user_table, item_table)
        if interval is None:
            columns: dict[str, Any] = {"prediction": self.model.predict(user_rows, item_rows, context)}
        else:
            intervals = self._intervals(user_rows, item_rows, context)
            low, high = intervals.ends(interval)
            columns = {"prediction": self.model.clip(intervals.centres), "low": low, "high": high}
        if chances:
            ratings, of_each = self.model.distribution(user_rows, item_rows, context)
            columns |= {f"chance of {rating:g}": of_each[:, n] for n, rating in enumerate(ratings)}
        return pl.DataFrame({**columns, "known": known})

    def _intervals(self, user_rows: Rows, item_rows: Rows, context: Context | None = None) -> Around:
        if self.model.ranks_only:
            self.model.predict(user_rows, item_rows)  # raises: what has no predictions has no intervals
        return around(self.model, self.conformal, user_rows, item_rows, context)

    def questions(self, ratings: Any, given: Any = None, **reading: Any) -> Questions:
        """A held-out table as the model sees it; users it does not know are folded in from what is given of them.

        Both are Interactions, or what `read_ratings` takes with `reading`; columns called as in the fit are found.
        """
        how = {"columns": known_columns(self.about), **reading}
        before = None if given is None else as_interactions(given, **how)
        return Questions.of(self.model, self.users, self.items, as_interactions(ratings, **how), before)

    def evaluate(self, ratings: Any, metrics: Sequence[str] = DEFAULT_METRICS, seed: int = 0, **reading: Any) -> Report:
        """How far predictions are from a table of ratings, with intervals over its users; see `questions`."""
        return evaluate_questions(self.questions(ratings, **reading), metrics, seed)

    def coverage(self, ratings: Interactions | Questions, levels: Sequence[float] = LEVELS) -> Coverage:
        """Which part of some ratings intervals cover, and how wide they are; by level, user activity and popularity.

        The validation ratings of the fit were calibrated on; `about["valid"]["coverage"]` has theirs, measured apart.

        Raises:
            SettingError, UnsupportedError: as for `predict_pairs`.
        """
        asked = ratings if isinstance(ratings, Questions) else self.questions(ratings)
        rows = asked.user_rows, asked.item_rows
        rated = Rated.of(asked.ratings, rows, self.history.training_counts, self.item_counts)
        return measure(around_questions(asked, self.conformal), rated, levels)

    @one_blas_thread()
    def explain(self, user: Id, item: Id) -> Explanation:
        """Why a pair has its score: causes that sum to it."""
        vector = self.model.user_vectors(np.array([self.users.row(user)], np.int32))[0]
        return self.model.explain(vector, self.items.row(item))

    @one_blas_thread()
    def reasons(self, user: Id, item: Id) -> Reasons | None:
        """What each training item of a user adds to the score of an item; None where the model cannot tell."""
        user_row, mine = self.users.row(user), self.history.of(self.users.row(user))
        taken = self.history.in_training[mine]
        rows, ratings = self.history.item_rows[mine][taken], self.history.ratings[mine][taken]
        told = reasons_of(self.model, user_row, rows, ratings, self.items.row(item))
        if told is None:
            return None
        named, own = self._named(Ranked(rows[told.order], told.adds.astype(np.float32))), ratings[told.order].tolist()
        items = [Reason(**vars(one), rating=rating) for one, rating in zip(named, own, strict=True)]
        return Reasons(told.average, items, told.rest, told.score)

    # --- looking at items ---------------------------------------------------------------------------

    @one_blas_thread()
    def extremes(self, k: int = 5) -> tuple[list[Named], list[Named]]:
        """The k items liked best and the k liked least by bias, apart from who rated them."""
        _check_k(k)
        best, worst = extreme_items(self.model, k)
        return self._named(best), self._named(worst)

    @one_blas_thread()
    def similar(self, item: Id | str, k: int = 10, *, min_ratings: int | None = None) -> list[Named]:
        """The items whose factors point the same way (cosine) as those of one item, given by id or name.

        Args:
            min_ratings: leave out items with fewer training ratings, whose factors are mostly chance; by default
                20, or fewer in a small table.

        Raises:
            UnknownIdError: no item has this id or name; the nearest names are suggested.
            InputError: several items have this name; their ids are listed.
            SettingError: k is below 1.
        """
        _check_k(k)
        row = np.array([self.find_item(item)], np.int32)
        return self._named(self.neighbours.nearest(row, k, min_ratings)[0])

    @cached_property
    def neighbours(self) -> Neighbours:
        """As `similar`, by rows and of several items at once.

        Raises:
            UnsupportedError: the model has no item factors.
        """
        return Neighbours.of(self.model, self.item_counts)

    def find_item(self, wanted: Id | str) -> int:
        """The row of an item by its name (without case) or its id.

        An integer is an id where ids are integers, and a string where ids are strings: 1984 is item 1984, even
        if another is called "1984".

        Raises:
            UnknownIdError, InputError: as for `similar`.
        """
        return self._by_name.find(wanted)

    @cached_property
    def _by_name(self) -> ItemNames:
        return ItemNames(self.items, self.item_names)

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """Training ratings of each item, (n_items,)."""
        if self.kept_counts is not None:
            return self.kept_counts
        return np.bincount(self.history.item_rows[self.history.in_training], minlength=len(self.items)).astype(np.int64)

    def _named(self, ranked: Ranked) -> list[Named]:
        columns = (
            self.items.take(ranked.rows),
            self._names(ranked.rows),
            ranked.values.tolist(),
            self.item_counts[ranked.rows].tolist(),
        )
        return [Named(*entry) for entry in zip(*columns, strict=True)]

    def _names(self, rows: NDArray[np.int32]) -> list[str]:
        return self.item_names.gather(rows.astype(np.uint32)).to_list()

    # --- without users ------------------------------------------------------------------------------

    @property
    def is_stripped(self) -> bool:
        """Whether nothing of any one user is kept."""
        return self.kept_counts is not None

    def stripped(self) -> Recommender:
        """Without ids, histories and vectors of users: it answers for ratings that are given, as before.

        Raises:
            UnsupportedError: the model cannot do without its users.
        """
        return strip(self)

    # --- saving -------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write the artifact, whole or not at all; an artifact that was there is replaced.

        Raises:
            ArtifactError: something else is in the way, or the disk refuses.
        """
        path = Path(folder)
        save_artifact(to_artifact(self), path)
        return path

    @classmethod
    def load(cls, folder: str | Path, *, module: Any = None) -> Recommender:
        """Read an artifact after checking all of it.

        Args:
            module: the class of a torch module of one's own; artifacts hold weights, never code.

        Raises:
            ArtifactError: not an artifact, of a later format, truncated, edited, or of an unknown model.
        """
        return cls(**checked_fields(load_artifact(Path(folder)), folder, module))


def _check_k(k: int) -> None:
    if not isinstance(k, (int, np.integer)) or k < 1:
        raise SettingError(f"k is {k!r}.", remedy="Ask for 1 item or more, a whole number.")
