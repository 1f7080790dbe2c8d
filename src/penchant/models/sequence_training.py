"""Training of `sequence` in torch, which scores without it: the same network as in `attention`, with gradients.

The loss is gBCE of Petrov and Macdonald 2023 ("gSASRec: Reducing Overconfidence in Sequential Recommendation Trained
with Negative Sampling"): binary cross-entropy, in which what was taken counts less, so that scores do not come out as
sure as the few negatives make it look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from penchant.data.split import Split
from penchant.models.attention import EPSILON, Histories, padded, shapes
from penchant.models.fitting import FitOptions
from penchant.models.torch_training import Adam, Arrays, Progressed, Trainer
from penchant.seeds import numpy_generator

INITIAL_DEVIATION = 0.02  # of gSASRec and GPT-2
SORTED_TOGETHER = 16  # batches among which pieces of histories are sorted by length, so that little is padded
ADAM_EPSILON = 1e-8  # gradients of one item among many are small


class SequenceTrainer(Trainer):
    """Epochs over histories in pieces, cut anew for each epoch; every interaction is foretold once from those before.

    A piece is at most one item longer than what the network sees, and begins with the start instead of what was before.
    Biases of items begin at the logarithms of their shares, and weight_decay pulls them there. Without them factors,
    which are also what the network sees of items, would have to say how often items are taken: in trials all came to
    point one way, and nothing was learnt of their order (NDCG@10 0.033 instead of 0.10 on MovieLens 100K).

    All places of a batch share the same drawn negatives, other items than the one that was taken, so that their
    scores are one product of matrices.
    """

    def __init__(self, settings: Any, split: Split, options: FitOptions) -> None:
        super().__init__(settings, split, options)
        self.histories = Histories.of(split.train)
        self.n_items = split.train.n_items
        shares = (split.train.item_counts + 1) / (len(split.train) + self.n_items)
        self.popularity = np.log(shares).astype(np.float32)
        self.longest = settings.max_length + 1
        self.n_negatives = min(settings.negatives, self.n_items)
        sampled = self.n_negatives / self.n_items
        self.counts = 1 - settings.calibration * (1 - sampled)  # beta of the paper's equation 7

    def _start(self) -> None:
        s = self.settings
        generator = numpy_generator(self.seed, "initial network")
        self.weights: dict[str, torch.Tensor] = {}
        for name, shape in shapes(self.n_items, s.factors, s.blocks, s.heads, s.max_length).items():
            start = np.zeros(shape, np.float32)
            if not name.endswith(("gain", "bias", "biases")):
                start[:] = generator.standard_normal(shape, np.float32) * np.float32(INITIAL_DEVIATION)
            self.weights[name] = torch.from_numpy(start).to(self.device).requires_grad_()
        self.biases = torch.from_numpy(self.popularity).to(self.device)
        self.optimiser = Adam(self.weights.values(), s.weight_decay)
        self.optimiser.epsilon = ADAM_EPSILON

    def run_epoch(self, epoch: int, progressed: Progressed) -> float:
        """One pass over all histories; the mean loss of an interaction before each step."""
        self.begins, self.ends = _pieces(self.histories.starts, self.longest, self.order)
        self.steps_an_epoch = -(-len(self.begins) // self.settings.batch_size)
        return super().run_epoch(epoch, progressed)

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Item rows (pieces, longest) and which of them there are, (pieces, longest) of bool, twice."""
        size = self.settings.batch_size
        order = self.order.permutation(len(self.begins))
        lengths = self.ends - self.begins
        for at in range(0, len(order), size * SORTED_TOGETHER):
            some = order[at : at + size * SORTED_TOGETHER]
            some = some[np.argsort(lengths[some], kind="stable")]
            for start in size * self.order.permutation(-(-len(some) // size)):
                batch = some[start : start + size]
                pieces = padded(self.histories.item_rows, self.begins[batch], self.ends[batch])
                there = np.arange(pieces.rows.shape[1]) < pieces.lengths[:, None]
                rows, known = (torch.from_numpy(one).to(self.device) for one in (pieces.rows.astype(np.int64), there))
                yield rows, known, known

    def _step(self, rows: torch.Tensor, known: torch.Tensor, _: torch.Tensor, scale: float) -> torch.Tensor:
        states = self.states(rows[:, :-1], self.settings.dropout)[known]  # (taken, factors)
        loss = self._loss(states, rows[known])
        (loss / len(states)).backward()
        self.optimiser.step(self.settings.learning_rate * scale)
        return loss.detach()

    def _loss(self, states: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """The sum of losses over all that was taken, each k + 1 times the paper's mean over k negatives and it."""
        softplus = torch.nn.functional.softplus  # softplus(-s) = -log of the chance that the sigmoid gives
        factors, biases = self.weights["item_factors"], self.weights["item_biases"] + self.biases
        drawn = torch.randperm(self.n_items, device=self.device)[: self.n_negatives]
        positive = (states * factors[taken]).sum(dim=1) + biases[taken]
        negative = states @ factors[drawn].T + biases[drawn]  # (taken, negatives)
        negative = negative.masked_fill(drawn == taken[:, None], -torch.inf)
        return self.counts * softplus(-positive).sum() + softplus(negative).sum()

    def states(self, rows: torch.Tensor, dropout: float = 0.0) -> torch.Tensor:
        """What follows after a start and after each item of histories (n, m), (n, m + 1, factors)."""
        w, heads = self.weights, self.settings.heads
        factors = w["item_factors"].shape[1]
        start = w["start"].expand(len(rows), 1, factors)
        x = torch.cat((start, w["item_factors"][rows] * factors**0.5), dim=1) + w["places"][: rows.shape[1] + 1]
        x = _dropped(x, dropout)
        for number in range(self.settings.blocks):
            of = f"block/{number}/"
            whole = self._normal(of + "before_attention", x) @ w[of + "attention"].T
            q, k, v = (one.unflatten(2, (heads, -1)).transpose(1, 2) for one in whole.chunk(3, dim=2))
            seen = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + _dropped(seen.transpose(1, 2).flatten(2) @ w[of + "heads"].T, dropout)
            inner = self._normal(of + "before_layer", x) @ w[of + "layer/inner"].T + w[of + "layer/inner_bias"]
            outer = _dropped(inner.relu(), dropout) @ w[of + "layer/outer"].T + w[of + "layer/outer_bias"]
            x = x + _dropped(outer, dropout)
        return self._normal("end", x)

    def _normal(self, name: str, x: torch.Tensor) -> torch.Tensor:
        normal = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=EPSILON)
        return normal * (1 + self.weights[f"{name}/gain"]) + self.weights[f"{name}/bias"]

    def arrays(self) -> Arrays:
        """What is learnt by name."""
        found = self.state()
        return found | {"item_biases": found["item_biases"] + self.popularity}

    def state(self) -> Arrays:
        """A copy of what is trained."""
        return {name: weight.detach().cpu().numpy().copy() for name, weight in self.weights.items()}

    def load(self, state: Arrays) -> None:
        """Take back a copy."""
        with torch.no_grad():
            for name, array in state.items():
                self.weights[name].copy_(torch.from_numpy(array))


def _dropped(x: torch.Tensor, dropout: float) -> torch.Tensor:
    return torch.nn.functional.dropout(x, dropout) if dropout else x


def _pieces(
    starts: NDArray[np.int64], longest: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where pieces of histories begin and end; one that is too long is cut at a random place, and from there on."""
    counts = np.diff(starts)
    first = np.where(counts > longest, generator.integers(1, longest + 1, len(counts)), counts)
    n_pieces = 1 + -(-(counts - first) // longest)
    owners = np.repeat(np.arange(len(counts)), n_pieces)
    number = np.arange(len(owners)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    ends = np.minimum(starts[owners] + first[owners] + number * longest, starts[owners + 1])
    begins = np.where(number == 0, starts[owners], starts[owners] + first[owners] + (number - 1) * longest)
    kept = begins < ends
    return begins[kept], ends[kept]
