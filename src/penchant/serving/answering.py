"""Answers as JSON: what a request asks of a loaded model, and the bytes that are sent back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.vocabulary import Id
from penchant.errors import InputError, UnsupportedError
from penchant.explain import Ranked
from penchant.intervals import around
from penchant.models.base import Floats, Rows
from penchant.ranking import best_columns
from penchant.reranking import damped, pool_size, popularity, varied
from penchant.serving.batching import LIGHT_NUMBERS, at_once
from penchant.serving.catalogue import dumps, listed
from penchant.serving.lists import likeness, ratings_of
from penchant.serving.live import Known, Loaded, Taken
from penchant.serving.questions import Asked, Listing, Nearest

LEVEL = 0.9
NOTHING = np.empty(0, np.int32)
LIGHT_SEARCHES = 16  # of an approximate index
LIGHT_ITEMS = 100  # of a history or a list: more take milliseconds


def most_at_once(loaded: Loaded) -> int:
    """How many lists are scored together."""
    return at_once(len(loaded.catalogue.ids))


def is_light(loaded: Loaded, questions: Sequence[Asked | Nearest]) -> bool:
    """Whether some questions take about a millisecond altogether, and wait for nothing."""
    if not loaded.is_quick:
        return False
    if loaded.index is not None and len(questions) <= LIGHT_SEARCHES:
        return all(isinstance(one, Asked) and _is_light(loaded, one) for one in questions)
    if len(questions) * len(loaded.catalogue.ids) > LIGHT_NUMBERS:
        return False
    return all(isinstance(one, Nearest) or _is_light(loaded, one) for one in questions)


def takes_long(asked: Asked) -> bool:
    """Whether one list may take hundreds of milliseconds, which others that it is scored with would wait for."""
    listing = asked.listing
    return not listing.is_plain or listing.k > LIGHT_ITEMS or len(asked.history) + len(listing.exclude) > LIGHT_ITEMS


def alone(loaded: Loaded, asked: Asked) -> bytes:
    """A list that is scored by itself.

    Raises:
        UnknownIdError, InputError, SettingError, UnsupportedError: there is none.
    """
    (found,) = lists(loaded, [asked])
    if isinstance(found, Exception):
        raise found
    return found


def _is_light(loaded: Loaded, asked: Asked) -> bool:
    if takes_long(asked):
        return False
    return asked.user is None or asked.known is not None or loaded.is_at_hand(asked.user, asked.overlay)


def answers(loaded: Loaded, questions: Sequence[Asked | Nearest]) -> list[bytes | Exception]:
    """The answers to several requests, each as JSON or what is wrong with it."""
    asked = [one for one in questions if isinstance(one, Asked)]
    near = [one for one in questions if isinstance(one, Nearest)]
    of_lists, of_near = iter(lists(loaded, asked)), iter(nearest(loaded, near))
    return [next(of_lists if isinstance(one, Asked) else of_near) for one in questions]


@dataclass(frozen=True, eq=False)
class _Person:
    """Who a list is for, and what may not be in it (rows, int32)."""

    place: int
    asked: Asked
    known: Known
    left_out: Rows


def lists(loaded: Loaded, asked: Sequence[Asked]) -> list[bytes | Exception]:
    """Lists for several people, each as JSON or what is wrong with it."""
    found: list[Any] = [None] * len(asked)
    people: list[_Person] = []
    for place, (one, known) in enumerate(zip(asked, _known(loaded, asked), strict=True)):
        try:
            if isinstance(known, Exception):
                raise known
            people.append(_Person(place, one, known, _left_out(loaded, one.listing, known)))
        except Exception as error:
            found[place] = error
    by_index = [person for person in people if _is_by_index(loaded, person)]
    others = [person for person in people if not _is_by_index(loaded, person)]
    for person, best in (*_approximately(loaded, by_index), *_exactly(loaded, others)):
        try:
            found[person.place] = best if isinstance(best, Exception) else _answer(loaded, person, *best)
        except Exception as error:
            found[person.place] = error
    return found


Best = tuple[Rows, Floats]  # rows of a list and their scores


def _is_by_index(loaded: Loaded, person: _Person) -> bool:
    listing = person.asked.listing
    return loaded.index is not None and listing.is_ranked_plainly and loaded.index.has(listing.k + len(person.left_out))


def _approximately(loaded: Loaded, people: Sequence[_Person]) -> list[tuple[_Person, Best]]:
    """Lists by the index."""
    if loaded.index is None or not people:
        return []
    vectors = np.stack([person.known.vector for person in people])
    left_out, ks = [person.left_out for person in people], [person.asked.listing.k for person in people]
    return list(zip(people, loaded.index.best(vectors, left_out, ks), strict=True))


def _exactly(loaded: Loaded, people: Sequence[_Person]) -> list[tuple[_Person, Best | Exception]]:
    """Lists by a look at all items."""
    if not people:
        return []
    scores = loaded.recommender.model.scores_of(np.stack([person.known.vector for person in people]))
    plain = _best_of_plain(loaded, people, scores)
    found: list[tuple[_Person, Best | Exception]] = []
    for n, person in enumerate(people):
        try:
            rows = plain[n] if n in plain else _best(loaded, person, scores[n])
            found.append((person, (rows, scores[n][rows])))
        except Exception as error:
            found.append((person, error))
    return found


def _best_of_plain(loaded: Loaded, people: Sequence[_Person], scores: Floats) -> dict[int, Rows]:
    """The best items of those who wish for nothing else, by their place: ranked in one call."""
    places = [n for n, person in enumerate(people) if person.asked.listing.is_ranked_plainly]
    if not places:
        return {}
    mine = [people[n] for n in places]
    starts = np.zeros(len(mine) + 1, np.int64)
    np.cumsum([len(person.left_out) for person in mine], out=starts[1:])
    k = min(max(person.asked.listing.k for person in mine), len(loaded.catalogue.ids))
    ranked = scores if len(mine) == len(people) else scores[places]
    best = best_columns(ranked, starts, np.concatenate([person.left_out for person in mine]), k)
    cut = (rows[: person.asked.listing.k] for rows, person in zip(best, mine, strict=True))
    return {n: rows[rows >= 0] for n, rows in zip(places, cut, strict=True)}


def _known(loaded: Loaded, asked: Sequence[Asked]) -> list[Known | Exception]:
    """Who each is, or what is wrong with their history; visitors are folded in together."""
    found: list[Any] = [None] * len(asked)
    histories: dict[int, Taken] = {}
    for place, one in enumerate(asked):
        try:
            if one.user is None:
                histories[place] = taken_of(loaded, one.history)
            else:
                found[place] = loaded.known(one.user, one.overlay) if one.known is None else one.known
        except Exception as error:
            found[place] = error
    for place, known in zip(histories, _newcomers(loaded, list(histories.values())), strict=True):
        found[place] = known
    return found


def _newcomers(loaded: Loaded, histories: Sequence[Taken]) -> Sequence[Known | Exception]:
    """Each alone where they cannot be folded in together, so that only who is at fault has the error."""
    try:
        return loaded.newcomers(histories) if histories else []
    except Exception as error:
        if len(histories) == 1:
            return [error]
        return [_newcomers(loaded, [one])[0] for one in histories]


def taken_of(loaded: Loaded, history: Sequence[tuple[Id, float | None]]) -> Taken:
    """The history of somebody new, the last rating of an item counting.

    Raises:
        UnknownIdError: the model does not know an item.
        InputError: a rating is missing or not on the scale of the model.
    """
    rated: dict[int, float | None] = {}
    ranks_only, row = loaded.recommender.model.ranks_only, loaded.recommender.items.row
    for item, rating in history:
        if rating is None and not ranks_only:
            raise InputError(
                f"The item {item!r} of the history has no rating.", remedy="This model learns from ratings: give one."
            )
        rated[row(item)] = rating
    seen = np.fromiter(rated, np.int32, len(rated))
    if all(rating is None for rating in rated.values()):  # as nearly always of a model that ranks: nothing to check
        return Taken(seen, seen, np.ones(len(seen), np.float32))
    if ranks_only and loaded.positive_from is not None:
        liked = [item for item, rating in rated.items() if loaded.is_positive(rating)]
        return Taken(seen, np.array(liked, np.int32), np.ones(len(liked), np.float32))
    weights = {item: 1.0 if rating is None else rating for item, rating in rated.items()}
    return Taken(seen, seen, ratings_of(weights, loaded.recommender.model))  # type: ignore[arg-type]  # values alone


def _left_out(loaded: Loaded, listing: Listing, known: Known) -> Rows:
    left_out = NOTHING if listing.include_seen else known.taken.seen
    if not listing.exclude:
        return left_out
    excluded = np.array([loaded.recommender.items.row(item) for item in listing.exclude], np.int32)
    return np.concatenate((left_out, excluded))


def _answer(loaded: Loaded, person: _Person, rows: Rows, scores: Floats) -> bytes:
    asked, known = person.asked, person.known
    loaded.served[rows] = True
    items = listed(_items(loaded, asked.listing, known, rows, scores))
    middle = b"" if asked.user is None else b',"known":true' if known.is_known else b',"known":false'
    model = b'"model":"' + loaded.version.encode() + b'","recommendations":'
    return asked.start + middle + (b"," if len(asked.start) > 1 else b"") + model + items + b"}"


def _best(loaded: Loaded, person: _Person, scores: Floats) -> Rows:
    model, recommender, listing = loaded.recommender.model, loaded.recommender, person.asked.listing
    allowed = loaded.allowed(listing.where)
    ranked = scores[None]
    if listing.popularity_damping:
        ranked = damped(ranked, popularity(loaded.catalogue.counts), listing.popularity_damping)
    if allowed is not None:
        ranked = np.where(allowed, ranked, np.float32(np.nan))
    left_out = person.left_out
    k = min(listing.k, model.n_items)
    pool = k if not listing.diversity else max(k, min(pool_size(k), model.n_items))
    best = best_columns(ranked, np.array([0, len(left_out)], np.int64), left_out, pool)
    if listing.diversity:
        best = varied(best, ranked, likeness(model, recommender.item_table, None), k, listing.diversity)
    found = best[0]
    return found[found >= 0]


def _items(loaded: Loaded, listing: Listing, known: Known, rows: Rows, scores: Floats) -> list[bytes]:
    model, catalogue = loaded.recommender.model, loaded.catalogue
    n = len(rows)
    predictions = [b"null"] * n if model.ranks_only else _numbers(model.clip(scores))
    if not (listing.reasons or (listing.intervals and loaded.has_intervals)):
        parts = zip(map(catalogue.plain, rows.tolist()), predictions, _numbers(scores), strict=True)
        return [b'%b%b,"score":%b%b' % (start, told, score, end) for (start, end), told, score in parts]
    intervals, reasons = [b"null"] * n, [b"null"] * n
    if listing.intervals and loaded.has_intervals:
        intervals = _intervals(loaded, known, rows, scores)
    if listing.reasons:
        reasons = [_reason(loaded, known, row) for row in rows.tolist()]
    return [
        b"{"
        + catalogue.head(row)
        + b',"prediction":'
        + prediction
        + b',"score":'
        + _number(score)
        + b',"interval":'
        + interval
        + b',"reason":'
        + reason
        + b',"columns":'
        + catalogue.columns(row)
        + b"}"
        for row, prediction, score, interval, reason in zip(
            rows.tolist(), predictions, scores.tolist(), intervals, reasons, strict=True
        )
    ]


def _number(value: float) -> bytes:
    """Without the digits that a float32 does not have."""
    return b"%.6g" % value if math.isfinite(value) else b"null"


def _numbers(values: Floats) -> list[bytes]:
    """Several of them."""
    listed_values = values.tolist()
    if math.isfinite(sum(listed_values)):  # then all are
        return [b"%.6g" % value for value in listed_values]
    return [_number(value) for value in listed_values]


def _intervals(loaded: Loaded, known: Known, rows: NDArray[np.int32], scores: Floats) -> list[bytes]:
    recommender = loaded.recommender
    users = np.full(len(rows), known.row, np.int32)
    found = around(recommender.model, recommender.conformal, users, rows, scores=scores)
    low, high = found.ends(LEVEL)
    return [
        f'{{"low":{a:.6g},"high":{b:.6g},"probability":{LEVEL}}}'.encode()
        for a, b in zip(low.tolist(), high.tolist(), strict=True)
    ]


def _contributions(loaded: Loaded, known: Known, row: int) -> NDArray[np.float64] | None:
    if not len(known.taken.item_rows):
        return np.zeros(0)
    try:
        return loaded.recommender.model.contributions(known.taken.item_rows, known.taken.ratings, row)
    except UnsupportedError:
        return None


def _reason(loaded: Loaded, known: Known, row: int) -> bytes:
    """What of the history adds most to a score; null where nothing adds to it."""
    adds = _contributions(loaded, known, row)
    if adds is None or not len(adds) or not adds.max() > 0:
        return b"null"
    most = int(np.argmax(adds))
    head = loaded.catalogue.head(int(known.taken.item_rows[most]))
    return b"{" + head + b',"adds":' + _number(float(adds[most])) + b"}"


# --- other questions --------------------------------------------------------------------------------


def explain(loaded: Loaded, known: Known, item: Id, start: bytes) -> bytes:
    """What each item of a history adds to a score: average + what they add + rest = score.

    Raises:
        UnknownIdError: there is no such item.
        UnsupportedError: the model cannot tell.
    """
    model, catalogue = loaded.recommender.model, loaded.catalogue
    row = loaded.recommender.items.row(item)
    adds = _contributions(loaded, known, row)
    if adds is None:
        raise UnsupportedError(
            f"The {model.name} model cannot tell what each rating adds to a score.", remedy="Serve another model."
        )
    score = float(model.scores_of(known.vector[None])[0, row])
    average = 0.0 if model.ranks_only else float(model.scores_of(loaded.average[None])[0, row])
    rest = score - average - float(adds.sum())
    order = np.argsort(-adds, kind="stable")
    rows, ratings = known.taken.item_rows, known.taken.ratings
    items = listed(
        b"{" + catalogue.head(int(rows[n])) + f',"rating":{ratings[n]:.6g},"adds":{adds[n]:.6g}}}'.encode()
        for n in order.tolist()
    )
    told = f'"score":{score:.6g},"average":{average:.6g},"rest":{rest:.6g},"items":'.encode()
    return start + b'"item":' + dumps(catalogue.ids[row]) + b"," + told + items + b"}"


def nearest(loaded: Loaded, questions: Sequence[Nearest]) -> list[bytes | Exception]:
    """The items most like some others, each answer as JSON; or why there is none, of a model without item factors."""
    if not questions:
        return []
    try:
        neighbours = loaded.recommender.neighbours
    except UnsupportedError as error:
        return [error] * len(questions)
    found: dict[Nearest, bytes] = {}
    for k in dict.fromkeys(one.k for one in questions):
        asked = list(dict.fromkeys(one for one in questions if one.k == k))
        like = neighbours.nearest(np.array([one.row for one in asked], np.int32), k)
        for one, ranked in zip(asked, like, strict=True):
            found[one] = _like(loaded, one.row, ranked)
            loaded.lists.put(one, found[one])
    return [found[one] for one in questions]


def _like(loaded: Loaded, row: int, ranked: Ranked) -> bytes:
    catalogue = loaded.catalogue
    counts = catalogue.counts[ranked.rows].tolist()
    parts = (
        b"{" + catalogue.head(at) + f',"similarity":{value:.6g},"ratings":{count}'.encode()
        + b',"columns":' + catalogue.columns(at) + b"}"
        for at, value, count in zip(ranked.rows.tolist(), ranked.values.tolist(), counts, strict=True)
    )  # fmt: skip
    return b'{"item":' + dumps(catalogue.ids[row]) + b',"similar":' + listed(parts) + b"}"


def search(loaded: Loaded, text: str, limit: int) -> bytes:
    """Items whose names are like what was typed."""
    rows = loaded.catalogue.search.find(text, limit).tolist()
    return b'{"items":' + listed(loaded.catalogue.described(row) for row in rows) + b"}"
