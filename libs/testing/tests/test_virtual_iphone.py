"""A virtual iPhone updates like a real one, and complains to `/v1/log` exactly when one would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from passferry_testing.pki import DemoAuthority
from passferry_testing.sample_pass import SAMPLE_PASS_TYPE, SamplePress
from passferry_testing.virtual_iphone import PKPASS, InstallFailed, VirtualIPhone
from passferry_testing.virtual_iphone_fleet import PhoneFleet

SERVICE = "https://passes.example.org/w/1"
SERIAL = "sample-serial-0001"
TOKEN = "authentication-token-of-the-pass"
PUSH_TOKEN = "ab" * 32
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class PhoneTime:
    """A clock that only moves when told, and by its own sleeps."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    slept_s: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class StoredPass:
    balance: int
    tag: int
    modified: datetime


class WebService:
    """A small web service that conforms; tests replace single answers to make it misbehave."""

    def __init__(self, press: SamplePress, clock: PhoneTime, url: str = SERVICE) -> None:
        self._press = press
        self._clock = clock
        self._url = url
        self._tag = 0
        self.passes: dict[str, StoredPass] = {}
        #: (device, serial) -> push token
        self.registrations: dict[tuple[str, str], str] = {}
        self.logs: list[str] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.replace: Callable[[str, Answer], Answer] = lambda kind, answer: answer
        self.link_headers: dict[str, str] = {}
        self.set_balance(SERIAL, 0)

    @property
    def link(self) -> str:
        return f"{self._url}/p/{SERIAL}"

    def set_balance(self, serial: str, balance: int) -> None:
        self._tag += 1
        modified = self._clock.now()
        if serial in self.passes:  # the date has whole seconds and must rise
            modified = max(modified, self.passes[serial].modified + timedelta(seconds=1))
        self.passes[serial] = StoredPass(balance, self._tag, modified)

    def bundle(self, serial: str, **changes: Any) -> bytes:
        content = self._press.pass_json(
            serial, webServiceURL=self._url, authenticationToken=TOKEN, **changes
        )
        content["storeCard"]["headerFields"][0]["value"] = self.passes[serial].balance
        return self._press.press(content)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._serve))

    def made(self, kind: str) -> list[dict[str, str]]:
        return [headers for made, _, headers in self.requests if made == kind]

    async def _serve(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # as a socket would, so that rings overtake one another
        path = request.url.path.removeprefix(httpx.URL(self._url).path)
        kind, answer = self._answer(request, path.strip("/").split("/"))
        self.requests.append((kind, str(request.url), dict(request.headers)))
        status, headers, body = self.replace(kind, answer)
        return httpx.Response(status, headers=headers, content=body)

    def _answer(self, request: httpx.Request, parts: list[str]) -> tuple[str, Answer]:
        match request.method, parts:
            case "GET", ["p", serial]:
                return "link", (200, {"content-type": PKPASS}, self.bundle(serial))
            case "POST", ["v1", "devices", device, "registrations", _, serial]:
                return "register", self._register(request, device, serial)
            case "DELETE", ["v1", "devices", device, "registrations", _, serial]:
                self.registrations.pop((device, serial), None)
                return "unregister", (200, {}, b"")
            case "GET", ["v1", "devices", device, "registrations", _]:
                since = request.url.params.get("passesUpdatedSince", "0")
                return "list", self._list(device, int(since))
            case "GET", ["v1", "passes", _, serial]:
                return "fetch", self._fetch(request, serial)
            case "POST", ["v1", "log"]:
                self.logs += json.loads(request.content)["logs"]
                return "log", (200, {}, b"")
        raise AssertionError(f"a phone never sends {request.method} {request.url}")

    def _register(self, request: httpx.Request, device: str, serial: str) -> Answer:
        if request.headers["authorization"] != f"ApplePass {TOKEN}":
            return 401, {}, b""
        is_known = (device, serial) in self.registrations
        self.registrations[device, serial] = json.loads(request.content)["pushToken"]
        return 200 if is_known else 201, {}, b""

    def _list(self, device: str, since: int) -> Answer:
        mine = {serial for owner, serial in self.registrations if owner == device}
        changed = {
            serial: one.tag
            for serial, one in self.passes.items()
            if serial in mine and one.tag > since
        }
        if not changed:
            return 204, {}, b""
        body = {"serialNumbers": list(changed), "lastUpdated": str(max(changed.values()))}
        return 200, {"content-type": "application/json"}, json.dumps(body).encode()

    def _fetch(self, request: httpx.Request, serial: str) -> Answer:
        if request.headers["authorization"] != f"ApplePass {TOKEN}":
            return 401, {}, b""
        modified = format_datetime(self.passes[serial].modified, usegmt=True)
        headers = {"last-modified": modified, "content-type": PKPASS}
        if request.headers.get("if-modified-since") == modified:
            return 304, headers, b""
        return 200, headers, self.bundle(serial)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> DemoAuthority:
    return DemoAuthority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def press(authority: DemoAuthority) -> SamplePress:
    return SamplePress(authority)


@pytest.fixture
def clock() -> PhoneTime:
    return PhoneTime()


@pytest.fixture
def service(press: SamplePress, clock: PhoneTime) -> WebService:
    return WebService(press, clock)


@pytest.fixture
async def phone(
    service: WebService, authority: DemoAuthority, clock: PhoneTime
) -> AsyncIterator[VirtualIPhone]:
    async with service.client() as http:
        yield VirtualIPhone("device-1", PUSH_TOKEN, http, authority.root_pem, clock)


@pytest.fixture
async def installed(phone: VirtualIPhone, service: WebService) -> VirtualIPhone:
    await phone.install(service.link)
    service.requests.clear()
    return phone


def line_ids(phone: VirtualIPhone) -> list[str]:
    return [sent.line.line_id for sent in phone.log_lines_sent]


async def test_installing_registers_then_lists_then_fetches(
    phone: VirtualIPhone, service: WebService
) -> None:
    await phone.install(service.link)

    assert [kind for kind, _, _ in service.requests] == ["link", "register", "list", "fetch"]
    assert "passesUpdatedSince" not in service.requests[2][1]
    assert "iPhone" in service.made("link")[0]["user-agent"]
    assert service.registrations == {("device-1", SERIAL): PUSH_TOKEN}
    assert phone.passes[SERIAL].content.fields == {"balance": 0}
    assert phone.statistics.anomaly_count == 0


async def test_a_ring_fetches_what_changed_with_the_tag_and_the_date_verbatim(
    installed: VirtualIPhone, service: WebService, clock: PhoneTime
) -> None:
    date = installed.passes[SERIAL].last_modified
    clock.advance(60)
    service.set_balance(SERIAL, 35)

    await installed.ring(SAMPLE_PASS_TYPE)

    assert [kind for kind, _, _ in service.requests] == ["list", "fetch"]
    assert service.requests[0][1].endswith("?passesUpdatedSince=1")
    assert service.made("fetch")[0]["if-modified-since"] == date
    held = installed.passes[SERIAL]
    assert (held.content.fields["balance"], held.changes) == (35, 1)
    assert held.fetched_at == clock.now()
    assert service.logs == []


async def test_a_second_pass_of_the_type_is_fetched_at_once_beside_the_list(
    installed: VirtualIPhone, service: WebService
) -> None:
    service.set_balance("sample-serial-0002", 5)
    await installed.install(service.link.replace(SERIAL, "sample-serial-0002"))

    kinds = [kind for kind, _, _ in service.requests]
    assert kinds == ["link", "register", "list", "fetch", "fetch"]
    assert "passesUpdatedSince=1" in service.requests[2][1]
    assert installed.statistics.anomaly_count == 0


async def test_rings_that_come_together_are_coalesced(
    installed: VirtualIPhone, service: WebService
) -> None:
    service.set_balance(SERIAL, 1)
    await asyncio.gather(*(installed.ring(SAMPLE_PASS_TYPE) for _ in range(10)))
    assert len(service.made("list")) <= 2
    assert installed.statistics.rings == 10
    assert installed.statistics.coalesced_rings >= 8
    assert service.logs == []


async def test_a_pull_to_refresh_fetches_without_asking_what_changed(
    installed: VirtualIPhone, service: WebService
) -> None:
    await installed.pull_to_refresh(SERIAL)
    assert [kind for kind, _, _ in service.requests] == ["fetch"]
    assert installed.statistics.statuses["fetch", 304] == 1


async def test_a_new_push_token_is_registered_everywhere(
    installed: VirtualIPhone, service: WebService
) -> None:
    await installed.rotate_push_token("cd" * 32)
    assert service.registrations == {("device-1", SERIAL): "cd" * 32}


async def test_a_removed_pass_is_unregistered_and_forgotten(
    installed: VirtualIPhone, service: WebService
) -> None:
    await installed.remove(SERIAL)
    await installed.ring(SAMPLE_PASS_TYPE)
    assert service.registrations == {}
    assert [kind for kind, _, _ in service.requests] == ["unregister"]
    assert installed.passes == {}


async def test_a_link_that_is_not_ready_is_opened_again(
    phone: VirtualIPhone, service: WebService, clock: PhoneTime
) -> None:
    busy = iter([True, True])

    def replace(kind: str, answer: Answer) -> Answer:
        if kind == "link" and next(busy, False):
            return 503, {"retry-after": "2"}, b""
        return answer

    service.replace = replace
    await phone.install(service.link)
    assert clock.slept_s == [2.0, 2.0]


async def test_a_page_with_an_add_button_is_followed(
    phone: VirtualIPhone, service: WebService
) -> None:
    pages = iter([b'<a href="sample-serial-0001?as=.pkpass">Add</a>'])

    def replace(kind: str, answer: Answer) -> Answer:
        page = next(pages, None) if kind == "link" else None
        return (200, {"content-type": "text/html; charset=utf-8"}, page) if page else answer

    service.replace = replace
    await phone.install(f"{SERVICE}/p/{SERIAL}")
    assert SERIAL in phone.passes


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {"content-type": "text/html"}, b""), "404"),
        ((200, {"content-type": "text/html"}, b"<p>No</p>"), "text/html"),
        ((200, {"content-type": PKPASS}, b"no zip"), "zip"),
    ],
)
async def test_what_a_device_cannot_add_is_refused(
    phone: VirtualIPhone, service: WebService, answer: Answer, reason: str
) -> None:
    service.replace = lambda kind, usual: answer
    with pytest.raises(InstallFailed, match=reason):
        await phone.install(service.link)
    assert phone.passes == {}


@pytest.mark.parametrize("status", [204, 304, 404, 500])
async def test_other_statuses_on_registering_are_failures_and_retried(
    phone: VirtualIPhone, service: WebService, clock: PhoneTime, status: int
) -> None:
    answers = iter([status, status])

    def replace(kind: str, answer: Answer) -> Answer:
        wrong = next(answers, None) if kind == "register" else None
        return (wrong, {}, b"") if wrong else answer

    service.replace = replace
    held = await phone.install(service.link)
    assert line_ids(phone) == ["L1", "L1"]
    assert f"encountered error: Unexpected response code {status}" in service.logs[0]
    assert held.is_registered
    assert clock.slept_s == [0.5, 1.0]


async def test_a_refused_registration_is_told_and_not_tried_again(
    phone: VirtualIPhone, service: WebService
) -> None:
    service.replace = lambda kind, answer: (401, {}, b"") if kind == "register" else answer
    held = await phone.install(service.link)
    assert "Register task (" in service.logs[0]
    assert "encountered error: Authentication failure" in service.logs[0]
    assert not held.is_registered
    assert service.made("list") == []


@pytest.mark.parametrize(("kind", "status"), [("list", 404), ("list", 400), ("fetch", 204)])
async def test_statuses_that_a_device_does_not_accept_are_retried(
    installed: VirtualIPhone, service: WebService, clock: PhoneTime, kind: str, status: int
) -> None:
    answers = iter([status])

    def replace(made: str, answer: Answer) -> Answer:
        wrong = next(answers, None) if made == kind else None
        return (wrong, {}, b"") if wrong else answer

    service.replace = replace
    service.set_balance(SERIAL, 3)
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == ["L1"]
    assert installed.passes[SERIAL].content.fields["balance"] == 3


async def test_a_service_that_stays_down_is_left_alone_after_ten_levels(
    installed: VirtualIPhone, service: WebService, clock: PhoneTime
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    installed.http = httpx.AsyncClient(transport=httpx.MockTransport(fail))
    await installed.ring(SAMPLE_PASS_TYPE)
    assert len(clock.slept_s) == 10
    assert installed.statistics.transport_failures["list"] == 11
    assert line_ids(installed) == []


async def test_a_refused_fetch_keeps_the_copy(
    installed: VirtualIPhone, service: WebService
) -> None:
    service.set_balance(SERIAL, 7)
    service.replace = lambda kind, answer: (401, {}, b"") if kind == "fetch" else answer
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == ["L1"]
    assert installed.passes[SERIAL].content.fields["balance"] == 0


def listing(**body: Any) -> Callable[[str, Answer], Answer]:
    content = json.dumps(body).encode()
    return lambda kind, answer: (200, {}, content) if kind == "list" else answer


async def test_l2_serials_with_a_tag_that_did_not_move(
    installed: VirtualIPhone, service: WebService
) -> None:
    service.replace = listing(serialNumbers=[SERIAL], lastUpdated="1")
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == ["L2"]
    assert (
        "Response to 'What changed?' request included 1 serial numbers but the lastUpdated tag "
        "(1) remained the same." in service.logs[0]
    )


async def test_l3_a_list_without_a_tag(installed: VirtualIPhone, service: WebService) -> None:
    service.replace = listing(serialNumbers=[SERIAL])
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == ["L3"]
    assert "but omitted a lastUpdated tag." in service.logs[0]


@pytest.mark.parametrize(
    "body",
    [
        {"serialNumbers": [SERIAL], "lastUpdated": 2},
        {"serialNumbers": SERIAL, "lastUpdated": "2"},
        {"serialNumbers": [1], "lastUpdated": "2"},
    ],
)
async def test_l3_a_malformed_list_is_told_and_retried(
    installed: VirtualIPhone, service: WebService, body: dict[str, Any]
) -> None:
    answers = iter([body])

    def replace(kind: str, answer: Answer) -> Answer:
        wrong = next(answers, None) if kind == "list" else None
        return (200, {}, json.dumps(wrong).encode()) if wrong else answer

    service.replace = replace
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == ["L3"]
    assert "malformed response" in service.logs[0]
    assert len(service.made("list")) == 2


def without(header: str) -> Callable[[str, Answer], Answer]:
    def replace(kind: str, answer: Answer) -> Answer:
        status, headers, body = answer
        kept = {name: value for name, value in headers.items() if name != header}
        return (status, kept, body) if kind == "fetch" else answer

    return replace


async def test_l4_a_pass_without_last_modified(phone: VirtualIPhone, service: WebService) -> None:
    service.replace = without("last-modified")
    await phone.install(service.link)
    assert line_ids(phone) == ["L4"]
    assert "did not provide a 'last-modified' header." in service.logs[0]
    assert phone.passes[SERIAL].last_modified is None


async def test_l5_the_full_unchanged_pass_where_304_was_due(
    installed: VirtualIPhone, service: WebService
) -> None:
    date = installed.passes[SERIAL].last_modified

    def replace(kind: str, answer: Answer) -> Answer:
        if kind != "fetch":
            return answer
        return 200, {"last-modified": str(date)}, service.bundle(SERIAL)

    service.replace = replace
    await installed.pull_to_refresh(SERIAL)
    assert line_ids(installed) == ["L5"]
    assert f"Server ignored the 'if-modified-since' header ({date}) and" in service.logs[0]


@pytest.mark.parametrize(("age_s", "expected"), [(299, []), (301, ["L6"])])
async def test_l6_an_update_that_changed_nothing(
    installed: VirtualIPhone,
    service: WebService,
    clock: PhoneTime,
    age_s: int,
    expected: list[str],
) -> None:
    clock.advance(age_s)
    service.replace = listing(serialNumbers=[SERIAL], lastUpdated="2")
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == expected
    for line in service.logs:
        assert f"requested update to serial number '{SERIAL}', but the pass was unchanged." in line


@pytest.mark.parametrize(("age_s", "expected"), [(3599, []), (3601, ["L7"])])
async def test_l7_an_update_for_a_pass_that_was_removed(
    installed: VirtualIPhone,
    service: WebService,
    clock: PhoneTime,
    age_s: int,
    expected: list[str],
) -> None:
    service.set_balance("sample-serial-0002", 5)
    await installed.install(service.link.replace(SERIAL, "sample-serial-0002"))
    await installed.remove(SERIAL)
    clock.advance(age_s)
    service.replace = listing(serialNumbers=[SERIAL], lastUpdated="9")
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == expected
    for line in service.logs:
        assert f"Update requested for unregistered serial number {SERIAL}" in line


@pytest.mark.parametrize(("age_s", "expected"), [(299, []), (301, ["L8"])])
async def test_l8_a_push_with_nothing_new(
    installed: VirtualIPhone,
    service: WebService,
    clock: PhoneTime,
    age_s: int,
    expected: list[str],
) -> None:
    clock.advance(age_s)
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == expected
    for line in service.logs:
        assert "Device received spurious push. Request for passesUpdatedSince '1'" in line
        assert "(Device = device-1)" in line


async def test_l8_is_not_said_when_nobody_pushed(
    installed: VirtualIPhone, service: WebService, clock: PhoneTime
) -> None:
    clock.advance(900)
    await installed.poll_all()
    assert len(service.made("list")) == 1
    assert service.logs == []


async def test_l9_another_pass_than_the_one_asked_for(
    installed: VirtualIPhone, service: WebService
) -> None:
    service.set_balance("sample-serial-0002", 5)

    def replace(kind: str, answer: Answer) -> Answer:
        status, headers, _ = answer
        other = service.bundle("sample-serial-0002")
        return (status, headers, other) if kind == "fetch" else answer

    service.set_balance(SERIAL, 8)
    service.replace = replace
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == ["L9"]
    assert (
        f"Requested serial number {SERIAL}, received serial number sample-serial-0002"
        in service.logs[0]
    )
    assert installed.passes[SERIAL].content.fields["balance"] == 0


async def test_l10_a_signature_without_its_date(
    installed: VirtualIPhone, service: WebService, press: SamplePress
) -> None:
    def spoil(files: dict[str, bytes]) -> None:
        signing_time = bytes.fromhex("06092a864886f70d010905")
        unknown = bytes.fromhex("06092a864886f70d01097f")
        files["signature"] = files["signature"].replace(signing_time, unknown)

    def replace(kind: str, answer: Answer) -> Answer:
        bad = press.press(press.pass_json(), spoil=spoil)
        return (200, answer[1], bad) if kind == "fetch" else answer

    service.set_balance(SERIAL, 8)
    service.replace = replace
    await installed.ring(SAMPLE_PASS_TYPE)
    assert line_ids(installed) == ["L10"]


async def test_a_ring_polls_every_service_that_has_passes_of_the_type(
    press: SamplePress, authority: DemoAuthority, clock: PhoneTime
) -> None:
    first = WebService(press, clock)
    second = WebService(press, clock, "https://passes.example.org/w/2")
    second.passes = {"sample-serial-0009": StoredPass(1, 1, clock.now())}

    async def route(request: httpx.Request) -> httpx.Response:
        service = second if request.url.path.startswith("/w/2") else first
        return await service._serve(request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(route)) as http:
        phone = VirtualIPhone("device-1", PUSH_TOKEN, http, authority.root_pem, clock)
        await phone.install(first.link)
        await phone.install("https://passes.example.org/w/2/p/sample-serial-0009")
        first.set_balance(SERIAL, 4)
        await phone.ring(SAMPLE_PASS_TYPE)
    assert len(first.made("list")) == len(second.made("list")) == 2
    assert phone.passes[SERIAL].content.fields["balance"] == 4
    assert phone.statistics.anomaly_count == 0


async def test_a_fleet_of_two_hundred_phones_follows_a_stream_of_rings(
    press: SamplePress, authority: DemoAuthority, clock: PhoneTime
) -> None:
    service = WebService(press, clock)
    async with service.client() as http:
        fleet = PhoneFleet(http, authority.root_pem, concurrency=8, clock=clock)
        phones = [fleet.add_phone() for _ in range(200)]
        outcomes = await fleet.install((phone, service.link) for phone in phones)
        service.set_balance(SERIAL, 77)
        rotated = phones[0].push_token
        await fleet.rotate_push_token(phones[0])

        async def rings() -> AsyncIterator[tuple[str, str]]:
            yield rotated, SAMPLE_PASS_TYPE
            for _ in range(3):
                for phone in phones:
                    yield phone.push_token, SAMPLE_PASS_TYPE

        await fleet.follow(rings())
        await fleet.settle()
        await fleet.close()

    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    shown = {phone.passes[SERIAL].content.fields["balance"] for phone in phones}
    summary = fleet.summary()
    assert shown == {77}
    assert (summary["phones"], summary["passes"], summary["log_lines"]) == (200, 200, 0)
    assert summary["anomaly_count"] == 0
    assert fleet.unknown_tokens == 1
    assert summary["rings"] == 600
    assert summary["statuses"]["register 201"] == 200
