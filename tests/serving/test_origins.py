"""Pages of other sites, and names that lead to this machine: what a service without keys hears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from running_service import Running, serving

from penchant.serving.origins import Origins
from penchant.serving.refusals import Refused
from penchant.serving.service_settings import read_settings


def code_of(check: Callable[[], None]) -> str:
    """Of the refusal; "" without one."""
    try:
        check()
    except Refused as error:
        return f"{error.status} {error.code}"
    return ""


def hears(origins: Origins, host: str | None) -> bool:
    found = code_of(lambda: origins.check_host(None if host is None else host.encode()))
    assert found in ("", "403 strange_host")
    return not found


def lets(origins: Origins, method: str = "POST", **headers: str) -> bool:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    found = code_of(lambda: origins.check_page(method, {b"host": b"127.0.0.1:8000", **given}))
    assert found in ("", "403 cross_site")
    return not found


@pytest.mark.parametrize(
    ("host", "is_heard"),
    [
        ("127.0.0.1:8000", True),
        ("127.8.8.8", True),
        ("localhost:8000", True),
        ("LocalHost", True),
        ("shop.localhost:1", True),
        ("[::1]:8000", True),
        (None, True),
        ("evil.example", False),
        ("localhost.evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("127.0.0.1:x", True),
        ("[::1", False),
        ("", False),
        ("8.8.8.8", False),
    ],
)
def test_a_local_service_hears_names_of_this_machine(host: str | None, is_heard: bool) -> None:
    origins = Origins(read_settings())
    assert [hears(origins, host) for _ in range(2)] == [is_heard] * 2


def test_names_that_are_allowed_are_heard() -> None:
    some = Origins(read_settings(allowed_hosts="shop.example, other.example:8000"))
    assert [hears(some, host) for host in ("shop.example:8000", "OTHER.example", "evil.example")] == [True, True, False]
    assert hears(Origins(read_settings(allowed_hosts="*")), "evil.example")
    assert hears(Origins(read_settings(host="127.0.0.2")), "127.0.0.2:8000")
    assert hears(Origins(read_settings(), has_keys=True), "shop.example")
    assert hears(Origins(read_settings(host="0.0.0.0", keys="keys.json"), has_keys=True), "shop.example")


def test_pages_of_other_sites_change_nothing() -> None:
    origins = Origins(read_settings(cors_origins="https://shop.example"))
    assert lets(origins)  # no browser
    assert lets(origins, sec_fetch_site="same-origin", origin="http://127.0.0.1:8000")
    assert lets(origins, sec_fetch_site="none")
    assert lets(origins, origin="http://127.0.0.1:8000")
    assert lets(origins, origin="https://shop.example", sec_fetch_site="cross-site")
    assert not lets(origins, origin="http://evil.example", sec_fetch_site="cross-site")
    assert not lets(origins, sec_fetch_site="cross-site")
    assert not lets(origins, sec_fetch_site="same-site", origin="http://127.0.0.1:9000")
    assert not lets(origins, origin="http://evil.example")
    assert not lets(origins, origin="null")
    assert not lets(origins, origin="null", host="")
    assert lets(origins, "GET", origin="http://evil.example", sec_fetch_site="cross-site")


@pytest.mark.parametrize("path", ["/v1/admin/reload", "/v1/feedback", "/v1/recommendations"])
def test_a_page_elsewhere_gets_nothing_done(service: Running, path: str) -> None:
    theirs = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    refused = service.client.post(path, headers=theirs)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cross_site")
    rebound = service.client.post(path, headers={"host": "evil.example", "origin": "http://evil.example"})
    assert (rebound.status_code, rebound.json()["error"]["code"]) == (403, "strange_host")
    ours = {"origin": service.url, "sec-fetch-site": "same-origin"}
    assert service.client.post(path, headers=ours).status_code in (200, 422)


def test_nothing_is_read_under_another_name_but_whether_it_is_alive(service: Running) -> None:
    there = {"host": "evil.example"}
    assert service.get("/v1/users/1/recommendations", headers=there).status_code == 403
    assert service.get("/", headers=there).status_code == 403
    assert service.get("/healthz", headers=there).status_code == 200
    assert service.get("/readyz", headers=there).status_code == 200


def test_a_proxy_may_pass_on_the_name_that_it_was_called_by(film_model: Path, tmp_path: Path) -> None:
    with serving(film_model, tmp_path, "--allowed-hosts", "shop.example") as running:
        there = {"host": "shop.example", "origin": "http://shop.example"}
        assert running.client.post("/v1/admin/reload", headers=there).status_code == 200
