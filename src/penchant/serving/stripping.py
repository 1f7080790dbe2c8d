"""A recommender without its users: what is of any one of them is left out, what is learnt over all of them stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penchant.data.vocabulary import Vocabulary
from penchant.serving.history import History

if TYPE_CHECKING:
    from penchant.serving.recommender import Recommender

# What `penchant.job` writes into `about`. Whatever else a caller has put there may be about a user, and so may the
# notes of reading, which are free text.
ABOUT: dict[str, tuple[str, ...]] = {
    "data": (
        *("source", "n_ratings", "n_users", "n_items", "scale", "is_implicit", "positive_from", "mean", "times"),
        "columns",
    ),
    "split": ("how", "n_train", "n_valid", "n_given", "n_unknown", "may_leak", "then"),
    "feedback": ("store", "sequence", "n_events"),
    "valid": (
        *("metrics", "intervals", "coverage", "n", "n_unknown", "n_users", "n_users_without_relevant"),
        *("n_unknown_users", "n_users_folded_in", "n_relevant", "n_unknown_items"),
    ),
}


def strip(recommender: Recommender) -> Recommender:
    """The recommender without ids, histories and vectors of its users; a stripped one as it is.

    Raises:
        UnsupportedError: the model cannot do without its users.
    """
    if recommender.is_stripped:
        return recommender
    conformal = recommender.conformal
    return replace(
        recommender,
        model=recommender.model.without_users(),
        users=Vocabulary(recommender.users.ids.clear(), "user"),
        history=History.of_nobody(),
        about=about_nobody(recommender.about),
        conformal=None if conformal is None else conformal.without_users(),
        kept_counts=recommender.item_counts,
    )


def about_nobody(about: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is told about a fit, the parts that a fit writes and that are of all users together."""
    found: dict[str, Any] = {}
    for part, names in ABOUT.items():
        told = about.get(part)
        if isinstance(told, Mapping):
            found[part] = {name: told[name] for name in names if name in told}
    if "data" in found:
        found["data"]["notes"] = []
    return found
