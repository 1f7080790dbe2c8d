"""Lists: what is asked of them besides their length, checked, and how those of some users are ranked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.features import find_features
from penchant.data.vocabulary import Id
from penchant.errors import InputError, SettingError, UnsupportedError
from penchant.models import Model
from penchant.ranking import best_columns
from penchant.reranking import Floats, damped, pool_size, popularity, varied
from penchant.serving.filters import Mask, Where, filters_of, matching
from penchant.serving.history import History
from penchant.threads import one_blas_thread

Ids = Id | Iterable[Id]


class Wished(TypedDict, total=False):
    """The keywords of `Recommender.recommend` that `Wishes` explains."""

    include_seen: bool
    only: Ids | None
    exclude: Ids
    where: Where
    diversity: float
    diversity_by: str | Sequence[str] | None
    popularity_damping: float


@dataclass(frozen=True)
class Wishes:
    """What is asked of lists besides their length.

    Attributes:
        include_seen: also items that the user has rated.
        only: the only items, by id or name, that may be recommended; None for all.
        exclude: items, by id or name, that may not be.
        where: filters on columns of the item table, as in `filters`: "genres=Drama", or a list of such, or
            {"genres": "Drama", "year": ">=1990"}; all must hold.
        diversity: from 0, the best scores, to 1, what is least alike; see `reranking`.
        diversity_by: columns of the item table by which items are alike; None for the model's item factors, or,
            where it has none, all columns that say something which items share.
        popularity_damping: how many standard deviations of a user's scores an item loses for each standard deviation
            of popularity above the mean, 0 or more; see `reranking`.

    Raises:
        SettingError: diversity is not from 0 to 1, or popularity_damping below 0 or not finite.
    """

    include_seen: bool = False
    only: Ids | None = None
    exclude: Ids = ()
    where: Where = ()
    diversity: float = 0.0
    diversity_by: str | Sequence[str] | None = None
    popularity_damping: float = 0.0

    def __post_init__(self) -> None:
        if not _is_number(self.diversity) or not 0 <= self.diversity <= 1:
            raise SettingError(f"diversity is {self.diversity!r}.", remedy="Give a number from 0 (off) to 1.")
        if not _is_number(self.popularity_damping) or not 0 <= self.popularity_damping < math.inf:
            raise SettingError(
                f"popularity_damping is {self.popularity_damping!r}.", remedy="Give a number, 0 (off) or more."
            )


@dataclass(frozen=True, eq=False)
class Ranker:
    """How the lists of one request are ranked.

    Attributes:
        model, history: of the recommender.
        k: the length of lists, not above the number of items.
        include_seen: also items that a user has rated.
        barred: of which items none is returned, (n_items,), or None.
        popularity: of items, as in `reranking`, float32 (n_items,), or None without damping.
        damping, diversity: as in `Wishes`.
        points: what says which items are alike, float32 (n_items, d), or None without diversity.
    """

    model: Model
    history: History
    k: int
    include_seen: bool = False
    barred: Mask | None = None
    popularity: Floats | None = None
    damping: float = 0.0
    diversity: float = 0.0
    points: Floats | None = None

    @classmethod
    def of(
        cls,
        wishes: Wishes,
        k: int,
        model: Model,
        history: History,
        table: pl.DataFrame | None,
        counts: NDArray[np.int64] | None,
        rows_of: Callable[[Ids], NDArray[np.int32]],
    ) -> Ranker:
        """What ranks as wished.

        Args:
            table: of items.
            counts: ratings of each item, (n_items,); needed for popularity damping alone.
            rows_of: the rows of items by id or name.

        Raises:
            UnknownIdError, SettingError, UnsupportedError: as for `Recommender.recommend`.
        """
        return cls(
            model,
            history,
            min(k, model.n_items),
            wishes.include_seen,
            barred(wishes, model.n_items, table, rows_of),
            popularity(counts) if counts is not None else None,
            wishes.popularity_damping,
            wishes.diversity,
            likeness(model, table, wishes.diversity_by) if wishes.diversity else None,
        )

    @property
    def pool(self) -> int:
        """How many candidates of a user are in memory at once."""
        return self.k if self.points is None else max(self.k, min(pool_size(self.k), self.model.n_items))

    @one_blas_thread()
    def of_rows(self, user_rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], Floats]:
        """The best items of some users of training, and all their scores, as `of_vectors` gives them."""
        seen = [_NOTHING if self.include_seen else self.history.item_rows[self.history.of(row)] for row in user_rows]
        return self.of_vectors(self.model.user_vectors(user_rows), seen)

    def of_vectors(self, vectors: Floats, seen: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int32], Floats]:
        """The best items of each user (n, k), -1 where fewer are left, and the model's scores (n, n_items).

        Args:
            seen: items that are left out, unless `include_seen`.
        """
        scores = self.model.scores_of(vectors)
        left_out = [_NOTHING] * len(seen) if self.include_seen else seen
        starts = np.concatenate(([0], np.cumsum([len(items) for items in left_out]))).astype(np.int64)
        ranked = scores if self.popularity is None else damped(scores, self.popularity, self.damping)
        if self.barred is not None:
            ranked = np.where(self.barred, np.float32(np.nan), ranked)
        best = best_columns(ranked, starts, np.concatenate(left_out), self.pool)
        if self.points is not None:
            best = varied(best, ranked, self.points, self.k, self.diversity)
        return best, scores


def barred(
    wishes: Wishes, n_items: int, table: pl.DataFrame | None, rows_of: Callable[[Ids], NDArray[np.int32]]
) -> Mask | None:
    """Which items are not allowed, are denied, or do not match the filters, (n_items,); None for none."""
    filters, denied = filters_of(wishes.where), rows_of(wishes.exclude)
    if wishes.only is None and not filters and not len(denied):
        return None
    allowed = np.full(n_items, True)
    if wishes.only is not None:
        allowed = np.isin(np.arange(n_items), rows_of(wishes.only))
    allowed &= matching(table, filters)
    allowed[denied] = False
    return ~allowed


def as_rated(rated: Any, model: Model) -> dict[Id, float]:
    """What somebody new has rated or taken, item -> rating or weight, of the forms in which it may be given.

    Args:
        rated: a mapping, also a pandas Series by item; of a model that ranks only, any iterable of items too, each of
            which counts 1.

    Raises:
        InputError: it is none of these.
    """
    keys = getattr(rated, "keys", None)  # a Series has them and is no Mapping
    if isinstance(rated, Mapping) or callable(keys):
        return dict(rated.items())
    remedy = "Give rated={item: rating}, such as {'Heat (1995)': 4}."
    if model.ranks_only:
        remedy = "Give items, as rated=['Heat (1995)'], or rated={item: weight}."
    if isinstance(rated, str | bytes) or not isinstance(rated, Iterable):
        raise InputError(f"rated is {rated!r}.", remedy=remedy)
    if not model.ranks_only:
        raise InputError(f"The {model.name} model learns from ratings, and rated has items alone.", remedy=remedy)
    try:
        return {item: float(count) for item, count in Counter(rated).items()}
    except TypeError:  # what no mapping could have as a key is no item
        raise InputError("What rated has is no item.", remedy=remedy) from None


def positive_from(about: Mapping[str, Any], model: Model) -> float | None:
    """The rating from which on a model that ranks was told that somebody took an item; None of other models."""
    found = about.get("data", {}).get("positive_from")
    return float(found) if model.ranks_only and isinstance(found, int | float) else None


def is_positive(rating: float | None, least: float | None) -> bool:
    """Whether a rating says that somebody took an item, to a model that was told so from `least` on; no rating does."""
    return rating is None or least is None or rating >= least


def liked(rated: Mapping[Id, float], about: Mapping[str, Any], model: Model) -> Mapping[Id, float]:
    """What ratings of somebody new say to a model: to one that was told which are positive, those from there up."""
    least = positive_from(about, model)
    return rated if least is None else {item: 1.0 for item, rating in rated.items() if is_positive(rating, least)}


def ratings_of(rated: Mapping[Id, float], model: Model) -> Floats:
    """The ratings of somebody new, float32 (n,), after checking them.

    Raises:
        InputError: one is not on the model's scale; or, of a model that ranks only, not above 0.
    """
    try:
        ratings = np.array(list(rated.values()), np.float32).reshape(len(rated))
    except (TypeError, ValueError, OverflowError):
        odd = next((one for one in rated.values() if not _is_number(one)), rated)
        raise InputError(f"The rating {odd!r} is not a number.", remedy="Give rated={item: rating}.") from None
    if not np.isfinite(ratings).all():
        scale = "above 0" if model.ranks_only else "on the model's scale"
        raise InputError("A rating is not a finite number.", remedy=f"Give numbers {scale}.")
    low, high = model.scale
    if model.ranks_only:
        if len(wrong := ratings[ratings <= 0]):
            raise InputError(
                f"The weight {wrong[0]:g} is not above 0.",
                remedy=f"The {model.name} model ranks by what somebody took: leave out what was not taken.",
            )
    elif len(wrong := ratings[(ratings < low) | (ratings > high)]):
        raise InputError(
            f"The rating {wrong[0]:g} is outside the scale of this model.", remedy=f"Rate from {low:g} to {high:g}."
        )
    return ratings


def likeness(model: Model, table: pl.DataFrame | None, by: str | Sequence[str] | None) -> Floats:
    """Items as points whose directions say what is alike, float32 (n_items, d), as `Wishes.diversity_by` has it.

    Raises:
        SettingError: a column is not there, or says nothing that items share.
        UnsupportedError: the model has no item factors, and the item table says nothing.
    """
    if by is None:
        try:
            return model.item_factors()
        except UnsupportedError as error:
            if not (features := find_features(table, "auto", "item")):
                raise UnsupportedError(
                    f"The {model.name} model has no item factors, and no column says which items are alike.",
                    remedy="Leave diversity out, or fit with a table of items that has one, such as genres.",
                ) from error
    else:
        features = find_features(table, (by,) if isinstance(by, str) else tuple(by), "item")
    points = np.zeros((model.n_items, sum(len(feature.members) for feature in features)), np.float32)
    at = 0
    for feature in features:
        rows, members = feature.entries(table)  # type: ignore[arg-type]
        points[rows, at + members] = 1
        at += len(feature.members)
    return points


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


_NOTHING = np.empty(0, np.int32)
