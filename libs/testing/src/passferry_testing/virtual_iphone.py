"""A virtual iPhone: installs a pass from its link and then behaves as Wallet's daemon does."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote, urljoin

import httpx

from passferry_testing import virtual_iphone_log as log_lines
from passferry_testing.pass_reader import PassUnreadable, ReadPass, read_pass
from passferry_testing.virtual_iphone_log import LogLine
from passferry_testing.virtual_iphone_statistics import Exchange, PhoneStatistics

PKPASS = "application/vnd.apple.pkpass"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
PASSD = "passd/1.0 CFNetwork/3826.500.131 Darwin/24.5.0"

#: Ten levels, as on a device, after which it waits for the next trigger. Seconds.
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)

_TIMEOUT_S = 30.0
_MAX_LINK_ATTEMPTS = 12
_MAX_RETRY_AFTER_S = 5.0
_MAX_LOG_LINES = 10_000
_PASS_ADDRESS = re.compile(r"""href=["']([^"']+\.pkpass[^"']*)["']""", re.IGNORECASE)

_OK, _CREATED, _NO_CONTENT, _NOT_MODIFIED = 200, 201, 204, 304
_UNAUTHORIZED, _UNAVAILABLE = 401, 503


class PhoneClock(Protocol):
    """A phone's sense of time."""

    def now(self) -> datetime: ...
    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class InstallFailed(Exception):
    """The link did not give a pass that a device accepts; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _WebServiceFailed(Exception):
    """An exchange that the device counts as failed and tries again later."""


class _RegistrationRefused(Exception):
    """401 on registering: the device keeps the pass and gets no updates for it."""


@dataclass
class HeldPass:
    """A pass in the phone's wallet. `last_modified` is the web service's header, verbatim."""

    content: ReadPass
    fetched_at: datetime
    #: When the content last differed from the copy before; the time of installing at first.
    changed_at: datetime
    last_modified: str | None = None
    is_registered: bool = False
    #: How many times the content changed after installing.
    changes: int = 0

    @property
    def service_url(self) -> str | None:
        url = self.content.web_service_url
        return url.rstrip("/") if url else None


@dataclass
class _Tag:
    value: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class SentLogLine:
    line: LogLine
    url: str
    at: datetime


@dataclass
class VirtualIPhone:
    """One device. `http` may be shared by many phones; `push_token` is 64 hex characters.

    Every public method finishes what a device would do for that trigger, its back-off included.
    Triggers of one phone are handled one after another; a ring that arrives while an equal one
    waits is coalesced with it.
    """

    device_library_identifier: str
    push_token: str
    http: httpx.AsyncClient
    root_pem: bytes
    clock: PhoneClock = field(default_factory=RealClock)
    statistics: PhoneStatistics = field(default_factory=PhoneStatistics)
    back_off_s: Sequence[float] = BACK_OFF_S
    #: Bounds how many exchanges are on their way at once, over all phones that share it.
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    #: Called after each installing and each fetch that changed a pass.
    on_change: Callable[[VirtualIPhone, HeldPass], None] | None = None
    held: dict[tuple[str, str], HeldPass] = field(default_factory=dict, init=False)
    log_lines_sent: deque[SentLogLine] = field(
        default_factory=lambda: deque(maxlen=_MAX_LOG_LINES), init=False
    )
    _tags: dict[tuple[str, str], _Tag] = field(default_factory=dict, init=False)
    _unregistered_at: dict[tuple[str, str], datetime] = field(default_factory=dict, init=False)
    _waiting_topics: set[str] = field(default_factory=set, init=False)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def passes(self) -> dict[str, HeldPass]:
        """What is in the wallet by serial number; `held` also tells pass types apart."""
        return {serial: held for (_, serial), held in self.held.items()}

    async def install(self, link_url: str) -> HeldPass:
        """Open a public link, add the pass and register for updates; raises InstallFailed."""
        async with self._one_at_a_time:
            data = await self._download(link_url)
            try:
                content = read_pass(data, root_pem=self.root_pem, now=self.clock.now())
            except PassUnreadable as unreadable:
                self.statistics.anomaly(f"install: {unreadable.reason}")
                raise InstallFailed(unreadable.reason) from unreadable
            held = self._keep(content)
            self._tell(held)
            if held.service_url:
                await self._begin_updates(held, held.service_url)
            return held

    async def ring(self, topic: str) -> None:
        """APNs delivers a push for a pass type."""
        self.statistics.rings += 1
        if topic in self._waiting_topics:
            self.statistics.coalesced_rings += 1
            return
        self._waiting_topics.add(topic)
        async with self._one_at_a_time:
            self._waiting_topics.discard(topic)
            for url in self._services(topic):
                await self._poll(url, topic, is_push=True)

    async def pull_to_refresh(self, serial: str) -> None:
        """The user pulls the pass down: it is fetched without asking what changed."""
        async with self._one_at_a_time:
            for (_, held_serial), held in list(self.held.items()):
                if held_serial == serial and held.service_url:
                    await self._fetch_with_retry(held, held.service_url, was_listed=False)

    async def poll_all(self) -> None:
        """After a restart of the phone: ask every service what changed."""
        async with self._one_at_a_time:
            pairs = {(one.service_url, kind) for (kind, _), one in self.held.items()}
            for url, topic in sorted(pairs, key=str):
                if url:
                    await self._poll(url, topic, is_push=False)

    async def rotate_push_token(self, push_token: str) -> None:
        """APNs gave the phone another token: it registers again at all services."""
        async with self._one_at_a_time:
            self.push_token = push_token
            for held in list(self.held.values()):
                if held.service_url:
                    await self._register(held, held.service_url)

    async def remove(self, serial: str) -> None:
        """The user deletes the pass."""
        async with self._one_at_a_time:
            for key, held in list(self.held.items()):
                if key[1] == serial:
                    del self.held[key]
                    self._unregistered_at[key] = self.clock.now()
                    if held.service_url and held.is_registered:
                        await self._unregister(held, held.service_url)

    # Installing.

    async def _download(self, link_url: str) -> bytes:
        headers = {"user-agent": SAFARI, "accept": "text/html,*/*;q=0.8"}
        url = link_url
        for _ in range(_MAX_LINK_ATTEMPTS):
            try:
                answer = await self._send("link", "GET", url, headers, follow_redirects=True)
            except _WebServiceFailed as failed:
                raise InstallFailed("the link does not answer") from failed
            kind = answer.headers.get("content-type", "").partition(";")[0].strip()
            if answer.status_code == _OK and kind == PKPASS:
                return answer.content
            if answer.status_code == _UNAVAILABLE and "retry-after" in answer.headers:
                await self.clock.sleep(_retry_after(answer.headers))
                continue
            button = _PASS_ADDRESS.search(answer.text) if kind == "text/html" else None
            if answer.status_code != _OK or not button:
                raise InstallFailed(f"the link answered {answer.status_code} {kind}")
            url = urljoin(str(answer.url), button[1])
        raise InstallFailed("the link never became ready")

    def _keep(self, content: ReadPass) -> HeldPass:
        now = self.clock.now()
        key = (content.pass_type_identifier, content.serial)
        earlier = self.held.get(key)
        held = HeldPass(content, fetched_at=now, changed_at=now)
        if earlier:  # the same type and serial overwrites the pass on the device
            held.is_registered = earlier.is_registered
        self.held[key] = held
        self._unregistered_at.pop(key, None)
        return held

    async def _begin_updates(self, held: HeldPass, url: str) -> None:
        topic = held.content.pass_type_identifier
        had_tag = (url, topic) in self._tags
        if not await self._register(held, url):
            return
        await self._poll(url, topic, is_push=False)
        if had_tag:
            await self._fetch_with_retry(held, url, was_listed=False)

    async def _register(self, held: HeldPass, url: str) -> bool:
        content = held.content
        task = (
            f"Register task (for device {self.device_library_identifier}, pass type "
            f"{content.pass_type_identifier}, serial number {content.serial}; with web service "
            f"url {url})"
        )

        async def attempt() -> None:
            answer = await self._send(
                "register",
                "POST",
                f"{self._registrations(url, content.pass_type_identifier)}/{quote(content.serial)}",
                _authorization(content),
                body={"pushToken": self.push_token},
            )
            await self._expect(answer, (_OK, _CREATED), task, url)
            held.is_registered = True

        try:
            return await self._with_back_off(attempt)
        except _RegistrationRefused:
            return False

    async def _unregister(self, held: HeldPass, url: str) -> None:
        content = held.content
        task = (
            f"Unregister task (for device {self.device_library_identifier}, pass type "
            f"{content.pass_type_identifier}, serial number {content.serial}; with web service "
            f"url {url})"
        )

        async def attempt() -> None:
            answer = await self._send(
                "unregister",
                "DELETE",
                f"{self._registrations(url, content.pass_type_identifier)}/{quote(content.serial)}",
                _authorization(content),
            )
            await self._expect(answer, (_OK, _CREATED), task, url)

        try:
            await self._with_back_off(attempt)
        except _RegistrationRefused:
            return

    # Updates.

    async def _poll(self, url: str, topic: str, *, is_push: bool) -> None:
        serials: list[str] = []

        async def attempt() -> None:
            serials[:] = await self._list(url, topic, is_push=is_push)

        if not await self._with_back_off(attempt):
            return
        for serial in serials:
            held = self.held.get((topic, serial))
            if held is None or held.service_url != url:
                await self._listed_without_pass(url, topic, serial)
            else:
                await self._fetch_with_retry(held, url, was_listed=True)

    async def _list(self, url: str, topic: str, *, is_push: bool) -> list[str]:
        tag = self._tags.get((url, topic))
        address = self._registrations(url, topic)
        if tag:
            address += f"?passesUpdatedSince={quote(tag.value, safe='')}"
        task = (
            f"Get serial #s task (for device {self.device_library_identifier}, pass type {topic}, "
            f"last updated {tag.value if tag else '(null)'}; with web service url {url})"
        )
        answer = await self._send("list", "GET", address, {})
        await self._expect(answer, (_OK, _NO_CONTENT), task, url)
        if answer.status_code == _NO_CONTENT:
            await self._judge_empty_list(url, tag, is_push=is_push)
            return []
        try:
            serials, new_tag = _read_list(answer.content)
        except ValueError as malformed:
            await self._report(url, log_lines.list_malformed(task))
            raise _WebServiceFailed(str(malformed)) from malformed
        if new_tag is None:
            await self._report(url, log_lines.tag_omitted(len(serials)))
        elif tag and tag.value == new_tag and serials:
            await self._report(url, log_lines.tag_unchanged(len(serials), new_tag))
        if not serials:
            await self._judge_empty_list(url, tag, is_push=is_push)
        if new_tag is not None:
            self._tags[url, topic] = _Tag(new_tag, self.clock.now())
        return serials

    async def _judge_empty_list(self, url: str, tag: _Tag | None, *, is_push: bool) -> None:
        if not is_push or tag is None:
            return
        if self._age_s(tag.received_at) > log_lines.SPURIOUS_GRACE_S:
            line = log_lines.push_spurious(tag.value, self.device_library_identifier)
            await self._report(url, line)

    async def _listed_without_pass(self, url: str, topic: str, serial: str) -> None:
        removed_at = self._unregistered_at.get((topic, serial))
        if removed_at is None:
            self.statistics.anomaly(f"list: {serial} was never on this device")
        elif self._age_s(removed_at) > log_lines.UNREGISTERED_GRACE_S:
            await self._report(url, log_lines.serial_unregistered(serial))

    async def _fetch_with_retry(self, held: HeldPass, url: str, *, was_listed: bool) -> None:
        async def attempt() -> None:
            await self._fetch(held, url, was_listed=was_listed)

        await self._with_back_off(attempt)

    async def _fetch(self, held: HeldPass, url: str, *, was_listed: bool) -> None:
        content = held.content
        headers = _authorization(content)
        since = held.last_modified
        if since is not None:
            headers["if-modified-since"] = since
        answer = await self._send(
            "fetch",
            "GET",
            f"{url}/v1/passes/{quote(content.pass_type_identifier)}/{quote(content.serial)}",
            headers,
        )
        task = (
            f"Get pass task (pass type {content.pass_type_identifier}, serial number "
            f"{content.serial}, if-modified-since {since or '(null)'}; with web service url {url})"
        )
        # After 401 the device keeps its copy and does not try again.
        await self._expect(answer, (_OK, _NOT_MODIFIED, _UNAUTHORIZED), task, url)
        if answer.status_code == _UNAUTHORIZED:
            return
        if answer.status_code == _OK:
            fresh = await self._read_fetched(answer.content, held, url)
            if fresh is None:
                return
            if "last-modified" not in answer.headers:
                await self._report(url, log_lines.last_modified_missing(content.serial))
            is_changed = fresh.manifest != content.manifest
            if not is_changed and since is not None:
                line = log_lines.if_modified_since_ignored(content.serial, since)
                await self._report(url, line)
        else:
            fresh, is_changed = content, False
        held.last_modified = answer.headers.get("last-modified", held.last_modified)
        held.fetched_at = self.clock.now()
        if is_changed:
            self._replace(held, fresh)
        elif was_listed and (answer.status_code == _NOT_MODIFIED or since is None):
            await self._judge_needless_update(held, url)

    async def _judge_needless_update(self, held: HeldPass, url: str) -> None:
        if self._age_s(held.changed_at) > log_lines.UNCHANGED_GRACE_S:
            await self._report(url, log_lines.pass_unchanged(held.content.serial))

    async def _read_fetched(self, data: bytes, held: HeldPass, url: str) -> ReadPass | None:
        """The fetched pass, or None when the device would keep its copy."""
        expected = held.content
        try:
            fresh = read_pass(data, root_pem=self.root_pem, now=self.clock.now())
        except PassUnreadable as unreadable:
            self.statistics.anomaly(f"fetch: {unreadable.reason}")
            if "signing date" in unreadable.reason:
                await self._report(url, log_lines.signing_date_missing(expected.serial))
            return None
        if (fresh.serial, fresh.pass_type_identifier) != (
            expected.serial,
            expected.pass_type_identifier,
        ):
            await self._report(url, log_lines.identity_differs(expected.serial, fresh.serial))
            return None
        if fresh.authentication_token != expected.authentication_token:
            self.statistics.anomaly(f"fetch: the token of {expected.serial} changed")
        return fresh

    def _replace(self, held: HeldPass, fresh: ReadPass) -> None:
        held.content = fresh
        held.changed_at = held.fetched_at
        held.changes += 1
        self._tell(held)

    def _tell(self, held: HeldPass) -> None:
        if self.on_change is not None:
            self.on_change(self, held)

    # The wire.

    async def _with_back_off(self, attempt: Callable[[], Any]) -> bool:
        """Try until it works or the levels are used up; False when abandoned."""
        for delay_s in (*self.back_off_s, None):
            try:
                await attempt()
            except _WebServiceFailed:
                if delay_s is not None:
                    await self.clock.sleep(delay_s)
                continue
            return True
        self.statistics.anomaly("abandoned after all back-off levels")
        return False

    async def _expect(
        self, answer: httpx.Response, accepted: Sequence[int], task: str, url: str
    ) -> None:
        status = answer.status_code
        if status == _UNAUTHORIZED:
            await self._report(url, log_lines.task_failed(task, "Authentication failure"))
            if _UNAUTHORIZED not in accepted:
                raise _RegistrationRefused
        elif status not in accepted:
            cause = f"Unexpected response code {status}"
            await self._report(url, log_lines.task_failed(task, cause))
            raise _WebServiceFailed(cause)

    async def _report(self, url: str, line: LogLine) -> None:
        """Send one line to the web service's log; its fate does not matter to a device."""
        now = self.clock.now()
        self.log_lines_sent.append(SentLogLine(line, url, now))
        self.statistics.anomaly(f"{line.line_id} {line.text}")
        try:
            body = {"logs": [line.stamped(now)]}
            await self._send("log", "POST", f"{url}/v1/log", {}, body=body)
        except _WebServiceFailed:
            return

    async def _send(
        self,
        exchange: Exchange,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        body: Mapping[str, Any] | None = None,
        follow_redirects: bool = False,
    ) -> httpx.Response:
        async with self.slots:
            started = time.perf_counter()
            try:
                answer = await self.http.request(
                    method,
                    url,
                    json=body,
                    headers={"user-agent": PASSD} | dict(headers),
                    follow_redirects=follow_redirects,
                    timeout=_TIMEOUT_S,
                )
            except httpx.HTTPError as failed:
                self.statistics.transport_failures[exchange] += 1
                raise _WebServiceFailed(type(failed).__name__) from failed
            duration_ms = (time.perf_counter() - started) * 1000
        self.statistics.answered(exchange, answer.status_code, duration_ms)
        return answer

    def _registrations(self, url: str, topic: str) -> str:
        device = quote(self.device_library_identifier)
        return f"{url}/v1/devices/{device}/registrations/{quote(topic)}"

    def _services(self, topic: str) -> list[str]:
        urls = {held.service_url for (kind, _), held in self.held.items() if kind == topic}
        return sorted(url for url in urls if url)

    def _age_s(self, at: datetime) -> float:
        return (self.clock.now() - at).total_seconds()


def _authorization(content: ReadPass) -> dict[str, str]:
    return {"authorization": f"ApplePass {content.authentication_token}"}


def _retry_after(headers: httpx.Headers) -> float:
    text = headers["retry-after"]
    return min(float(text), _MAX_RETRY_AFTER_S) if text.isdigit() else _MAX_RETRY_AFTER_S


def _read_list(content: bytes) -> tuple[list[str], str | None]:
    """Serial numbers and tag of an answer to "what changed"; raises ValueError."""
    body = json.loads(content)
    fields = body if isinstance(body, dict) else {}
    serials, tag = fields.get("serialNumbers"), fields.get("lastUpdated")
    if not isinstance(serials, list) or not all(isinstance(one, str) for one in serials):
        raise ValueError("serialNumbers is not a list of strings")
    if tag is not None and not isinstance(tag, str):
        raise ValueError("lastUpdated is not a string")
    return serials, tag
