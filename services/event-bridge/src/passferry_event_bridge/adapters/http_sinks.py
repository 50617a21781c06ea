"""Posts batches to sinks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import httpcore

from passferry_event_bridge.adapters.public_network import AddressRefused, PublicNetwork
from passferry_event_bridge.application.ports import OpenedSink
from passferry_event_bridge.domain.addresses import UrlRefused, parse_base_url
from passferry_event_bridge.domain.answers import Answer, Verdict, answer_of
from passferry_event_bridge.domain.profiles import PROFILES
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

MAX_ANSWER_BYTES = 65_536


class HttpSinks:
    """Sends with HTTP Basic and JSON; follows no redirect and reads no answer's body."""

    def __init__(
        self,
        pool: httpcore.AsyncConnectionPool,
        *,
        allowed_hosts: Collection[str],
        timeout_s: float,
        version: str,
    ) -> None:
        self._pool = pool
        self._allowed_hosts = allowed_hosts
        self._timeout_s = timeout_s
        self._user_agent = f"passferry-event-bridge/{version}"

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        allowed_hosts: Collection[str],
        timeout_s: float,
        connections: int,
        version: str,
        tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator[HttpSinks]:
        async with httpcore.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30,
            network_backend=PublicNetwork(allowed_hosts),
        ) as pool:
            yield cls(pool, allowed_hosts=allowed_hosts, timeout_s=timeout_s, version=version)

    async def send(self, opened: OpenedSink, items: Sequence[str]) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(opened, items)
        except (AddressRefused, UrlRefused):
            return Answer(Verdict.STOP, "address_refused")
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(Verdict.RETRY, "timeout")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            log.info(
                "sink_unreachable",
                workspace_id=opened.sink.workspace_id,
                sink_id=opened.sink.sink_id,
                error=type(error).__name__,
            )
            return Answer(Verdict.RETRY, "unreachable")

    async def _post(self, opened: OpenedSink, items: Sequence[str]) -> Answer:
        # Checked again: the hosts that are allowed may be others since it was set up.
        url = parse_base_url(opened.sink.base_url, allowed_hosts=self._allowed_hosts)
        profile = PROFILES[opened.sink.profile]
        body = ('{"batch":[' + ",".join(items) + "]}").encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": self._user_agent,
            "Authorization": profile.authorization(opened.credential),
            **profile.headers,
        }
        limit_s = self._timeout_s
        async with self._pool.stream(
            "POST",
            url.text + profile.path,
            headers=list(headers.items()),
            content=body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), limit_s)},
        ) as response:
            await _skip_body(response)
            names = {name.lower(): value for name, value in response.headers}
            retry_after = names.get(b"retry-after", b"").decode("ascii", "replace")
            return answer_of(response.status, retry_after)


async def _skip_body(response: httpcore.Response) -> None:
    """Read what there is, so that the connection can be used again; a long one is cut off."""
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return
