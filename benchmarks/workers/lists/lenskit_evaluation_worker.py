"""LensKit: lists of the first users by its pipeline over factors, and its metrics of them."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.batch import recommend
from lenskit.data import ItemListCollection, from_interactions_df
from lenskit.metrics import NDCG, Recall, RunAnalysis
from lenskit.parallel import initialize
from lenskit.pipeline import topn_pipeline
from lenskit.training import TrainingOptions
from lists_data import factors, finish, held_out, load, options

given = options("factors", "users", "threads", "limit")
initialize(threads=given.threads, backend_threads=1)
users, items, n_users, n_items = load(given.data)
out = held_out(users)
p, q = factors(n_users, n_items, given.factors)
data = from_interactions_df(pd.DataFrame({"user_id": users[~out], "item_id": items[~out]}))
pipeline = topn_pipeline(ImplicitMFScorer, {"embedding_size": given.factors, "epochs": 1}, n=20)
pipeline.train(data, TrainingOptions(rng=0))
scorer = pipeline.node("scorer").component
scorer.user_embeddings = p[data.users.ids()]
scorer.item_embeddings = q[data.items.ids()]
mine = out & (users < given.users)
asked = np.unique(users[mine])
held = ItemListCollection.from_df(pd.DataFrame({"user_id": users[mine], "item_id": items[mine]}), ["user_id"])
started = time.perf_counter()
lists = recommend(pipeline, asked.tolist(), 20, n_jobs=1)  # its processes cost more than they save
ranked = time.perf_counter()
found = RunAnalysis(NDCG(n=10), Recall(n=20)).measure(lists, held).list_summary()
total = time.perf_counter() - started
metrics = {name: float(value) for name, value in found["mean"].items()}
times = {"total": total, "ranking": ranked - started, "users": len(asked)}
finish(given.out, ("lenskit", "numpy", "torch"), metrics=metrics, **times)
