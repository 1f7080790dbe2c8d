"""Settings: what is taken, what is refused and how it is said."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from penchant.errors import SettingError
from penchant.models import MODELS, model_class
from penchant.models.schedule import ScheduleName
from penchant.models.settings import RatingRange, Settings, parse_setting, setting, type_in_words

NAN, INF = float("nan"), float("inf")
TOO_LARGE = 10**400  # for a float
SETTINGS = [MODELS[name].settings_class for name in MODELS] + [model_class("own").settings_class]
FIELDS = [pytest.param(cls, field, id=f"{cls.__name__}-{field.name}") for cls in SETTINGS for field in cls.describe()]


@dataclass(frozen=True)
class Sample(Settings):
    """One field of every kind."""

    count: int = setting(3, "A number of things.", low=1, high=9)
    rate: float = setting(0.5, "A rate.", above=0, high=2)
    decay: float = setting(0.0, "A decay.", low=0)
    flag: bool = setting(False, "A switch.")
    layers: tuple[int, ...] = setting((100,), "Widths.", low=1)
    rating_range: RatingRange = setting("auto", "A range.")
    schedule: ScheduleName = setting("linear", "A name.")
    free: float = setting(0.0, "No bounds.")


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("count", 1, 1),
        ("count", 9, 9),
        ("count", 4.0, 4),
        ("count", np.int64(4), 4),
        ("count", np.float32(4), 4),
        ("rate", 2, 2.0),
        ("rate", 1e-9, 1e-9),
        ("rate", np.float32(0.25), 0.25),
        ("decay", 0, 0.0),
        ("flag", True, True),
        ("layers", [100, 50], (100, 50)),
        ("layers", (64.0,), (64,)),
        ("layers", [np.int32(7)], (7,)),
        ("layers", [], ()),
        ("rating_range", [0, 5.5], (0.0, 5.5)),
        ("rating_range", (-1, 1), (-1.0, 1.0)),
        ("rating_range", "none", "none"),
        ("schedule", "one-cycle", "one-cycle"),
        ("free", -1e300, -1e300),
        ("free", 2**60, float(2**60)),
    ],
)
def test_a_value_is_kept_in_its_declared_type(name: str, given: Any, kept: Any) -> None:
    value = getattr(Sample(**{name: given}), name)
    assert value == kept
    assert type(value) is type(kept)
    if isinstance(kept, tuple):
        assert [type(part) for part in value] == [type(part) for part in kept]


@pytest.mark.parametrize(
    ("name", "given", "remedy"),
    [
        ("count", 0, "at least 1 and at most 9"),
        ("count", 10, "at least 1 and at most 9"),
        ("count", 2.5, "a whole number"),
        ("count", NAN, "a whole number"),
        ("count", INF, "a whole number"),
        ("count", True, "a whole number"),
        ("count", np.bool_(True), "a whole number"),
        ("count", "3", "a whole number"),
        ("count", None, "a whole number"),
        ("count", [3], "a whole number"),
        ("count", 1 + 0j, "a whole number"),
        ("rate", 0.0, "above 0 and at most 2"),
        ("rate", -0.1, "above 0 and at most 2"),
        ("rate", 2.0001, "above 0 and at most 2"),
        ("rate", NAN, "a number"),
        ("rate", INF, "a number"),
        ("rate", False, "a number"),
        ("rate", Fraction(1, 3), "a number"),
        ("decay", -1e-300, "at least 0"),
        ("free", -INF, "a number"),
        pytest.param("free", TOO_LARGE, "a number", id="free-too large"),
        ("flag", 1, "true or false"),
        ("flag", "true", "true or false"),
        ("layers", (100, 0), "at least 1"),
        ("layers", [1.5], "whole numbers such as 100,50"),
        ("layers", [NAN], "whole numbers such as 100,50"),
        ("layers", [INF], "whole numbers such as 100,50"),
        ("layers", [True], "whole numbers such as 100,50"),
        ("layers", 100, "whole numbers such as 100,50"),
        ("layers", "100,50", "whole numbers such as 100,50"),
        ("rating_range", (5.0, 0.0), "first number must be below its second"),
        ("rating_range", (3.0, 3.0), "first number must be below its second"),
        ("rating_range", (0, NAN), "two numbers such as 0,5.5 or auto or none"),
        ("rating_range", (0, INF), "two numbers such as 0,5.5 or auto or none"),
        ("rating_range", (0, 1, 2), "two numbers such as 0,5.5 or auto or none"),
        ("rating_range", "wide", "two numbers such as 0,5.5 or auto or none"),
        ("rating_range", np.array([0, 5.5]), "two numbers such as 0,5.5 or auto or none"),
        ("schedule", "cosine", "linear or one-cycle or constant"),
        ("schedule", ["linear"], "linear or one-cycle or constant"),
    ],
)
def test_a_value_it_cannot_have_is_refused_by_name(name: str, given: Any, remedy: str) -> None:
    with pytest.raises(SettingError) as caught:
        Sample(**{name: given})
    assert caught.value.problem == f"{name} is {given!r}."
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(("cls", "field"), FIELDS)
def test_every_bound_of_every_model_holds(cls: type[Settings], field: Any) -> None:
    """The bound itself is taken or refused as it says, and the next number beyond it is refused."""
    bounds = cls.__dataclass_fields__[field.name].metadata
    many = isinstance(field.default, tuple)
    step = 1 if isinstance(field.default, int) or many else 1e-6

    def make(number: float) -> Any:
        return getattr(cls(**{field.name: (number,) if many else number}), field.name)

    for bound, beyond in (("low", -step), ("high", step)):
        if bounds[bound] is not None and field.name != "sweeps":  # which has to be above another setting
            assert make(bounds[bound]) == ((bounds[bound],) if many else bounds[bound])
            with pytest.raises(SettingError, match=field.name):
                make(bounds[bound] + beyond)
    if bounds["above"] is not None:
        assert make(bounds["above"] + step) == bounds["above"] + step
        with pytest.raises(SettingError, match=f"above {bounds['above']}"):
            make(bounds["above"])
    for impossible in (NAN, INF, -INF, None, "x"):
        with pytest.raises(SettingError, match=f"{field.name} is"):
            make(impossible)  # type: ignore[arg-type]


@pytest.mark.parametrize(("cls", "field"), FIELDS)
def test_every_setting_is_described_and_its_search_space_is_allowed(cls: type[Settings], field: Any) -> None:
    assert field.help.endswith(".")
    assert field.default == getattr(cls(), field.name)
    assert type_in_words(field.kind)
    for value in field.search:
        cls(**{field.name: int(value) if type(field.default) is int else value})


def test_settings_are_described_in_order() -> None:
    described = Sample.describe()
    assert [field.name for field in described] == [field.name for field in dataclasses.fields(Sample)]
    assert (described[0].kind, described[0].default, described[0].help) == (int, 3, "A number of things.")
    assert described[4].kind == tuple[int, ...]


def test_names_that_are_no_settings() -> None:
    with pytest.raises(SettingError) as caught:
        Sample.from_dict({"count": 2, "wd": 0.1}, "sample")
    assert caught.value.problem == "sample has no setting 'wd'."
    assert caught.value.remedy.startswith("Its settings: count, rate, decay,")
    assert Sample.from_dict({"count": 2}, "sample") == Sample(count=2)


def test_a_model_without_settings_says_so() -> None:
    @dataclass(frozen=True)
    class Empty(Settings):
        """Nothing."""

    assert Empty.describe() == []
    with pytest.raises(SettingError, match="It has no settings"):
        Empty.from_dict({"x": 1}, "empty")


@pytest.mark.parametrize("cls", [Sample, *SETTINGS])
def test_json_and_back(cls: type[Settings]) -> None:
    changed = cls()
    if cls is Sample:
        changed = Sample(count=4, layers=(8, 4), rating_range=(0, 5.5), flag=True)
    text = json.dumps(changed.to_json(), allow_nan=False)
    assert cls.from_dict(json.loads(text), "sample") == changed


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("7", "count", 7),
        ("7.0", "count", 7),
        ("1e-3", "rate", 0.001),
        ("true", "flag", True),
        ("Yes", "flag", True),
        ("ON", "flag", True),
        ("no", "flag", False),
        ("off", "flag", False),
        ("false", "flag", False),
        ("100,50", "layers", (100, 50)),
        ("64", "layers", (64,)),
        ("", "layers", ()),
        ("0,5.5", "rating_range", (0.0, 5.5)),
        ("-2,2", "rating_range", (-2.0, 2.0)),
        ("auto", "rating_range", "auto"),
        ("none", "rating_range", "none"),
        ("constant", "schedule", "constant"),
    ],
)
def test_settings_as_typed(text: str, name: str, value: Any) -> None:
    kind = {field.name: field.kind for field in Sample.describe()}[name]
    sample = Sample(**{name: parse_setting(text, kind, name)})
    assert getattr(sample, name) == value
    assert type(getattr(sample, name)) is type(value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("many", "count"),
        ("2.5", "count"),
        ("nan", "count"),
        ("inf", "count"),
        ("", "count"),
        ("1,2", "count"),
        ("fast", "rate"),
        ("nan", "rate"),
        ("1e999", "rate"),
        ("1", "flag"),
        ("", "flag"),
        ("a,b", "layers"),
        ("100,", "layers"),
        ("1.5", "layers"),
        ("wide", "rating_range"),
        ("1", "rating_range"),
        ("1,2,3", "rating_range"),
        ("nan,nan", "rating_range"),
        ("", "rating_range"),
        ("Linear", "schedule"),
    ],
)
def test_what_is_typed_wrong_is_refused_by_name(text: str, name: str) -> None:
    kind = {field.name: field.kind for field in Sample.describe()}[name]
    with pytest.raises(SettingError, match=f"^{name} is ") as caught:
        Sample(**{name: parse_setting(text, kind, name)})
    assert caught.value.remedy


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sample().count = 4  # type: ignore[misc]
