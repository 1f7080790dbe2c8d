"""Settings of the service: flags of `penchant serve`, PENCHANT_ variables and the table in the docs come from here."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from penchant.errors import MissingExtraError, SettingError

try:
    from pydantic import Field, ValidationError, field_validator
    from pydantic_settings import BaseSettings, SettingsConfigDict
except ImportError as error:
    raise MissingExtraError("Serving", extra="serve") from error

PREFIX = "PENCHANT_"
RATE = 100.0
OTHERS = ("PENCHANT_KEY", "PENCHANT_DATA")  # of penchant retrain, and where data sets are
CLOSE = 0.85  # how much of a name is right, of 1


class ServiceSettings(BaseSettings):
    """How to serve. A flag wins over a variable, and a variable over the default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all of the machine.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any that is free.")
    feedback: str | None = Field(
        None, description="Where feedback is kept: a file, or postgresql://…; beside the model."
    )
    keys: Path | None = Field(None, description="File of API keys, as penchant keys add makes it.")
    pid_file: Path | None = Field(
        None, description="File for the number of the process while it runs, as penchant retrain takes it."
    )
    cors_origins: str = Field("", description="Origins whose pages may call, separated by commas; * for all.")
    allowed_hosts: str = Field(
        "", description="Host names besides this machine's that a service without keys hears, by commas; * for any."
    )
    trusted_proxies: str = Field(
        "", description="Addresses or networks of proxies whose X-Forwarded-For is believed; * for any."
    )
    rate: float | None = Field(
        None, ge=0, description="Requests a second from one key or address, 0 for no limit; 100, on loopback 0."
    )
    burst: int = Field(200, ge=1, description="Requests that may come at once before the rate counts.")
    max_body: int = Field(1_000_000, ge=1_000, description="Bytes of the largest request.")
    concurrency: int = Field(64, ge=1, description="Requests that are worked on at the same time.")
    queue: int = Field(256, ge=0, description="Requests that may wait; those beyond are answered 503.")
    timeout: float = Field(10.0, gt=0, description="Seconds after which a request is given up.")
    keep_alive: int = Field(75, ge=0, description="Seconds that an idle connection is kept.")
    drain: float = Field(0.3, ge=0, description="Seconds that a stopping service still answers while /readyz says no.")
    grace: int = Field(30, ge=1, description="Seconds that a stopping service gives to requests in work.")
    threads: int = Field(1, ge=1, le=64, description="Threads that score.")
    kept_users: int = Field(10_000, ge=0, description="Users whose vectors are kept in memory once computed.")
    kept_lists: int = Field(10_000, ge=0, description="Lists of similar items that are kept once computed.")
    approximate_above: int | None = Field(
        None, ge=0, description="Find lists by an approximate index in catalogues of more items; never."
    )
    feedback_poll: float = Field(1.0, gt=0, description="Seconds between looks for what other processes stored.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")

    @field_validator("host")
    @classmethod
    def _has_host(cls, host: str) -> str:
        if not host.strip():
            raise ValueError("give an address such as 127.0.0.1")
        return host.strip()

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: str) -> str:
        for one in proxies.split(","):
            if one.strip() not in ("", "*"):
                try:
                    ipaddress.ip_network(one.strip(), strict=False)
                except ValueError:
                    raise ValueError(f"{one.strip()} is no address such as 10.0.0.1 or 10.0.0.0/8") from None
        return proxies

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def requests_a_second(self) -> float:
        """Of one key or address; 0 for no limit."""
        if self.rate is not None:
            return self.rate
        return 0.0 if self.is_local else RATE

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose pages may call."""
        return frozenset(one.strip().rstrip("/") for one in self.cors_origins.split(",") if one.strip())

    @property
    def hosts(self) -> frozenset[str]:
        """The names by which a service without keys may be called, besides those of this machine."""
        return frozenset(one.strip() for one in self.allowed_hosts.split(",") if one.strip())

    def check(self) -> None:
        """Raise SettingError where the service would be open to strangers."""
        if self.keys is None and not self.is_local:
            raise SettingError(
                f"host is {self.host}, which others can reach, and there are no keys.",
                remedy="Make one: penchant keys add keys.json --scope read; then serve with --keys keys.json.",
            )


@dataclass(frozen=True)
class Setting:
    """One setting, for flags and docs."""

    name: str
    kind: Any
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """As on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """As in the environment."""
        return PREFIX + self.name.upper()


def describe() -> list[Setting]:
    """All settings, in the order in which they are declared."""
    fields = ServiceSettings.model_fields.items()
    return [Setting(name, field.annotation, field.default, field.description or "") for name, field in fields]


def read_settings(**given: Any) -> ServiceSettings:
    """Settings from flags (None for not given) and the environment.

    Raises:
        SettingError: a value cannot be; it is named with where it comes from.
    """
    flags = {name: value for name, value in given.items() if value is not None}
    try:
        settings = ServiceSettings(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "A setting"
        where = "--" + name.replace("_", "-") if name in flags else PREFIX + name.upper()
        raise SettingError(
            f"{where} is {first['input']!r}: {_told(first['msg'])}.", remedy="Give another value."
        ) from None
    settings.check()
    return settings


def _told(message: str) -> str:
    """What pydantic says, without whose word it is."""
    return message.removeprefix("Value error, ")


def unheard(variables: Iterable[str]) -> list[str]:
    """What to tell of variables that are nearly those of settings.

    Others that begin alike are somebody else's: a cluster sets PENCHANT_SERVICE_HOST for a service of that name.
    """
    known = [one.variable for one in describe()]
    strange = [name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in (*known, *OTHERS)]
    near = {name: get_close_matches(name.upper(), known, 1, CLOSE) for name in sorted(strange)}
    return [f"{name} is no setting. Is {found[0]} meant?" for name, found in near.items() if found]
