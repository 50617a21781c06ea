"""The simulated push service as a whole: two listening ports and the means to steer it."""

import asyncio
import contextlib
import resource
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from passferry_testing.apns_simulator.apns_faults import ApnsFault
from passferry_testing.apns_simulator.connection import ApnsConnection, PushService
from passferry_testing.apns_simulator.control import control_app
from passferry_testing.apns_simulator.devices import DeviceDirectory
from passferry_testing.apns_simulator.journal import MAX_RECORDS, PushJournal
from passferry_testing.apns_simulator.provider_tokens import UPDATE_INTERVAL_S, ProviderTokens
from passferry_testing.faults import FaultSchedule
from passferry_testing.loopback_http import serve_http
from passferry_testing.pki import DemoAuthority, write_private_file


class ApnsSimulator:
    """Apple's push service on loopback: `async with ApnsSimulator(authority) as apns: apns.port`.

    `port` speaks HTTP/2 over TLS with a certificate for localhost and 127.0.0.1 from `authority`,
    and takes client certificates of that authority or provider tokens of registered keys.
    `control_port` speaks plain HTTP and JSON. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        authority: DemoAuthority,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        seed: int = 0,
        faults: Iterable[ApnsFault] = (),
        strict_tokens: bool = False,
        max_concurrent_streams: int = 1000,
        max_records: int = MAX_RECORDS,
        token_update_interval_s: float = UPDATE_INTERVAL_S,
        clock: Callable[[], float] = time.time,
        on_delivery: Callable[[str, str], None] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.control_port = control_port
        self._authority = authority
        self._goaway_every_s: float | None = None
        self._stack = contextlib.AsyncExitStack()
        self._service = PushService(
            tokens=ProviderTokens(clock, token_update_interval_s),
            devices=DeviceDirectory(clock=clock, on_delivery=on_delivery, strict=strict_tokens),
            journal=PushJournal(max_records),
            faults=FaultSchedule(seed, faults),
            max_concurrent_streams=max_concurrent_streams,
        )

    @property
    def journal(self) -> PushJournal:
        """Accepted pushes: `journal.since(n)`, `await journal.wait_for(count)`."""
        return self._service.journal

    @property
    def devices(self) -> DeviceDirectory:
        """Tokens and deliveries: `devices.register(...)`, `with devices.subscribe() as rings`."""
        return self._service.devices

    @property
    def faults(self) -> FaultSchedule[ApnsFault]:
        return self._service.faults

    @property
    def root_pem(self) -> bytes:
        return self._authority.root_pem

    def register_provider_key(
        self,
        team_identifier: str,
        key_id: str,
        public_key_pem: bytes,
        topics: Iterable[str],
        *,
        environment: str = "production",
    ) -> None:
        """Make a .p8 key known; a second call replaces its topics."""
        self._service.tokens.register(
            team_identifier, key_id, public_key_pem, frozenset(topics), environment
        )

    def revoke_certificate(self, topic: str) -> None:
        """From now on connections with this topic's certificate get 403 BadCertificate."""
        self._service.revoked_topics.add(topic)

    def change_max_concurrent_streams(self, limit: int) -> None:
        """Send a new limit on every connection; it also holds for those to come."""
        self._service.max_concurrent_streams = limit
        for connection in list(self._service.connections):
            connection.change_max_concurrent_streams(limit)

    def go_away(self, reason: str | None = None) -> int:
        """Send GOAWAY on every connection; returns how many there were."""
        connections = list(self._service.connections)
        for connection in connections:
            connection.go_away(reason=reason)
        return len(connections)

    def cut_connections(self) -> int:
        connections = list(self._service.connections)
        for connection in connections:
            connection.cut()
        return len(connections)

    def go_away_every(self, interval_s: float | None) -> None:
        """Send GOAWAY on every connection each `interval_s`; None stops it."""
        self._goaway_every_s = interval_s

    def reset(self) -> None:
        """Forget pushes, stored rings and faults; keys, tokens and connections stay."""
        self._service.journal.reset()
        self._service.devices.reset()
        self._service.faults.clear()
        self._service.revoked_topics.clear()
        self._service.max_in_flight = 0
        self._goaway_every_s = None

    def summary(self) -> dict[str, Any]:
        service, devices = self._service, self._service.devices
        usage = resource.getrusage(resource.RUSAGE_SELF)
        refused = sum(connection.refused_streams for connection in service.connections)
        return {
            **service.journal.summary(),
            "connections": len(service.connections),
            "connections_opened": service.connections_opened,
            "max_in_flight": service.max_in_flight,
            "streams_refused_over_limit": service.refused_streams + refused,
            "delivered": devices.delivered,
            "stored": devices.stored,
            "coalesced": devices.coalesced,
            "lost": devices.lost,
            "subscribers": devices.subscribers,
            "faults_fired": [
                {"rule": rule.model_dump(exclude_defaults=True), "fired": fired}
                for rule, fired in service.faults.fired
            ],
            "seed": service.faults.seed,
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        }

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: ApnsConnection(self._service),
                self.host,
                self.port,
                ssl=_tls_context(self._authority),
                backlog=1024,
            )
            stack.callback(self.cut_connections)
            stack.callback(server.close)
            self.port = server.sockets[0].getsockname()[1]
            control = serve_http(control_app(self), port=self.control_port)
            self.control_port = await stack.enter_async_context(control)
            stack.callback(self.devices.close)
            ticking = asyncio.create_task(self._tick())
            stack.callback(ticking.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _tick(self) -> None:
        """Periodic work: rings that a slow subscriber left, and GOAWAY by timer."""
        last_goaway = time.monotonic()
        while True:
            await asyncio.sleep(0.05)
            self.devices.flush_overflow()
            interval_s = self._goaway_every_s
            if interval_s is not None and time.monotonic() - last_goaway >= interval_s:
                last_goaway = time.monotonic()
                self.go_away()


def _tls_context(authority: DemoAuthority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=(authority.root_pem + authority.wwdr_pem).decode())
    issued = authority.issue_server_certificate()
    with tempfile.TemporaryDirectory() as directory:
        # The ssl module reads a certificate and its key from files only.
        chain = Path(directory) / "server.pem"
        write_private_file(chain, issued.certificate_pem + issued.private_key_pem)
        context.load_cert_chain(chain)
    return context
