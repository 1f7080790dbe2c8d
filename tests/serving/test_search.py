"""Items by what somebody types, against a slow reading of the same rules."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penchant.serving.search import LEAST_SHARED, Search, folded


def trigrams(text: str) -> set[str]:
    return {text[n : n + 3] for n in range(len(text) - 2)}


def slowly(names: list[str], counts: list[int], text: str, limit: int) -> list[int]:
    """Prefixes, then words, then trigrams; of each the popular first, of trigrams those that share most."""
    wanted = folded(text)
    by_counts = sorted(range(len(names)), key=lambda row: (-counts[row], row))
    if not wanted:
        return by_counts[:limit] if not text.strip() else []
    spaced = [" " + folded(name) for name in names]
    asked = trigrams(f" {wanted} ")
    shared = [len(asked & trigrams(name + " ")) for name in spaced]
    steps = [
        [row for row in by_counts if spaced[row].startswith(" " + wanted)],
        [row for row in by_counts if all(" " + word in spaced[row] for word in wanted.split())],
        sorted((row for row in by_counts if shared[row] >= LEAST_SHARED * len(asked)), key=lambda row: -shared[row]),
    ]
    return list(dict.fromkeys(row for step in steps for row in step))[:limit]


TEXT = st.text(alphabet="abé -1\n", max_size=8)


@given(st.lists(st.tuples(TEXT, st.integers(0, 3)), min_size=1, max_size=12), TEXT, st.integers(1, 5))
def test_it_finds_what_a_slow_reading_finds(entries: list[tuple[str, int]], text: str, limit: int) -> None:
    names, counts = [name for name, _ in entries], [count for _, count in entries]
    found = Search(names, np.array(counts, np.int64)).find(text, limit)
    assert found.tolist() == slowly(names, counts, text, limit)


def test_accents_case_and_signs_do_not_matter() -> None:
    names = ["Amélie (2001)", "Straße, Die", "WALL·E"]
    search = Search(names, np.array([1, 1, 1], np.int64))
    assert [search.find(text, 1).tolist() for text in ("AMELIE", "strasse die", "wall e", "amelei")] == [
        [0],
        [1],
        [2],
        [0],
    ]
