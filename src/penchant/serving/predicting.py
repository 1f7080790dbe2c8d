"""Predicted ratings of pairs as JSON, and the people whose they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from penchant.data.vocabulary import Id
from penchant.intervals import around
from penchant.models.base import Floats, Rows
from penchant.serving.answering import most_at_once
from penchant.serving.catalogue import dumps
from penchant.serving.live import Known, Loaded
from penchant.serving.overlay import Overlay


def people_of(
    loaded: Loaded, overlay: Overlay, users: Iterable[Id], is_given_up: Callable[[], bool] = lambda: False
) -> dict[Id, Known]:
    """Users with all that is stored of them; as far as it has come when it is given up.

    Raises:
        StoreError: the store does not answer.
    """
    found: dict[Id, Known] = {}
    for user in users:
        if is_given_up():
            break
        if user not in found:
            found[user] = loaded.known(user, overlay)
    return found


def predict(
    loaded: Loaded,
    overlay: Overlay,
    pairs: Sequence[tuple[Id, Id]],
    level: float | None,
    people: Mapping[Id, Known] | None = None,
    is_given_up: Callable[[], bool] = lambda: False,
) -> bytes:
    """Predicted ratings of pairs; an unknown user or item is answered from the side that is known.

    Args:
        level: the probability of the interval, None for none.
        people: those who were looked up before.
        is_given_up: whether nobody waits for the answer any more; it is empty then.

    Raises:
        UnsupportedError: the model ranks only, or has no intervals.
        SettingError: the level is not between 0 and 1.
    """
    recommender, model = loaded.recommender, loaded.recommender.model
    people = dict(people or {})
    people |= people_of(loaded, overlay, (user for user, _ in pairs if user not in people), is_given_up)
    if is_given_up():
        return b""
    user_rows = np.array([people[user].row for user, _ in pairs], np.int32)
    item_rows = np.array([recommender.items.find(item) for _, item in pairs], np.int32)
    if model.ranks_only:
        model.predict(user_rows, item_rows)  # raises, and says why
    scores = model.pair_scores(user_rows, item_rows)
    _score_folded(loaded, people, [user for user, _ in pairs], item_rows, scores, is_given_up)
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


def _score_folded(
    loaded: Loaded,
    people: Mapping[Id, Known],
    users: Sequence[Id],
    item_rows: Rows,
    scores: Floats,
    is_given_up: Callable[[], bool],
) -> None:
    """Write over the scores of pairs (n,) of those whose vector is not that of training, many users at a time."""
    places: dict[Id, list[int]] = {}
    for n, user in enumerate(users):
        known = people[user]
        if known.is_folded and known.is_known and item_rows[n] >= 0:
            places.setdefault(user, []).append(n)
    folded, step = list(places), most_at_once(loaded)
    for start in range(0, len(folded), step):
        if is_given_up():
            return
        some = folded[start : start + step]
        found = loaded.recommender.model.scores_of(np.stack([people[user].vector for user in some]))
        for user, of_user in zip(some, found, strict=True):
            scores[places[user]] = of_user[item_rows[places[user]]]
