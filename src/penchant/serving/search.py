"""Items by what somebody types: names that start so, names with a word that starts so, then names nearly like it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

Codes = NDArray[np.int64]

LEAST_SHARED = 0.5  # of the trigrams of what was typed, which a name has to have to be nearly like it
LONGEST_QUERY = 200  # characters
SEPARATOR = "\n"


def folded(text: str) -> str:
    """Lower case without accents, words parted by one blank: what is compared."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    return " ".join("".join(one if one.isalnum() else " " for one in plain).split())


class Search:
    """An index over names.

    Prefixes are found by a scan in polars (1 ms for 100,000 names); near misses by counting shared trigrams, from
    postings that are made when the first is asked for.

    Args:
        names: n names.
        counts: ratings of each (n,); of equally good names the more popular comes first.
    """

    def __init__(self, names: Sequence[str], counts: NDArray[np.int64]) -> None:
        self._folded = pl.Series([" " + folded(name) for name in names], dtype=pl.String)
        self._popular = np.argsort(-counts, kind="stable").astype(np.int32)
        place = np.empty(len(counts), np.int64)
        place[self._popular] = np.arange(len(counts))
        self._place = place

    def find(self, text: str, limit: int) -> NDArray[np.int32]:
        """Rows of at most so many names, best first; the most popular where nothing is typed."""
        wanted = folded(text[:LONGEST_QUERY])
        if not wanted:
            return self._popular[:limit] if not text.strip() else np.empty(0, np.int32)
        found = self._by_place(self._folded.str.starts_with(" " + wanted))[:limit]
        for more in (self._starting_words, self._like):
            if len(found) < limit:
                rest = more(wanted)
                found = np.concatenate((found, rest[~np.isin(rest, found)]))[:limit]
        return found

    def _by_place(self, mask: pl.Series) -> NDArray[np.int32]:
        rows = np.flatnonzero(mask.to_numpy())
        return rows[np.argsort(self._place[rows])].astype(np.int32)

    def _starting_words(self, wanted: str) -> NDArray[np.int32]:
        """Names of which each word that was typed starts a word, in any order."""
        mask = pl.Series([True]).new_from_index(0, len(self._folded))
        for word in wanted.split():
            mask = mask & self._folded.str.contains(" " + word, literal=True)
        return self._by_place(mask)

    def _like(self, wanted: str) -> NDArray[np.int32]:
        """Names that share most trigrams with what was typed."""
        codes, starts, owners = self._postings
        if not len(codes):
            return np.empty(0, np.int32)
        asked = np.unique(_trigrams(f" {wanted} ")[0])
        places = np.searchsorted(codes, asked)
        places = places[(places < len(codes)) & (codes[np.minimum(places, len(codes) - 1)] == asked)]
        if not len(places):
            return np.empty(0, np.int32)
        hits = np.concatenate([owners[starts[place] : starts[place + 1]] for place in places])
        shared = np.bincount(hits, minlength=len(self._folded))
        rows = np.flatnonzero(shared >= LEAST_SHARED * len(asked))
        return rows[np.lexsort((self._place[rows], -shared[rows]))].astype(np.int32)

    @cached_property
    def _postings(self) -> tuple[Codes, Codes, NDArray[np.int32]]:
        """Distinct trigrams ascending, where the names of each start, and the names."""
        text = SEPARATOR.join(f"{name} " for name in self._folded.to_list())
        codes, ends = _trigrams(text)
        lengths = self._folded.str.len_chars().to_numpy().astype(np.int64) + 2  # a blank and the separator
        names = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[: len(ends)][ends]
        order = np.lexsort((names, codes))
        codes, names = codes[order], names[order]
        first = np.ones(len(codes), bool)
        first[1:] = (codes[1:] != codes[:-1]) | (names[1:] != names[:-1])
        codes, names = codes[first], names[first]
        distinct, starts = np.unique(codes, return_index=True)
        return distinct, np.append(starts, len(codes)).astype(np.int64), names


def _trigrams(text: str) -> tuple[Codes, NDArray[np.bool_]]:
    """Codes of each three characters in a row that no separator parts, and at which positions they are."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    if len(points) < 3:
        return np.empty(0, np.int64), np.zeros(max(len(points) - 2, 0), bool)
    codes = (points[:-2] << 42) | (points[1:-1] << 21) | points[2:]
    is_parted = points == ord(SEPARATOR)
    whole = ~(is_parted[:-2] | is_parted[1:-1] | is_parted[2:])
    return codes[whole], whole
