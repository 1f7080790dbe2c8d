"""penchant: the first users of a table ranked over all items and measured, and the peak of memory."""

from __future__ import annotations

import resource
import time

import numpy as np
import polars as pl
from lists_data import factors, finish, forget_peak, held_out, load, options, peak_bytes

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import Vocabulary
from penchant.evaluate_lists import HeldOut, evaluate_lists
from penchant.kernels import topk  # noqa: F401, so that the few users of the first call are ranked by the kernel too
from penchant.models import build
from penchant.rank_metrics import parse_rank_metric

METRICS = [parse_rank_metric(name) for name in ("ndcg@10", "recall@20")]

given = options("factors", "users", "threads", "limit")
users, items, n_users, n_items = load(given.data)
out = held_out(users)
p, q = factors(n_users, n_items, given.factors)
model = build("als", factors=given.factors)
model.parameters = {
    "user_factors": p,
    "item_factors": q,
    "gramian": q.T @ q,
    "average": p.mean(axis=0),
    "weighted": np.ones(1, np.float32),
    "scale": np.ones(2, np.float32),
    "fallback/mean": np.ones(1),
    "fallback/user_biases": np.zeros(n_users, np.float32),
    "fallback/item_biases": np.zeros(n_items, np.float32),
}
starts = np.concatenate(([0], np.cumsum(np.bincount(users[~out], minlength=n_users)))).astype(np.int64)
taken = starts, items[~out]
asked = out & (users < given.users)
table = Interactions(
    users=Vocabulary(pl.Series("user", np.arange(n_users)), "user"),
    items=Vocabulary(pl.Series("item", np.arange(n_items)), "item"),
    user_rows=users[asked],
    item_rows=items[asked],
    ratings=np.ones(int(asked.sum()), np.float32),
    source="the data",
    is_implicit=True,
)
few = HeldOut.of(table.take(np.arange(10)), (users[asked][:10], items[asked][:10]))
evaluate_lists(model, few, taken, METRICS, threads=given.threads)  # loads the kernels
del out, asked
forget_peak()
before = peak_bytes()
if given.limit:  # bytes of data that the process may have: more is refused by the system
    resource.setrlimit(resource.RLIMIT_DATA, (given.limit, given.limit))
started = time.perf_counter()
report = evaluate_lists(
    model, HeldOut.of(table, (table.user_rows, table.item_rows)), taken, METRICS, threads=given.threads
)
seconds = time.perf_counter() - started
found = {"total": seconds, "users": report.n_users, "metrics": report.metrics, "before": before}
finish(given.out, ("penchant", "numpy", "numba"), **found)
