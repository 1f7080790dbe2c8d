"""implicit behind the smallest FastAPI app with three of penchant's routes: what somebody would write in an afternoon.

    python implicit_app.py --data FOLDER --port 8001 --factors 64

FOLDER is one of serving_data.py. The model is fitted once and kept beside the data as implicit writes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException
from implicit.als import AlternatingLeastSquares
from implicit.cpu.als import AlternatingLeastSquares as Fitted
from pydantic import BaseModel
from scipy.sparse import csr_matrix


class Taken(BaseModel):
    """One item of a visitor."""

    item: int


class Visitor(BaseModel):
    """What somebody took who has no account."""

    history: list[Taken]
    k: int = 10


def model_of(folder: Path, matrix: Any, factors: int) -> Any:
    """The fitted model."""
    kept = folder / f"implicit-{factors}.npz"
    if not kept.is_file():
        model = AlternatingLeastSquares(factors=factors, random_state=0, num_threads=1)
        model.fit(matrix, show_progress=False)
        model.save(kept)
    return Fitted.load(kept)


def app_of(folder: Path, factors: int) -> FastAPI:
    """The service."""
    starts, items = np.load(folder / "starts.npy"), np.load(folder / "items.npy")
    user_ids, item_ids = np.load(folder / "user_ids.npy"), np.load(folder / "item_ids.npy")
    shape = len(user_ids), len(item_ids)
    matrix = csr_matrix((np.ones(len(items), np.float32), items, starts), shape)
    matrix.sort_indices()
    model = model_of(folder, matrix, factors)
    user_rows = {int(user): row for row, user in enumerate(user_ids)}
    item_rows = {int(item): row for row, item in enumerate(item_ids)}
    app = FastAPI()

    def told(rows: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
        pairs = zip(item_ids[rows].tolist(), scores.tolist(), strict=True)
        return [{"item": item, "score": score} for item, score in pairs]

    @app.get("/v1/users/{user}/recommendations")
    def recommendations(user: int, k: int = 10) -> dict[str, Any]:
        if user not in user_rows:
            raise HTTPException(404)
        row = user_rows[user]
        rows, scores = model.recommend(row, matrix[row], N=k, filter_already_liked_items=True)
        return {"user": user, "recommendations": told(rows, scores)}

    @app.post("/v1/recommendations")
    def visitor(visitor: Visitor) -> dict[str, Any]:
        taken = [item_rows[one.item] for one in visitor.history if one.item in item_rows]
        liked = csr_matrix((np.ones(len(taken), np.float32), ([0] * len(taken), taken)), (1, shape[1]))
        rows, scores = model.recommend(0, liked, N=visitor.k, filter_already_liked_items=True, recalculate_user=True)
        return {"recommendations": told(rows, scores)}

    @app.get("/v1/items/{item}/similar")
    def similar(item: int, k: int = 10) -> dict[str, Any]:
        if item not in item_rows:
            raise HTTPException(404)
        rows, scores = model.similar_items(item_rows[item], N=k + 1)
        return {"item": item, "similar": told(rows[1:], scores[1:])}

    return app


def main() -> None:
    """Serve until it is told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--factors", type=int, required=True)
    given = parser.parse_args()
    uvicorn.run(app_of(given.data, given.factors), port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
