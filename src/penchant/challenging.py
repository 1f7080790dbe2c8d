"""A challenger against the model that is served, on interactions that neither has seen.

Both are asked the same questions: what users took after all that the challenger was trained on. Both see the same of
each user, the history until then, and fold it in, as the service does with everybody who has feedback. So a model is
not the better one only for having been fitted later, and a user who came after the fit is no stranger to either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import Vocabulary
from penchant.newcomers import Questions
from penchant.serving.measuring import Measured, measure_questions
from penchant.serving.recommender import Recommender
from penchant.significance import Difference, against_best

BY_LISTS = "ndcg@10"
BY_RATINGS = "mse"


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        by: the metric: "mse", or "ndcg@10" of models that rank only.
        current, challenger: its values.
        difference: challenger minus current, with a 95 % interval over users.
        n, n_users: how many interactions were asked about, and of how many users.
        n_strange: how many of these users have no history that could be folded in; both take them for average ones.
        n_unknown: of the interactions, how many have an item that the current model does not know, or the challenger.
            They count: a rating is predicted by what is known of the user, and in a list the item is not found.
    """

    by: str
    current: float
    challenger: float
    difference: Difference
    n: int
    n_users: int
    n_strange: int
    n_unknown: tuple[int, int]

    @property
    def worsening(self) -> tuple[float, float]:
        """The ends of the interval of how much worse the challenger is: below 0 is better, whatever the metric."""
        low, high = self.difference.low, self.difference.high
        return (low, high) if self.by == BY_RATINGS else (-high, -low)

    def is_accepted(self, margin: float | None = None) -> bool:
        """Whether the challenger is not worse.

        Without a margin it is accepted unless it is surely worse: the whole interval is on the worse side of 0. With
        one it is accepted only where it is surely not worse by more than the margin: the whole interval is on the
        better side of that. Of no interval, it is not.
        """
        best, worst = self.worsening
        return best <= 0 if margin is None else worst <= margin

    def verdict(self, margin: float | None = None) -> str:
        """Why, in words."""
        best, worst = self.worsening
        if np.isnan(best):
            return "there is nothing to go by"
        if margin is None:
            if best > 0:
                return f"it is worse: the 95 % interval of the difference lies wholly on the worse side, by {best:.4f}"
            return (
                "it is better"
                if worst < 0
                else "it is not surely worse: the 95 % interval of the difference includes 0"
            )
        if worst <= margin:
            return (
                f"it is not worse by more than {margin:g}: at the worst by {worst:.4f}" if worst > 0 else "it is better"
            )
        return f"it may be worse by {worst:.4f}, more than the margin of {margin:g}"

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and words."""
        one = self.difference
        return {
            "by": self.by,
            "current": self.current,
            "challenger": self.challenger,
            "difference": one.difference,
            "interval": [one.low, one.high],
            "n": self.n,
            "n_users": self.n_users,
            "n_users_without_history": self.n_strange,
            "n_unknown_to_current": self.n_unknown[0],
            "n_unknown_to_challenger": self.n_unknown[1],
        }


def neither_has_seen(joined: Interactions, train: Interactions, current: Recommender) -> Interactions:
    """What the challenger is not trained on and is not in the history of the current model, by user and item.

    Args:
        joined: the table with all feedback.
        train: the same without the feedback that is held out.
    """
    seen = joined.are_among(train.users, train.items, train.user_rows, train.item_rows)
    owners = np.repeat(np.arange(len(current.users)), np.diff(current.history.starts))
    seen |= joined.are_among(current.users, current.items, owners, current.history.item_rows)
    return joined.take(np.flatnonzero(~seen))


def compare(
    current: Recommender,
    challenger: Recommender,
    held_out: Interactions,
    given: Interactions,
    *,
    seed: int = 0,
    threads: int | None = None,
) -> Comparison:
    """Both on what was held out, everybody folded in from what is given of them.

    Args:
        given: all that the challenger was trained on.

    Raises:
        InputError: the current model cannot make anything of such histories.
    """
    by = BY_LISTS if challenger.model.ranks_only else BY_RATINGS
    measured = []
    for one in (current, challenger):
        measured.append(measure_questions(one, asked(one, held_out, given), (by,), seed=seed, threads=threads))
    values = {name: found.values_of_users(by) for name, found in zip(("current", "challenger"), measured, strict=True)}
    there = held_out.user_counts > 0
    is_given = given.users.rows(held_out.users.ids, missing="minus one") >= 0
    return Comparison(
        by,
        _value(measured[0], by),
        _value(measured[1], by),
        against_best(values, "current", seed)["challenger"],
        len(held_out),
        int(there.sum()),
        int((there & ~is_given).sum()),
        (_unknown_items(measured[0]), _unknown_items(measured[1])),
    )


def asked(recommender: Recommender, held_out: Interactions, given: Interactions) -> Questions:
    """What was held out, asked of a model as if it knew nobody: all are folded in from what is given."""
    nobody = Vocabulary(recommender.users.ids.head(0), "user")
    return Questions.of(recommender.model, nobody, recommender.items, held_out, given)


def _unknown_items(measured: Measured) -> int:
    return int((measured.questions.item_rows < 0).sum())


def _value(measured: Measured, by: str) -> float:
    report = measured.lists if by == BY_LISTS else measured.ratings
    assert report is not None
    return float(report.metrics[by])
