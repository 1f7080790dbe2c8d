"""`explicit-als`: its half-steps are those of the formula, its objective falls, and it is worth fitting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.data.split import Split, split_none, split_random
from penchant.data.synthetic import planted
from penchant.models import build
from penchant.models.explicit_als import ExplicitAls, ExplicitAlsSettings, _Side, _Training
from penchant.models.least_squares import DIRECT, LAST_STEP
from penchant.threads import Workers

SOLVERS = {"cholesky": DIRECT, "conjugate-gradient": LAST_STEP}
SETTINGS: dict[str, Any] = {"factors": 6, "epochs": 6, "regularisation": 0.3, "bias_regularisation": 0.8}


@pytest.fixture(scope="module")
def split() -> Split:
    return split_random(planted(300, 200, 6000, seed=3), 0.2, seed=1)


def slow_half_step(side: _Side, other: _Side, settings: ExplicitAlsSettings, unit: float) -> NDArray[np.float64]:
    """[bias, factors] of each row: (sum of z z' + n^scaling diag(pulls))^-1 sum of z (r - mean - other's bias)."""
    k, scaling = settings.factors, settings.frequency_scaling
    pulls = np.diag([settings.bias_regularisation, *[settings.regularisation] * k])
    found = np.zeros((len(side.factors), 1 + k))
    for row in range(len(found)):
        own = slice(side.starts[row], side.starts[row + 1])
        others = other.factors[side.columns[own]].astype(np.float64)
        targets = side.residuals[own] - unit * others[:, 0]
        z = np.column_stack((np.ones(len(others)), others[:, 1:]))
        found[row] = np.linalg.solve(z.T @ z + len(z) ** scaling * pulls, z.T @ targets)
    return found


@pytest.mark.parametrize("scaling", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("solver", list(SOLVERS))
def test_half_steps_are_the_formula(split: Split, solver: str, scaling: float) -> None:
    settings = ExplicitAlsSettings(**SETTINGS, solver=solver, frequency_scaling=scaling)
    model, everything = ExplicitAls(settings), split_none(split.train)
    model.fit(everything)  # the fallback that validation begins with
    with Workers(2) as workers:
        training = _Training(model, everything, 1, workers)
        for side, other in ((training.users, training.items), (training.items, training.users)):
            training._solve(side, other, *SOLVERS[solver])
            expected = slow_half_step(side, other, settings, float(training.bias_unit))
            found = side.factors * np.array([training.bias_unit, *[1] * settings.factors])
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_the_train_loss_is_the_mean_squared_error(split: Split, solver: str) -> None:
    model = build("explicit-als", **SETTINGS, solver=solver)
    log = model.fit(split_none(split.train))
    scores = model.pair_scores(split.train.user_rows, split.train.item_rows)
    error = np.mean((scores - split.train.ratings) ** 2, dtype=np.float64)
    assert log.epochs[-1].train_loss == pytest.approx(error, rel=1e-4)


def test_it_predicts_better_than_biases() -> None:
    split = split_random(planted(300, 200, 20_000, seed=3), 0.2, seed=1)
    errors = {name: build(name).fit(split).epochs[-1].valid_loss or np.inf for name in ("bias", "explicit-als")}
    assert errors["explicit-als"] < 0.95 * errors["bias"]
