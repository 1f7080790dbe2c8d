"""Ratings as steps: latent values between cuts, sampled; and where the cuts lie.

A rating is of step y where its latent value, normal around its score, lies between cuts[y] and cuts[y + 1]
(ordered probit: McCullagh 1980; sampled as by Albert and Chib 1993, cuts without latent values as by Cowles 1996).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

EXACT = {"cache": True, "nogil": True, "error_model": "numpy"}  # no fast mathematics: infinite cuts, and tails
ROOT_HALF = math.sqrt(0.5)
SMALLEST = 1e-300


@njit(**EXACT)
def normal_below(x: float) -> float:
    """The chance that a standard normal number is below x."""
    return 0.5 * math.erfc(-x * ROOT_HALF)


@njit(**EXACT)
def normal_between(low: float, high: float) -> float:
    """The chance that a standard normal number lies between two, exact in both tails."""
    if low > 0:
        low, high = -high, -low
    return normal_below(high) - normal_below(low)


@njit(**EXACT)
def normal_quantile(p: float) -> float:
    """The number that a standard normal one is below with chance p, 0 < p <= 1/2 (Wichura 1988, AS 241)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = ((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r
            + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
            + 133.14166789178437745) * r + 3.387132872796366608  # fmt: skip
        below = ((((((5226.495278852854561 * r + 28729.085735721942674) * r + 39307.89580009271061) * r
            + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
            + 42.313330701600911252) * r + 1.0  # fmt: skip
        return q * top / below
    r = math.sqrt(-math.log(max(p, SMALLEST)))
    if r <= 5:
        r -= 1.6
        top = ((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
            + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
            + 4.6303378461565452959) * r + 1.42343711074968357734  # fmt: skip
        below = ((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
            + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
            + 2.05319162663775882187) * r + 1.0  # fmt: skip
        return -top / below
    r -= 5.0
    top = ((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
        + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
        + 5.4637849111641143699) * r + 6.6579046435011037772  # fmt: skip
    below = ((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r
        + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r + 0.13692988092273580531) * r
        + 0.59983220655588793769) * r + 1.0  # fmt: skip
    return -top / below


@njit(**EXACT)
def sample_latent(
    latent: NDArray[Any],
    errors: NDArray[Any],
    steps: NDArray[Any],
    precisions: NDArray[Any],
    cuts: NDArray[Any],
    uniforms: NDArray[Any],
) -> None:
    """Sample the latent value of each rating between the cuts of its step.

    Args:
        latent: float32 (n,), replaced; scores are latent - errors.
        errors: float32 (n,), brought up to date.
        steps: int8 (n,), 0 for the lowest.
        precisions: float32 (n,), one over the variance of a latent value around its score.
        cuts: float64 (steps + 1,), rising; the first is -inf, the last inf.
        uniforms: float32 (n,), of 0 to 1.
    """
    for n in range(len(latent)):
        score, root = np.float64(latent[n]) - np.float64(errors[n]), math.sqrt(np.float64(precisions[n]))
        low, high = root * (cuts[steps[n]] - score), root * (cuts[steps[n] + 1] - score)
        sign = 1.0
        if low > 0:  # in the upper tail chances are differences of ones: look at it from below
            low, high, sign = -high, -low, -1.0
        from_, to = normal_below(low), normal_below(high)
        p = from_ + (to - from_) * np.float64(uniforms[n])
        z = normal_quantile(p) if p <= 0.5 else -normal_quantile(1 - p)
        z = min(max(z, low), high)  # a tail too thin for its chances is where it begins
        latent[n] = np.float32(score + sign * z / root)
        errors[n] = np.float32(np.float64(latent[n]) - score)


@njit(**EXACT)
def sample_cuts(
    cuts: NDArray[Any],
    scores: NDArray[Any],
    steps: NDArray[Any],
    precisions: NDArray[Any],
    counts: NDArray[Any],
    normals: NDArray[Any],
    uniforms: NDArray[Any],
) -> None:
    """Move the inner cuts by Metropolis steps, given scores but not latent values.

    The first and the last cut stay: they are what the latent scale is measured by.

    Args:
        cuts: float64 (steps + 1,), replaced.
        scores, precisions: float32 (n,).
        steps: int8 (n,).
        counts: int64 (steps,), how many ratings each step has.
        normals, uniforms: float64 (steps + 1,).
    """
    last = len(cuts) - 1
    proposed = cuts.copy()
    for half in range(2):  # cuts of one parity do not share a step, so that each is accepted by itself
        for cut in range(2, last - 1):
            if cut % 2 == half:
                width = 2.4 * (cuts[cut + 1] - cuts[cut - 1]) / 2 / math.sqrt(counts[cut - 1] + counts[cut] + 1.0)
                proposed[cut] = cuts[cut] + normals[cut] * min(width, (cuts[cut + 1] - cuts[cut - 1]) / 4)
                if not cuts[cut - 1] < proposed[cut] < cuts[cut + 1]:
                    proposed[cut] = cuts[cut]
        gained = np.zeros(len(cuts))
        for n in range(len(scores)):
            step = steps[n]
            if proposed[step] == cuts[step] and proposed[step + 1] == cuts[step + 1]:
                continue
            score, root = np.float64(scores[n]), math.sqrt(np.float64(precisions[n]))
            now = normal_between(root * (cuts[step] - score), root * (cuts[step + 1] - score))
            then = normal_between(root * (proposed[step] - score), root * (proposed[step + 1] - score))
            moved = step if proposed[step] != cuts[step] else step + 1
            gained[moved] += math.log(max(then, SMALLEST)) - math.log(max(now, SMALLEST))
        for cut in range(2, last - 1):
            if math.log(uniforms[cut]) >= gained[cut]:
                proposed[cut] = cuts[cut]
            cuts[cut] = proposed[cut]
