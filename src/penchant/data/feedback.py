"""Feedback that is not rated: interactions, their weights, and ratings that are taken for positive."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from penchant.data import columns as naming
from penchant.data import values
from penchant.data.interactions import Interactions
from penchant.data.tables import Table, simplify
from penchant.errors import DataError, SettingError


def check_feedback(is_implicit: bool, rating: str | None, positive_from: float | None) -> None:
    """Raise SettingError where ratings are asked for and said not to be there."""
    if is_implicit and (rating is not None or positive_from is not None):
        raise SettingError(
            "Interactions that nobody rated have no ratings.",
            remedy="Give either the column of ratings and where positive ones begin, or implicit and weight.",
        )


def has_no_ratings(table: Table, given: Collection[str | None]) -> bool:
    """Whether every column is known to be something else than a rating; `given` are those the caller named."""
    others = (*naming.USER_NAMES, *naming.ITEM_NAMES, *naming.TIME_NAMES, *naming.NAME_NAMES)
    return all(column in given or simplify(column) in others for column in table.frame.columns)


def weights(table: Table, column: str) -> NDArray[np.float32]:
    """How much each interaction counts, float32 (n,): 1, or a column of numbers above 0.

    Raises:
        DataError: a weight is not a number above 0.
    """
    if not column:
        return np.ones(table.frame.height, np.float32)
    found = values.ratings(table, column)
    if not (found > 0).all():
        position = int(np.flatnonzero(found <= 0)[0])
        raise DataError(
            f"The weight {found[position]:g} is not above 0.",
            file=table.name,
            line=table.line_of(position),
            column=column,
            remedy="Remove lines that say that nothing was taken, or give another column: --weight COLUMN.",
        )
    return found


def positives(
    interactions: Interactions, positive_from: float | None, name: str
) -> tuple[Interactions, tuple[str, ...]]:
    """Ratings from one up as interactions that nobody rated, and a note of those below, which are dropped.

    Raises:
        DataError: there are no ratings, or none so high.
    """
    if positive_from is None:
        return interactions, ()
    if interactions.is_implicit:
        raise DataError(
            "There are no ratings of which some could be positive.", file=name, remedy="Leave --positive-from out."
        )
    kept = np.flatnonzero(interactions.ratings >= positive_from)
    if not len(kept):
        low, high = interactions.scale
        raise DataError(
            f"No rating is {positive_from:g} or more.", file=name, remedy=f"The ratings are from {low:g} to {high:g}."
        )
    some = interactions.take(kept).compact()
    ones = np.ones(len(kept), np.float32)
    positive = replace(some, ratings=ones, is_implicit=True, positive_from=positive_from)
    n = len(interactions) - len(kept)
    return positive, (f"Ratings from {positive_from:g} are positive; {n:,} below are left out.",)
