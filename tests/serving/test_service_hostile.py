"""Requests that nobody would think of, made from the OpenAPI document: none is answered with a 500."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from running_service import Running

schemathesis = pytest.importorskip("schemathesis")
EXAMPLES = 30  # of each route that the document allows, and as many that it forbids

BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_no_request_that_the_document_allows_or_forbids_is_a_500(service: Running) -> None:
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # of a route without parameters there is nothing that it forbids
                BOUNDED(given(case=operation.as_strategy(generation_mode=mode))(_ask))()


def _ask(case: Any) -> None:
    response = case.call()
    assert response.status_code < 500, (case.as_curl_command(), response.text)
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/json"], (case.as_curl_command(), response.text)
        assert set(response.json()["error"]) == {"code", "message", "hint"}, response.text
