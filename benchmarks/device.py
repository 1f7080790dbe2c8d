"""Training on a GPU beside the processor: `sequence`, and a torch module of one's own, on synthetic data.

    PYTHONPATH=src python benchmarks/device.py [--users 6000] [--epochs 4] [--devices cpu,cuda] [-o FILE]

Prints JSON: of each model and device the seconds of the fit and of an epoch, and what the fitted model is worth on what
was held out. It ends with 1 where two devices disagree by more than TOLERANCE of that, and with 2 where a device is
not there. penchant's libraries and torch are needed; penchant need not be installed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from environment import describe

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_last, split_random
from penchant.data.synthetic import planted
from penchant.data.vocabulary import Vocabulary
from penchant.errors import PenchantError
from penchant.evaluate_lists import HeldOut, evaluate_lists
from penchant.models import Model, build, build_own
from penchant.models.fitting import FitOptions
from penchant.rank_metrics import parse_rank_metric

TOLERANCE = 0.05  # of the metric: devices draw other numbers and add in another order
EVENTS = 60  # of each user
FOLLOWERS = 5  # items, one of which comes after an item
SURPRISES = 0.3  # how often something else comes


class DotProduct(torch.nn.Module):
    """Factors and biases, as a user would bring them."""

    def __init__(self, n_users: int, n_items: int, n_factors: int = 64) -> None:
        super().__init__()
        self.users = torch.nn.Embedding(n_users, n_factors)
        self.items = torch.nn.Embedding(n_items, n_factors)
        for table in (self.users, self.items):
            torch.nn.init.normal_(table.weight, std=0.1)
        self.user_biases, self.item_biases = torch.nn.Embedding(n_users, 1), torch.nn.Embedding(n_items, 1)
        self.level = torch.nn.Parameter(torch.tensor(3.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Ratings of (batch, 2) user and item rows."""
        users, items = x[:, 0], x[:, 1]
        biases = (self.user_biases(users) + self.item_biases(items)).squeeze(1)
        return self.level + biases + (self.users(users) * self.items(items)).sum(dim=1)


def walks(n_users: int, n_items: int) -> Interactions:
    """Users who go from item to item, mostly to one of a few that follow it."""
    draw = np.random.default_rng(0)
    followers = draw.integers(0, n_items, (n_items, FOLLOWERS))
    rows = np.empty((n_users, EVENTS), np.int64)
    rows[:, 0] = draw.integers(0, n_items, n_users)
    for step in range(1, EVENTS):
        following = followers[rows[:, step - 1], draw.integers(0, FOLLOWERS, n_users)]
        anywhere = draw.integers(0, n_items, n_users)
        rows[:, step] = np.where(draw.random(n_users) < SURPRISES, anywhere, following)
    return Interactions(
        Vocabulary(pl.Series("user", np.arange(n_users)), "user"),
        Vocabulary(pl.Series("item", np.arange(n_items)), "item"),
        np.repeat(np.arange(n_users, dtype=np.int32), EVENTS),
        rows.reshape(-1).astype(np.int32),
        np.ones(rows.size, np.float32),
        np.tile(np.arange(EVENTS, dtype=np.int64), n_users),
        is_implicit=True,
    )


def ndcg(model: Model, split: Split) -> float:
    """NDCG@10 of what comes next, all items ranked: an item may come again."""
    assert split.valid is not None
    held_out = HeldOut.of(split.valid, (split.valid_user_rows, split.valid_item_rows))
    nothing = np.zeros(model.n_users + 1, np.int64), np.empty(0, np.int32)
    return evaluate_lists(model, held_out, nothing, [parse_rank_metric("ndcg@10")]).metrics["ndcg@10"]


def rmse(model: Model, split: Split) -> float:
    """Root mean squared error of the validation ratings."""
    assert split.valid is not None
    predictions = model.predict(split.valid_user_rows, split.valid_item_rows)
    return float(np.sqrt(np.mean((predictions - split.valid.ratings) ** 2, dtype=np.float64)))


def measured(model: Model, split: Split, device: str, name: str) -> dict[str, Any]:
    """One fit; its epochs' median leaves out what the first use of a device costs."""
    log = model.fit(split, FitOptions(seed=1, device=device))
    metric = ndcg if model.ranks_only else rmse
    return {
        "model": name,
        "device": device,
        "fit_seconds": round(log.fit_seconds, 3),
        "epoch_seconds": round(float(np.median([epoch.seconds for epoch in log.epochs])), 3),
        "train_losses": [round(epoch.train_loss, 5) for epoch in log.epochs],
        metric.__name__: round(metric(model, split), 5),
    }


def main() -> int:
    """Fit each model on each device and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=6000)
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--devices", default="cpu,cuda")
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    devices, fits = asked.devices.split(","), []
    for device in devices:
        build("sequence").check_device(device)
    ordered = split_last(walks(asked.users, asked.items), 1)
    rated = split_random(planted(asked.users, asked.items, EVENTS * asked.users, seed=1), 0.2, seed=1)
    for device in devices:
        steps = {"epochs": asked.epochs, "batch_size": 64, "learning_rate": 0.01, "dropout": 0.1}
        fits.append(measured(build("sequence", **steps), ordered, device, "sequence"))
        own = build_own(DotProduct, epochs=asked.epochs, batch_size=2048, learning_rate=0.02)
        fits.append(measured(own, rated, device, "own"))
    agree = {}
    for name, metric in (("sequence", "ndcg"), ("own", "rmse")):
        values = [fit[metric] for fit in fits if fit["model"] == name]
        agree[name] = max(values) - min(values) <= TOLERANCE * max(values)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    sizes = {"users": asked.users, "items": asked.items, "sequence": len(ordered.train), "own": len(rated.train)}
    found = {**describe(["numpy", "torch"]), "gpu": gpu, "sizes": sizes, "fits": fits, "agree": agree}
    text = json.dumps(found, indent=2)
    print(text)
    if asked.output is not None:
        asked.output.write_text(text + "\n", encoding="utf-8")
    return 0 if all(agree.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PenchantError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
