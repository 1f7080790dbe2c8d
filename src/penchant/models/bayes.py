"""bayes: a Bayesian factorisation machine with side features, implicit history and times, sampled by Gibbs sweeps.

The machine is that of Rendle 2013 and of Freudenthaler, Schmidt-Thieme and Rendle 2011; what is gained by averaging
samples instead of choosing a maximum, Salakhutdinov and Mnih 2008; the features, Rendle, Zhang and Koren 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from penchant.data.context import Context
from penchant.data.features import Columns
from penchant.data.split import Split
from penchant.errors import NotFittedError, SettingError, UnsupportedError
from penchant.models.base import Explanation, Floats, Floats64, Model, Rows, Shapes
from penchant.models.designing import ITEMS, USERS, Coding, Wanted
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.memory import Parts, Sizes
from penchant.models.ordinal import MOST, Steps
from penchant.models.posterior import Posterior, now_of
from penchant.models.settings import Settings, setting

Likelihood = Literal["gaussian", "ordered-probit"]

SAMPLED_A_TIME = 65_536  # pairs that are scored in every sample at once


@dataclass(frozen=True)
class BayesSettings(Settings):
    """Settings of `bayes`. Nothing else needs tuning: all that pulls and scatters is sampled."""

    likelihood: Likelihood = setting(
        "gaussian",
        "How ratings scatter around scores: gaussian; or ordered-probit, which takes them for steps between cuts.",
        search=("gaussian", "ordered-probit"),
    )
    factors: int = setting(
        16, "How many numbers describe each feature (each user, item, genre, …).", low=1, search=(8, 32)
    )
    chains: int = setting(4, "How many samplers run side by side, each from its own start.", low=1, search=(2, 8))
    sweeps: int = setting(150, "How often each chain samples everything; above burn_in.", low=1, search=(75, 300))
    burn_in: int = setting(
        30, "How many sweeps of each chain are thrown away, before it has settled.", low=1, search=(15, 60)
    )
    history: bool = setting(
        True, "Learn from which items a user rated, and which users rated an item.", search=(True, False)
    )
    item_columns: Columns = setting(
        "auto", "Columns of the items table to learn from; auto: all that can be.", search=("auto", "none")
    )
    user_columns: Columns = setting(
        "auto", "Columns of the users table to learn from; auto: all that can be.", search=("auto", "none")
    )
    months: bool = setting(False, "Learn from the month of a rating, where there are times.", search=(False, True))
    days: bool = setting(True, "Learn from what a user rates on one day, where there are times.", search=(True, False))
    averaged_factors: int = setting(
        192, "How many factors the average of all samples may have.", low=1, search=(128, 256)
    )
    samples: int = setting(16, "How many samples are kept, for intervals and new users.", low=2, search=(8, 32))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sweeps <= self.burn_in:
            raise SettingError(
                f"sweeps is {self.sweeps!r}, and all are thrown away: burn_in is {self.burn_in!r}.",
                remedy="Give more sweeps, or a smaller burn_in.",
            )


@final
class Bayes(Model):
    """rating = level + what its user, item, month and day add + the products of each two of their factors.

    Scores come from the average over all samples, brought down to `averaged_factors` factors; deviations and
    new users from a few samples that are kept.
    """

    name = "bayes"
    settings_class = BayesSettings
    memory_remedy = "Use fewer --factors, --chains or --samples, or --days false."

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._coding_fields: dict[str, Any] | None = None

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        from penchant.models.bayes_training import BayesTraining

        with BayesTraining(self, split, options) as training:
            return run_epochs(training, self.name, options)

    def learn(self, arrays: Mapping[str, NDArray[Any]], coding: Coding) -> None:
        """Take what training has so far."""
        self._forget()
        sizes = {"n_samples": len(arrays["samples/levels"]), "n_steps": len(arrays["steps/ratings"])}
        self._coding_fields = {**coding.to_json(), **sizes}
        self.parameters = {**self.parameters, **arrays}

    def wanted(self) -> Wanted:
        """Which features the settings ask for."""
        asked = self.settings
        return Wanted(asked.history, asked.user_columns, asked.item_columns, asked.months, asked.days)

    # --- scores ---------------------------------------------------------------------------------------

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        return self._scores_of_any(user_rows, item_rows, Context())

    def _scores_of_any(self, user_rows: Rows, item_rows: Rows, context: Context) -> Floats:
        """Who or what is known by its columns alone is scored in the samples; damped biases answer for the unknown.

        On unknown items of ml-latest-small damped biases (0.98 of mean squared error) were better than the average
        item's factors (1.05), and columns better than both (0.89).
        """
        from penchant.kernels.row_sums import score_rows

        rows = self.coding.rows(user_rows, item_rows, context.times)
        scores = np.zeros(len(user_rows))
        score_rows(scores, rows, self._biases, self._factors, float(self._parameter("level")[0]))
        blank, described = self._unknown(user_rows, item_rows, context)
        if len(described):
            scores[described] = self._sampled_scores(rows[:, described], context.take(described)).mean(axis=0)
        ratings = self._rating(scores, self._spread[rows[USERS]])
        ratings[blank] = self.fallback.predict(user_rows[blank], item_rows[blank])
        return ratings

    def _unknown(
        self, user_rows: Rows, item_rows: Rows, context: Context
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs with a user or an item of which nothing is known, and those with one known by its columns alone."""
        blank, described = (np.zeros(len(user_rows), bool) for _ in range(2))
        sides = (
            (user_rows, context.users, self.coding.user_features),
            (item_rows, context.items, self.coding.item_features),
        )
        for own, new, features in sides:
            told = new.rows >= 0 if new is not None and features else np.zeros(len(own), bool)
            described |= told
            blank |= (own < 0) & ~told
        return np.flatnonzero(blank), np.flatnonzero(described & ~blank)

    def _rating(self, scores: NDArray[Any], spread: NDArray[Any]) -> Floats:
        """The rating to expect of latent values normal around scores; scores themselves where ratings are gaussian."""
        if self.settings.likelihood == "gaussian":
            return scores.astype(np.float32)
        return self.steps.expected(scores, spread)

    @property
    def _spread(self) -> Floats:
        """How far ratings lie from scores on average, by user and for an unknown one, float32 (n_users + 1,)."""
        return np.sqrt(self._parameter("user_noise") + self._parameter("uncertainty"))

    def distribution(self, user_rows: Rows, item_rows: Rows, context: Context | None = None) -> tuple[Floats, Floats]:
        """How likely each step of the scale is for pairs.

        Returns:
            the steps, float32 (steps,), rising, and their chances, float32 (n, steps).

        Raises:
            UnsupportedError: ratings are not of a few steps.
        """
        if not len(self.steps.ratings):
            raise UnsupportedError(
                f"There are more than {MOST} distinct ratings.", remedy="Ask for an interval (interval=0.9) instead."
            )
        context = context or Context()
        means, spread = self._latent(user_rows, item_rows, context)
        return self.steps.ratings, self.steps.chances(means, spread)

    def _latent(self, user_rows: Rows, item_rows: Rows, context: Context) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation of what ratings are cut from, (n,)."""
        rows = self.coding.rows(user_rows, item_rows, context.times)
        noise = self._parameter("user_noise")[rows[USERS]]
        unknown = rows == self.coding.starts[1:, None] - 1
        means, spread = np.empty(len(user_rows)), np.empty(len(user_rows), np.float32)
        for at in range(0, len(spread), SAMPLED_A_TIME):
            some = slice(at, at + SAMPLED_A_TIME)
            scores = self._sampled_scores(rows[:, some], context.take(some))
            variance = scores.var(axis=0, ddof=1 if len(scores) > 1 else 0)
            variance += self.posterior.variance_of_unknown(rows[:, some], unknown[:, some])
            means[some], spread[some] = scores.mean(axis=0), np.sqrt(variance + noise[some])
        return means, spread

    def deviations(self, user_rows: Rows, item_rows: Rows, context: Context | None = None) -> Floats:
        means, spread = self._latent(user_rows, item_rows, context or Context())
        return spread if self.settings.likelihood == "gaussian" else self.steps.deviations(means, spread)

    def _sampled_scores(self, rows: NDArray[np.int32], context: Context) -> NDArray[np.float64]:
        """Scores of pairs in each sample that was kept, (samples, n); newcomers by their columns."""
        posterior, more, after = self.posterior, None, int(self.coding.starts[-1])
        rows = rows.copy()
        for side, new in ((USERS, context.users), (ITEMS, context.items)):
            if new is None or not (new.rows >= 0).any():
                continue
            own = posterior.newcomers(side, new, self.coding)
            more = own if more is None else [_joined(*both) for both in zip(more, own, strict=True)]
            rows[side] = np.where(new.rows >= 0, after + new.rows, rows[side])
            after += new.table.height
        return posterior.scores(rows, more)

    def user_vectors(self, user_rows: Rows) -> Floats:
        """[spread, bias, factors] of each user in the last month of training, (n, 2 + averaged factors)."""
        bias, factors = self._now
        own = self._factors[user_rows]
        biases = self._biases[user_rows] + bias + own @ factors
        vectors = np.concatenate((self._spread[user_rows, None], biases[:, None], own + factors), axis=1)
        return vectors.astype(np.float32)

    def scores_of(self, user_vectors: Floats) -> Floats:
        items = self.coding.rows_of(ITEMS)
        scores = user_vectors[:, 2:] @ self._factors[items].T
        scores += self._biases[items] + self._parameter("level")
        scores += user_vectors[:, 1:2]
        return self._rating(scores, user_vectors[:, :1])

    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        """The average over samples of the most probable own factors, given a sample's everything else."""
        if not len(item_rows):
            return self._average_user
        biases, factors = self._pulls(item_rows, ratings)
        bias = biases.sum(axis=1).mean() - float(self._parameter("level")[0])
        averaged = np.einsum("srk,sk->r", self._into_average, factors.sum(axis=1)) / len(biases)
        return np.concatenate(([self._spread[-1], bias], averaged)).astype(np.float32)

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """Each has an even part of what an average user is beyond a user who has rated nothing, taken from it.

        Where ratings are steps, what is added before the sum becomes a rating is turned into rating steps evenly.
        """
        if not len(item_rows):
            return np.zeros(0)
        biases, factors = self._pulls(item_rows, ratings)
        bias, of_item = self._item(item_row)
        direction = np.einsum("srk,r->sk", self._into_average, of_item)
        adds = (biases + np.einsum("snk,sk->sn", factors, direction)).mean(axis=0)
        first, last = adds[0] + bias, adds.sum() + bias
        middle, half = (first + last) / 2, max(abs(last - first) / 2, 0.01)  # nearer ends have no float32 difference
        ends = np.array([middle - half, middle + half, last])
        low, high, score = self._rating(ends, np.full(3, self._spread[-1])).astype(np.float64)
        parts: Floats64 = adds[1:] * (high - low) / (2 * half)
        average = float(self.scores_of(self._average_user[None])[0, item_row])
        return parts + (score - average - parts.sum()) / len(parts)

    def _pulls(self, item_rows: Rows, ratings: Floats) -> tuple[Floats64, Floats64]:
        """What a user is without ratings, and what each rating adds: in each sample, biases and factors.

        Returns:
            biases (samples, 1 + n), factors (samples, 1 + n, k).
        """
        posterior, rows = self.posterior, int(self.coding.starts[ITEMS]) + item_rows
        rated_bias, rated = posterior.rated(item_rows, self.coding)  # (samples, n), (samples, n, k)
        now_bias, now = now_of(self.coding, posterior.biases, posterior.factors)
        items = posterior.factors[:, rows].astype(np.float64)  # (samples, n, k)
        others = rated.sum(axis=1) + now
        bias, factors = (part[:, self.n_users].astype(np.float64) for part in (posterior.biases, posterior.factors))
        first = bias + now_bias + posterior.levels + (factors * now).sum(axis=1)
        expected = posterior.biases[:, rows] + np.einsum("snk,sk->sn", items, others + factors)
        expected += (first + rated_bias.sum(axis=1) + (rated.sum(axis=1) * (now + factors)).sum(axis=1))[:, None]
        design = np.concatenate((np.ones((*items.shape[:2], 1)), items + others[:, None]), axis=2)
        latent = ratings if self.settings.likelihood == "gaussian" else self.steps.centres_of(ratings)
        own = posterior.own_pulls(USERS, design, latent - expected, float(self._parameter("user_noise")[-1]))
        biases = rated_bias + own[..., 0] + np.einsum("snk,sk->sn", rated, now + factors)
        biases += np.einsum("snk,sk->sn", own[..., 1:], others)
        return (
            np.concatenate((first[:, None], biases), axis=1),
            np.concatenate(((now + factors)[:, None], rated + own[..., 1:]), axis=1),
        )

    @cached_property
    def _average_user(self) -> Floats:
        """The mean of users' vectors. The mean of their own features is not it: all have rated something."""
        if not self.n_users:
            return self._parameter("average")
        vectors = self.user_vectors(np.arange(self.n_users, dtype=np.int32))
        return vectors.mean(axis=0, dtype=np.float64).astype(np.float32)

    @cached_property
    def _into_average(self) -> NDArray[np.float64]:
        """Takes a user's factors in a sample to averaged factors that score items alike, (samples, averaged, k).

        The least squares of scores over items, each weighted by its ratings.
        """
        items, weights = self.coding.rows_of(ITEMS), self._parameter("item_counts").astype(np.float64) + 1
        average = self._factors[items].astype(np.float64)
        weighted = average.T * weights
        system = weighted @ average
        system[np.diag_indices_from(system)] += 1e-6 * np.trace(system) / len(system)
        sampled = self.posterior.factors[:, items].astype(np.float64)
        return np.stack([np.linalg.solve(system, weighted @ one) for one in sampled])

    # --- looking in -----------------------------------------------------------------------------------

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        """Around the average user and the average item of a rating, so that their products are no one's own.

        Where ratings are steps, causes are added one after the other before they become a rating, so that differences
        sum up.
        """
        spread, vector = user_vector[:1], user_vector[1:].astype(np.float64)
        centre, item_centre = self._parameter("centre").astype(np.float64)
        bias, factors = self._item(item_row)
        parts = {
            "mean": float(self._parameter("level")[0]) + centre[0] + item_centre[0] + centre[1:] @ item_centre[1:],
            "user": vector[0] - centre[0] + (vector[1:] - centre[1:]) @ item_centre[1:],
            "item": bias - item_centre[0] + centre[1:] @ (factors - item_centre[1:]),
            "match": (vector[1:] - centre[1:]) @ (factors - item_centre[1:]),
        }
        so_far = self._rating(np.cumsum(list(parts.values())), spread).astype(np.float64)
        score = float(self.scores_of(user_vector[None])[0, item_row])
        return Explanation(dict(zip(parts, np.diff(so_far, prepend=0.0).tolist(), strict=True)), score)

    def _item(self, item_row: int) -> tuple[float, NDArray[np.float64]]:
        row = int(self.coding.starts[ITEMS]) + item_row
        return float(self._biases[row]), self._factors[row].astype(np.float64)

    def item_factors(self) -> Floats:
        """Averaged factors around those of the average item."""
        return self._factors[self.coding.rows_of(ITEMS)] - self._parameter("centre")[1, 1:]

    def item_biases(self) -> Floats:
        centre, item_centre = self._parameter("centre")
        items = self.coding.rows_of(ITEMS)
        return self._biases[items] - item_centre[0] + (self._factors[items] - item_centre[1:]) @ centre[1:]

    # --- what is kept ---------------------------------------------------------------------------------

    @cached_property
    def coding(self) -> Coding:
        """What the rows of the blocks stand for."""
        return Coding.from_json(self._fields(), self.n_users, self.n_items, self.parameters.get("days"))

    @cached_property
    def posterior(self) -> Posterior:
        """The samples that are kept."""
        return Posterior.unpack(self.parameters)

    @property
    def steps(self) -> Steps:
        """The ratings that there are, and where scores turn from one into the next; empty where they are too many."""
        return Steps.unpack(self.parameters)

    @cached_property
    def _factors(self) -> Floats:
        return self._parameter("factors").astype(np.float32)

    @property
    def _biases(self) -> Floats:
        return self._parameter("biases")

    @cached_property
    def _now(self) -> tuple[Any, Any]:
        """What the last month and a day that is not known add to every user: a bias, and factors."""
        bias, factors = now_of(self.coding, self._biases[None], self._factors[None])
        return bias[0], factors[0]

    def _forget(self) -> None:
        for name in ("coding", "posterior", "_factors", "_now", "_into_average", "_average_user"):
            self.__dict__.pop(name, None)

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        fields = self._fields()
        n_days, samples = fields["n_days"], int(fields["n_samples"])
        days = None if n_days is None else np.zeros(int(n_days), np.int64)
        coding = Coding.from_json(fields, n_users, n_items, days)
        rows, averaged = int(coding.starts[-1]), int(self.settings.averaged_factors)
        shared = sum(count for side in (USERS, ITEMS) for _, count in coding.shared(side))
        return {
            "level": (1,),
            "biases": (rows,),
            "factors": (rows, averaged),
            "centre": (2, 1 + averaged),
            "user_noise": (n_users + 1,),
            "uncertainty": (1,),
            **Steps.shapes(int(fields["n_steps"])),
            "item_counts": (n_items,),
            **({} if days is None else {"days": days.shape}),
            **({} if n_users else {"average": (2 + averaged,)}),
            **Posterior.shapes(samples, len(coding.sizes), rows, shared, self.settings.factors),
        }

    def _less_users(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Days are of users, and items have features for the sets of their users; what the average is, is kept."""
        coding, kept = self.coding, {**self.parameters, "average": self._average_user}
        kept |= {name: kept[name][coding.rows_of_nobody] for name in ("biases", "factors")}
        kept |= self.posterior.without_users(coding).pack()
        fields = {**self._fields(), "n_days": None if coding.days is None else 0}
        return kept | ({} if coding.days is None else {"days": coding.days[:0]}), {"features": fields}

    def _check_values(self) -> None:
        for name in ("user_noise", "samples/own_precisions"):
            if not len(self.parameters[name]) or self.parameters[name].min() <= 0:
                raise ValueError(f"{name} is not above 0")
        self.steps.check()
        if self.parameters["uncertainty"][0] < 0:
            raise ValueError("the uncertainty is below 0")
        if self.parameters["item_counts"].min() < 0:
            raise ValueError("an item has fewer than 0 ratings")

    def _fields(self) -> dict[str, Any]:
        if self._coding_fields is None:
            raise NotFittedError("This bayes model is not fitted.", remedy="Call fit first.")
        return self._coding_fields

    def _dtype(self, name: str) -> type[np.generic]:
        if name == "days":
            return np.int64
        small = ("factors", "samples/biases", "samples/factors", "samples/weights", "samples/features")
        return np.float16 if name in small else super()._dtype(name)

    def extra(self) -> dict[str, Any]:
        return {"features": self._coding_fields}

    def _take_extra(self, extra: Mapping[str, Any], module: Any) -> None:
        del module
        self._coding_fields = dict(extra["features"])

    def fit_memory(self, sizes: Sizes) -> Parts:
        k, chains = int(self.settings.factors), int(self.settings.chains)
        rows, features = self._counts(sizes)
        return {
            "the chains": chains * (12 * sizes.train + 4 * (k + 1) * (2 * rows + 2 * features) + 40 * rows),
            "the features of users and items": (36 if self.settings.history else 12) * sizes.train + 40 * features,
            "the average of samples": 12 * int(self.settings.averaged_factors) * rows,
            "the samples that are kept": 6 * int(self.settings.samples) * (k + 1) * (rows + features),
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        rows, features = self._counts(sizes)
        kept = 2 * int(self.settings.samples) * (int(self.settings.factors) + 1) * (rows + features)
        return kept + 2 * int(self.settings.averaged_factors) * rows

    def block_memory(self, sizes: Sizes) -> int:
        del sizes
        return 8 * SAMPLED_A_TIME * int(self.settings.samples)

    def _counts(self, sizes: Sizes) -> tuple[int, int]:
        """Rows and features; where there are times, a day of a user for three ratings (MovieLens: for thirteen)."""
        days = sizes.train // 3 if self.settings.days and sizes.timed else 0
        return sizes.rows + days, (2 if self.settings.history else 1) * sizes.rows + days


def _joined(first: tuple[Floats, Floats], second: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return np.concatenate((first[0], second[0])), np.concatenate((first[1], second[1]))
