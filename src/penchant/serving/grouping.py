"""Groups of users in a report of lists: by how much they took in training, or by a column that describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penchant.data.interactions import Interactions
from penchant.errors import SettingError
from penchant.evaluate_lists import ListReport, intervals_of_means, mean_of
from penchant.serving.recommender import Recommender

ACTIVITY = "activity"
PARTS = 4


def group_labels(
    recommender: Recommender, ratings: Interactions, report: ListReport | None, by: str
) -> dict[str, list[str]]:
    """The group of each user of a report, by the name of the grouping.

    Args:
        ratings: the table that was held out.
        by: "activity", or a column of its table of users.

    Raises:
        SettingError: no such column, or no metric of lists was asked for.
    """
    if report is None:
        raise SettingError("Groups are of metrics of lists.", remedy="Ask for some: --metrics ndcg@10,recall@20.")
    if by == ACTIVITY:
        return {by: _activity(recommender, ratings, report)}
    table = ratings.user_table
    if table is None or by not in table.columns:
        columns = "there is no table of users" if table is None else f"the columns are {', '.join(table.columns)}"
        raise SettingError(f"Users have no column '{by}'; {columns}.", remedy="Give --users FILE, or --by activity.")
    values = table[by].gather(report.users.astype(np.uint32)).to_list()
    return {by: ["unknown" if value is None else str(value) for value in values]}


def _activity(recommender: Recommender, ratings: Interactions, report: ListReport) -> list[str]:
    """Quarters of the report's users by training interactions; those that the model does not know apart."""
    rows = recommender.users.rows(ratings.users.ids.gather(report.users.astype(np.uint32)), missing="minus one")
    counts = np.where(rows >= 0, recommender.history.training_counts[np.maximum(rows, 0)], 0)
    ends = np.unique(np.quantile(counts[counts > 0], np.linspace(0, 1, PARTS + 1)[1:], method="lower")).astype(int)
    if not (counts > 0).any():
        return ["0"] * len(counts)
    starts = np.concatenate(([1], ends[:-1] + 1))
    names = [f"{low:,} to {high:,}" for low, high in zip(starts, ends, strict=True)]
    return ["0" if not count else names[int(np.searchsorted(ends, count))] for count in counts]


def groups(report: ListReport | None, labels: Mapping[str, Sequence[str]], seed: int) -> dict[str, Any]:
    """Means and 95 % intervals of each group, for JSON: grouping -> group -> n_users, metrics, intervals."""
    if report is None:
        return {}
    return {grouping: dict(sorted(_of(report, of_users, seed), key=_in_order)) for grouping, of_users in labels.items()}


def _of(report: ListReport, labels: Sequence[str], seed: int) -> list[tuple[str, dict[str, Any]]]:
    found = []
    of_label = np.asarray(labels, object)
    for label in dict.fromkeys(labels):
        mine = np.flatnonzero(of_label == label)
        values = {name: of_users[mine] for name, of_users in report.of_users.items()}
        means = {name: mean_of(of_users) for name, of_users in values.items()}
        ends = {name: list(interval) for name, interval in intervals_of_means(values, seed).items()}
        found.append((label, {"n_users": len(mine), "metrics": means, "intervals": ends}))
    return found


def _in_order(entry: tuple[str, Any]) -> tuple[float, str]:
    """Numbers by size, then words."""
    first = entry[0].split(" ")[0].replace(",", "")
    return (float(first) if first.isdecimal() else float("inf"), entry[0])
