"""How accurate the models are with their default settings, over several splits, and how good folding in is.

    PENCHANT_DATA=… python benchmarks/defaults.py

Writes docs/benchmarks/defaults.json and .md. Needs the folders ml-latest-small, ml-100k (with u1.base, u1.test, …)
and book-crossing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import environment
import numpy as np
import report

from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings
from penchant.data.split import Split, split_file, split_none, split_random
from penchant.models import Model, build
from penchant.models.fitting import FitOptions

PACKAGES = ("penchant", "numpy", "numba", "torch")
ALONE = {**report.ALONE, "epochs": 2}  # the network without histories and columns
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bias": ("bias", {}),
    "dot": ("dot", {}),
    "mf": ("mf", {}),
    "mf, learning_rate 0.02, weight_decay 0.1": ("mf", {"learning_rate": 0.02, "weight_decay": 0.1}),
    "mlp": ("mlp", {}),
    "mlp 100": ("mlp", ALONE),
    "mlp 100,50": ("mlp", {**ALONE, "layers": (100, 50)}),
}
SEEDS = (11, 12, 13, 14, 15)
STRANGERS = 0.1  # of the users
GIVEN = 0.8  # of a stranger's ratings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PENCHANT_DATA", ".")))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    given = parser.parse_args()
    small = read_ratings(given.data / "ml-latest-small", item="title")
    books = read_ratings(given.data / "book-crossing")
    canonical = [canonical_split(given.data / "ml-100k", fold) for fold in range(1, 6)]
    results = {
        "environment": environment.describe(PACKAGES),
        "accuracy": {
            "ml-latest-small, item = title, random 80/20": measure([split_random(small, 0.2, s) for s in SEEDS]),
            "ml-100k, u1 to u5": measure(canonical),
            "book-crossing, random 80/20": measure([split_random(books, 0.2, seed) for seed in SEEDS[:3]]),
        },
        "fold_in": {name: fold_in_gap(small, name) for name in MODELS},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "defaults.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (given.out / "defaults.md").write_text(page(results), encoding="utf-8")
    print(page(results))


def canonical_split(folder: Path, fold: int) -> Split:
    return split_file(read_ratings(folder / f"u{fold}.base"), read_ratings(folder / f"u{fold}.test"))


def measure(splits: list[Split]) -> dict[str, list[float]]:
    """Validation mean squared errors, one a split."""
    return {name: [fitted(name, split, 1)[1] for split in splits] for name in MODELS}


def fitted(name: str, split: Split, seed: int) -> tuple[Model, float]:
    kind, settings = MODELS[name]
    model = build(kind, **settings)
    log = model.fit(split, FitOptions(seed=seed))
    return model, log.valid_loss if log.valid_loss is not None else float("nan")


def fold_in_gap(ratings: Interactions, name: str) -> dict[str, float]:
    """Root mean squared errors on strangers' hidden ratings: folded in, after a retrain with them, and as nobody."""
    generator = np.random.default_rng(5)
    stranger = generator.random(ratings.n_users) < STRANGERS
    theirs = stranger[ratings.user_rows]
    hidden = theirs & (generator.random(len(ratings)) >= GIVEN)
    given = theirs & ~hidden
    without = fitted(name, split_none(ratings.take(np.flatnonzero(~theirs)).compact()), 1)[0]
    items = ratings.take(np.flatnonzero(~theirs)).compact().items.rows(ratings.items.ids, missing="minus one")
    known = items[ratings.item_rows] >= 0
    retrain_part = ratings.take(np.flatnonzero(~hidden)).compact()
    retrained = fitted(name, split_none(retrain_part), 1)[0]
    asked = ratings.take(np.flatnonzero(hidden & known))
    again = retrained.predict(*asked.rows_in(retrain_part.users, retrain_part.items))
    truth = asked.ratings
    folded, nobody = strangers_predictions(without, ratings, asked, given & known, items)
    return {"folded in": rmse(folded, truth), "retrained": rmse(again, truth), "nobody": rmse(nobody, truth)}


def strangers_predictions(
    model: Model, ratings: Interactions, asked: Interactions, given: Any, items: Any
) -> tuple[Any, Any]:
    folded, nobody = np.empty(len(asked), np.float32), np.empty(len(asked), np.float32)
    nothing = model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))
    average = model.clip(model.scores_of(nothing[None])[0])
    for user, mine in users_of(asked):
        at = np.flatnonzero(given & (ratings.user_rows == user))
        vector = model.fold_in(items[ratings.item_rows[at]], ratings.ratings[at])
        rows = items[asked.item_rows[mine]]
        folded[mine] = model.clip(model.scores_of(vector[None])[0])[rows]
        nobody[mine] = average[rows]
    return folded, nobody


def users_of(ratings: Interactions) -> Iterator[tuple[int, Any]]:
    for user in np.unique(ratings.user_rows):
        yield int(user), np.flatnonzero(ratings.user_rows == user)


def rmse(predictions: Any, truth: Any) -> float:
    return float(np.sqrt(np.mean((predictions - truth) ** 2)))


def about(described: dict[str, Any]) -> str:
    """Where and with what it was measured."""
    with_what = environment.versions_in_words(described["versions"])
    return f"{described['date']}; {environment.in_words(described)}; {with_what}."


def page(results: dict[str, Any]) -> str:
    lines = ["# Accuracy with default settings", "", about(results["environment"]), ""]
    for title, errors in results["accuracy"].items():
        lines += [f"## {title}", "", "| model | MSE, mean ± standard deviation | RMSE of each split |", "|---|---|---|"]
        form: Callable[[float], str] = "{:.3f}".format
        for name, values in errors.items():
            each = ", ".join(form(value**0.5) for value in values)
            lines.append(f"| {name} | {mean(values):.4f} ± {stdev(values):.4f} | {each} |")
        lines.append("")
    lines += ["## Folding in strangers (ml-latest-small, RMSE on a fifth of their ratings)", ""]
    lines += ["| model | folded in from the others | after a retrain with the others | as an average user |"]
    lines += ["|---|---|---|---|"]
    for name, gap in results["fold_in"].items():
        lines.append(f"| {name} | {gap['folded in']:.4f} | {gap['retrained']:.4f} | {gap['nobody']:.4f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
