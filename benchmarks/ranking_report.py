"""The ranking benchmark's tables, for the screen and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from result_tables import NOTHING, Table, seconds, show_tables, write_report

Found = Mapping[str, Any]


def tables(found: Found) -> list[Table]:
    """One table a data set, the best first."""
    return [_table(name, of_data["models"]) for name, of_data in found["data"].items()]


def _table(name: str, models: Mapping[str, Found]) -> Table:
    ordered = sorted(models.items(), key=lambda one: -one[1]["metrics"]["ndcg@10"])
    columns = ("model", "NDCG@10", "Recall@20", "NDCG@10, less than the best by", "fit", "settings")
    return Table(name, columns, [_row(*one) for one in ordered])


def _row(name: str, row: Found) -> list[str]:
    metrics, against = row["metrics"], row.get("against_best")
    less = NOTHING
    if against is not None:
        real = "" if against["is_real"] else ", not real"
        less = f"{-against['difference']:.4f} (p {against['p']:.3f}{real})"
    settings = ", ".join(f"{key} {value}" for key, value in row["settings"].items()) or "defaults"
    return [
        name,
        f"{metrics['ndcg@10']:.4f}",
        f"{metrics['recall@20']:.4f}",
        less,
        seconds(row["seconds"]["fit"]),
        settings,
    ]


def markdown(found: Found) -> str:
    """The report as a page."""
    about, options, protocol = found["environment"], found["options"], found["protocol"]
    machine = about["machine"]
    versions = {
        name: v for d in found["data"].values() for m in d["models"].values() for name, v in m["versions"].items()
    }
    lines = [
        "# Ranking beside peer libraries",
        "",
        "Written by `benchmarks/ranking.py`. Ratings from "
        f"{protocol['positive_from']:g} up are positives; a random {protocol['fraction']:.0%} of them is held out, and"
        " of what remains as much again to tune on. Each model was tried with its default settings and with"
        f" {options['trials'] - 1} random ones; the best by NDCG@10 on the inner part was fitted on the whole"
        f" training part. All items are ranked but those taken in training.",
        f"Seed {options['seed']}, {options['threads']} threads.",
        "Differences are tested by flipping signs over users, corrected after Holm; times are those of the last fit.",
        "",
        f"{about['date']}, {machine['processor']}, {machine['cores']} cores; "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
    ]
    for table, of_data in zip(tables(found), found["data"].values(), strict=True):
        split = of_data["split"]
        facts = (
            f"{split['n_train']:,} positives of {split['n_users']:,} users and {split['n_items']:,} items to train on;"
            f" {split['n_held_out']:,} of {split['n_asked']:,} users to find, of which {split['n_unknown_items']:,}"
            " have an item that nobody has in training."
        )
        lines += ["", f"## {table.title}", "", facts, "", table.markdown()]
    lines += [f"\nFailed: {line}" for line in found.get("failed", ())]
    return "\n".join(lines) + "\n"


def write(found: Found, folder: Path) -> None:
    """ranking.json and ranking.md."""
    write_report(found, markdown(found), folder, "ranking")


def show(found: Found) -> None:
    """On the screen."""
    show_tables(tables(found), found.get("failed", ()))
