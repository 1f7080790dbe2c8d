"""A seed becomes generators here and nowhere else.

Each use of randomness has a name ("split", "initial", "order", …), and the name is mixed into the seed,
so that a new use never shifts the numbers that an old one draws.
"""

from __future__ import annotations

import zlib

import numpy as np

from penchant.errors import SettingError

LARGEST_SEED = 2**63 - 1


def check_seed(seed: int) -> int:
    """Return the seed, or raise SettingError when it is not an integer of 0 to 2**63 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise SettingError(f"seed is {seed!r}.", remedy="Give a whole number from 0 to 2**63 - 1.")
    if not 0 <= seed <= LARGEST_SEED:
        raise SettingError(f"seed is {seed}.", remedy="Give a whole number from 0 to 2**63 - 1.")
    return int(seed)


def numpy_generator(seed: int, use: str) -> np.random.Generator:
    """A generator for one named use of one seed (Philox, the same stream on every platform)."""
    sequence = np.random.SeedSequence([check_seed(seed), zlib.crc32(use.encode())])
    return np.random.Generator(np.random.Philox(sequence))


def integer_seed(seed: int, use: str) -> int:
    """A whole number of 0 to 2**31 - 1 for libraries that take their own seed (torch)."""
    return int(numpy_generator(seed, use).integers(2**31))
