"""The kernel of least squares against a slow twin that reads like the formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.kernels.als import UNIT, row_losses, solve_rows

COUNTS = [0, 1, 2, 7, 8, 9, 15, 16, 17, 40, 200]
SIZES = [UNIT, 2 * UNIT, 5 * UNIT]


@dataclass(frozen=True)
class Problem:
    """Rows of all the lengths at which the kernel does something else."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    targets: NDArray[np.float32]
    others: NDArray[np.float32]
    shared: NDArray[np.float32]
    ridges: NDArray[np.float32]

    @classmethod
    def random(cls, k: int) -> Problem:
        draw = np.random.default_rng(k)
        starts = np.concatenate(([0], np.cumsum(COUNTS)))
        columns = np.concatenate([np.sort(draw.permutation(300)[:count]) for count in COUNTS]).astype(np.int32)
        numbers = [
            draw.random(n).astype(np.float32) + low for n, low in ((starts[-1], 0.5), (k, 0), (len(COUNTS), 0.2))
        ]
        others = draw.standard_normal((300, k)).astype(np.float32)
        targets = draw.standard_normal(starts[-1]).astype(np.float32)
        return cls(starts, columns, numbers[0], targets, others, *numbers[1:])

    def solve(
        self, steps: int, first: int = 0, start: float = 0.0, rows: int | None = None, close: float = 0.0
    ) -> NDArray[np.float32]:
        n = len(COUNTS) - first if rows is None else rows
        found = np.full((n, len(self.shared)), start, np.float32)
        rest: tuple[Any, ...] = (self.others, self.shared, self.ridges, steps, np.float32(close), found)
        solve_rows(first, self.starts, self.columns, self.weights, self.targets, *rest)
        return found

    def twin(self) -> NDArray[np.float64]:
        """p = (D + sum of w q q')^-1 sum of w t q, row by row."""
        found = []
        for row in range(len(COUNTS)):
            matrix = np.diag(self.shared.astype(np.float64) + self.ridges[row])
            right = np.zeros(len(self.shared))
            for at in range(self.starts[row], self.starts[row + 1]):
                q, w = self.others[self.columns[at]].astype(np.float64), float(self.weights[at])
                matrix += w * np.outer(q, q)
                right += w * float(self.targets[at]) * q
            found.append(np.linalg.solve(matrix, right))
        return np.array(found)


@pytest.mark.parametrize("k", SIZES)
def test_direct_solutions_are_the_twins(k: int) -> None:
    problem = Problem.random(k)
    np.testing.assert_allclose(problem.solve(0, start=3.0), problem.twin(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("start", [0.0, 0.3])
def test_many_steps_of_conjugate_gradients_end_there_too(k: int, start: float) -> None:
    problem = Problem.random(k)
    np.testing.assert_allclose(problem.solve(200, start=start), problem.twin(), rtol=1e-3, atol=1e-5)


def test_every_step_comes_closer() -> None:
    problem = Problem.random(5 * UNIT)
    errors = [np.abs(problem.solve(steps)[-1] - problem.twin()[-1]).max() for steps in (1, 3, 9, 30)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 100


def test_close_bounds_the_error() -> None:
    problem = Problem.random(5 * UNIT)
    twin = problem.twin()
    scale = np.sqrt(problem.shared + problem.ridges[:, None])  # x = D^(1/2) p
    errors = []
    for close in (0.5, 0.1, 0.01, 0.001):
        wrong = np.linalg.norm(scale * (problem.solve(200, close=close) - twin), axis=1)
        size = np.linalg.norm(scale * twin, axis=1)
        assert (wrong <= 1.1 * close * size + 1e-4).all()
        errors.append(wrong.sum())
    assert errors == sorted(errors, reverse=True)


def test_a_solution_stays_where_it_is() -> None:
    problem = Problem.random(2 * UNIT)
    found = problem.solve(100)
    again = found.copy()
    rest = problem.others, problem.shared, problem.ridges, 3, np.float32(0), again
    solve_rows(0, problem.starts, problem.columns, problem.weights, problem.targets, *rest)
    np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [0, 3])
def test_a_row_does_not_depend_on_its_neighbours(steps: int) -> None:
    problem = Problem.random(2 * UNIT)
    whole = problem.solve(steps)
    for row in range(len(COUNTS)):
        assert problem.solve(steps, first=row, rows=1).tobytes() == whole[row : row + 1].tobytes()


@pytest.mark.parametrize("steps", [0, 3])
def test_zeros_that_fill_up_stay_zeros(steps: int) -> None:
    problem = Problem.random(2 * UNIT)
    problem.others[:, -3:] = 0
    problem.shared[-3:] = 0
    assert not problem.solve(steps)[:, -3:].any()


def test_losses_are_the_twins() -> None:
    problem = Problem.random(2 * UNIT)
    factors = problem.solve(0) / 2
    losses = np.full(len(COUNTS), np.nan)
    row_losses(0, problem.starts, problem.columns, problem.weights, problem.targets, factors, problem.others, losses)
    for row, (start, end) in enumerate(zip(problem.starts, problem.starts[1:], strict=False)):
        products = problem.others[problem.columns[start:end]].astype(np.float64) @ factors[row]
        squares = (problem.targets[start:end] - products) ** 2
        np.testing.assert_allclose(losses[row], np.sum(problem.weights[start:end] * squares), rtol=1e-4)
    some = np.empty(2)
    row_losses(4, problem.starts, problem.columns, problem.weights, problem.targets, factors[4:6], problem.others, some)
    np.testing.assert_array_equal(some, losses[4:6])
