"""Stochastic gradient descent for matrix factorisation, one rating at a time.

The model of one rating (Koren, Bell and Volinsky 2009, equation 5) is

    z = mean + user_bias + item_bias + user_factors . item_factors
    prediction = low + (high - low) / (1 + exp(-z))      or z itself, when not squashed

The step for each row is Adagrad's (Duchi, Hazan and Singer 2011) with one accumulator a row instead of one
a number: the mean square of the row's gradient. It needs a factor of k less memory traffic than Adam, and
was measured at lower validation error. Weight decay is decoupled: it never enters the accumulators
(Loshchilov and Hutter 2019). Rows that no rating of the epoch names are never read or written.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@njit(cache=True, fastmath=True, nogil=True, error_model="numpy")
def sgd_steps(
    order: NDArray[np.int32],  # (n,) which ratings, in which order
    user_rows: NDArray[np.int32],  # (N,)
    item_rows: NDArray[np.int32],  # (N,)
    ratings: Floats,  # (N,)
    user_factors: Floats,  # (n_users, k), changed in place, as all below
    item_factors: Floats,  # (n_items, k)
    user_biases: Floats,  # (n_users,)
    item_biases: Floats,  # (n_items,)
    user_squares: Floats,  # (n_users,) accumulated mean square gradients of user_factors' rows
    item_squares: Floats,  # (n_items,)
    user_bias_squares: Floats,  # (n_users,)
    item_bias_squares: Floats,  # (n_items,)
    mean: np.float32,
    low: np.float32,
    high: np.float32,
    biased: bool,
    squashed: bool,
    rate_from: np.float32,  # learning rate at the first step …
    rate_to: np.float32,  # … and after the last, linear in between
    bias_rate: np.float32,  # the biases' learning rate, as a multiple of the factors'
    decay: np.float32,
    bias_decay: np.float32,
) -> float:
    """Take n steps and return the sum of squared errors, each taken before its own step."""
    n = order.shape[0]
    k = user_factors.shape[1]
    one = np.float32(1)
    span = high - low
    slope = (rate_to - rate_from) / np.float32(max(n, 1))
    total = 0.0
    for step in range(n):
        at = order[step]
        user = user_rows[at]
        item = item_rows[at]
        p = user_factors[user]
        q = item_factors[item]

        dot = np.float32(0)
        p_square = np.float32(0)
        q_square = np.float32(0)
        for f in range(k):
            dot += p[f] * q[f]
            p_square += p[f] * p[f]
            q_square += q[f] * q[f]
        z = mean + dot
        if biased:
            z += user_biases[user] + item_biases[item]

        prediction = z
        gradient = one
        if squashed:
            s = one / (one + np.exp(-z))
            prediction = low + span * s
            gradient = span * s * (one - s)
        error = ratings[at] - prediction
        total += error * error
        gradient *= error  # minus half the derivative of error**2 by z

        rate = rate_from + slope * np.float32(step)
        square = gradient * gradient
        user_squares[user] += square * q_square / np.float32(k)
        item_squares[item] += square * p_square / np.float32(k)
        user_rate = rate / np.sqrt(user_squares[user])
        item_rate = rate / np.sqrt(item_squares[item])
        for f in range(k):
            old = p[f]
            p[f] = old + user_rate * (gradient * q[f] - decay * old)
            q[f] = q[f] + item_rate * (gradient * old - decay * q[f])
        if biased:
            user_bias_squares[user] += square
            item_bias_squares[item] += square
            user_rate = rate * bias_rate / np.sqrt(user_bias_squares[user])
            item_rate = rate * bias_rate / np.sqrt(item_bias_squares[item])
            user_biases[user] += user_rate * (gradient - bias_decay * user_biases[user])
            item_biases[item] += item_rate * (gradient - bias_decay * item_biases[item])
    return total
