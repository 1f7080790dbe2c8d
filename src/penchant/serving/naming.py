"""Items by what people call them: a name in any case, or an id."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

import numpy as np
import polars as pl

from penchant.data.vocabulary import Id, Vocabulary
from penchant.errors import InputError, UnknownIdError
from penchant.explain import nearest_names


class ItemNames:
    """The ids and names of items.

    Args:
        items: n of them.
        names: String (n,).
    """

    def __init__(self, items: Vocabulary, names: pl.Series) -> None:
        self.items = items
        self.names = names

    def find(self, wanted: Id | str) -> int:
        """The row of an item, as `Recommender.find_item` has it.

        Raises:
            UnknownIdError: no item has this id or name; the nearest names are suggested.
            InputError: several items have this name; their ids are listed.
        """
        if isinstance(wanted, str) != self.items.is_integer:
            with suppress(UnknownIdError):
                return self.items.row(wanted)
        named = self._rows.get(str(wanted).casefold(), [])
        if len(named) == 1:
            return named[0]
        if not named:
            try:
                return self.items.row(wanted)
            except UnknownIdError:
                raise self._suggest(str(wanted)) from None
        exact = [row for row in named if self.names[row] == wanted]
        if len(exact) == 1:
            return exact[0]
        ids = ", ".join(repr(id_) for id_ in self.items.take(np.array(named)))
        raise InputError(f"{len(named)} items are called {wanted!r}.", remedy=f"Give one of their ids: {ids}.")

    @cached_property
    def _rows(self) -> dict[str, list[int]]:
        """Rows by name, its case folded."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.names.to_list()):
            rows.setdefault(name.casefold(), []).append(row)
        return rows

    def _suggest(self, wanted: str) -> UnknownIdError:
        known = self.names.to_list()
        if not self.items.is_integer:  # numbers that look alike have nothing to do with each other
            known += self.items.ids.to_list()
        near = dict.fromkeys(place % len(self.names) for place in nearest_names(wanted, known))
        names = "\n".join(f"  {self._shown(row)}" for row in near)
        remedy = f"Did you mean:\n{names}" if near else "Give an id or a name as it stands in the items table."
        return UnknownIdError(f"There is no item {wanted!r} in this model.", remedy=remedy)

    def _shown(self, row: int) -> str:
        """An item's name, after its id where that is text of its own."""
        id_, name = self.items.ids[row], str(self.names[row])
        return name if self.items.is_integer or id_ == name else f"{id_}  {name}"
