"""Seeds: the same everywhere and for ever, and a stream of its own for each use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penchant.errors import SettingError
from penchant.seeds import LARGEST_SEED, check_seed, integer_seed, numpy_generator


def test_the_numbers_are_those_of_the_first_version() -> None:
    """Models are promised to be the same for the same seed, so these must not change."""
    assert numpy_generator(0, "split").integers(1000, size=6).tolist() == [882, 298, 786, 597, 474, 320]
    assert numpy_generator(42, "order of ratings").permutation(8).tolist() == [4, 0, 2, 7, 3, 6, 1, 5]
    normal = numpy_generator(7, "initial factors").standard_normal(3, np.float32)
    np.testing.assert_allclose(normal, [-1.325765, 0.23249033, 0.8287217], rtol=1e-6)
    assert [integer_seed(seed, "torch") for seed in (0, 1, LARGEST_SEED)] == [253848696, 2132689329, 1460003591]


def test_same_seed_and_use_same_numbers() -> None:
    one, other = numpy_generator(5, "split"), numpy_generator(5, "split")
    assert one.random(100).tolist() == other.random(100).tolist()


def test_every_use_and_every_seed_has_its_own_numbers() -> None:
    uses = ["split", "initial factors", "order of ratings", "dropout", "bootstrap", "torch", "", "tilps"]
    seeds = [0, 1, 2, 2**32, 2**32 + 1, 2**63 - 1]
    streams = {tuple(numpy_generator(seed, use).integers(2**63, size=4).tolist()) for seed in seeds for use in uses}
    assert len(streams) == len(uses) * len(seeds)


def test_uses_of_one_seed_are_not_correlated() -> None:
    one, other = (numpy_generator(3, use).random(20_000) for use in ("split", "bootstrap"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(20_000)


def test_numpy_integers_are_seeds() -> None:
    assert check_seed(np.int64(9)) == 9
    assert type(check_seed(np.int64(9))) is int
    assert numpy_generator(np.uint8(9), "x").random() == numpy_generator(9, "x").random()


@pytest.mark.parametrize("seed", [0, LARGEST_SEED])
def test_the_ends_are_seeds(seed: int) -> None:
    assert check_seed(seed) == seed
    assert 0 <= integer_seed(seed, "torch") < 2**31


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 1.0, 0.5, float("nan"), True, "1", None, np.bool_(True)])
def test_what_is_no_seed(seed: Any) -> None:
    for use in (check_seed, lambda given: numpy_generator(given, "x"), lambda given: integer_seed(given, "x")):
        with pytest.raises(SettingError, match="whole number from 0 to") as caught:
            use(seed)
        assert "seed is " in caught.value.problem


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(1)  # noqa: NPY002, it is the one that must not move
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    numpy_generator(1, "split").random(10)
    integer_seed(1, "torch")
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
