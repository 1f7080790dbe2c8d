"""Groups in a report of lists: of users by how much they took in training or by a column that describes them, and of
relevant items by how often they are in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.errors import SettingError
from penchant.evaluate_lists import Found, ListReport, intervals_of_means, mean_of
from penchant.serving.recommender import Recommender

ACTIVITY, POPULARITY = "activity", "popularity"
PARTS = 4
BANDS = ("first third", "middle third", "last third")
UNKNOWN_ITEMS = "not in training"
OF_ITEMS = ("recall", "hit")  # metrics that a part of the relevant items has, the list being the same


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
        if recommender.is_stripped:
            raise SettingError(
                "The model is stripped: how much a user took in training is not in it.",
                remedy="Group by a column of --users FILE, or --by popularity.",
            )
        return {by: _activity(recommender, ratings, report)}
    table = ratings.user_table
    if table is None or by not in table.columns:
        columns = "there is no table of users" if table is None else f"the columns are {', '.join(table.columns)}"
        raise SettingError(
            f"Users have no column '{by}'; {columns}.", remedy="Give --users FILE, or --by activity or popularity."
        )
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


def bands_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The band of popularity of each item, 0 the most popular to 2 the least, (n_items,).

    Items are put in order by training interactions, the most first, ties by row. An item is in band b where the items
    before it have b thirds of all interactions or more, and less than b + 1 thirds; so the item in which a third is
    passed belongs to the more popular band.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    bands = np.empty(len(counts), np.int64)
    bands[order] = np.minimum(len(BANDS) * before // max(int(counts.sum()), 1), len(BANDS) - 1)
    return bands


def popularity_groups(report: ListReport | None, counts: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """How well relevant items are found, by their popularity, for JSON: "popularity" -> band -> what is known of it.

    The lists are the same for all bands. Of a band, recall@k is the part of a user's relevant items of this band that
    are in the list, and hit@k whether any is; means are over users that have a relevant item in it.

    Args:
        counts: training interactions of each item, (n_items,).

    Raises:
        SettingError: neither recall nor hit was measured.
    """
    names = [] if report is None else [name for name in report.of_users if name.partition("@")[0] in OF_ITEMS]
    if report is None or report.found is None or not names:
        raise SettingError(
            "Groups of items by popularity are of recall and hit.", remedy="Ask for one: --metrics recall@20,hit@10."
        )
    found, bands = report.found, bands_of(counts)
    of_relevant = np.where(found.item_rows >= 0, bands[found.item_rows], len(BANDS))
    groups = {}
    for band, label in enumerate((*BANDS, UNKNOWN_ITEMS)):
        mine = of_relevant == band
        if not mine.any():
            continue
        items = counts[bands == band]
        known = {"n_items": len(items), "least": int(items.min()), "most": int(items.max())} if len(items) else {}
        groups[label] = {"n_items": 0, **known, **_of_band(found, mine, names, report.n_users, seed)}
    return {POPULARITY: groups}


def _of_band(found: Found, mine: NDArray[np.bool_], names: Sequence[str], n_users: int, seed: int) -> dict[str, Any]:
    owners, places = found.owners[mine], found.places[mine]
    n_relevant = np.bincount(owners, minlength=n_users)
    there = np.flatnonzero(n_relevant)
    values = {}
    for name in names:
        kind, _, k = name.partition("@")
        is_found = (places >= 0) & (places < int(k))
        n_found = np.bincount(owners[is_found], minlength=n_users)[there]
        values[name] = n_found / n_relevant[there] if kind == "recall" else (n_found > 0).astype(np.float64)
    ends = {name: list(interval) for name, interval in intervals_of_means(values, seed).items()}
    means = {name: mean_of(of_users) for name, of_users in values.items()}
    return {"n_relevant": int(mine.sum()), "n_users": len(there), "metrics": means, "intervals": ends}


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
