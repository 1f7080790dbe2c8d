"""Wishes: filters, items allowed and denied, varied and less popular lists, in Python and on the command line."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.cli import run
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none
from penchant.data.synthetic import planted
from penchant.errors import InputError, SettingError, UnknownIdError, UnsupportedError
from penchant.models import build
from penchant.models.base import Floats, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions
from penchant.models.memory import Parts, Sizes
from penchant.models.preferences import PreferenceModel
from penchant.models.settings import Settings
from penchant.reranking import popularity
from penchant.serving.filters import Filter, filters_of, matching, parse
from penchant.serving.lists import Wished, Wishes, likeness
from penchant.serving.recommender import Recommender

GENRES = ["Drama", "Comedy|Drama", " War | drama ", None, "Sci-Fi", "Comedy"]
YEARS = [1990, 1995, None, 2000, 1985, 1990]
TABLE = pl.DataFrame(
    {
        "genres": GENRES,
        "Year": YEARS,
        "made": ["1990", "in 1995", "", "2000.5", None, " 7 "],
        "new": [True, False, None, True, True, False],
    }
)


class Counting(PreferenceModel):
    """Ranks by how often an item was taken, and half of a weight for what somebody new took."""

    name = "counting"
    settings_class = Settings

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        del options
        self._positives(split.train)
        self.parameters["average"] = np.zeros(split.train.n_items, np.float32)
        self.parameters["counts"] = split.train.item_counts.astype(np.float32)
        return FitLog(self.name, (), 0, "finished", 0.0, 0)

    def _fold(self, item_rows: Rows, weights: Floats) -> Floats:
        vector = np.zeros(self.n_items, np.float32)
        vector[item_rows] = 0.5 * weights
        return vector

    def user_vectors(self, user_rows: Rows) -> Floats:
        return np.zeros((len(user_rows), self.n_items), np.float32)

    def scores_of(self, user_vectors: Floats) -> Floats:
        return np.asarray(self.parameters["counts"] + user_vectors, np.float32)

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        del n_users
        return {"average": (n_items,), "counts": (n_items,), "weighted": (1,)}

    def fit_memory(self, sizes: Sizes) -> Parts:
        del sizes
        return {}

    def learnt_memory(self, sizes: Sizes) -> int:
        del sizes
        return 0


@pytest.fixture(scope="module")
def described() -> Split:
    """50 users and 60 items with genres and years."""
    table: Interactions = planted(50, 60, 900, seed=2)
    draw = np.random.default_rng(4)
    genres = ["|".join(draw.permutation(["Drama", "Comedy", "War"])[: 1 + n % 2]) for n in range(table.n_items)]
    years = [1980 + n % 30 for n in range(table.n_items)]
    return split_none(replace(table, item_table=pl.DataFrame({"genres": genres, "year": years})))


@pytest.fixture(scope="module")
def fitted(described: Split) -> Recommender:
    model = build("mf", factors=4, epochs=4)
    return Recommender.of(model, described, model.fit(described, FitOptions(seed=1)))


@pytest.fixture(scope="module")
def ranking(described: Split) -> Recommender:
    model = Counting()
    return Recommender.of(model, described, model.fit(described))


def ids(found: list[Any]) -> list[Any]:
    return [one.item for one in found]


# --- filters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("genres=Drama", [0, 1, 2]),
        ("genres = DRAMA", [0, 1, 2]),
        ("genres!=drama", [3, 4, 5]),  # also where nothing is known
        ("genres=comedy|drama", [1]),
        ("GENRES=sci-fi", [4]),
        ("Year=1990", [0, 5]),
        ("year=1990.0", [0, 5]),
        ("year!=1990", [1, 2, 3, 4]),
        ("year>=1990", [0, 1, 3, 5]),
        ("year>1990", [1, 3]),
        ("year<=1990", [0, 4, 5]),
        ("year<1990", [4]),
        ("year<-inf", []),
        ("made>7", [0, 3]),
        ("made>=7", [0, 3, 5]),
        ("new=1", [0, 3, 4]),
    ],
)
def test_a_filter_by_hand(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(parse(text).holds(TABLE)).tolist() == rows


def test_several_filters_all_hold() -> None:
    for where in (
        ["genres=drama", "year>=1990", "year<1995"],
        {"genres": "drama", "year": [">=1990", "<1995"]},
        {"genres": "=drama", "Year": 1990.0},
        {"new": True, "year": np.int64(1990)},
    ):
        assert np.flatnonzero(matching(TABLE, filters_of(where))).tolist() == [0]
    assert matching(TABLE, filters_of({})) is True
    assert matching(None, []) is True
    assert filters_of("a=b") == [Filter("a", "=", "b")]
    assert filters_of({"a": "!= b=c"}) == [Filter("a", "!=", "b=c")]


@pytest.mark.parametrize(
    ("where", "problem", "remedy"),
    [
        ("genres", "'genres' is not a filter", "As 'genres=Drama'"),
        ("=Drama", "'=Drama' is not a filter", "As"),
        ("genres= ", "is not a filter", "As"),
        ([3], "3 is not a filter", "As"),
        ({"genres": ""}, "'' is not a filter", "As"),
        ("genre=Drama", "no column 'genre'", "Its columns: genres, Year, made, new."),
        ("genres=Dramma", "'genres=Dramma': no item has this value", "Did you mean 'Drama'?"),
        ("genres!=Western", "no item has this value", "such as 'Comedy', 'Drama'"),
        ("year>=soon", "'soon' is not a number", "As year>=1990"),
        ("year>nan", "'nan' is not a number", "As"),
        ("year>=2021-01-01", "the column 'Year' has no dates", "such as"),
        ("year>=2021-13-01", "'2021-13-01' is not a number", "or year>=2021-01-31 of dates"),
        ("genres>3", "the column 'genres' has no numbers", "Values of 'genres' are such as"),
    ],
)
def test_what_cannot_be_filtered_by(where: Any, problem: str, remedy: str) -> None:
    with pytest.raises(SettingError, match=problem.replace("?", r"\?")) as caught:
        matching(TABLE, filters_of(where))
    assert remedy in caught.value.remedy


LAUNCHED = ["2020-12-31", "2021-01-01", None, "2021-01-01T18:30:00", "2021-01-02", "1969-07-20"]


def launched(kind: str) -> pl.DataFrame:
    """One column of dates and times, as text, as times, as times in another zone, or as dates."""
    text = pl.Series("launched", LAUNCHED)
    times = text.str.slice(0, 19).str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    times = times.fill_null(text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))
    frames = {
        "text": text,
        "times": times,
        "zoned": times.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
        "milliseconds": times.cast(pl.Datetime("ms")),
        "dates": times.dt.date(),
    }
    return pl.DataFrame({"launched": frames[kind]})


@pytest.mark.parametrize("kind", ["text", "times", "zoned", "milliseconds", "dates"])
@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("launched>=2021-01-01", [1, 3, 4]),
        ("launched > 2021-01-01", [4]),  # the whole day is not after itself
        ("launched<=2021-01-01", [0, 1, 3, 5]),
        ("launched<2021-01-01", [0, 5]),
        ("launched<1970-01-01", [5]),
        ("launched>=9999-12-31", []),
    ],
)
def test_dates_are_compared(text: str, rows: list[int], kind: str) -> None:
    assert np.flatnonzero(parse(text).holds(launched(kind))).tolist() == rows


@pytest.mark.parametrize("kind", ["text", "times", "zoned"])
def test_times_of_day_are_compared(kind: str) -> None:
    for limit in ("2021-01-01T18:30", "2021-01-01 18:30:00", "2021-01-01T20:30+02:00", "2021-01-01T13:00:00-0530"):
        assert np.flatnonzero(parse(f"launched>={limit}").holds(launched(kind))).tolist() == [3, 4]
        assert np.flatnonzero(parse(f"launched<{limit}").holds(launched(kind))).tolist() == [0, 1, 5]


@pytest.mark.parametrize("kind", ["times", "dates"])
@pytest.mark.parametrize("value", ["2021", "soon", "2021-02-30", "01.02.2021"])
def test_what_is_no_date_is_told_of_a_column_of_dates(kind: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"the column 'launched' has dates, and '{value}' is none") as caught:
        parse(f"launched>={value}").holds(launched(kind))
    assert "As launched>=2021-01-31" in caught.value.remedy


def test_filters_need_a_table_of_items() -> None:
    with pytest.raises(SettingError, match="knows no columns") as caught:
        matching(None, [Filter("year", "=", "1990")])
    assert "--items" in caught.value.remedy


def test_a_column_that_two_names_fit_is_named_exactly() -> None:
    table = pl.DataFrame({"a": ["x", "y"], "A": ["y", "x"]})
    assert parse("A=x").holds(table).tolist() == [False, True]
    with pytest.raises(SettingError, match="no column"):
        parse("A=x").holds(table.rename({"A": "ab", "a": "AB"}).rename({"ab": "aB"}))


# --- lists --------------------------------------------------------------------------------------------


@given(
    st.integers(0, 49),
    st.integers(1, 70),
    st.sampled_from([(), "genres=Drama", ["genres!=War", "year<1999"]]),
    st.one_of(st.none(), st.lists(st.integers(0, 59), max_size=30)),
    st.lists(st.integers(0, 59), max_size=10),
    st.sampled_from([0, 0.4, 1]),
    st.sampled_from([0, 1.5]),
)
@settings(deadline=None, max_examples=60)
def test_what_is_left_out_is_never_returned(
    fitted: Recommender, user: int, k: int, where: Any, only: Any, rows: Any, diversity: float, damping: float
) -> None:
    who = fitted.users.ids[user]
    allowed = None if only is None else fitted.items.take(np.array(only, np.int32))
    excluded = fitted.items.take(np.array(rows, np.int32))
    wished: Wished = {"where": where, "only": allowed, "exclude": excluded, "diversity": diversity}
    found = ids(fitted.recommend(who, k, **wished, popularity_damping=damping))
    seen = set(fitted.history.item_rows[fitted.history.of(fitted.users.row(who))])
    holds = matching(fitted.item_table, filters_of(where)) & np.ones(len(fitted.items), bool)
    left = {
        int(row) for row in np.flatnonzero(holds) if row not in seen | set(rows) and (only is None or row in set(only))
    }
    assert len(found) == len(set(found)) == min(k, len(left))
    assert set(found) <= set(fitted.items.take(np.array(sorted(left), np.int32)))


def test_filtered_lists_are_the_whole_list_less_what_is_filtered(fitted: Recommender) -> None:
    user = fitted.users.ids[3]
    all_of_it = fitted.recommend(user, 1000)
    denied = {one.item for one in all_of_it[:4]}
    assert fitted.recommend(user, 1000, exclude=list(denied)) == all_of_it[4:]
    assert fitted.recommend(user, 1000, only=denied) == all_of_it[:4]
    assert fitted.recommend(user, 5, only=all_of_it[9].item) == [all_of_it[9]]
    assert fitted.recommend(user, 5, only=[]) == []
    assert fitted.recommend(user, 5, only=denied, exclude=denied) == []


@pytest.mark.parametrize(
    "wished",
    [
        {"where": {"genres": "Drama"}},
        {"diversity": 0.5},
        {"diversity": 0.5, "diversity_by": "genres", "where": "year>=1985"},
        {"popularity_damping": 2, "include_seen": True},
    ],
)
def test_one_many_and_tables_are_the_same(fitted: Recommender, wished: Any) -> None:
    users = fitted.users.ids.to_list()[:20]
    alone = [(user, ids(fitted.recommend(user, 6, **wished))) for user in users]
    assert [(user, ids(items)) for user, items in fitted.recommend_many(users, 6, **wished)] == alone
    tables = pl.concat([table for _, table in fitted.recommend_tables(users, 6, threads=2, **wished)])
    assert tables["item"].to_list() == [item for _, items in alone for item in items]


def test_diversity_makes_genres_differ(fitted: Recommender) -> None:
    """More pairs of a list share no genre; the first place stays; scores and predictions are the model's."""
    points = likeness(fitted.model, fitted.item_table, "genres")
    units = points / np.linalg.norm(points, axis=1, keepdims=True)

    def likeness_in(found: list[Any]) -> float:
        rows = fitted.items.rows(ids(found))
        return float((units[rows] @ units[rows].T).mean())

    plain = [fitted.recommend(user, 8) for user in fitted.users.ids[:20]]
    varied = [fitted.recommend(user, 8, diversity=0.7, diversity_by="genres") for user in fitted.users.ids[:20]]
    assert np.mean([*map(likeness_in, varied)]) < np.mean([*map(likeness_in, plain)]) - 0.05
    assert [one[0] for one in varied] == [one[0] for one in plain]
    everything = {one.item: one for one in fitted.recommend(fitted.users.ids[0], 1000)}
    assert all(everything[one.item] == one for one in varied[0])
    assert fitted.recommend(fitted.users.ids[0], 8, diversity=0) == plain[0]


def test_damping_prefers_what_is_rarely_rated(fitted: Recommender) -> None:
    user = fitted.users.ids[0]
    found = [fitted.recommend(user, 10, popularity_damping=damping) for damping in (0.0, 1.0, 50.0)]
    counts = [fitted.item_counts[fitted.items.rows(ids(one))].sum() for one in found]
    assert counts[0] > counts[1] > counts[2]
    row = np.array([fitted.users.row(user)], np.int32)
    scores = fitted.model.scores(row)[0]
    off = scores - scores.std() * popularity(fitted.item_counts)
    seen = fitted.history.item_rows[fitted.history.of(int(row[0]))]
    off[seen] = -np.inf
    assert ids(found[1]) == fitted.items.take(np.argsort(-off, kind="stable")[:10].astype(np.int32))


def test_without_factors_items_are_alike_by_their_columns(described: Split) -> None:
    model = build("bias")
    one = Recommender.of(model, described, model.fit(described))
    user = one.users.ids[0]
    assert ids(one.recommend(user, 8, diversity=0.6)) == ids(
        one.recommend(user, 8, diversity=0.6, diversity_by=["genres", "year"])
    )
    with pytest.raises(UnsupportedError, match="no column says which items are alike"):
        replace(one, item_table=None).recommend(user, diversity=0.6)
    with pytest.raises(SettingError, match="no column 'genre'"):
        one.recommend(user, diversity=0.6, diversity_by="genre")


@pytest.mark.parametrize(
    ("wished", "problem"),
    [
        ({"diversity": -0.1}, "diversity is -0.1"),
        ({"diversity": 1.1}, "diversity is 1.1"),
        ({"diversity": float("nan")}, "diversity is nan"),
        ({"diversity": "0.3"}, "diversity is '0.3'"),
        ({"diversity": True}, "diversity is True"),
        ({"popularity_damping": -1}, "popularity_damping is -1"),
        ({"popularity_damping": float("inf")}, "popularity_damping is inf"),
        ({"where": "nosuch=3"}, "no column 'nosuch'"),
    ],
)
def test_wishes_that_cannot_be(fitted: Recommender, wished: Any, problem: str) -> None:
    for ask in (
        lambda: fitted.recommend(fitted.users.ids[0], **wished),
        lambda: fitted.recommend_many([], **wished),
        lambda: fitted.recommend_tables([], **wished),
    ):
        with pytest.raises(SettingError, match=problem):
            ask()


def test_wishes_of_unknown_items_or_names(fitted: Recommender) -> None:
    for wished in ({"only": ["nosuch"]}, {"exclude": "nosuch"}):
        with pytest.raises(UnknownIdError, match="no item 'nosuch'"):
            fitted.recommend(fitted.users.ids[0], **wished)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="variety"):
        fitted.recommend(fitted.users.ids[0], variety=1)  # type: ignore[call-arg]


def test_keywords_are_the_wishes() -> None:
    assert get_type_hints(Wished) == get_type_hints(Wishes)


# --- models that rank only ----------------------------------------------------------------------------


def test_a_model_that_ranks_has_scores_and_no_predictions(ranking: Recommender, tmp_path: Path) -> None:
    users = ranking.users.ids.to_list()[:3]
    found = ranking.recommend(users[0], 4, include_seen=True)
    assert [one.prediction for one in found] == [None] * 4
    assert [one.score for one in found] == sorted(ranking.item_counts, reverse=True)[:4]
    frame = ranking.lists_frame(ranking.recommend_many(users, 4))
    tables = pl.concat([table for _, table in ranking.recommend_tables(users, 4)])
    assert frame.equals(tables)
    assert frame["prediction"].dtype == pl.Float32
    assert frame["prediction"].null_count() == frame.height == 12


def test_a_model_that_ranks_predicts_nothing(ranking: Recommender, described: Split) -> None:
    user, item = ranking.users.ids[0], ranking.items.ids[0]
    for ask in (
        lambda: ranking.predict(user, item),
        lambda: ranking.predict(user, item, 0.9),
        lambda: ranking.predict_pairs([user], [item]),
        lambda: ranking.predict_pairs([user], [item], 0.9),
        lambda: ranking.predict_pairs([user], [item], chances=True),
        lambda: ranking.evaluate(described.train),
        lambda: ranking.coverage(described.train),
    ):
        with pytest.raises(UnsupportedError, match="The counting model ranks items"):
            ask()


def test_weights_of_somebody_new_are_any_numbers_above_0(ranking: Recommender) -> None:
    item = ranking.items.ids[0]
    assert ranking.recommend(rated={item: 1234.5}, k=3, include_seen=True)
    assert ranking.recommend(rated={}, k=3)
    for weight in (0, -2.5):
        with pytest.raises(InputError, match=f"The weight {weight:g} is not above 0") as caught:
            ranking.recommend(rated={item: weight})
        assert "leave out" in caught.value.remedy
    with pytest.raises(InputError, match="not a finite number"):
        ranking.recommend(rated={item: float("inf")})


def test_a_model_that_ranks_is_varied_by_columns(ranking: Recommender) -> None:
    user = ranking.users.ids[0]
    found = ranking.recommend(user, 5, diversity=0.5, where="genres=War", popularity_damping=0.5)
    assert len(found) == 5
    assert all(one.prediction is None for one in found)


# --- the command line ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(fitted: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("wishes") / "mf")


@pytest.fixture
def said(saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(saved.parent)

    def call(line: str, code: int = 0) -> str:
        assert run(shlex.split(line)) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    return call


@pytest.mark.parametrize(
    ("flags", "wished"),
    [
        ("--where genres=Drama --where 'year>=1990'", {"where": {"genres": "Drama", "year": ">=1990"}}),
        ("--only 3 --only 5 --include-seen", {"only": [3, 5], "include_seen": True}),
        ("--exclude 3 --exclude 5", {"exclude": [3, 5]}),
        ("--diversity 0.5", {"diversity": 0.5}),
        ("--diversity 1 --diversity-by genres", {"diversity": 1, "diversity_by": "genres"}),
        ("--popularity-damping 2", {"popularity_damping": 2}),
    ],
)
def test_flags_are_wishes(said: Any, fitted: Recommender, tmp_path: Path, flags: str, wished: Any) -> None:
    expected = ids(fitted.recommend(7, 5, **wished))
    event = json.loads(said(f"recommend mf --user 7 -k 5 {flags} --json"))
    assert [item["item"] for item in event["items"]] == expected
    users = tmp_path / "users.csv"
    users.write_text("user\n7\n", encoding="utf-8")
    assert json.loads(said(f"recommend mf --users {users} -k 5 {flags} --json")) == event


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--where genres=Drma", ("no item has this value", "Did you mean 'Drama'?")),
        ("--where genre=Drama", ("no column 'genre'", "genres, year")),
        ("--where Drama", ("'Drama' is not a filter", "genres=Drama")),
        ("--diversity 2", ("--diversity is 2", "from 0 (off) to 1")),
        ("--diversity much", ("--diversity is much",)),
        ("--diversity-by genres", ("no effect without --diversity",)),
        ("--popularity-damping -1", ("--popularity-damping is -1", "0 (off) or more")),
        ("--popularity-damping inf", ("--popularity-damping is inf",)),
        ("--only nosuch", ("There is no item 'nosuch'",)),
    ],
)
def test_flags_that_cannot_be(said: Any, flags: str, words: tuple[str, ...]) -> None:
    error = said(f"recommend mf --user 7 {flags}", code=2)
    assert all(word in " ".join(error.split()) for word in words), error


def test_scores_are_shown_where_there_are_no_predictions(
    ranking: Recommender, said: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("penchant.commands.answering.load", lambda *_: ranking)
    lines = said("recommend mf --user 7 -k 3").splitlines()
    assert lines[2].split()[-1] == "score"
    assert lines[3].endswith(f"{ranking.recommend(7, 3)[0].score:.3f}")
    event = json.loads(said("recommend mf --user 7 -k 3 --json"))
    assert [item["prediction"] for item in event["items"]] == [None] * 3
    out = tmp_path / "list.csv"
    said(f"recommend mf --user 7 -k 3 -o {out}")
    assert pl.read_csv(out)["prediction"].null_count() == 3
