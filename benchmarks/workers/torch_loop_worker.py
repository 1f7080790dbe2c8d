"""A second baseline: the notebook's collab_learner (biases, factors, sigmoid) as a plain torch loop.

Same sizes and settings as fastai's, none of its machinery: batches are slices of permuted tensors, AdamW is
fused, torch has one thread. Run by the peer environment's Python.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from notebook_data import mean_mse, merged_ratings  # noqa: E402

FACTORS = 50
BATCH = 64
HIGH = 5.5
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 0.1

Part = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # users, items, ratings


class DotBias(torch.nn.Module):
    """fastai's EmbeddingDotBias."""

    def __init__(self, n_users: int, n_items: int) -> None:
        super().__init__()
        self.users, self.items = embedding(n_users, FACTORS), embedding(n_items, FACTORS)
        self.user_biases, self.item_biases = embedding(n_users, 1), embedding(n_items, 1)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        z = (self.users(users) * self.items(items)).sum(1)
        z = z + self.user_biases(users).squeeze(1) + self.item_biases(items).squeeze(1)
        return torch.sigmoid(z) * HIGH


def embedding(n: int, size: int) -> torch.nn.Embedding:
    """As fastai starts its own: normal of deviation 0.01, cut at two deviations."""
    made = torch.nn.Embedding(n, size)
    with torch.no_grad():
        made.weight.normal_().fmod_(2).mul_(0.01)
    return made


def split(folder: Path, split_file: Path) -> tuple[Part, Part, int, int]:
    """Train and validation tensors by lines of ratings.csv, and how many users and items there are."""
    ratings, lines = merged_ratings(folder)
    rows = np.argsort(lines)  # row of the merged table by line
    users, items = pd.factorize(ratings["userId"])[0], pd.factorize(ratings["title"])[0]
    columns = (users, items, ratings["rating"].to_numpy(np.float32))
    chosen = json.loads(split_file.read_text(encoding="utf-8"))
    train, valid = (
        tuple(torch.from_numpy(column[rows[chosen[part]]]) for column in columns)
        for part in ("train_lines", "valid_lines")
    )
    return train, valid, int(users.max()) + 1, int(items.max()) + 1


class Loop:
    """The training loop."""

    def __init__(self, model: DotBias, n: int, epochs: int) -> None:
        self.model = model
        self.steps = n // BATCH or 1  # fastai drops the last, incomplete batch
        self.optimiser = torch.optim.AdamW(
            model.parameters(), betas=(0.9, 0.99), eps=1e-5, weight_decay=WEIGHT_DECAY, fused=True
        )
        # fastai's one-cycle: up from 1/25 on a cosine for a quarter, down to 1e-5 of the peak after.
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, LEARNING_RATE, total_steps=self.steps * epochs, pct_start=0.25, final_div_factor=4000
        )

    def run_epoch(self, train: Part) -> float:
        """The mean squared error over the epoch, each batch before its step."""
        order = torch.randperm(len(train[2]))
        users, items, ratings = (column[order] for column in train)
        total = torch.zeros(())
        for start in range(0, self.steps * BATCH, BATCH):
            part = slice(start, start + BATCH)
            loss = torch.nn.functional.mse_loss(self.model(users[part], items[part]), ratings[part])
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            total += loss.detach()
        return float(total) / self.steps

    def valid_loss(self, valid: Part) -> float:
        """The mean squared error of the validation ratings."""
        with torch.inference_mode():
            return float(torch.nn.functional.mse_loss(self.model(valid[0], valid[1]), valid[2]))


def fit(train: Part, valid: Part, n_users: int, n_items: int, epochs: int) -> dict[str, Any]:
    """Fit, and the epoch table."""
    started = time.perf_counter()  # the optimiser is made inside the clock, as in fastai's fit and penchant's
    loop, table = Loop(DotBias(n_users, n_items), len(train[2]), epochs), []
    for _ in range(epochs):
        began = time.perf_counter()
        losses = {"train_loss": loop.run_epoch(train), "valid_loss": loop.valid_loss(valid)}
        table.append({**losses, "seconds": time.perf_counter() - began})
    return {"epochs": table, "fit_seconds": time.perf_counter() - started}


def main() -> None:
    imported = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__)
    for option, kind in (("data", Path), ("split", Path), ("seed", int), ("epochs", int), ("out", Path)):
        parser.add_argument(f"--{option}", type=kind, required=True)
    given = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    train, valid, n_users, n_items = split(given.data, given.split)
    prepared = time.perf_counter()
    result = {
        "threads": torch.get_num_threads(),
        "seconds": {"import": imported - STARTED, "data": prepared - imported},
        "mean_mse": mean_mse(train[2].numpy(), valid[2].numpy()),
        **fit(train, valid, n_users, n_items, given.epochs),
    }
    given.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
