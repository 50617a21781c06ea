"""Connects to public addresses only: the name is resolved, checked, and the address kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterable

import httpcore

from passferry_event_bridge.domain.addresses import is_public


class AddressRefused(httpcore.ConnectError):
    """The name leads to an address that must not be called."""


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """The certificate is still checked against the name: only the address is pinned."""

    def __init__(
        self, allowed_hosts: Collection[str], below: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        self._allowed_hosts = frozenset(allowed_hosts)
        self._below = below or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = host if host in self._allowed_hosts else await self._public_address(host, port)
        return await self._below.connect_tcp(address, port, timeout, local_address, socket_options)

    async def _public_address(self, host: str, port: int) -> str:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise httpcore.ConnectError("the name does not resolve") from error
        addresses = [str(entry[4][0]) for entry in found]
        # One bad address among good ones is enough: which is taken would be chance.
        if not addresses or not all(is_public(address) for address in addresses):
            raise AddressRefused("the address is not a public one")
        return addresses[0]

    async def sleep(self, seconds: float) -> None:
        await self._below.sleep(seconds)
