"""Where a message or a page of help lists models, it lists all of them: a new one cannot be forgotten."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from penchant.cli import run
from penchant.data.split import Split
from penchant.errors import UnsupportedError
from penchant.models import MODELS, Model, build
from penchant.models.preferences import PreferenceModel

NOBODY = np.empty(0, np.int32)


def named(text: str) -> set[str]:
    return set(re.findall(r"[\w-]+", text)) & MODELS.keys()


def remedy_of(call: object, *arguments: object) -> str:
    with pytest.raises(UnsupportedError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.remedy


def test_models_of_ratings() -> None:
    found = named(remedy_of(build("popularity").predict, NOBODY, NOBODY))
    assert found == {name for name, model in MODELS.items() if not model.ranks_only}


def test_models_that_rank(split: Split) -> None:
    nobody_rated = replace(split, train=replace(split.train, is_implicit=True))
    found = named(remedy_of(build("mf").fit, nobody_rated))
    assert found == {name for name, model in MODELS.items() if model.ranks_only}


def test_models_with_item_factors() -> None:
    found = named(remedy_of(build("popularity").item_factors))
    assert found == {name for name, model in MODELS.items() if model.item_factors is not Model.item_factors}


def test_models_that_rank_by_what_a_user_took() -> None:
    popularity = build("popularity")
    found = named(remedy_of(popularity.contributions, NOBODY, np.empty(0, np.float32), 0))
    ranking = {name: model for name, model in MODELS.items() if model.ranks_only}
    assert found == {n for n, m in ranking.items() if m.contributions is not PreferenceModel.contributions}


def test_the_help_of_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "--help"]) == 0
    page = capsys.readouterr().out
    assert named(page[page.index("Of ratings:") : page.index("--metrics")]) == set(MODELS)
