"""Hundreds of virtual iPhones on one event loop and one HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from passferry_testing.virtual_iphone import (
    BACK_OFF_S,
    HeldPass,
    PhoneClock,
    RealClock,
    SentLogLine,
    VirtualIPhone,
)
from passferry_testing.virtual_iphone_statistics import PhoneStatistics

DEFAULT_CONCURRENCY = 32
#: Servers close a connection that is idle for 5 s; one that is just being closed is not used again.
KEEPALIVE_EXPIRY_S = 2.0


@contextlib.asynccontextmanager
async def phone_client(concurrency: int = DEFAULT_CONCURRENCY) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP/1.1 keep-alive client with as many connections as phones act at once."""
    limits = httpx.Limits(
        max_connections=concurrency,
        max_keepalive_connections=concurrency,
        keepalive_expiry=KEEPALIVE_EXPIRY_S,
    )
    # Loopback services have plain HTTP or a throw-away certificate.
    async with httpx.AsyncClient(limits=limits, trust_env=False, verify=False) as client:
        yield client


@dataclass
class PhoneFleet:
    """Phones that share a client, statistics and a bound on how many act at once.

    `follow` takes (push token, topic) pairs as APNs delivers them; phones act in the background.
    """

    http: httpx.AsyncClient
    root_pem: bytes
    concurrency: int = DEFAULT_CONCURRENCY
    clock: PhoneClock = field(default_factory=RealClock)
    back_off_s: tuple[float, ...] = BACK_OFF_S
    on_change: Callable[[VirtualIPhone, HeldPass], None] | None = None
    phones: list[VirtualIPhone] = field(default_factory=list, init=False)
    statistics: PhoneStatistics = field(default_factory=PhoneStatistics, init=False)
    #: Rings for tokens that no phone has: of tokens that were rotated away, for example.
    unknown_tokens: int = field(default=0, init=False)
    _by_token: dict[str, VirtualIPhone] = field(default_factory=dict, init=False)
    _waiting: set[tuple[str, str]] = field(default_factory=set, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)

    def add_phone(
        self, device_library_identifier: str | None = None, push_token: str | None = None
    ) -> VirtualIPhone:
        """A new phone; identifiers are drawn when not given."""
        phone = VirtualIPhone(
            device_library_identifier=device_library_identifier or secrets.token_hex(16),
            push_token=push_token or secrets.token_hex(32),
            http=self.http,
            root_pem=self.root_pem,
            clock=self.clock,
            statistics=self.statistics,
            back_off_s=self.back_off_s,
            slots=self._slots,
            on_change=self.on_change,
        )
        self.phones.append(phone)
        self._by_token[phone.push_token] = phone
        return phone

    async def install(
        self, links: Iterable[tuple[VirtualIPhone, str]]
    ) -> list[HeldPass | BaseException]:
        """Install many passes at once; the result or the failure of each, in order."""
        work = (phone.install(link) for phone, link in links)
        return await asyncio.gather(*work, return_exceptions=True)

    async def rotate_push_token(self, phone: VirtualIPhone, push_token: str | None = None) -> None:
        """Give a phone another token and let it register again."""
        self._by_token.pop(phone.push_token, None)
        fresh = push_token or secrets.token_hex(32)
        self._by_token[fresh] = phone
        await phone.rotate_push_token(fresh)

    async def follow(self, rings: AsyncIterator[tuple[str, str]]) -> None:
        """Deliver rings until the stream ends."""
        async for token, topic in rings:
            self.ring(token, topic)

    def ring(self, token: str, topic: str) -> None:
        """Deliver one ring; returns at once. Equal rings that wait are coalesced, so the number
        of waiting ones never exceeds the number of phones times their pass types."""
        phone = self._by_token.get(token)
        if phone is None:
            self.unknown_tokens += 1
            return
        if (token, topic) in self._waiting:
            self.statistics.rings += 1
            self.statistics.coalesced_rings += 1
            return
        self._waiting.add((token, topic))
        task = asyncio.create_task(self._answer(phone, token, topic))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def settle(self) -> None:
        """Wait until no phone has anything left to do."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """Stop what phones are doing, back-offs included."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def log_lines_sent(self) -> list[SentLogLine]:
        return [line for phone in self.phones for line in phone.log_lines_sent]

    def summary(self) -> dict[str, Any]:
        return self.statistics.summary() | {
            "phones": len(self.phones),
            "passes": sum(len(phone.held) for phone in self.phones),
            "log_lines": len(self.log_lines_sent),
            "unknown_tokens": self.unknown_tokens,
        }

    async def _answer(self, phone: VirtualIPhone, token: str, topic: str) -> None:
        self._waiting.discard((token, topic))
        await phone.ring(topic)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.statistics.anomaly(f"phone: {task.exception()!r}")
