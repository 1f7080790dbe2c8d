"""Epochs of penchant's als with the objective of Hu, Koren and Volinsky as implicit has it.

With confidence c of what was taken, c (1 - s)^2 - s^2 = (c - 1) (s - t)^2 - t, where t = c / (c - 1). Divided by
(c - 1) t^2, and with scores and factors in units of t and its root, that is what als minimises: weights of 1,
unobserved pairs of 1 / (c - 1), and a pull of PULL / (t (c - 1)).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from lists_data import CONFIDENCE, PULL, finish, load, objective, options

from penchant.data.interactions import Interactions
from penchant.data.split import split_none
from penchant.data.vocabulary import Vocabulary
from penchant.models import build
from penchant.models.fitting import FitOptions

given = options("factors", "epochs", "threads", texts=("solver",))
users, items, n_users, n_items = load(given.data)
table = Interactions(
    users=Vocabulary(pl.Series("user", np.arange(n_users)), "user"),
    items=Vocabulary(pl.Series("item", np.arange(n_items)), "item"),
    user_rows=users,
    item_rows=items,
    ratings=np.ones(len(users), np.float32),
    source="the data",
    is_implicit=True,
)
above, t = CONFIDENCE - 1, CONFIDENCE / (CONFIDENCE - 1)
model = build(
    "als",
    factors=given.factors,
    epochs=given.epochs,
    solver=given.solver,
    weighting="binary",
    frequency_scaling=0.0,
    unobserved_weight=1 / above,
    regularisation=PULL / (t * above),
)
log = model.fit(split_none(table), FitOptions(threads=given.threads))
p, q = (np.float32(np.sqrt(t)) * model.parameters[name] for name in ("user_factors", "item_factors"))
finish(
    given.out,
    ("penchant", "numpy", "numba"),
    seconds=[epoch.seconds for epoch in log.epochs],
    objectives=[above * t * t * epoch.train_loss - t for epoch in log.epochs],
    final_objective=objective(users, items, p, q),  # with users brought up to date once more
)
