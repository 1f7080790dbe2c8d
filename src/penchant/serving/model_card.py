"""What is served, for people and the page: data, split, metrics, losses, how lists are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penchant.serving.catalogue import dumps
from penchant.serving.live import Loaded


def model_card(loaded: Loaded) -> bytes:
    """What is served, for people and the page."""
    manifest, recommender = loaded.manifest, loaded.recommender
    about = manifest["about"]
    valid = about.get("valid") or {}
    model = recommender.model
    card = {
        "model": manifest["model"],
        "version": loaded.version,
        "saved": loaded.saved,
        "penchant": manifest["penchant"],
        "data": _shareable(about.get("data") or {}) | {"n_items": len(recommender.items)},
        "split": about.get("split"),
        "metrics": {name: value for name, value in valid.items() if name != "coverage"} or None,
        "coverage": valid.get("coverage"),
        "log": manifest["log"],
        "settings": manifest["settings"],
        "index": _index_card(loaded),
        "columns": loaded.catalogue.filters,
        "rating_scale": None if model.ranks_only else list(model.scale),
        "has_intervals": loaded.has_intervals,
        "stripped": recommender.is_stripped,
    }
    return dumps(card)


def _index_card(loaded: Loaded) -> dict[str, Any]:
    """How lists are found, and how well."""
    if loaded.index is None:
        return {"kind": "exact"} | ({} if loaded.why_exact is None else {"why": loaded.why_exact})
    recall = loaded.index.recall
    measured = {"recall": round(recall.mean, 4), "k": recall.k, "users": recall.n_users}
    measured["searching"] = loaded.index.searching
    return {"kind": "approximate", **measured, "seconds": round(loaded.index.seconds, 2)}


def _shareable(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the data without the folders of the machine that it lay on."""
    source = str(data.get("source") or "")
    return {**data, "source": source.replace("\\", "/").rstrip("/").rpartition("/")[2]}
