"""Candidates to rank for each user, in the format of the test.negative files of He et al. 2017.

A line is `(user,item)` and, after tabs, items that the user has not taken: `(0,25)	1064	174	2791`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.errors import DataError

REMEDY = "A line is (user,item) and, after tabs, the negatives: (0,25)\t1064\t174."


@dataclass(frozen=True, eq=False)
class Candidates:
    """For each of n lines a user, the item that they took, and m negatives in all.

    Attributes:
        users, items: String (n,), ids as they are written.
        starts: int64 (n + 1,); line r has the negatives negatives[starts[r]:starts[r + 1]].
        negatives: String (m,), without those that equal the line's item.
    """

    users: pl.Series
    items: pl.Series
    starts: NDArray[np.int64]
    negatives: pl.Series


def read_candidates(source: str | Path) -> Candidates:
    """Read a file of candidates; a negative that equals the line's item is left out.

    Raises:
        DataError: it cannot be read, or a line is not of the format.
    """
    path = Path(source)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = "It is not text." if isinstance(error, UnicodeDecodeError) else f"{error.strerror}."
        raise DataError(problem, file=str(path), remedy="Give a file of candidates. " + REMEDY) from None
    users, items, negatives, counts = [], [], [], [0]
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        pair, *others = (part.strip() for part in line.split("\t"))
        user, comma, item = pair.removeprefix("(").removesuffix(")").partition(",")
        if not (pair.startswith("(") and pair.endswith(")") and comma and user.strip() and item.strip()):
            raise DataError(f"{pair[:60]!r} is not (user,item).", file=str(path), line=number, remedy=REMEDY)
        mine = [other for other in others if other and other != item.strip()]
        if not mine:
            raise DataError("There are no negatives on this line.", file=str(path), line=number, remedy=REMEDY)
        users.append(user.strip())
        items.append(item.strip())
        negatives.extend(mine)
        counts.append(len(mine))
    if not users:
        raise DataError("The file is empty.", file=str(path), remedy=REMEDY)
    strings: Any = pl.String
    return Candidates(
        pl.Series("user", users, strings),
        pl.Series("item", items, strings),
        np.cumsum(counts, dtype=np.int64),
        pl.Series("negative", negatives, strings),
    )
