"""Answers of every model, from artifacts, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from running_service import films

import penchant
from penchant.errors import UnknownIdError, UnsupportedError
from penchant.models import MODELS, model_class
from penchant.serving.answering import (
    alone,
    answers,
    explain,
    lists,
    nearest,
    taken_of,
    takes_long,
)
from penchant.serving.catalogue import dumps
from penchant.serving.events import Event
from penchant.serving.live import Live, Loaded
from penchant.serving.model_card import model_card
from penchant.serving.overlay import Overlay
from penchant.serving.predicting import people_of, predict
from penchant.serving.questions import Asked, Listing, Nearest
from penchant.serving.store import FeedbackStore


@pytest.fixture(scope="module", params=sorted(MODELS))
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each model, served from an artifact."""
    folder = tmp_path_factory.mktemp("model")
    ratings, table = films(folder)
    how = {"positive_from": 3} if model_class(request.param).ranks_only else {}
    read = penchant.read_ratings(ratings, items=table, **how)
    fields = {field.name for field in model_class(request.param).settings_class.describe()}
    settings = {name: value for name, value in {"epochs": 2, "samples": 4}.items() if name in fields}
    artifact = penchant.fit(read, request.param, **settings).save(folder / "model")
    with FeedbackStore.open(str(folder / "feedback.db")) as store:
        yield Live(artifact, Overlay(store))


def test_lists_of_many_are_those_of_each(live: Live) -> None:
    loaded, model = live.loaded, live.loaded.recommender.model
    users = loaded.recommender.users.ids.to_list()[:5]
    listing = Listing(k=4, intervals=True, reasons=True)
    asked = [Asked(listing, live.overlay, b'{"user":' + dumps(user), user) for user in users]
    history = tuple((item, None if model.ranks_only else 4.0) for item in loaded.catalogue.ids[:3])
    asked.append(Asked(listing, live.overlay, history=history))
    together = [json.loads(one) for one in lists(loaded, asked)]  # type: ignore[arg-type]
    for user, told in zip(users, together, strict=False):
        wanted = loaded.recommender.recommend(user, 4)
        assert [one["item"] for one in told["recommendations"]] == [one.item for one in wanted]
        for one, same in zip(told["recommendations"], wanted, strict=True):
            assert one["prediction"] == (None if same.prediction is None else pytest.approx(same.prediction, abs=1e-4))
            assert (one["interval"] is None) == (not loaded.has_intervals)
    assert len(together[-1]["recommendations"]) == 4
    assert loaded.served.sum() >= 4


def test_feedback_counts_and_explanations_sum(live: Live) -> None:
    loaded, user = live.loaded, live.loaded.recommender.users.ids[9]
    model, item = loaded.recommender.model, loaded.catalogue.ids[7]
    before = loaded.known(user, live.overlay)
    live.overlay.append([Event(f"e-{model.name}", user, item, 5.0)])
    known = loaded.known(user, live.overlay)
    assert loaded.recommender.items.row(item) in known.taken.seen
    assert known.is_folded
    assert not before.is_folded
    if model.name == "popularity":
        return
    told = json.loads(explain(loaded, known, loaded.catalogue.ids[3], b"{"))
    total = told["average"] + sum(one["adds"] for one in told["items"]) + told["rest"]
    assert total == pytest.approx(told["score"], abs=2e-3)
    assert told["rest"] == pytest.approx(0, abs=2e-2)


def test_a_model_of_ratings_predicts_what_the_library_does(live: Live) -> None:
    loaded, recommender = live.loaded, live.loaded.recommender
    if recommender.model.ranks_only:
        pytest.skip("it ranks only")
    pairs = list(zip(recommender.users.ids.to_list()[:4], recommender.items.ids.to_list()[:4], strict=True))
    level = 0.8 if loaded.has_intervals else None
    told = json.loads(predict(loaded, live.overlay, [*pairs, ("nobody", "nothing")], level))["predictions"]
    users, items = [user for user, _ in pairs], [item for _, item in pairs]
    wanted = recommender.predict_pairs(users, items, level)
    for name in wanted.columns[:-1]:
        assert [one[name] for one in told[:4]] == pytest.approx(wanted[name].to_list(), abs=1e-4)
    assert told[-1]["known"] == "neither"


def test_pairs_of_folded_users_together_are_those_of_each(live: Live) -> None:
    loaded, model = live.loaded, live.loaded.recommender.model
    if model.ranks_only:
        pytest.skip("it ranks only")
    items = loaded.catalogue.ids[:3]
    people = [f"new {n}" for n in range(40)]
    events = [Event(f"{model.name} {n}", who, items[n % 3], 1.0 + n % 5) for n, who in enumerate(people)]
    live.overlay.append(events)
    pairs = [(who, item) for item in items for who in people]
    together = json.loads(predict(loaded, live.overlay, pairs, None))["predictions"]
    for n in (0, 41, 119):
        (alone_,) = json.loads(predict(loaded, live.overlay, [pairs[n]], None))["predictions"]
        assert together[n] == alone_ | {"prediction": pytest.approx(alone_["prediction"], abs=1e-4)}
        assert together[n]["known"] == "both"
    known = people_of(loaded, live.overlay, people)
    assert json.loads(predict(loaded, live.overlay, pairs, None, known))["predictions"] == together


def test_what_nobody_waits_for_is_not_gone_on_with(live: Live) -> None:
    asked = iter([False, False, True])
    assert len(people_of(live.loaded, live.overlay, ["a", "b", "c"], lambda: next(asked))) == 2
    if not live.loaded.recommender.model.ranks_only:
        assert predict(live.loaded, live.overlay, [("a", "b")], None, is_given_up=lambda: True) == b""


def test_the_card_is_json(live: Live) -> None:
    card = json.loads(model_card(live.loaded))
    assert card["model"] == live.loaded.recommender.model.name
    assert card["data"]["n_items"] == len(live.loaded.catalogue.ids)


def test_the_last_rating_of_a_history_counts(film_model: Path) -> None:
    loaded = Loaded.read(film_model)
    item, other = loaded.catalogue.ids[:2]
    taken = taken_of(loaded, ((item, 1.0), (other, 3.0), (item, 4.0)))
    assert dict(zip(taken.item_rows.tolist(), taken.ratings.tolist(), strict=True)) == {0: 4.0, 1: 3.0}
    assert set(taken.seen.tolist()) == {0, 1}


def test_what_is_rated_below_the_positive_is_seen_and_not_liked(film_model: Path, tmp_path: Path) -> None:
    """By visitors and in feedback, as `positive_from` of the fit has it; a later rating changes that."""
    read = penchant.read_ratings(film_model.parent / "ratings.csv", positive_from=4)
    folder = penchant.fit(read, "als", factors=4, valid_fraction=0).save(tmp_path / "als")
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        live = Live(folder, Overlay(store))
        loaded = live.loaded
        first, second, third = loaded.catalogue.ids[:3]
        assert loaded.positive_from == 4
        taken = taken_of(loaded, ((first, 5.0), (second, 2.0), (third, None)))
        assert (taken.seen.tolist(), taken.item_rows.tolist(), taken.ratings.tolist()) == ([0, 1, 2], [0, 2], [1, 1])
        events = [Event("a", "new", first, 5.0), Event("b", "new", second, 2.0), Event("c", "new", third, 4.0)]
        loaded.check_ratings([*events, Event("d", "new", first, -1.0)])
        live.overlay.append(events)
        known = loaded.known("new", live.overlay)
        assert set(known.taken.seen.tolist()) == {0, 1, 2}
        assert dict(zip(known.taken.item_rows.tolist(), known.taken.ratings.tolist(), strict=True)) == {0: 1, 2: 1}
        live.overlay.append([Event("e", "new", third, 1.0), Event("f", "new", second, 5.0)])
        known = loaded.known("new", live.overlay)
        assert set(known.taken.item_rows.tolist()) == {0, 1}
        assert set(known.taken.seen.tolist()) == {0, 1, 2}


def test_lists_are_there_though_the_model_has_no_similar_items(film_model: Path, tmp_path: Path) -> None:
    read = penchant.read_ratings(film_model.parent / "ratings.csv")
    loaded = Loaded.read(penchant.fit(read, "bias").save(tmp_path / "bias"))
    near, listed = answers(loaded, [Nearest(0, 3), Asked(Listing(k=2), None)])  # type: ignore[arg-type]
    assert isinstance(near, UnsupportedError)
    assert isinstance(listed, bytes)


@pytest.mark.parametrize(
    ("asked", "is_long"),
    [
        (Asked(Listing(), None, user=1), False),  # type: ignore[arg-type]
        (Asked(Listing(k=100, include_seen=True), None, user=1), False),  # type: ignore[arg-type]
        (Asked(Listing(k=101), None, user=1), True),  # type: ignore[arg-type]
        (Asked(Listing(reasons=True), None, user=1), True),  # type: ignore[arg-type]
        (Asked(Listing(intervals=True), None, user=1), True),  # type: ignore[arg-type]
        (Asked(Listing(diversity=0.5), None, user=1), True),  # type: ignore[arg-type]
        (Asked(Listing(), None, history=tuple((n, 3.0) for n in range(200))), True),  # type: ignore[arg-type]
    ],
)
def test_what_takes_long_is_not_scored_with_others(asked: Asked, is_long: bool) -> None:
    assert takes_long(asked) == is_long


def test_a_list_by_itself_is_the_list_or_the_error(film_model: Path, tmp_path: Path) -> None:
    loaded = Loaded.read(film_model)
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        overlay, user = Overlay(store), loaded.recommender.users.ids[1]
        asked = Asked(Listing(k=3, reasons=True), overlay, b'{"user":1', user)
        assert [alone(loaded, asked)] == lists(loaded, [asked])
        with pytest.raises(UnknownIdError):
            alone(loaded, Asked(Listing(exclude=("nothing",)), overlay, user=user))


def test_only_the_visitor_who_cannot_be_folded_in_has_the_error(
    film_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Loaded.read(film_model)
    model_type = type(loaded.recommender.model)
    fold_in = model_type.fold_in

    def picky(model: Any, rows: Any, ratings: Any) -> Any:
        if len(rows) == 2:
            raise ArithmeticError("two are too many")
        return fold_in(model, rows, ratings)

    monkeypatch.setattr(model_type, "fold_in", picky)
    first, second = loaded.catalogue.ids[:2]
    histories = [((first, 4.0),), ((first, 4.0), (second, 2.0)), (("nothing", 3.0),), ((second, 5.0),)]
    overlay: Any = None
    found = lists(loaded, [Asked(Listing(k=2), overlay, history=history) for history in histories])
    assert [type(one) for one in found] == [bytes, ArithmeticError, UnknownIdError, bytes]
    assert found[3] == lists(loaded, [Asked(Listing(k=2), overlay, history=histories[3])])[0]


def test_lists_and_similar_items_in_one_batch(film_model: Path, tmp_path: Path) -> None:
    loaded = Loaded.read(film_model)
    user = loaded.recommender.users.ids[4]
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        overlay, start = Overlay(store), b'{"user":' + dumps(user)
        asked = [
            Nearest(7, 3),
            Asked(Listing(k=2), overlay, start, user),
            Nearest(2, 5),
            Asked(Listing(k=9, exclude=(loaded.catalogue.ids[0],)), overlay, start, user),
            Asked(Listing(k=4, exclude=("nothing",)), overlay, start, user),
            Asked(Listing(k=4, where=("genres=War",)), overlay, start, user),
            Nearest(7, 3),
        ]
        found = answers(loaded, asked)
    assert isinstance(found[4], UnknownIdError)
    told = [json.loads(one) for one in found if isinstance(one, bytes)]
    items = [[one["item"] for one in each.get("similar", each.get("recommendations"))] for each in told]
    recommender = loaded.recommender
    assert items[0] == items[5] == [one.item for one in recommender.similar(loaded.catalogue.ids[7], 3)]
    assert items[1] == [one.item for one in recommender.recommend(user, 2)]
    assert items[2] == [one.item for one in recommender.similar(loaded.catalogue.ids[2], 5)]
    assert items[3] == [one.item for one in recommender.recommend(user, 9, exclude=[loaded.catalogue.ids[0]])]
    assert items[4] == [one.item for one in recommender.recommend(user, 4, where="genres=War")]
    assert nearest(loaded, [Nearest(7, 3)]) == [loaded.lists.get(Nearest(7, 3))]
