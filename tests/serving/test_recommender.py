"""Answers to the outside: ids, names, lists, tables and what is said when there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

import penchant
from penchant import threads as blas
from penchant.data.feedback import positives
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none, split_random
from penchant.data.vocabulary import Vocabulary
from penchant.errors import InputError, SettingError, UnknownIdError, UnsupportedError
from penchant.evaluate import evaluate_ratings
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.serving import recommender as module
from penchant.serving.lists import Ranker
from penchant.serving.recommender import History, Recommendation, Recommender

# Ids 10, 20, … and the names of a small shop: variants of case, the same name twice, a name that is another's id.
NAMES = ["Alien", "ALIEN", "Aliens (1986)", "Solaris", "Solaris", "30", "Toy Story", "Amélie", "straße", "60"]
IDS = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def shop(ids: list[Any] = IDS) -> Split:
    """12 users who rate most of ten items."""
    draw = np.random.default_rng(5)
    pairs = np.array([(user, item) for user in range(12) for item in range(10) if (user + item) % 4])
    return split_none(
        Interactions(
            Vocabulary(pl.Series([f"u{n:02}" for n in range(12)]), "user"),
            Vocabulary(pl.Series(ids), "item"),
            pairs[:, 0].astype(np.int32),
            pairs[:, 1].astype(np.int32),
            draw.integers(1, 6, len(pairs)).astype(np.float32),
            item_names=pl.Series(NAMES),
        )
    )


def fitted(split: Split, name: str = "mf", **settings: Any) -> Recommender:
    model = build(name, **({"factors": 3, "epochs": 3} if name == "mf" else {}), **settings)
    return Recommender.of(model, split, model.fit(split, FitOptions(seed=1)))


@pytest.fixture(scope="module")
def small() -> Recommender:
    return fitted(shop())


@pytest.fixture(scope="module")
def strings() -> Recommender:
    """Item ids are strings, and the first is the name of another item."""
    return fitted(shop(["Solaris!", *(f"id{n}" for n in range(9))]))


@pytest.fixture(scope="module")
def large(split: Split) -> Recommender:
    return fitted(split)


# --- finding items ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "row"),
    [
        ("Toy Story", 6),
        ("toy story", 6),
        ("TOY STORY", 6),
        ("amélie", 7),
        ("AMÉLIE", 7),
        ("STRASSE", 8),  # case folding, not only lowering
        ("Alien", 0),  # two differ by case: the exact one
        ("ALIEN", 1),
        (70, 6),
        (np.int64(70), 6),
        ("70", 6),
        ("30", 5),  # as text a name comes first …
        (30, 2),  # … as a number it is an id
        (60, 5),
        ("60", 9),
    ],
)
def test_an_item_by_name_or_id(wanted: Any, row: int, small: Recommender) -> None:
    assert small.find_item(wanted) == row


def test_ids_that_are_strings_come_before_names(strings: Recommender) -> None:
    assert strings.find_item("id0") == 1
    assert strings.find_item("Solaris!") == 0
    assert strings.find_item("toy story") == 6
    clash = fitted(shop(["60", *(f"id{n}" for n in range(9))]))
    assert clash.find_item("60") == 0  # the id, though the last item is called so
    assert clash.find_item(60) == 9


@pytest.mark.parametrize(("wanted", "ids"), [("alien", "10, 20"), ("aLIEN", "10, 20"), ("Solaris", "40, 50")])
def test_a_name_of_several_items_lists_their_ids(wanted: str, ids: str, small: Recommender) -> None:
    with pytest.raises(InputError, match=f"2 items are called '{wanted}'") as caught:
        small.find_item(wanted)
    assert caught.value.remedy == f"Give one of their ids: {ids}."
    assert not isinstance(caught.value, UnknownIdError)


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("toy stroy", "Toy Story"), ("story", "Toy Story"), ("amelie", "Amélie"), ("aliens", "Aliens (1986)")],
)
def test_a_near_miss_is_suggested(wanted: str, near: str, small: Recommender) -> None:
    with pytest.raises(UnknownIdError, match=f"no item '{wanted}'") as caught:
        small.find_item(wanted)
    assert caught.value.remedy.startswith("Did you mean:")
    assert near in caught.value.remedy.splitlines()[1]


@pytest.mark.parametrize("wanted", ["qqqqqq", 12345678, "070", " 70", None])
def test_nothing_near(wanted: Any, small: Recommender) -> None:
    with pytest.raises(UnknownIdError, match="There is no item"):
        small.find_item(wanted)


def test_without_names_ids_are_names(large: Recommender) -> None:
    id_ = large.items.ids[4]
    assert large.find_item(id_) == large.find_item(str(id_)) == 4


# --- recommending -------------------------------------------------------------------------------------


def test_a_list_by_hand(small: Recommender) -> None:
    """All scores, what was rated taken out, sorted; predictions are scores clipped to 1 to 5."""
    row = 3
    scores = small.model.scores(np.array([row], np.int32))[0]
    unrated = [item for item in range(10) if (row + item) % 4 == 0]
    best = sorted(unrated, key=lambda item: -scores[item])
    expected = [
        Recommendation(IDS[item], NAMES[item], float(np.clip(scores[item], 1, 5)), float(scores[item])) for item in best
    ]
    assert small.recommend("u03") == expected


@pytest.mark.parametrize(
    ("given", "problem"),
    [({}, "either a user or ratings"), ({"user": "u01", "rated": {10: 5}}, "either a user or ratings")],
)
def test_a_user_or_ratings_not_both(given: dict[str, Any], problem: str, small: Recommender) -> None:
    with pytest.raises(SettingError, match=problem):
        small.recommend(**given)


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", None])
def test_k_is_a_whole_number_above_0(k: Any, small: Recommender) -> None:
    for ask in (
        lambda: small.recommend("u01", k=k),
        lambda: small.recommend(rated={10: 5}, k=k),
        lambda: small.recommend_many(["u01"], k=k),
        lambda: small.similar(10, k=k),
        lambda: small.extremes(k),
    ):
        with pytest.raises(SettingError, match=f"k is {k!r}"):
            ask()


def test_a_new_user_by_names_and_ids(small: Recommender) -> None:
    by_name = small.recommend(rated={"toy story": 5, "Amélie": 1}, k=10)
    assert by_name == small.recommend(rated={70: 5, "80": 1}, k=10)
    assert len(by_name) == 8
    assert not {70, 80} & {one.item for one in by_name}
    assert len(small.recommend(rated={70: 5}, k=99, include_seen=True)) == 10


@pytest.mark.parametrize(
    ("rating", "problem"),
    [
        (0.5, "0.5 is outside the scale"),
        (5.5, "5.5 is outside the scale"),
        (-1, "-1 is outside"),
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
    ],
)
def test_ratings_that_the_scale_does_not_have(rating: float, problem: str, small: Recommender) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        small.recommend(rated={10: 3, 70: rating})
    assert caught.value.remedy
    if "outside" in problem:
        assert "from 1 to 5" in caught.value.remedy


def test_ratings_at_the_ends_of_the_scale(small: Recommender) -> None:
    assert small.recommend(rated={10: 1, 70: 5.0}, k=2)


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_blocks_of_users_get_what_each_would_get(
    at_once: int, large: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the memory for scores, not the number of users, sets the size of a block."""
    users = [*large.users.ids.sample(20, seed=1), large.users.ids[0], large.users.ids[0]]
    alone = [(user, [one.item for one in large.recommend(user, k=6)]) for user in users]
    blocks: list[int] = []
    rank = Ranker.of_vectors

    def counting(self: Ranker, vectors: Any, seen: Any) -> Any:
        blocks.append(len(vectors))
        return rank(self, vectors, seen)

    monkeypatch.setattr(Ranker, "of_vectors", counting)
    for name, size in (("USERS_A_TIME", at_once), ("SCORES_A_TIME", at_once * len(large.items))):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, size)
            blocks.clear()
            many = [(user, [one.item for one in items]) for user, items in large.recommend_many(users, k=6, threads=1)]
        assert many == alone
        assert blocks == [at_once] * (22 // at_once) + ([22 % at_once] if 22 % at_once else [])


def test_a_catalogue_larger_than_the_memory_for_scores(small: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCORES_A_TIME", 3)
    assert [user for user, _ in small.recommend_many(["u01", "u02"])] == ["u01", "u02"]


def test_many_users_seen_items_and_no_users(small: Recommender) -> None:
    assert list(small.recommend_many([])) == []
    [(user, items)] = small.recommend_many(iter(["u05"]), k=99, include_seen=True)
    assert (user, len(items)) == ("u05", 10)


def test_an_unknown_user_among_many_is_told_before_work_begins(small: Recommender) -> None:
    with pytest.raises(UnknownIdError, match="no user 'u99'"):
        small.recommend_many(["u01", "u99"])


def test_lists_as_a_table(small: Recommender) -> None:
    frame = small.lists_frame(small.recommend_many(["u00", "u01"], k=2))
    assert frame.columns == ["user", "rank", "item", "name", "prediction", "score"]
    assert frame["user"].to_list() == ["u00", "u00", "u01", "u01"]
    assert frame["rank"].to_list() == [1, 2, 1, 2]
    assert frame["item"].to_list()[:2] == [one.item for one in small.recommend("u00", k=2)]
    types = [pl.String, pl.Int32, pl.Int64, pl.String, pl.Float32, pl.Float32]
    assert frame.dtypes == types


def test_no_lists_are_an_empty_table(small: Recommender) -> None:
    frame = small.lists_frame([])
    assert frame.height == 0
    assert frame.columns == ["user", "rank", "item", "name", "prediction", "score"]
    assert small.lists_frame([("u00", [])]).height == 0


# --- predicting ---------------------------------------------------------------------------------------


def test_one_prediction_and_many_are_equal(small: Recommender) -> None:
    frame = small.predict_pairs(["u00", "u07"], [20, 90])
    assert frame["prediction"].to_list() == pytest.approx([small.predict("u00", 20), small.predict("u07", 90)])
    assert frame["known"].to_list() == ["both", "both"]


def test_unknown_sides_are_marked_and_answered_from_the_other(small: Recommender) -> None:
    """Damped biases: the mean, and the bias of the side that is known."""
    frame = small.predict_pairs(["u02", "u02", "stranger", "stranger", None], [20, 99, 20, 99, 20])
    assert frame["known"].to_list() == ["both", "user", "item", "neither", "item"]
    biases = small.model.fallback
    user, item = float(biases.user_biases[2]), float(biases.item_biases[1])
    expected = [biases.mean + user, biases.mean + item, biases.mean, biases.mean + item]
    assert frame["prediction"].to_list()[1:] == pytest.approx(expected)
    assert frame.dtypes == [pl.Float32, pl.String]


def test_pairs_of_series_arrays_and_none_at_all(small: Recommender) -> None:
    listed = small.predict_pairs(["u00", "u01"], [20, 30])
    for users, items in (
        (pl.Series(["u00", "u01"]), pl.Series([20, 30])),
        (np.array(["u00", "u01"]), np.array([20, 30], np.int32)),
        (["u00", "u01"], ["20", "30"]),
    ):
        assert small.predict_pairs(users, items).equals(listed)
    assert small.predict_pairs([], []).height == 0


def test_as_many_users_as_items(small: Recommender) -> None:
    for users, items in ((["u00"], [10, 20]), (["u00", "u01"], [10]), (["u00", "u01", "u02"], [10, 20])):
        with pytest.raises(InputError, match=f"{len(users)} users and {len(items)} items"):
            small.predict_pairs(users, items)


def test_evaluation_counts_what_the_model_does_not_know(small: Recommender) -> None:
    """Three known pairs; a stranger; an unknown item; both: three unknown of six."""
    table = Interactions(
        Vocabulary(pl.Series(["stranger", "u00", "u01"]), "user"),
        Vocabulary(pl.Series([10, 20, 777]), "item"),
        np.array([1, 1, 2, 0, 2, 0], np.int32),
        np.array([0, 1, 1, 0, 2, 2], np.int32),
        np.array([5, 4, 3, 2, 1, 3], np.float32),
    )
    report = small.evaluate(table, metrics=["mae", "mse"])
    assert (report.n, report.n_unknown) == (6, 3)
    users = ["u00", "u00", "u01", "stranger", "u01", "stranger"]
    predictions = small.predict_pairs(users, [10, 20, 20, 10, 777, 777])["prediction"].to_list()
    errors = np.array(predictions) - [5, 4, 3, 2, 1, 3]
    assert report.metrics == {"mae": pytest.approx(np.abs(errors).mean()), "mse": pytest.approx((errors**2).mean())}
    by_user = evaluate_ratings(np.array(predictions, np.float32), table.ratings, np.array(users), seed=3)
    assert small.evaluate(table, seed=3).intervals == by_user.intervals


# --- threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bias", "dot", "mf", "mlp"])
def test_lists_are_the_same_bytes_for_any_number_of_threads(
    name: str, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Recommender.of(*_fitted_log(name, split))
    users = one.users.ids.to_list()
    monkeypatch.setattr(module, "USERS_A_TIME", 7)
    tables = [list(one.recommend_tables(users, 9, threads=threads)) for threads in (1, 2, 16)]
    lists = [list(one.recommend_many(users, 9, threads=threads)) for threads in (1, 2, 16, None)]
    assert [size for size, _ in tables[0]] == [min(7, len(users) - at) for at in range(0, len(users), 7)]
    for found in tables[1:]:
        assert all(mine.equals(other) for (_, mine), (_, other) in zip(tables[0], found, strict=True))
    assert all(found == lists[0] for found in lists[1:])
    assert pl.concat([table for _, table in tables[0]]).equals(one.lists_frame(lists[0]))


def _fitted_log(name: str, split: Split) -> tuple[Any, ...]:
    model = build(name, **({} if name == "bias" else {"epochs": 1}))
    return model, split, model.fit(split)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_one_or_more(threads: int, small: Recommender) -> None:
    for recommend in (small.recommend_many, small.recommend_tables):
        with pytest.raises(SettingError, match="threads is"):
            recommend(["u00"], threads=threads)


def test_blas_has_one_thread_while_it_scores(small: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    scores_of = type(small.model).scores_of

    def watching(model: Any, vectors: Any) -> Any:
        found.extend(library.get_num_threads() for library in blas._blas())
        return scores_of(model, vectors)

    monkeypatch.setattr(type(small.model), "scores_of", watching)
    small.recommend("u00")
    small.recommend(rated={})
    list(small.recommend_many(["u00", "u01"], threads=2))
    small.explain("u03", 70)
    assert set(found) <= {1}
    assert len(found) >= 4 * len(blas._blas())


# --- looking at items ---------------------------------------------------------------------------------


def test_similar_items_are_named_and_counted(small: Recommender) -> None:
    found = small.similar("toy story", k=3)
    factors = small.model.item_factors().astype(np.float64)
    factors /= np.linalg.norm(factors, axis=1, keepdims=True)
    cosines = factors @ factors[6]
    best = [row for row in np.argsort(-cosines) if row != 6][:3]
    assert [one.item for one in found] == [IDS[row] for row in best]
    assert [one.name for one in found] == [NAMES[row] for row in best]
    assert [one.value for one in found] == pytest.approx([cosines[row] for row in best], abs=1e-6)
    assert [one.n_ratings for one in found] == [9, 9, 9]  # each item is left out by 3 of 12 users
    assert small.similar(70, 3) == found


def test_similar_items_of_all_but_rare_ones(small: Recommender) -> None:
    assert small.similar(70, 3, min_ratings=10) == []
    assert len(small.similar(70, 99, min_ratings=9)) == 9


def test_a_model_without_factors_has_no_similar_items() -> None:
    with pytest.raises(UnsupportedError, match="no item factors"):
        fitted(shop(), "bias").similar(70)


def test_extremes_are_the_highest_and_lowest_biases(small: Recommender) -> None:
    best, worst = small.extremes(4)
    biases = small.model.item_biases()
    assert [one.value for one in best] == sorted(biases.tolist(), reverse=True)[:4]
    assert [one.value for one in worst] == sorted(biases.tolist())[:4]
    assert [NAMES[IDS.index(one.item)] for one in best + worst] == [one.name for one in best + worst]
    assert {len(side) for side in small.extremes(1000)} == {10}


# --- histories ----------------------------------------------------------------------------------------


def test_the_history_has_training_and_validation_by_user(ratings: Interactions) -> None:
    split = split_random(ratings, 0.3, seed=2)
    history = History.of_split(split)
    history.check(split.train.n_users, split.train.n_items)
    assert history.in_training.sum() == len(split.train)
    for user in (0, 7, split.train.n_users - 1):
        mine = history.of(user)
        trained = history.in_training[mine]
        of_train = split.train.user_rows == user
        of_valid = (split.valid_user_rows == user) & (split.valid_item_rows >= 0)
        assert sorted(history.item_rows[mine][trained]) == sorted(split.train.item_rows[of_train])
        assert sorted(history.item_rows[mine][~trained]) == sorted(split.valid_item_rows[of_valid])
        pairs = dict(zip(split.train.item_rows[of_train], split.train.ratings[of_train], strict=True))
        pairs |= dict(zip(split.valid_item_rows[of_valid], split.valid.ratings[of_valid], strict=True))
        assert dict(zip(history.item_rows[mine], history.ratings[mine], strict=True)) == pairs


def test_items_are_counted_by_their_training_ratings(large: Recommender, split: Split) -> None:
    np.testing.assert_array_equal(large.item_counts, np.bincount(split.train.item_rows, minlength=len(large.items)))


def test_what_was_held_out_is_seen_but_not_counted(ratings: Interactions) -> None:
    """A user's validation ratings are no recommendations, though the model never learnt from them."""
    split = split_random(ratings, 0.5, seed=1)
    one = fitted(split)
    user = split.train.users.ids[0]
    valid_row = split.valid.users.row(user)
    held_out = set(split.valid.items.take(split.valid.item_rows[split.valid.user_rows == valid_row]))
    assert held_out
    assert not held_out & {item.item for item in one.recommend(user, k=1000)}


def test_a_user_who_has_rated_everything_gets_an_empty_list(small: Recommender) -> None:
    everything = History(
        np.arange(0, 121, 10), np.tile(np.arange(10, dtype=np.int32), 12), np.ones(120, np.float32), np.ones(120, bool)
    )
    everything.check(12, 10)
    assert replace(small, history=everything).recommend("u04") == []


def test_an_explanation_is_of_ids(small: Recommender) -> None:
    found = small.explain("u03", 70)
    direct = small.model.explain(small.model.user_vectors(np.array([3], np.int32))[0], 6)
    assert found == direct
    with pytest.raises(UnknownIdError, match="no item 71"):
        small.explain("u03", 71)
    with pytest.raises(UnknownIdError, match="no user 'u12'"):
        small.explain("u12", 70)


# --- the forms of what somebody has rated -----------------------------------------------------------


@pytest.fixture(scope="module")
def ranking() -> Recommender:
    split = shop()
    return fitted(replace(split, train=replace(split.train, is_implicit=True)), "item-knn")


def test_items_alone_may_be_told_to_a_model_that_ranks(ranking: Recommender) -> None:
    ids = ranking.items.ids.head(3).to_list()
    expected = ranking.recommend(rated=dict.fromkeys(ids, 1.0))
    for form in (ids, tuple(ids), set(ids), iter(ids), np.array(ids), pl.Series(ids), dict.fromkeys(ids, 1)):
        assert ranking.recommend(rated=form) == expected
    assert ranking.recommend(rated=[ids[0], *ids]) == ranking.recommend(rated={ids[0]: 2, ids[1]: 1, ids[2]: 1})
    assert ranking.recommend(rated=[]) == ranking.recommend(rated={})


def test_a_series_by_item_is_a_mapping(ranking: Recommender, small: Recommender) -> None:
    pandas = pytest.importorskip("pandas")
    for one in (ranking, small):
        rated = dict(zip(one.items.ids.head(3).to_list(), (2.0, 3.0, 4.0), strict=True))
        assert one.recommend(rated=pandas.Series(rated)) == one.recommend(rated=rated)


@pytest.mark.parametrize("rated", ["abc", b"abc", 5, 2.5, object(), [[1]], [{}], {1: "good"}, {1: [1, 2]}, {1: {}}])
def test_what_cannot_have_been_rated_is_told(ranking: Recommender, small: Recommender, rated: Any) -> None:
    for one in (ranking, small):
        with pytest.raises(InputError) as caught:
            one.recommend(rated=rated)
        assert "rated=" in str(caught.value) or "no item" in str(caught.value)


def test_items_alone_are_not_enough_for_a_model_of_ratings(small: Recommender) -> None:
    with pytest.raises(InputError, match="learns from ratings, and rated has items alone"):
        small.recommend(rated=small.items.ids.head(2).to_list())


# --- ids that nearly are ----------------------------------------------------------------------------


def test_an_id_that_is_nearly_one_is_suggested() -> None:
    ids = [f"SKU-{n:05}{'-B' if n % 2 else ''}" for n in range(1, 11)]
    with pytest.raises(UnknownIdError) as caught:
        fitted(shop(ids)).similar("SKU-00001")
    assert caught.value.remedy.splitlines()[1] == "  SKU-00001-B  Alien"
    assert len(caught.value.remedy.splitlines()) <= 6
    with pytest.raises(UnknownIdError) as caught:
        fitted(split_none(replace(shop(ids).train, item_names=None))).similar("sku-00001")
    assert caught.value.remedy.splitlines()[1] == "  SKU-00001-B"


def test_a_model_remembers_from_where_ratings_are_positive(ratings: Interactions) -> None:
    """What somebody new rated below is left out of the list and says nothing of their taste; items alone are liked."""
    told, _ = positives(ratings, 4.0, "planted")
    recommender = penchant.fit(told, "als", factors=4, valid_fraction=0)
    first, second, third = recommender.items.ids.to_list()[:3]
    with_dislike = recommender.recommend(rated={first: 5, second: 1, third: 4}, k=200)
    without = recommender.recommend(rated=[first, third], k=200)
    scores = {one.item: one.score for one in without}
    assert not {first, second, third} & {one.item for one in with_dislike}
    assert all(one.score == scores[one.item] for one in with_dislike)
    assert second in scores
