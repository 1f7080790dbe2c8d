"""What is told of requests that cannot be."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from penchant.serving.refusals import Refused, of_validation
from penchant.serving.schemas import Visitor


def test_a_refusal_passes_through_what_changes_its_traceback() -> None:
    with pytest.raises(Refused) as caught:
        raise Refused(503, "stopping", "The service stops.")
    caught.value.__traceback__ = None  # as the framework does


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (1.5, "history.0.item: An id is a whole number or text."),
        (None, "history.0.item: An id is a whole number or text."),
        ("", "history.0.item: String should have at least 1 character."),
        (2**63, "history.0.item: Input should be less than 9223372036854775808."),
        ("ü" * 1_001, "history.0.item: String should have at most 1000 characters."),
        ("𢉥" * 501, f"history.0.item: The id is '{'𢉥' * 56}…, 2,004 bytes long as JSON in UTF-8."),
        ("a\x00b", "history.0.item: The id is 'a\\x00b', which no text file could hold."),
    ],
)
def test_an_id_that_cannot_be_is_told_by_its_place_and_kind(item: object, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Visitor.model_validate_json(json.dumps({"history": [{"item": item}]}))
    found = of_validation([{**one, "loc": ("body", *one["loc"])} for one in caught.value.errors()])
    assert (found.status, found.message) == (422, said)


def test_what_is_no_id_is_told_as_it_is() -> None:
    with pytest.raises(ValidationError) as caught:
        Visitor.model_validate_json('{"history": [], "k": "many"}')
    found = of_validation([{**one, "loc": ("body", *one["loc"])} for one in caught.value.errors()])
    assert found.message.startswith("k: Input should be a valid integer")
