"""A recommender as the contents of an artifact, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.artifact import Artifact
from penchant.data.vocabulary import Vocabulary
from penchant.errors import ArtifactError, InputError, NotFittedError, PenchantError
from penchant.intervals import Conformal
from penchant.models import Model, model_class
from penchant.models.fitting import FitLog
from penchant.serving.history import History

if TYPE_CHECKING:
    from penchant.serving.recommender import Recommender

STRIPPED = "stripped"  # in the manifest: the artifact is of no users, and says so
COUNTS = "item_counts"  # which the history tells where there is one
HISTORY = ("starts", "item_rows", "ratings", "in_training")

# What a manifest, arrays and tables with right checksums and wrong contents lead to.
MISFITS = (
    InputError,
    NotFittedError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
)


def to_artifact(recommender: Recommender) -> Artifact:
    """All that there is to write."""
    model, log, conformal = recommender.model, recommender.log, recommender.conformal
    manifest = {
        "model": model.name,
        "settings": model.settings.to_json(),
        "extra": model.extra(),
        "log": log.to_json() if log else None,
        "about": dict(recommender.about),
    }
    arrays = {f"model/{name}": array for name, array in model.arrays().items()}
    arrays |= {f"history/{part}": getattr(recommender.history, part) for part in HISTORY}
    if conformal is not None:
        arrays |= {f"intervals/{name}": array for name, array in conformal.arrays().items()}
    if recommender.kept_counts is not None:
        manifest[STRIPPED] = True
        arrays[COUNTS] = recommender.kept_counts
    return Artifact(manifest, arrays, pl.DataFrame({"id": recommender.users.ids}), _items_frame(recommender))


def _items_frame(recommender: Recommender) -> pl.DataFrame:
    frame = pl.DataFrame({"id": recommender.items.ids, "name": recommender.item_names})
    if recommender.item_table is None:
        return frame
    return frame.hstack(recommender.item_table.rename(lambda column: f"column/{column}").get_columns())


def checked_fields(artifact: Artifact, folder: str | Path, module: Any = None) -> dict[str, Any]:
    """The fields of a Recommender.

    Args:
        folder: where the artifact lies, for the message.
        module: the class of a torch module of the user's own.

    Raises:
        ArtifactError: the parts of the artifact do not fit together, or its model is unknown.
    """
    try:
        return from_artifact(artifact, module)
    except MISFITS as error:
        what = error.problem if isinstance(error, PenchantError) else repr(error)
        raise ArtifactError(f"{folder} does not fit together: {what}", remedy="Fit the model again.") from error


def from_artifact(artifact: Artifact, module: Any) -> dict[str, Any]:
    """The fields of a Recommender, checked.

    Args:
        module: the class of a torch module of the user's own, or None.

    Raises:
        one of MISFITS: the parts do not fit together.
    """
    manifest = artifact.manifest
    model_type = model_class(manifest["model"])
    settings = model_type.settings_class.from_dict(manifest["settings"], model_type.name)
    model = model_type.from_arrays(settings, _group(artifact, "model"), manifest["extra"], module)
    history = History(*(artifact.arrays[f"history/{part}"] for part in HISTORY))
    conformal = Conformal.from_arrays(_group(artifact, "intervals"))
    users, items = Vocabulary(artifact.users["id"], "user"), Vocabulary(artifact.items["id"], "item")
    names = artifact.items["name"]
    if not len(items) or names.dtype != pl.String or names.null_count():
        raise ValueError("there are no items, or an item has no name")
    counts = _kept_counts(artifact, model, len(users), len(items))
    model.check_arrays(len(users), len(items))
    history.check(len(users), len(items))
    if conformal is not None:
        conformal.check(len(users), len(items))
    columns = [column for column in artifact.items.columns if column.startswith("column/")]
    table = artifact.items.select(columns).rename(lambda column: column.removeprefix("column/")) if columns else None
    return {
        "model": model,
        "users": users,
        "items": items,
        "item_names": names,
        "history": history,
        "item_table": table,
        "log": FitLog.from_json(manifest["log"]) if manifest["log"] is not None else None,
        "about": dict(manifest["about"]),
        "conformal": conformal,
        "kept_counts": counts,
    }


def _kept_counts(artifact: Artifact, model: Model, n_users: int, n_items: int) -> NDArray[np.int64] | None:
    """Of a stripped artifact, training ratings of each item; None of one that has users.

    Raises:
        ValueError, LookupError: there are users where there should be none, or none where there should be some; or a
            stripped artifact has an array of which nobody knows whose it is.
    """
    is_stripped = artifact.manifest.get(STRIPPED, False)
    if not isinstance(is_stripped, bool) or is_stripped != (n_users == 0):
        raise ValueError(f"there are {n_users:,} users, and it is marked as {'' if is_stripped else 'not '}stripped")
    if not is_stripped:
        return None
    known = {f"model/{name}" for name in model.all_shapes(0, n_items)} | {f"history/{part}" for part in HISTORY}
    strange = [name for name in artifact.arrays if name not in known | {COUNTS} and not name.startswith("intervals/")]
    if strange:
        raise ValueError(f"it is marked as stripped, and has an array {strange[0]!r}")
    counts = artifact.arrays[COUNTS]
    if counts.dtype != np.int64 or counts.shape != (n_items,) or counts.min() < 0:
        raise ValueError(f"{COUNTS} is {counts.dtype} {counts.shape}, or an item has fewer than 0 ratings")
    return counts


def _group(artifact: Artifact, group: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with a group, without it."""
    start = f"{group}/"
    return {name.removeprefix(start): array for name, array in artifact.arrays.items() if name.startswith(start)}
