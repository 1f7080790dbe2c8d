"""From where a browser asks: which pages may call the service, and by which name it may be called.

A service without keys trusts whoever reaches it. On a machine with a browser that is any page that is looked at there,
unless what browsers say of themselves is heeded: the origin of the page, and the name that led them here, which a page
can have pointed at this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from penchant.serving.refusals import Refused
from penchant.serving.service_settings import ServiceSettings

MOST_NAMES, LONGEST_NAME = 1_000, 300  # that are remembered
READING = frozenset({"GET", "HEAD", "OPTIONS"})
OWN = (b"same-origin", b"none")  # what a browser says of the service's own pages, and of what somebody typed


class Origins:
    """What the settings say of browsers.

    Args:
        has_keys: whether a key is asked for; then names are not looked at.
    """

    def __init__(self, settings: ServiceSettings, has_keys: bool = False) -> None:
        self.allowed = settings.origins
        self._hosts = {settings.host.lower().strip("[]"), *map(_name_in, settings.hosts)} - {""}
        self._is_checked = settings.is_local and not has_keys and "*" not in settings.hosts
        self._known: set[bytes] = set()

    def may_read(self, origin: bytes) -> bool:
        """Whether pages of an origin may read answers."""
        return "*" in self.allowed or origin.decode("latin-1") in self.allowed

    def check_host(self, host: bytes | None) -> None:
        """Raise Refused where a service without keys is called by a name that is not its own.

        Args:
            host: the header; who sends none is no browser.
        """
        if not self._is_checked or host is None or host in self._known:
            return
        name = _name_in(host.decode("latin-1"))
        if not _is_loopback(name) and name not in self._hosts:
            hint = "Name it with --allowed-hosts, or use keys."
            raise Refused(403, "strange_host", "This service is not called by that name.", hint)
        if len(self._known) < MOST_NAMES and len(host) <= LONGEST_NAME:
            self._known.add(host)

    def check_page(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """Raise Refused where a page of another origin wants something changed.

        New browsers say whether the page is of another site; of others there is the origin. Who says neither is no
        browser.
        """
        if method in READING:
            return
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if site in OWN or (site is None and origin is None) or (origin is not None and self.may_read(origin)):
            return
        if site == b"cross-site" or origin is None or not _is_of(origin, headers.get(b"host", b"")):
            hint = "Name its origin with --cors-origins, or use keys."
            raise Refused(403, "cross_site", "A page of another site may not do that.", hint)


def _is_of(origin: bytes, host: bytes) -> bool:
    return b"://" in origin and origin.partition(b"://")[2].lower() == host.lower()


def _name_in(host: str) -> str:
    """Without the port; "" of what is no name."""
    try:
        return (urlsplit("//" + host).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
