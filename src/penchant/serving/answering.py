"""Answers as JSON: what a request asks of a loaded model, and the bytes that are sent back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.vocabulary import Id
from penchant.errors import InputError, UnsupportedError
from penchant.intervals import around
from penchant.models.base import Floats
from penchant.ranking import best_columns
from penchant.reranking import damped, pool_size, popularity, varied
from penchant.serving.batching import at_once
from penchant.serving.catalogue import dumps, listed
from penchant.serving.lists import likeness, ratings_of
from penchant.serving.live import Known, Loaded
from penchant.serving.overlay import Overlay

LEVEL = 0.9
NOTHING = np.empty(0, np.int32)


@dataclass(frozen=True)
class Listing:
    """What is asked of a list.

    Attributes:
        k: how many items.
        where: filters on item columns.
        exclude: ids of items that may not be in it.
        include_seen: also what the user has rated.
        diversity, popularity_damping: as in `lists.Wishes`.
        intervals, reasons: tell them too.
    """

    k: int = 10
    where: tuple[str, ...] = ()
    exclude: tuple[Id, ...] = ()
    include_seen: bool = False
    diversity: float = 0.0
    popularity_damping: float = 0.0
    intervals: bool = False
    reasons: bool = False


@dataclass(frozen=True)
class Asked:
    """A list for somebody.

    Attributes:
        listing: what is asked.
        start: of the answer, `{"user":42` or `{`.
        user: their id; None for somebody with a history alone.
        history: of somebody new, ids and ratings (None where nothing was rated).
    """

    listing: Listing
    overlay: Overlay
    start: bytes = b"{"
    user: Id | None = None
    history: tuple[tuple[Id, float | None], ...] = ()


def most_at_once(loaded: Loaded) -> int:
    """How many lists are scored together."""
    return at_once(len(loaded.catalogue.ids))


def lists(loaded: Loaded, asked: Sequence[Asked]) -> list[bytes | Exception]:
    """The answers to several requests, each as JSON or what is wrong with it."""
    answers: list[Any] = [None] * len(asked)
    people: list[tuple[int, Known]] = []
    for place, one in enumerate(asked):
        try:
            people.append((place, _person(loaded, one)))
        except Exception as error:
            answers[place] = error
    if people:
        scores = loaded.recommender.model.scores_of(np.stack([known.vector for _, known in people]))
        for (place, known), of_user in zip(people, scores, strict=True):
            try:
                answers[place] = _answer(loaded, asked[place], known, of_user)
            except Exception as error:
                answers[place] = error
    return answers


def _person(loaded: Loaded, asked: Asked) -> Known:
    if asked.user is not None:
        return loaded.known(asked.user, asked.overlay)
    return loaded.newcomer(*history_rows(loaded, asked.history))


def history_rows(
    loaded: Loaded, history: Sequence[tuple[Id, float | None]]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The history of somebody new, the last rating of an item counting.

    Raises:
        UnknownIdError: the model does not know an item.
        InputError: a rating is missing or not on the scale of the model.
    """
    rated: dict[int, float] = {}
    ranks_only = loaded.recommender.model.ranks_only
    for item, rating in history:
        if rating is None and not ranks_only:
            raise InputError(
                f"The item {item!r} of the history has no rating.", remedy="This model learns from ratings: give one."
            )
        rated[loaded.recommender.items.row(item)] = 1.0 if rating is None else rating
    ratings = ratings_of(rated, loaded.recommender.model)  # type: ignore[arg-type]  # only their values count
    return np.fromiter(rated, np.int32, len(rated)), ratings


def _answer(loaded: Loaded, asked: Asked, known: Known, scores: Floats) -> bytes:
    listing = asked.listing
    rows = _best(loaded, listing, known, scores)
    loaded.served[rows] = True
    items = listed(_items(loaded, listing, known, rows, scores[rows]))
    middle = b"" if asked.user is None else b',"known":true' if known.is_known else b',"known":false'
    model = b'"model":"' + loaded.version.encode() + b'","recommendations":'
    return asked.start + middle + (b"," if len(asked.start) > 1 else b"") + model + items + b"}"


def _best(loaded: Loaded, listing: Listing, known: Known, scores: Floats) -> NDArray[np.int32]:
    model, recommender = loaded.recommender.model, loaded.recommender
    allowed = loaded.allowed(listing.where)
    ranked = scores[None]
    if listing.popularity_damping:
        ranked = damped(ranked, popularity(loaded.catalogue.counts), listing.popularity_damping)
    if allowed is not None:
        ranked = np.where(allowed, ranked, np.float32(np.nan))
    left_out = NOTHING if listing.include_seen else known.taken.seen
    if listing.exclude:
        excluded = np.array([recommender.items.row(item) for item in listing.exclude], np.int32)
        left_out = np.concatenate((left_out, excluded))
    k = min(listing.k, model.n_items)
    pool = k if not listing.diversity else max(k, min(pool_size(k), model.n_items))
    best = best_columns(ranked, np.array([0, len(left_out)], np.int64), left_out, pool)
    if listing.diversity:
        best = varied(best, ranked, likeness(model, recommender.item_table, None), k, listing.diversity)
    found = best[0]
    return found[found >= 0]


def _items(loaded: Loaded, listing: Listing, known: Known, rows: NDArray[np.int32], scores: Floats) -> list[bytes]:
    model, catalogue = loaded.recommender.model, loaded.catalogue
    n = len(rows)
    predictions = [b"null"] * n if model.ranks_only else [_number(one) for one in model.clip(scores).tolist()]
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
    return f"{value:.6g}".encode() if math.isfinite(value) else b"null"


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
            f"A {model.name} model cannot tell what each rating adds to a score.", remedy="Serve another model."
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


def similar(loaded: Loaded, item: Id, k: int) -> bytes:
    """The items most like one.

    Raises:
        UnknownIdError: there is no such item.
        UnsupportedError: the model has no item factors.
    """
    row = loaded.recommender.items.row(item)
    key = ("similar", row, k)
    found: bytes | None = loaded.lists.get(key)
    if found is None:
        catalogue = loaded.catalogue
        like = loaded.recommender.similar_rows(row, k)
        counts = loaded.recommender.item_counts[like.rows].tolist()
        parts = (
            b"{" + catalogue.head(at) + f',"similarity":{value:.6g},"ratings":{count}'.encode()
            + b',"columns":' + catalogue.columns(at) + b"}"
            for at, value, count in zip(like.rows.tolist(), like.values.tolist(), counts, strict=True)
        )  # fmt: skip
        found = b'{"item":' + dumps(catalogue.ids[row]) + b',"similar":' + listed(parts) + b"}"
        loaded.lists.put(key, found)
    return found


def search(loaded: Loaded, text: str, limit: int) -> bytes:
    """Items whose names are like what was typed."""
    rows = loaded.catalogue.search.find(text, limit).tolist()
    return b'{"items":' + listed(loaded.catalogue.described(row) for row in rows) + b"}"


def predict(loaded: Loaded, overlay: Overlay, pairs: Sequence[tuple[Id, Id]], level: float | None) -> bytes:
    """Predicted ratings of pairs; an unknown user or item is answered from the side that is known.

    Raises:
        UnsupportedError: the model ranks only, or has no intervals.
        SettingError: the level is not between 0 and 1.
    """
    recommender, model = loaded.recommender, loaded.recommender.model
    people = {user: loaded.known(user, overlay) for user in dict.fromkeys(user for user, _ in pairs)}
    user_rows = np.array([people[user].row for user, _ in pairs], np.int32)
    item_rows = np.array([recommender.items.find(item) for _, item in pairs], np.int32)
    if model.ranks_only:
        model.predict(user_rows, item_rows)  # raises, and says why
    scores = model.pair_scores(user_rows, item_rows)
    for user, known in people.items():
        if known.is_folded and known.is_known:
            mine = np.array([n for n, pair in enumerate(pairs) if pair[0] == user and item_rows[n] >= 0], np.int64)
            scores[mine] = model.scores_of(known.vector[None])[0, item_rows[mine]]
    columns: dict[str, list[float]] = {"prediction": model.clip(scores).tolist()}
    if level is not None:
        found = around(model, recommender.conformal, user_rows, item_rows, scores=scores)
        low, high = found.ends(level)
        columns = {"prediction": model.clip(found.centres).tolist(), "low": low.tolist(), "high": high.tolist()}
    words = {(True, True): "both", (True, False): "user", (False, True): "item", (False, False): "neither"}
    answers = [
        {"user": user, "item": item}
        | {name: round(values[n], 6) for name, values in columns.items()}
        | {"known": words[people[user].is_known, bool(item_rows[n] >= 0)]}
        for n, (user, item) in enumerate(pairs)
    ]
    return dumps({"predictions": answers})


def model_card(loaded: Loaded, index: Mapping[str, Any]) -> bytes:
    """What is served, for people and the page."""
    manifest, recommender = loaded.manifest, loaded.recommender
    about = manifest["about"]
    valid = about.get("valid") or {}
    model = recommender.model
    card = {
        "model": manifest["model"],
        "version": loaded.version,
        "fitted": loaded.fitted,
        "penchant": manifest["penchant"],
        "data": _shareable(about.get("data") or {}) | {"n_items": len(recommender.items)},
        "split": about.get("split"),
        "metrics": {name: value for name, value in valid.items() if name != "coverage"} or None,
        "coverage": valid.get("coverage"),
        "log": manifest["log"],
        "settings": manifest["settings"],
        "index": dict(index),
        "columns": loaded.catalogue.filters,
        "rating_scale": None if model.ranks_only else list(model.scale),
        "has_intervals": loaded.has_intervals,
        "stripped": recommender.is_stripped,
    }
    return dumps(card)


def _shareable(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the data without the folders of the machine that it lay on."""
    source = str(data.get("source") or "")
    return {**data, "source": source.replace("\\", "/").rstrip("/").rpartition("/")[2]}
