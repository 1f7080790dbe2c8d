"""What a recommender answers with."""

from __future__ import annotations

from dataclasses import dataclass

from penchant.data.vocabulary import Id


@dataclass(frozen=True)
class Recommendation:
    """One item for one user.

    Attributes:
        item: its id.
        name: what to call it on screen.
        prediction: the predicted rating, on the scale of the training ratings; None of a model that ranks only.
        score: the model's, which sorts a list that nothing else was asked of; as the prediction, but not clipped to
            the scale, or, of a model that ranks only, on no scale.
    """

    item: Id
    name: str
    prediction: float | None
    score: float


@dataclass(frozen=True)
class Prediction:
    """A predicted rating with its interval.

    Attributes:
        prediction: on the scale of the training ratings.
        low, high: the rating is from low to high with the probability that was asked for.
    """

    prediction: float
    low: float
    high: float


@dataclass(frozen=True)
class Named:
    """An item in a list that is not a recommendation.

    Attributes:
        item, name: its id and what to call it.
        value: what the list is ordered by (a bias in rating steps, a cosine, what is added to a score).
        n_ratings: how many training ratings it has.
    """

    item: Id
    name: str
    value: float
    n_ratings: int


@dataclass(frozen=True)
class Reason(Named):
    """An item of a history; `value` is what it adds to a score.

    Attributes:
        rating: the user's own, or the weight where nobody rated.
    """

    rating: float


@dataclass(frozen=True)
class Reasons:
    """Why a user has a score for an item, by the items of the user's training history.

    average + the values of all items + rest = score.

    Attributes:
        average: the score of an average user; 0 of a model that ranks only.
        items: what each adds, most first.
        rest: what no item can be given: what training has made of the user beyond folding in the same history.
        score: the model's.
    """

    average: float
    items: list[Reason]
    rest: float
    score: float
