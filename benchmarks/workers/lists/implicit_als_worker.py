"""Epochs of implicit's ALS: seconds, and the objective after each (not timed)."""

from __future__ import annotations

import numpy as np
from implicit.als import AlternatingLeastSquares
from lists_data import CONFIDENCE, PULL, finish, load, objective, options
from scipy.sparse import csr_matrix

given = options("factors", "epochs", "threads", texts=("solver",))
users, items, n_users, n_items = load(given.data)
matrix = csr_matrix((np.ones(len(users), np.float32), (users, items)), (n_users, n_items))
model = AlternatingLeastSquares(
    factors=given.factors,
    regularization=PULL,
    alpha=CONFIDENCE,
    iterations=given.epochs,
    num_threads=given.threads,
    use_cg=given.solver == "conjugate-gradient",
    random_state=0,
)
seconds, objectives = [], []


def ended(epoch: int, elapsed: float, *loss: float) -> None:
    del epoch, loss
    seconds.append(elapsed)
    objectives.append(objective(users, items, model.user_factors, model.item_factors))


model.fit(matrix, show_progress=False, callback=ended)
finish(given.out, ("implicit", "numpy", "scipy"), seconds=seconds, objectives=objectives)
