"""Evaluation of ranked lists against a slow readable twin, candidates of papers, groups and paired tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant import job
from penchant.data.candidates import read_candidates
from penchant.data.split import Split, split_none
from penchant.errors import DataError, SettingError, UnsupportedError
from penchant.evaluate_lists import HeldOut, evaluate_lists
from penchant.list_metrics import LIST_METRICS
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.models.popularity import Popularity
from penchant.rank_metrics import parse_rank_metric, part_metrics
from penchant.serving.grouping import bands_of, group_labels, groups, popularity_groups
from penchant.serving.measuring import measure, measure_candidates, users_table
from penchant.serving.recommender import Recommender
from penchant.significance import against_best, holm

METRICS = ["ndcg@10", "recall@20", "hit@1", "precision@5", "map@10", "mrr@10", "auc", "coverage@10", "diversity@5"]


@pytest.fixture(scope="module")
def fitted(split: Split) -> Recommender:
    return job.fit_model(build("als", factors=8), split, FitOptions(seed=1))


def lists_of(recommender: Recommender, user_row: int, seen: set[int]) -> list[int]:
    """All items that a user has not taken, best first, ties to the smaller row."""
    scores = recommender.model.scores(np.array([user_row], np.int32))[0]
    return sorted((row for row in range(len(scores)) if row not in seen), key=lambda row: (-scores[row], row))


def test_means_over_users_equal_a_slow_twin(fitted: Recommender, split: Split) -> None:
    assert split.valid is not None
    valid, train = split.valid, split.train
    found = measure(fitted, valid, METRICS, seed=1).lists
    assert found is not None
    values: dict[str, list[float]] = {"ndcg@10": [], "recall@20": [], "hit@1": [], "mrr@10": [], "auc": []}
    users, items = split.valid_user_rows, split.valid_item_rows
    for user in np.unique(users[users >= 0]):
        relevant = set(items[users == user].tolist())
        ranked = lists_of(fitted, int(user), set(train.item_rows[train.user_rows == user].tolist()))
        gains = [1 / np.log2(place + 1) for place in range(1, 11)]
        dcg = sum(gain for gain, row in zip(gains, ranked, strict=False) if row in relevant)
        values["ndcg@10"].append(dcg / sum(gains[: len(relevant)]))
        values["recall@20"].append(len(relevant & set(ranked[:20])) / len(relevant))
        values["hit@1"].append(float(ranked[0] in relevant))
        first = next((place for place, row in enumerate(ranked[:10], 1) if row in relevant), None)
        values["mrr@10"].append(1 / first if first else 0.0)
        places = [place for place, row in enumerate(ranked) if row in relevant]
        others = [place for place, row in enumerate(ranked) if row not in relevant]
        values["auc"].append(float(np.mean([[p < o for o in others] for p in places])) if places else np.nan)
    for name, of_users in values.items():
        assert found.metrics[name] == pytest.approx(np.nanmean(of_users), rel=1e-9), name
        low, high = found.intervals[name]
        assert low < found.metrics[name] < high
    assert "coverage@10" not in found.intervals
    assert found.n_users == len(values["auc"])
    assert found.n_relevant == len(valid)


@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same(fitted: Recommender, split: Split, threads: int) -> None:
    assert split.valid is not None
    one = measure(fitted, split.valid, METRICS, threads=1).lists
    other = measure(fitted, split.valid, METRICS, threads=threads).lists
    assert one is not None and other is not None  # noqa: PT018
    assert one.to_json() == other.to_json()


def test_what_was_taken_in_training_is_not_ranked(fitted: Recommender, split: Split) -> None:
    """An item that was taken before cannot be found again, and counts as missed."""
    found = measure(fitted, split.train, ["hit@10", "recall@10"]).lists
    assert found is not None
    assert found.metrics == {"hit@10": 0.0, "recall@10": 0.0}


def test_a_list_longer_than_the_catalogue_divides_by_its_length(fitted: Recommender, split: Split) -> None:
    assert split.valid is not None
    found = measure(fitted, split.valid, ["precision@1000", "recall@1000"]).lists
    assert found is not None
    assert found.metrics["recall@1000"] == 1.0
    assert found.metrics["precision@1000"] == pytest.approx(found.n_relevant / found.n_users / 1000)


def test_strangers_and_unknown_items_are_counted(split: Split) -> None:
    train = split_none(split.train.take(np.flatnonzero(split.train.user_rows < 60)).compact())
    recommender = job.fit_model(build("popularity"), train, FitOptions())
    assert split.valid is not None
    found = measure(recommender, split.valid, ["recall@500"]).lists
    assert found is not None
    unknown_users, unknown_items = split.valid.rows_in(recommender.users, recommender.items)
    assert found.n_unknown_users == len(np.unique(split.valid.user_rows[unknown_users < 0]))
    assert found.n_unknown_items == int((unknown_items < 0).sum())
    assert found.metrics["recall@500"] < 1 or not found.n_unknown_items


def test_only_high_ratings_are_relevant_on_request(fitted: Recommender, split: Split) -> None:
    valid = split.valid
    assert valid is not None
    found = measure(fitted, valid, ["recall@10"], relevant_from=4).lists
    assert found is not None
    assert found.n_relevant == int((valid.ratings >= 4).sum())
    assert found.n_users + found.n_without == len(np.unique(valid.user_rows))
    with pytest.raises(SettingError, match="No rating to evaluate on is 9 or more"):
        measure(fitted, valid, ["recall@10"], relevant_from=9)


def test_nobody_to_evaluate() -> None:
    nothing = HeldOut(*(np.zeros(n, dtype) for n, dtype in ((1, "i4"), (1, "i4"), (2, "i8"), (0, "i4"))))
    with pytest.raises(SettingError, match="No user has a relevant item"):
        evaluate_lists(build("popularity"), nothing, (np.zeros(1, np.int64), np.zeros(0, np.int32)), [])


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "ndcg@x", "auc@10", "rmse@10", "nonsense@10", "ndcg@-1", "ndcg@"])
def test_metrics_that_do_not_exist_are_named(name: str) -> None:
    with pytest.raises(SettingError, match=f"There is no metric '{name}'"):
        parse_rank_metric(name)


def test_metrics_of_ratings_and_of_lists_are_told_apart() -> None:
    of_ratings, of_lists = part_metrics(["rmse", "ndcg@10", "auc"])
    assert of_ratings == ["rmse"]
    assert [str(one) for one in of_lists] == ["ndcg@10", "auc"]


def test_a_model_that_ranks_only_has_no_rmse(fitted: Recommender, split: Split) -> None:
    assert split.valid is not None
    with pytest.raises(UnsupportedError, match="als model predicts no ratings"):
        measure(fitted, split.valid, ["rmse"])


def test_models_of_ratings_are_measured_by_both(split: Split) -> None:
    recommender = job.fit_model(build("bias"), split, FitOptions(), ["rmse", "ndcg@10"])
    assert set(recommender.about["valid"]["metrics"]) == {"rmse", "ndcg@10"}


# --- candidates ---------------------------------------------------------------------------------------


def test_places_among_candidates(fitted: Recommender, tmp_path: Path) -> None:
    users, items = fitted.users.ids.to_list(), fitted.items.ids.to_list()
    scores = fitted.model.scores(np.array([0, 1], np.int32))
    order = [np.argsort(-scores[row], kind="stable") for row in (0, 1)]
    lines = []
    for row, place in ((0, 0), (1, 12)):
        own = items[order[row][place]]
        others = [items[at] for at in order[row][:40]]
        lines.append(f"({users[row]},{own})\t" + "\t".join(map(str, others)))  # the item itself is among them
    path = tmp_path / "test.negative"
    path.write_text("\n".join(lines) + "\n")
    report, table = measure_candidates(fitted, path, ["hit@10", "ndcg@20", "mrr@20"])
    assert report.metrics["hit@10"] == 0.5
    assert report.metrics["ndcg@20"] == pytest.approx((1 + 1 / np.log2(14)) / 2)
    assert report.metrics["mrr@20"] == pytest.approx((1 + 1 / 13) / 2)
    assert table["hit@10"].to_list() == [1.0, 0.0]


def test_ties_are_broken_against_the_model(tmp_path: Path, split: Split) -> None:
    recommender = job.fit_model(build("popularity"), split, FitOptions())
    path = tmp_path / "test.negative"
    path.write_text("(0,no such item)\tnor this\n(0,no such item)\tnor this\tno such item\n")
    report, _ = measure_candidates(recommender, path, ["hit@1", "hit@2"])
    assert report.metrics == {"hit@1": 0.0, "hit@2": 1.0}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "The file is empty"),
        ("0,25\t1\t2\n", "is not .user,item."),
        ("(0)\t1\t2\n", "is not .user,item."),
        ("(0,25)\n", "no negatives"),
        ("(0,25)\t25\n", "no negatives"),
    ],
)
def test_bad_files_of_candidates_are_named_with_their_line(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "bad.negative"
    path.write_text(text)
    with pytest.raises(DataError, match=what) as caught:
        read_candidates(path)
    assert str(path) in str(caught.value)


def test_a_file_of_candidates_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_candidates(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not text"):
        read_candidates(tmp_path / "bytes")


# --- groups and users ---------------------------------------------------------------------------------


def test_groups_by_activity_are_weighted_means_of_the_whole(fitted: Recommender, split: Split) -> None:
    assert split.valid is not None
    report = measure(fitted, split.valid, ["ndcg@10", "recall@10"]).lists
    assert report is not None
    labels = group_labels(fitted, split.valid, report, "activity")
    found = groups(report, labels, 0)["activity"]
    n = [one["n_users"] for one in found.values()]
    assert sum(n) == report.n_users
    assert len(n) == 4
    mean = np.average([one["metrics"]["ndcg@10"] for one in found.values()], weights=n)
    assert mean == pytest.approx(report.metrics["ndcg@10"])


def test_groups_by_a_column_of_users(fitted: Recommender, split: Split) -> None:
    valid = split.valid
    assert valid is not None
    table = pl.DataFrame({"colour": ["red" if row % 2 else "blue" for row in range(valid.n_users)]})
    told = replace(valid, user_table=table)
    report = measure(fitted, told, ["ndcg@10"]).lists
    found = groups(report, group_labels(fitted, told, report, "colour"), 0)["colour"]
    assert list(found) == ["blue", "red"]
    with pytest.raises(SettingError, match="no column 'size'"):
        group_labels(fitted, told, report, "size")


def test_the_table_of_users_has_their_ids_and_values(fitted: Recommender, split: Split) -> None:
    assert split.valid is not None
    report = measure(fitted, split.valid, ["ndcg@10"]).lists
    assert report is not None
    table = users_table(report, split.valid.users)
    assert table.height == report.n_users
    assert table["ndcg@10"].mean() == pytest.approx(report.metrics["ndcg@10"])


# --- which differences are real -----------------------------------------------------------------------


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_difference_is_found_and_none_is_not() -> None:
    generator = np.random.default_rng(0)
    best = generator.random(400)
    worse, alike = best - 0.05 + 0.1 * generator.random(400) * 0.5, best + 0.1 * generator.standard_normal(400)
    found = against_best({"best": best, "worse": worse, "alike": alike}, "best")
    assert found["worse"].is_real
    assert found["worse"].low < found["worse"].difference < found["worse"].high < 0
    assert not found["alike"].is_real


def test_models_that_are_alike_are_rarely_called_different() -> None:
    """At a level of 5 %: of 200 pairs without a difference, about 10."""
    generator = np.random.default_rng(3)
    wrong = sum(
        against_best({"a": generator.random(60), "b": generator.random(60)}, "a", seed)["b"].is_real
        for seed in range(200)
    )
    assert 1 <= wrong <= 22


def test_values_of_users_have_the_metric_as_their_mean(split: Split) -> None:
    recommender = job.fit_model(build("bias"), split, FitOptions(), ["mse", "ndcg@10"])
    assert split.valid is not None
    for metric in ("mse", "ndcg@10"):
        values = measure(recommender, split.valid, [metric]).values_of_users(metric)
        assert values.mean() == pytest.approx(recommender.about["valid"]["metrics"][metric], rel=1e-6)


# --- ties, and groups of items ------------------------------------------------------------------------


class Tied(Popularity):
    """Scores of few values, different for each user."""

    def user_vectors(self, user_rows: Any) -> Any:
        return (1 + user_rows[:, None] % 3).astype(np.float32)

    def scores_of(self, user_vectors: Any) -> Any:
        return ((self._parameter("popularity") * user_vectors) % 4).astype(np.float32)


@pytest.fixture(scope="module")
def tied(split: Split) -> Recommender:
    model = Tied(build("popularity").settings)
    model.fit(split)
    model.parameters["popularity"] = np.arange(split.train.n_items, dtype=np.float32)
    return Recommender.of(model, split)


def test_ties_go_to_the_smaller_row_in_every_metric(tied: Recommender, split: Split) -> None:
    """Against whole rankings sorted by score and row; also lists longer than what there is to rank."""
    assert split.valid is not None
    valid, train = split.valid, split.train
    names = ["ndcg@10", "recall@7", "hit@3", "precision@500", "map@10", "mrr@10", "auc"]
    found = measure(tied, valid, names).lists
    assert found is not None
    assert found.found is not None
    users, items = split.valid_user_rows, split.valid_item_rows
    for place, user in enumerate(np.unique(users)):
        assert user >= 0
        relevant = items[users == user]
        ranked = lists_of(tied, int(user), set(train.item_rows[train.user_rows == user].tolist()))
        hits = np.isin(ranked, relevant)
        n = np.array([len(relevant)])
        for name in names[:-1]:
            kind, _, k = name.partition("@")
            padded = np.zeros((1, int(k)), bool)
            padded[0, : min(int(k), len(ranked))] = hits[: int(k)]
            expected = LIST_METRICS[kind](padded, n)[0]
            assert found.of_users[name][place] == pytest.approx(expected), name
        pairs = [hit < other for hit in np.flatnonzero(hits) for other in np.flatnonzero(~hits)]
        area = np.mean(pairs) if pairs else np.nan
        assert found.of_users["auc"][place] == pytest.approx(area, nan_ok=True)
        mine = found.found.owners == place
        places = {row: found.found.places[mine][at] for at, row in enumerate(found.found.item_rows[mine])}
        assert places == {row: ranked.index(row) if row in ranked else -1 for row in relevant if row >= 0} | (
            {-1: -1} if (relevant < 0).any() else {}
        )


def test_bands_of_popularity_by_hand() -> None:
    """12 interactions, thirds end at 4 and 8: the item with 5 passes the first, the second with 2 passes the other."""
    assert bands_of(np.array([1, 5, 0, 2, 2, 2])).tolist() == [2, 0, 2, 1, 1, 2]
    assert bands_of(np.array([4, 4, 4])).tolist() == [0, 1, 2]
    assert bands_of(np.array([9])).tolist() == [0]
    assert bands_of(np.array([0, 0])).tolist() == [0, 0]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_bands_hold_thirds(counts: list[int]) -> None:
    """Each band, and what is more popular, holds at least its thirds less one item; no less popular item is before."""
    of_each = np.array(counts)
    bands, total = bands_of(of_each), sum(counts)
    for band in range(3):
        assert 3 * of_each[bands <= band].sum() >= (band + 1) * total
        if (bands == band).any() and (bands > band).any():
            assert of_each[bands == band].min() >= of_each[bands > band].max()


def test_groups_by_popularity_against_a_slow_twin(fitted: Recommender, split: Split) -> None:
    assert split.valid is not None
    report = measure(fitted, split.valid, ["recall@10", "hit@5", "ndcg@10"], seed=1).lists
    found = popularity_groups(report, fitted.item_counts, 1)["popularity"]
    bands = bands_of(split.train.item_counts)
    users, items = split.valid_user_rows, split.valid_item_rows
    assert report is not None
    assert sum(one["n_relevant"] for one in found.values()) == report.n_relevant
    for band, label in enumerate(["first third", "middle third", "last third", "not in training"]):
        recalls, hits, n = [], [], 0
        for user in np.unique(users):
            mine = items[users == user]
            mine = mine[mine < 0] if band == 3 else mine[(mine >= 0) & (bands[mine] == band)]
            if not len(mine):
                continue
            best = lists_of(fitted, int(user), set(split.train.item_rows[split.train.user_rows == user].tolist()))
            recalls.append(len(set(best[:10]) & set(mine.tolist())) / len(mine))
            hits.append(bool(set(best[:5]) & set(mine.tolist())))
            n += len(mine)
        if not n:
            assert label not in found
            continue
        one = found[label]
        assert (one["n_users"], one["n_relevant"]) == (len(recalls), n)
        assert one["metrics"] == pytest.approx({"recall@10": np.mean(recalls), "hit@5": np.mean(hits)})
        assert one["intervals"]["recall@10"][0] <= one["metrics"]["recall@10"] <= one["intervals"]["recall@10"][1]
        if band < 3:
            of_band = split.train.item_counts[bands == band]
            assert (one["n_items"], one["least"], one["most"]) == (len(of_band), of_band.min(), of_band.max())


def test_groups_by_popularity_need_recall_or_hit(fitted: Recommender, split: Split) -> None:
    assert split.valid is not None
    for metrics in (["ndcg@10"], ["auc"]):
        with pytest.raises(SettingError, match="are of recall and hit"):
            popularity_groups(measure(fitted, split.valid, metrics).lists, fitted.item_counts, 0)
    with pytest.raises(SettingError, match="are of recall and hit"):
        popularity_groups(None, fitted.item_counts, 0)
