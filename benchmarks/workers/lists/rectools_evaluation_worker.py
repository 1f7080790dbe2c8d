"""RecTools: lists of the first users by its ranker over factors, and its metrics of them."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from lists_data import factors, finish, held_out, load, options
from rectools import Columns
from rectools.metrics import NDCG, Recall, calc_metrics
from rectools.models.rank import Distance, ImplicitRanker
from scipy.sparse import csr_matrix

given = options("factors", "users", "threads", "limit")
users, items, n_users, n_items = load(given.data)
out = held_out(users)
p, q = factors(n_users, n_items, given.factors)
taken = csr_matrix((np.ones(int((~out).sum()), np.float32), (users[~out], items[~out])), (n_users, n_items))
asked = np.unique(users[out & (users < given.users)])
mine = out & (users < given.users)
held = pd.DataFrame({Columns.User: users[mine], Columns.Item: items[mine]})
started = time.perf_counter()
ranker = ImplicitRanker(Distance.DOT, p, q, num_threads=given.threads)
owners, found, scores = ranker.rank(asked, k=20, filter_pairs_csr=taken[asked])
ranked = time.perf_counter()
lists = pd.DataFrame({Columns.User: owners, Columns.Item: found, Columns.Score: scores})
lists[Columns.Rank] = lists.groupby(Columns.User, sort=False).cumcount() + 1
metrics = calc_metrics({"ndcg@10": NDCG(10, divide_by_achievable=True), "recall@20": Recall(20)}, lists, held)
total = time.perf_counter() - started
found = {"total": total, "ranking": ranked - started, "users": len(asked)}
finish(given.out, ("RecTools", "numpy", "pandas"), metrics={k: float(v) for k, v in metrics.items()}, **found)
