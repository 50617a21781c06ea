"""Where a sink may be: public addresses, by HTTPS on its own port, unless explicitly allowed."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

HTTPS_PORT = 443
MAX_URL_CHARACTERS = 500
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_TRANSLATED_LOCALLY = ipaddress.IPv6Network("64:ff9b:1::/48")


class UrlRefused(Exception):
    """The address of a sink that must not be called; the message says why."""


@dataclass(frozen=True, slots=True)
class SinkUrl:
    scheme: str
    host: str
    port: int
    path: str

    @property
    def text(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = HTTPS_PORT if self.scheme == "https" else 80
        port = "" if self.port == default else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def is_public(address: str) -> bool:
    """False for private, loopback, link-local, shared (CGNAT), local IPv6 and mapped ones."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        is_tunnel = parsed.ipv4_mapped or parsed.sixtofour or parsed.teredo
        if is_tunnel or parsed in _TRANSLATED or parsed in _TRANSLATED_LOCALLY:
            return False
        if parsed.is_site_local or parsed.scope_id:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def parse_base_url(text: str, *, allowed_hosts: Collection[str]) -> SinkUrl:
    """Check a base URL before anything is resolved. Raises `UrlRefused`.

    `allowed_hosts` may be at any address and port, and reached by plain HTTP.
    """
    if len(text) > MAX_URL_CHARACTERS or not text.isascii() or not text.isprintable():
        raise UrlRefused("the address is too long or holds odd characters")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise UrlRefused("the address cannot be read") from error
    if not host or " " in text or "\\" in text or "%" in host:
        raise UrlRefused("the address names no host")
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("the address holds a credential: give it as the write key")
    if parts.query or parts.fragment:
        raise UrlRefused("the address may have no query or fragment")
    is_allowed = host in allowed_hosts
    if parts.scheme != "https" and not (is_allowed and parts.scheme == "http"):
        raise UrlRefused("the address must begin with https://")
    if not is_allowed:
        _check_public(host, port)
    default = HTTPS_PORT if parts.scheme == "https" else 80
    return SinkUrl(parts.scheme, host, port or default, parts.path.rstrip("/"))


def _check_public(host: str, port: int | None) -> None:
    if port not in {None, HTTPS_PORT}:
        raise UrlRefused(f"only port {HTTPS_PORT} is allowed")
    is_literal = ":" in host or host.replace(".", "").isdigit() or host.startswith("0x")
    if is_literal and not is_public(host):
        raise UrlRefused("the address is not a public one")
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        raise UrlRefused("the address is not a public one")
