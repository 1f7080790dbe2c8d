"""A Gibbs sweep over blocks against a slow twin on the dense design matrix, which knows of no blocks."""

from __future__ import annotations

from math import lgamma
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.kernels import gibbs, row_sums
from penchant.models.blocks import Block, Design, Entries
from penchant.models.gibbs_sampling import NU, STRETCH_AFTER, Chain

USERS, ITEMS, MONTHS, DAYS, WORDS = 9, 7, 3, 14, 4
UNNAMED_USER, UNNAMED_ITEM = 4, 2  # without ratings
ONCE_USER, ONCE_ITEM = 6, 5  # with one
ORDERS = ["shuffled", "by user"]
PRIOR = 0.7, 0.4  # shape and rate of the precisions of groups of features


def random_design(seed: int, order: str, n: int = 60) -> Design:
    """Users (own, items rated), items (own, raters, words), months, and days of a user."""
    draw = np.random.default_rng(seed)
    users = draw.choice(np.delete(np.arange(USERS), [UNNAMED_USER, ONCE_USER]), n)
    items = draw.choice(np.delete(np.arange(ITEMS), [UNNAMED_ITEM, ONCE_ITEM]), n)
    users[0], items[1] = ONCE_USER, ONCE_ITEM
    months, days = draw.integers(0, MONTHS, n), draw.integers(0, DAYS, n)
    by = np.argsort(users, kind="stable") if order == "by user" else draw.permutation(n)
    rows = np.stack([users, items, months, days]).astype(np.int32)[:, by]
    pairs = np.unique(rows[:2], axis=1).astype(np.int32)
    words = np.argwhere(draw.random((ITEMS, WORDS)) < 0.4).astype(np.int32).T
    blocks = (
        Block.of(USERS, [Entries.identity("users", USERS), Entries.sets("items rated", *pairs, USERS, ITEMS)]),
        Block.of(
            ITEMS,
            [
                Entries.identity("items", ITEMS),
                Entries.sets("raters", pairs[1], pairs[0], ITEMS, USERS),
                Entries.sets("words", words[0], words[1], ITEMS, WORDS),
            ],
        ),
        Block.of(MONTHS, [Entries.identity("months", MONTHS)]),
        # Half of its features have a value other than 1, so that they are nobody's own.
        Block.of(DAYS, [Entries("days", *_halves(DAYS), DAYS)]),
    )
    return Design(blocks, rows)


def _halves(n: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    own = np.arange(n, dtype=np.int32)
    return own, own, np.where(own % 2 == 0, 1, 0.5).astype(np.float32)


def random_ratings(design: Design, seed: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    return (draw.integers(1, 11, design.rows.shape[1]) / 2).astype(np.float32)


def dense(block: Block) -> NDArray[np.float64]:
    """The block's table, (rows, features)."""
    table = np.zeros((block.n_rows, block.n_features))
    for feature in range(block.n_features):
        for at in range(block.starts[feature], block.starts[feature + 1]):
            table[block.entry_rows[at], feature] += block.entry_values[at]
    return table


class Twin:
    """The same chain on x (n, features), one coordinate after the other."""

    def __init__(self, design: Design, ratings: Any, start: Any, generator: np.random.Generator) -> None:
        self.x = np.hstack([dense(block)[rows] for block, rows in zip(design.blocks, design.rows, strict=True)])
        self.users, self.n_users = design.rows[0], design.blocks[0].n_rows
        self.members = [range(*pair) for pair in zip(design.group_bounds[:-1], design.group_bounds[1:], strict=True)]
        self.group = np.concatenate([[g] * len(members) for g, members in enumerate(self.members)])
        self.ratings, self.k, self.draw = ratings.astype(float), len(start), generator
        generator.standard_normal(start.shape, np.float32)  # of which the chain makes its start
        self.v, self.w = start.astype(float), np.zeros(self.x.shape[1])
        self.mean = self.level = float(self.ratings.mean())
        self.variance, self.nu, self.swept = 1.0, 4.0, 0
        self.blocks = [range(*pair) for pair in zip(design.group_starts[:-1], design.group_starts[1:], strict=True)]
        self.is_own = np.concatenate([block.is_own for block in design.blocks])
        self.means, self.precisions = (np.full((self.k + 1, len(self.members)), value) for value in (0.0, 1.0))

    def errors(self) -> NDArray[np.float64]:
        """Ratings minus scores, from nothing but the parameters."""
        pairs = sum(((self.x @ v) ** 2 - self.x**2 @ v**2) / 2 for v in self.v)
        return self.ratings - (self.level + self.x @ self.w + pairs)

    def sweep(self) -> None:
        self.sample_noise()
        weights = self.user_precisions[self.users]
        total = 1 + weights.sum()
        pull = weights @ (self.errors() + self.level) + self.mean
        self.level = pull / total + self.draw.standard_normal() / np.sqrt(total)
        self.sample_priors()
        n_features = self.x.shape[1]
        normals = self.draw.standard_normal(n_features, np.float32).astype(float)
        stretching = self.swept >= STRETCH_AFTER
        for groups in self.blocks:
            chance = self.draw.standard_normal(len(groups)), self.draw.random(len(groups))
            for g, normal, uniform in zip(groups if stretching else [], *chance, strict=stretching):
                h = self.x[:, self.members[g]] @ self.w[self.members[g]]
                self.stretch(self.w, self.k, g, h, weights, normal, uniform)
            for j in (j for g in groups for j in self.members[g]):
                self.w[j] = self.coordinate(self.x[:, j], self.w[j], self.errors(), weights, self.k, j, normals[j])
        for f in range(self.k):
            normals = self.draw.standard_normal(n_features, np.float32).astype(float)
            for groups in self.blocks:
                chance = self.draw.standard_normal(len(groups)), self.draw.random(len(groups))
                for g, normal, uniform in zip(groups, *chance, strict=True):
                    if stretching and self.is_own[g]:
                        own = self.x[:, self.members[g]] @ self.v[f][self.members[g]]
                        self.stretch(self.v[f], f, g, own * (self.x @ self.v[f] - own), weights, normal, uniform)
                    for j in self.members[g]:
                        x, v = self.x[:, j], self.v[f]
                        h = x * (self.x @ v - x * v[j])  # the derivative of the score by v_jf
                        v[j] = self.coordinate(h, v[j], self.errors(), weights, f, j, normals[j])
        self.swept += 1

    def stretch(self, values: Any, f: int, g: int, h: Any, weights: Any, normal: float, uniform: float) -> None:
        """Multiply a group, in which scores are linear, h being their derivative by the multiple."""
        if not (curvature := weights @ h**2):
            return
        c = 1 + weights @ (h * self.errors()) / curvature + normal / np.sqrt(curvature)
        if c > 0 and np.log(uniform) < self.log_prior(f, g, c) - np.log(c):
            values[self.members[g]] *= c
            self.means[f, g] *= c
            self.precisions[f, g] /= c**2

    def log_prior(self, f: int, g: int, c: float) -> float:
        """Of a group whose features, mean and deviation are c times as large, in terms of log c, beside now."""
        precision = self.precisions[f, g]
        return -2 * PRIOR[0] * np.log(c) - PRIOR[1] * precision * (1 / c**2 - 1)

    def coordinate(self, h: Any, old: float, errors: Any, weights: Any, f: int, j: int, normal: float) -> float:
        """From the distribution of a parameter in which scores are linear, h being their derivative by it."""
        precision, mean = self.precisions[f, self.group[j]], self.means[f, self.group[j]]
        total = precision + weights @ h**2
        pull = precision * mean + weights @ (h * (errors + h * old))
        return float(pull / total + normal / np.sqrt(total))

    def sample_noise(self) -> None:
        squares = [(self.errors()[self.users == user] ** 2).sum() for user in range(self.n_users)]
        counts = [(self.users == user).sum() for user in range(self.n_users)]
        rates = (self.nu * self.variance + np.array(squares)) / 2
        self.user_precisions = self.draw.gamma((self.nu + np.array(counts)) / 2) / rates
        shape = 1 / 2 + self.nu * self.n_users / 2
        self.variance = self.draw.gamma(shape) / (1 / 2 + self.nu * self.user_precisions.sum() / 2)
        logs = np.array([sum(self.log_gamma(p, nu / 2, nu * self.variance / 2) for p in self.user_precisions)
                         for nu in NU])  # fmt: skip
        chances = np.exp(logs - logs.max())
        self.nu = float(NU[np.searchsorted(np.cumsum(chances), self.draw.random() * chances.sum())])

    @staticmethod
    def log_gamma(value: float, shape: float, rate: float) -> float:
        return shape * np.log(rate) - lgamma(shape) + (shape - 1) * np.log(value) - rate * value

    def sample_priors(self) -> None:
        values, shape = np.vstack([self.v, self.w]), self.means.shape
        rates, shapes, sizes, sums = (np.empty(shape) for _ in range(4))
        for f, g in np.ndindex(shape):
            own = values[f, self.members[g]]
            rates[f, g] = PRIOR[1] + (((own - self.means[f, g]) ** 2).sum() + self.means[f, g] ** 2) / 2
            shapes[f, g] = PRIOR[0] + (len(own) + 1) / 2
            sizes[f, g], sums[f, g] = len(own), own.sum()
        self.precisions = self.draw.gamma(shapes) / rates
        spreads = 1 / np.sqrt((sizes + 1) * self.precisions)
        self.means = sums / (sizes + 1) + self.draw.standard_normal(shape) * spreads


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sweeps", [1, STRETCH_AFTER + 2])
def test_a_sweep_over_blocks_is_a_sweep_over_the_dense_matrix(order: str, sweeps: int) -> None:
    design = random_design(1, order)
    ratings = random_ratings(design, 2)
    chain = Chain(design, ratings, 2, np.random.default_rng(3), feature_prior=PRIOR)
    twin = Twin(design, ratings, chain.features, np.random.default_rng(3))
    for _ in range(sweeps):
        chain.sweep()
        twin.sweep()
    pairs = {
        "level": (chain.level, twin.level),
        "variance": (chain._variance, twin.variance),
        "nu": (chain._nu, twin.nu),
        "user precisions": (chain.user_precisions, twin.user_precisions),
        "weights": (chain.weights, twin.w),
        "features": (chain.features, twin.v),
        "means": (chain.means, twin.means),
        "precisions": (chain.precisions, twin.precisions),
        "errors": (chain.errors, twin.errors()),
    }
    for name, (fast, slow) in pairs.items():
        np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=3e-5, err_msg=name)
    assert chain.generator.random() == twin.draw.random()  # as many draws


def test_the_twin_is_compared_on_both_paths_and_on_rows_without_ratings() -> None:
    shuffled, sorted_ = (random_design(1, order) for order in ORDERS)
    chains = [Chain(design, random_ratings(design, 2), 1, np.random.default_rng(3)) for design in (shuffled, sorted_)]
    assert [[len(rows) > 0 for _, rows in chain.design.runs] for chain in chains] == [[False] * 4, [True] + [False] * 3]
    for design in (shuffled, sorted_):
        users, items = (np.bincount(rows, minlength=n) for rows, n in zip(design.rows, (USERS, ITEMS), strict=False))
        assert (users[UNNAMED_USER], users[ONCE_USER]) == (0, 1)
        assert (items[UNNAMED_ITEM], items[ONCE_ITEM]) == (0, 1)
    own = [block.is_own.tolist() for block in shuffled.blocks]
    assert own == [[True, False], [True, False, False], [True], [False]]


def factor_arguments(order: str, seed: int) -> dict[str, Any]:
    """Arguments of `sample_factor` for the first block of a random design."""
    design, draw = random_design(seed, order), np.random.default_rng(seed)
    block, rows, n = design.blocks[0], design.rows[0], design.rows.shape[1]
    v = draw.standard_normal(block.n_features).astype(np.float32)
    now = block.row_sums(v).astype(np.float32)
    precisions = draw.uniform(0.5, 2, n).astype(np.float32)
    sums = np.zeros((block.n_rows, row_sums.N_SUMS), np.float32)
    sums[:, row_sums.WEIGHT] = np.bincount(rows, precisions, minlength=block.n_rows)
    begins = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    return {
        "v": v,
        "group_bounds": block.bounds,
        "is_own": block.is_own,
        "starts": block.starts,
        "entry_rows": block.entry_rows,
        "entry_values": block.entry_values,
        "prior_means": np.array([0.2, -0.1]),
        "prior_precisions": np.array([2.0, 5.0]),
        "prior": PRIOR,
        "normals": draw.standard_normal(block.n_features).astype(np.float32),
        "chance": np.array([[0.3, 0.1], [-0.2, 0.2]]),
        "stretched": False,
        "errors": draw.standard_normal(n).astype(np.float32),
        "precisions": precisions,
        "q": (now[rows] + draw.standard_normal(n)).astype(np.float32),
        "rows": rows,
        "run_bounds": np.append(begins, n).astype(np.int64),
        "run_rows": rows[begins],
        "now": now,
        "within": np.zeros(block.n_rows),
        "sums": sums,
    }


def run_factor(**changed: Any) -> dict[str, Any]:
    arguments = {**factor_arguments("by user", 5), **changed}
    gibbs.sample_factor(*arguments.values())
    return {name: arguments[name] for name in ("v", "errors", "q", "now", "within")}


@pytest.mark.parametrize(
    "changed",
    [
        {"run_bounds": np.zeros(1, np.int64), "run_rows": np.empty(0, np.int32)},
        {"is_own": np.array([False, False])},
    ],
    ids=["without runs", "without own features"],
)
def test_shortcuts_do_what_the_long_way_does(changed: dict[str, Any]) -> None:
    short, long = run_factor(), run_factor(**changed)
    for name, found in short.items():
        np.testing.assert_allclose(found, long[name], rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("order", ORDERS)
def test_runs_of_any_length_are_summed_as_scattered_ratings_are(order: str) -> None:
    """In arbitrary order too, where a row has several runs, most of one rating."""
    arguments = factor_arguments(order, 6)
    found = []
    for runs in (True, False):
        sums = np.full_like(arguments["sums"], 7)  # what was there before does not matter
        ways = {True: (row_sums.sum_runs, ("run_bounds", "run_rows")), False: (row_sums.sum_anywhere, ("rows",))}
        kernel, names = ways[runs]
        kernel(*(arguments[name] for name in ("errors", "precisions", "q", *names, "now")), sums)
        found.append(sums)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", ORDERS)
def test_what_a_row_keeps_is_the_sum_over_its_ratings(order: str) -> None:
    a = factor_arguments(order, 7)
    row_sums.sum_anywhere(a["errors"], a["precisions"], a["q"], a["rows"], a["now"], a["sums"])
    others = a["q"] - a["now"][a["rows"]]
    for row in range(USERS):
        of = a["rows"] == row
        weights, other, errors = a["precisions"][of], others[of], a["errors"][of]
        terms = [weights, weights * other, weights * other**2, weights * errors, weights * errors * other]
        np.testing.assert_allclose(a["sums"][row, :5], [term.sum() for term in terms], rtol=1e-4, atol=1e-5)


def test_without_chance_a_feature_moves_to_the_minimum_of_its_penalised_squared_error() -> None:
    """With normals of 0 a conditional is sampled at its mean, where the derivative of its logarithm is 0."""
    a = factor_arguments("by user", 8)
    last = len(a["v"]) - 1
    a["normals"][:] = 0
    gibbs.sample_factor(*a.values())
    x = np.zeros(USERS)
    entries = slice(a["starts"][last], a["starts"][last + 1])
    x[a["entry_rows"][entries]] = a["entry_values"][entries]
    of_ratings = x[a["rows"]]
    h = of_ratings * (a["q"] - of_ratings * a["v"][last])
    slope = (a["precisions"] * a["errors"] * h).sum() - a["prior_precisions"][1] * (a["v"][last] - a["prior_means"][1])
    assert h.any()
    assert slope == pytest.approx(0, abs=1e-3)


def test_q_is_gathered_from_all_blocks() -> None:
    design = random_design(9, "shuffled")
    rows = (design.rows + design.row_starts[:-1, None]).astype(np.int32)
    values = np.random.default_rng(9).standard_normal(design.n_rows).astype(np.float32)
    q = np.full(rows.shape[1], np.nan, np.float32)
    row_sums.gather_factor(q, rows, values)
    np.testing.assert_allclose(q, values[rows].sum(axis=0), rtol=1e-5, atol=1e-6)


def test_each_rating_has_the_precision_of_its_user_and_each_row_their_sum() -> None:
    design = random_design(10, "shuffled")
    rows = (design.rows + design.row_starts[:-1, None]).astype(np.int32)
    of_users = np.random.default_rng(10).gamma(2, size=USERS)
    precisions = np.full(rows.shape[1], np.nan, np.float32)
    sums = np.full((design.n_rows, row_sums.N_SUMS), -1, np.float32)
    row_sums.spread_precisions(of_users, design.rows[0], rows, precisions, sums)
    np.testing.assert_allclose(precisions, of_users[design.rows[0]], rtol=1e-6)
    expected = np.bincount(rows.ravel(), np.tile(precisions, len(rows)), minlength=design.n_rows)
    np.testing.assert_allclose(sums[:, row_sums.WEIGHT], expected, rtol=1e-5)
    assert (sums[:, row_sums.WEIGHT + 1 :] == -1).all()


def test_squares_of_rows_are_sums_of_squared_errors() -> None:
    errors, rows = np.array([1, 2, -3, 0.5], np.float32), np.array([2, 0, 2, 3], np.int32)
    assert row_sums.squares_of_rows(errors, rows, 5).tolist() == [4, 0, 1 + 9, 0.25, 0]


def test_moments_are_those_of_each_group_around_its_mean() -> None:
    v = np.array([[1, 2, 3, 5]], np.float32)
    found = row_sums.moments(v, np.array([0, 2, 2, 4]), np.array([[1.0, 9.0, 4.0]]))  # the second group is empty
    assert found.tolist() == [[[1 + 2, 0, 3 + 5]], [[0 + 1, 0, 1 + 1]]]


def test_scores_are_added_up_by_the_formula() -> None:
    rows = np.array([[0, 1], [2, 2]], np.int32)
    biases, factors = np.array([0.5, -1, 2]), np.array([[1, 2], [0, 3], [4, -1]], np.float32)
    scores = np.array([10.0, 20.0])
    row_sums.score_rows(scores, rows, biases, factors, 3.0)
    assert scores.tolist() == [10 + 3 + 0.5 + 2 + (1 * 4 - 2 * 1), 20 + 3 - 1 + 2 + (0 * 4 - 3 * 1)]


def test_no_ratings_leave_features_to_their_prior() -> None:
    a = factor_arguments("by user", 11)
    none = {name: a[name][:0] for name in ("errors", "precisions", "q", "rows", "run_rows")}
    a |= {**none, "run_bounds": np.zeros(1, np.int64), "sums": np.zeros_like(a["sums"])}
    gibbs.sample_factor(*a.values())
    group = np.repeat([0, 1], np.diff(a["group_bounds"]))
    expected = a["prior_means"][group] + a["normals"] / np.sqrt(a["prior_precisions"][group])
    np.testing.assert_allclose(a["v"], expected, rtol=1e-4, atol=1e-5)
