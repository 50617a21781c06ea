"""Where a sink may be."""

from __future__ import annotations

import socket
from typing import Any

import httpcore
import pytest

from passferry_event_bridge.adapters.public_network import AddressRefused, PublicNetwork
from passferry_event_bridge.domain.addresses import UrlRefused, is_public, parse_base_url


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "not an address",
        "",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://sink.example",
        "ftp://sink.example",
        "https://",
        "https://sink.example:8443",
        "https://127.0.0.1",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "https://localhost",
        "https://a.localhost",
        "https://metadata.google.internal",
        "https://user:password@sink.example",
        "https://sink.example/?next=1",
        "https://sink.example/#part",
        "https://sink.example:99999",
        "https://sink.exämple",
        "https://sink.example\\@127.0.0.1",
        "https://sink.example/" + "a" * 600,
        "sink.example",
    ],
)
def test_base_urls_that_lead_elsewhere_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        parse_base_url(url, allowed_hosts=[])


def test_an_allowed_host_may_be_reached_by_plain_http_on_any_port() -> None:
    allowed = parse_base_url("http://127.0.0.1:8123/x/", allowed_hosts=["127.0.0.1"])
    assert allowed.text == "http://127.0.0.1:8123/x"
    with pytest.raises(UrlRefused):
        parse_base_url("http://127.0.0.2:8123", allowed_hosts=["127.0.0.1"])
    assert parse_base_url("https://Sink.Example:443/a", allowed_hosts=[]).text == (
        "https://sink.example/a"
    )


class FakeNetwork(httpcore.AsyncMockBackend):
    def __init__(self) -> None:
        super().__init__([])
        self.called: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, *rest: Any, **more: Any) -> Any:
        self.called.append((host, port))
        return await super().connect_tcp(host, port)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def found(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below = FakeNetwork()
    resolving(monkeypatch, "93.184.216.34", "8.8.8.8")
    await PublicNetwork([], below).connect_tcp("sink.example", 443)
    assert below.called == [("93.184.216.34", 443)]


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("93.184.216.34", "10.0.0.1"), ("::ffff:10.0.0.1",), ()]
)
async def test_a_name_that_leads_inside_is_not_called(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    below = FakeNetwork()
    resolving(monkeypatch, *addresses)
    with pytest.raises(AddressRefused):
        await PublicNetwork([], below).connect_tcp("sink.example", 443)
    assert below.called == []
