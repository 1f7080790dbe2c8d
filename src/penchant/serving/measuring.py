"""A recommender measured on what was held out: its ratings, its lists, its places among candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.candidates import read_candidates
from penchant.data.interactions import Interactions
from penchant.data.vocabulary import Vocabulary
from penchant.errors import UnsupportedError
from penchant.evaluate import DEFAULT_METRICS, Report, evaluate_questions
from penchant.evaluate_candidates import evaluate_candidates
from penchant.evaluate_lists import HeldOut, ListReport, evaluate_lists
from penchant.newcomers import Questions
from penchant.rank_metrics import DEFAULT_RANK_METRICS, is_rank_metric, part_metrics
from penchant.serving.recommender import Recommender

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What was measured; a part is None where none of its metrics was asked for.

    Attributes:
        ratings, lists: the two parts.
        questions: what was held out, as the model saw it.
    """

    ratings: Report | None
    lists: ListReport | None
    questions: Questions

    def to_json(self) -> dict[str, Any]:
        """Both parts together, and how many users were folded in, if any could have been."""
        ratings = self.ratings.to_json() if self.ratings else {}
        lists = self.lists.to_json() if self.lists else {}
        both = {part: {**ratings.get(part, {}), **lists.get(part, {})} for part in ("metrics", "intervals")}
        asked = self.questions
        folded_in = {} if asked.newcomers is None else {"n_users_folded_in": asked.n_folded_in}
        return {**ratings, **lists, **both, **folded_in}

    def errors_by_user(self) -> Values:
        """Ratings, summed squared and summed absolute errors of each user of the held-out table, float64 (3, n_users).

        Raises:
            UnsupportedError: the model ranks only.
        """
        asked = self.questions
        errors = np.subtract(asked.predictions(), asked.ratings.ratings, dtype=np.float64)
        owners, n = asked.ratings.user_rows, asked.ratings.n_users
        return np.stack([np.bincount(owners, of, n) for of in (np.ones(len(errors)), errors**2, np.abs(errors))])

    def values_of_users(self, metric: str) -> Values:
        """What each user that has held-out interactions contributes to a metric; the mean is the metric.

        Of "mse" it is the sum of a user's squared errors, times users over ratings. Of metrics of lists, only users
        with a relevant item are there.
        """
        if is_rank_metric(metric):
            assert self.lists is not None
            return self.lists.of_users[metric]
        n, squares, _ = self.errors_by_user()
        return squares[n > 0] * int((n > 0).sum()) / n.sum()


def default_metrics(recommender: Recommender) -> Sequence[str]:
    """Metrics of ratings where the model predicts them, of lists where it ranks only."""
    return DEFAULT_RANK_METRICS if recommender.model.ranks_only else DEFAULT_METRICS


def measure(
    recommender: Recommender,
    ratings: Interactions,
    metrics: Sequence[str] | None = None,
    *,
    given: Interactions | None = None,
    relevant_from: float | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Measured:
    """Metrics of ratings and of lists, such as ("rmse", "ndcg@10"), on a table that was held out.

    Args:
        metrics: None for `default_metrics`.
        given: what is told of users that the model does not know, who are folded in from it before they are measured;
            it is left out of their lists. None for nothing: they are average users.
        relevant_from: the lowest rating that makes an item relevant; None for any.
        threads: how many may work; the result is the same for any number.

    Raises:
        SettingError: a metric that does not exist.
        UnsupportedError: a metric of ratings of a model that ranks only, or on interactions that nobody rated.
    """
    questions = recommender.questions(ratings, given)
    return measure_questions(recommender, questions, metrics, relevant_from=relevant_from, seed=seed, threads=threads)


def measure_questions(
    recommender: Recommender,
    questions: Questions,
    metrics: Sequence[str] | None = None,
    *,
    relevant_from: float | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Measured:
    """As `measure`, of a table that the recommender's model has seen as questions before."""
    ratings = questions.ratings
    of_ratings, of_lists = part_metrics(default_metrics(recommender) if metrics is None else metrics)
    if of_ratings and (recommender.model.ranks_only or ratings.is_implicit):
        what = (
            f"The {recommender.model.name} model predicts no ratings"
            if recommender.model.ranks_only
            else "Nobody rated"
        )
        raise UnsupportedError(f"{what}; {of_ratings[0]} has no meaning.", remedy="Ask for metrics of lists: ndcg@10.")
    report = evaluate_questions(questions, of_ratings, seed) if of_ratings else None
    if not of_lists:
        return Measured(report, None, questions)
    held_out = HeldOut.of(ratings, (questions.user_rows, questions.item_rows), relevant_from)
    taken, newcomers = recommender.history.training, questions.newcomers
    lists = evaluate_lists(
        recommender.model, held_out, taken, of_lists, newcomers=newcomers, seed=seed, threads=threads
    )
    return Measured(report, lists, questions)


def measure_candidates(
    recommender: Recommender, source: str | Path, metrics: Sequence[str], *, seed: int = 0
) -> tuple[ListReport, pl.DataFrame]:
    """Each user's item ranked among the negatives of a file, and a table of the values of each line.

    Raises:
        DataError: the file cannot be used.
        SettingError: a metric that does not exist, or has no meaning among candidates.
    """
    found = read_candidates(source)
    of_ratings, of_lists = part_metrics(metrics)
    if of_ratings:
        raise UnsupportedError(
            f"{of_ratings[0]} has no meaning among candidates.", remedy="Give hit@10,ndcg@10 or mrr@10."
        )
    report = evaluate_candidates(
        recommender.model,
        recommender.users.rows(found.users, missing="minus one"),
        recommender.items.rows(found.items, missing="minus one"),
        found.starts,
        recommender.items.rows(found.negatives, missing="minus one"),
        of_lists,
        seed=seed,
    )
    return report, pl.DataFrame({"user": found.users, "item": found.items, **report.of_users})


def users_table(
    report: ListReport, users: Vocabulary, labels: Mapping[str, Sequence[str]] | None = None
) -> pl.DataFrame:
    """The values of each user: user, the groups they are in, and a column for each metric.

    Args:
        users: the vocabulary of the table that was held out.
        labels: name of a grouping -> the group of each user of the report.
    """
    groups = {name: pl.Series(list(of_users), dtype=pl.String) for name, of_users in (labels or {}).items()}
    return pl.DataFrame({"user": users.ids.gather(report.users.astype("uint32")), **groups, **report.of_users})
