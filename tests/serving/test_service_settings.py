"""Settings of the service: flags, variables, checks."""

from __future__ import annotations

import pytest

from penchant.errors import SettingError
from penchant.serving.service_settings import describe, read_settings, unheard


def test_a_flag_wins_over_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_PORT", "9000")
    monkeypatch.setenv("PENCHANT_QUEUE", "7")
    settings = read_settings(port="8123", queue=None)
    assert (settings.port, settings.queue) == (8123, 7)


@pytest.mark.parametrize(("name", "value"), [("PENCHANT_PORT", "x"), ("PENCHANT_RATE", "-1")])
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=name):
        read_settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.8.8.8"])
def test_loopback_needs_no_keys_and_has_no_rate(host: str) -> None:
    settings = read_settings(host=host)
    assert settings.is_local
    assert settings.requests_a_second == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org"])
def test_what_others_can_reach_needs_keys(host: str) -> None:
    with pytest.raises(SettingError, match="no keys"):
        read_settings(host=host)
    assert read_settings(host=host, keys="keys.json").requests_a_second == 100


def test_every_setting_is_described() -> None:
    assert all(one.help.endswith(".") for one in describe())
    assert {"--host", "--feedback", "--max-body"} <= {one.flag for one in describe()}


@pytest.mark.parametrize("proxies", ["", "*", "10.0.0.1", "10.0.0.0/8, ::1"])
def test_proxies_are_named_by_address_or_network(proxies: str) -> None:
    assert read_settings(trusted_proxies=proxies).trusted_proxies == proxies


def test_a_proxy_without_an_address_is_refused() -> None:
    with pytest.raises(SettingError, match=r"--trusted-proxies is 'foo': foo is no address such as 10\.0\.0\.1"):
        read_settings(trusted_proxies="foo")


def test_variables_that_are_nearly_settings_are_told() -> None:
    variables = [
        "PENCHANT_PROT",
        "PENCHANT_KEY",
        "PENCHANT_PORT",
        "penchant_queu",
        "PENCHANT_SERVICE_HOST",
        "PENCHANT_DATA",
        "PATH",
    ]
    assert unheard(variables) == [
        "PENCHANT_PROT is no setting. Is PENCHANT_PORT meant?",
        "penchant_queu is no setting. Is PENCHANT_QUEUE meant?",
    ]


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PENCHANT_KEYS", "PENCHANT_RATE", "PENCHANT_FEEDBACK"):
        monkeypatch.setenv(name, "")
    settings = read_settings()
    assert (settings.keys, settings.rate, settings.feedback) == (None, None, None)
