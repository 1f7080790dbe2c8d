"""Self-attention over histories in order, in NumPy: what a fitted `sequence` is asked for, without torch.

A block is that of Kang and McAuley 2018 ("Self-Attentive Sequential Recommendation"), with the normalisation before
attention and before the hidden layer, as in GPT-2 (Radford et al. 2019), where it was found to train more steadily.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions, entries_of

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Shapes = dict[str, tuple[int, ...]]

EPSILON = 1e-6  # of variances that are divided by
PLACES_A_TIME = 8192  # in histories whose states are computed at once


@dataclass(frozen=True)
class Histories:
    """What each user took, in order of time, and of the table where times are equal.

    Attributes:
        starts: int64 (n_users + 1,); user row u owns the entries starts[u]:starts[u + 1].
        item_rows: int32 (n,).
    """

    starts: NDArray[np.int64]
    item_rows: Rows

    @classmethod
    def of(cls, train: Interactions) -> Histories:
        """Of interactions that have times."""
        assert train.times is not None
        order = np.lexsort((train.times, train.user_rows))
        starts = np.concatenate(([0], np.cumsum(train.user_counts))).astype(np.int64)
        return cls(starts, train.item_rows[order])

    def tails(self, user_rows: Rows, length: int) -> Padded:
        """The last items of some users, at most so many."""
        ends = self.starts[user_rows + 1]
        begins = np.maximum(self.starts[user_rows], ends - length)
        return padded(self.item_rows, begins, ends)


@dataclass(frozen=True)
class Padded:
    """Histories side by side.

    Attributes:
        rows: int32 (n, longest), item rows in order; 0 behind the end of a history.
        lengths: int64 (n,).
    """

    rows: Rows
    lengths: NDArray[np.int64]


def padded(item_rows: Rows, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Padded:
    """The pieces item_rows[begins[p]:ends[p]], (n,), side by side."""
    lengths = ends - begins
    table = np.zeros((len(begins), int(lengths.max(initial=0))), np.int32)
    bounds = np.stack((begins, ends), axis=1).reshape(-1)
    entries, owners = entries_of(bounds, 2 * np.arange(len(begins)))
    table[owners, entries - begins[owners]] = item_rows[entries]
    return Padded(table, lengths)


def shapes(n_items: int, factors: int, blocks: int, heads: int, max_length: int) -> Shapes:
    """The shapes of all weights by name; of a start, `max_length` items and so many blocks."""
    width = heads * -(-factors // heads)  # heads are as wide as they have to be, whether or not they divide the factors
    found: Shapes = {"item_factors": (n_items, factors), "item_biases": (n_items,)}
    found |= {"places": (max_length + 1, factors), "start": (factors,)}
    for number in range(blocks):
        of_block: Shapes = {
            "before_attention/gain": (factors,),
            "before_attention/bias": (factors,),
            "attention": (3 * width, factors),  # queries, keys, values
            "heads": (factors, width),
            "before_layer/gain": (factors,),
            "before_layer/bias": (factors,),
            "layer/inner": (factors, factors),
            "layer/inner_bias": (factors,),
            "layer/outer": (factors, factors),
            "layer/outer_bias": (factors,),
        }
        found |= {f"block/{number}/{name}": shape for name, shape in of_block.items()}
    return found | {"end/gain": (factors,), "end/bias": (factors,)}


@dataclass(frozen=True)
class Attention:
    """A network with its weights.

    Attributes:
        weights: float32 arrays by the names of `shapes`.
        blocks, heads: as in `shapes`.
    """

    weights: Mapping[str, NDArray[Any]]
    blocks: int
    heads: int

    def last_states(self, histories: Padded) -> Floats:
        """What follows after each history, float32 (n, factors): the vector that scores items by their factors.

        Histories of much the same length are computed together, and so many that memory stays bounded.
        """
        states = np.empty((len(histories.lengths), self.weights["item_factors"].shape[1]), np.float32)
        for some in _alike(histories.lengths):
            states[some] = self._states(histories.rows[some], histories.lengths[some])
        return states

    def _states(self, rows: Rows, lengths: NDArray[np.int64]) -> Floats:
        longest = int(lengths.max())
        x = embedded(self.weights, rows[:, :longest])
        places = np.arange(longest + 1)
        past = places <= places[:, None]  # (asking, asked): what each place may see
        for number in range(self.blocks):
            if number < self.blocks - 1:
                x = self._block(number, x, x, past)
            else:  # only the last place of each history is still needed
                last = x[np.arange(len(x)), lengths][:, None]
                x = self._block(number, last, x, (places <= lengths[:, None])[:, None, None])
        return self._normal("end", x[:, 0])

    def _block(self, number: int, asking: Floats, asked: Floats, visible: NDArray[np.bool_]) -> Floats:
        """From (n, a, factors) asking and (n, b, factors) asked to the asking ones' next states."""
        of = f"block/{number}/"
        queries, keys, values = np.split(self.weights[of + "attention"], 3)
        own = self._normal(of + "before_attention", asking)
        others = own if asked is asking else self._normal(of + "before_attention", asked)
        q, k, v = (self._in_heads(one) for one in (own @ queries.T, others @ keys.T, others @ values.T))
        fits = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(q.shape[3]))
        parts = np.where(visible, fits, np.float32(-np.inf))
        parts = np.exp(parts - parts.max(axis=3, keepdims=True))
        parts /= parts.sum(axis=3, keepdims=True)
        seen = (parts @ v).swapaxes(1, 2).reshape(*asking.shape[:2], -1)
        x = asking + seen @ self.weights[of + "heads"].T
        inner = self._normal(of + "before_layer", x) @ self.weights[of + "layer/inner"].T
        inner = np.maximum(inner + self.weights[of + "layer/inner_bias"], np.float32(0))
        outer: Floats = x + inner @ self.weights[of + "layer/outer"].T + self.weights[of + "layer/outer_bias"]
        return outer

    def _in_heads(self, x: Floats) -> Floats:
        """(n, places, width) as (n, heads, places, width of a head)."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def _normal(self, name: str, x: Floats) -> Floats:
        """Mean 0 and variance 1 over factors, times 1 + gain: a pull of the gain to 0 takes nothing away."""
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        normal: Floats = centred / deviation * (1 + self.weights[f"{name}/gain"]) + self.weights[f"{name}/bias"]
        return normal


def embedded(weights: Mapping[str, Any], rows: Rows) -> Floats:
    """A start and the items after it, each with its place, float32 (n, 1 + longest, factors)."""
    factors, places = weights["item_factors"], weights["places"]
    x = np.empty((len(rows), 1 + rows.shape[1], factors.shape[1]), np.float32)
    x[:, 0] = weights["start"]
    x[:, 1:] = factors[rows] * np.float32(np.sqrt(factors.shape[1]))
    x += places[: x.shape[1]]
    return x


def _alike(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Places of histories, those of much the same length together."""
    order, at = np.argsort(-lengths, kind="stable"), 0
    while at < len(order):
        many = max(1, PLACES_A_TIME // (int(lengths[order[at]]) + 1))
        yield order[at : at + many]
        at += many
