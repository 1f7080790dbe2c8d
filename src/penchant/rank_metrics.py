"""Which metrics of ranked lists to measure, by their written names: ndcg@10, recall@20, auc, coverage@10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penchant.errors import SettingError
from penchant.list_metrics import CATALOGUE_METRICS, LIST_METRICS
from penchant.metrics import METRICS

WITHOUT_K = ("auc",)
DIVERSITY = "diversity"  # intra-list diversity over the model's item factors
WITH_K = (*LIST_METRICS, *CATALOGUE_METRICS, DIVERSITY)
DEFAULT_RANK_METRICS = ("ndcg@10", "recall@20", "hit@10", "map@10", "mrr@10", "coverage@10")


@dataclass(frozen=True)
class RankMetric:
    """A metric of ranked lists.

    Attributes:
        kind: its function's name in `list_metrics`.
        k: how long the lists are; 0 for the ranking of all items.
    """

    kind: str
    k: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.k}" if self.k else self.kind

    @property
    def is_of_users(self) -> bool:
        """Whether each user has a value of their own; otherwise it is of all lists together."""
        return self.kind not in CATALOGUE_METRICS


def is_rank_metric(name: str) -> bool:
    """Whether a name is meant for a metric of ranked lists rather than of ratings."""
    return name not in METRICS


def parse_rank_metric(name: str) -> RankMetric:
    """ndcg@10 as a RankMetric.

    Raises:
        SettingError: no such metric, or no k where one is needed, or one where none is.
    """
    kind, at, k = name.partition("@")
    if kind in WITHOUT_K and not at:
        return RankMetric(kind, 0)
    if kind not in WITH_K or not at or not k.isdecimal() or int(k) < 1:
        raise SettingError(
            f"There is no metric '{name}'.",
            remedy=f"Metrics of ratings: {', '.join(METRICS)}. Metrics of lists, each with a k such as ndcg@10:"
            f" {', '.join(WITH_K)}; and {', '.join(WITHOUT_K)} without.",
        )
    return RankMetric(kind, int(k))


def part_metrics(names: Sequence[str]) -> tuple[list[str], list[RankMetric]]:
    """The metrics of ratings, and those of lists.

    Raises:
        SettingError: a metric that does not exist, or none at all.
    """
    if not names:
        raise SettingError("No metric was asked for.", remedy=f"Give some, such as {', '.join(METRICS)}, ndcg@10.")
    of_ratings = [name for name in names if not is_rank_metric(name)]
    return of_ratings, [parse_rank_metric(name) for name in names if is_rank_metric(name)]
