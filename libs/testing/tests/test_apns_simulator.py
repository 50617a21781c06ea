"""The push service over real TLS sockets."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import time
import uuid
from datetime import UTC, datetime

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import httpx
import jwt
import pytest

from passferry_testing.apns_simulator import ApnsFault, ApnsSimulator
from passferry_testing.pki import DemoAuthority, new_provider_key

TOPIC = "pass.demo.cafe"
TEAM, KEY_ID = "TEAM123456", "KEY1234567"
TOKEN = "ab" * 32


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def client_tls(authority, tmp_path_factory):
    return tls_context(authority, tmp_path_factory.mktemp("client"), with_certificate=True)


@pytest.fixture(scope="module")
def plain_tls(authority, tmp_path_factory):
    return tls_context(authority, tmp_path_factory.mktemp("plain"), with_certificate=False)


def tls_context(authority, directory, *, with_certificate, not_after=None):
    context = ssl.create_default_context(cadata=authority.root_pem.decode())
    context.set_alpn_protocols(["h2"])
    if with_certificate:
        issued = authority.issue_pass_certificate(TOPIC, TEAM, key="ec", not_after=not_after)
        path = directory / "client.pem"
        path.write_bytes(issued.certificate_pem + issued.private_key_pem)
        context.load_cert_chain(path)
    return context


def push_headers(**changes):
    headers = {
        "apns-id": str(uuid.uuid4()),
        "apns-topic": TOPIC,
        "apns-push-type": "background",
        "apns-priority": "5",
        "apns-expiration": str(int(time.time()) + 86_400),
    }
    for name, value in changes.items():
        headers[name.replace("_", "-")] = value
    return [(name, value) for name, value in headers.items() if value is not None]


class Answer:
    def __init__(self):
        self.headers = {}
        self.body = b""
        self.reset = None
        self.done = asyncio.get_running_loop().create_future()

    @property
    def status(self):
        return int(self.headers[":status"])

    @property
    def reason(self):
        return json.loads(self.body)["reason"] if self.body else None


class Provider:
    """A raw HTTP/2 client that shows resets and GOAWAY as they are."""

    def __init__(self, reader, writer):
        config = h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, header_encoding="utf-8"
        )
        self.h2 = h2.connection.H2Connection(config)
        self.reader, self.writer = reader, writer
        self.answers = {}
        self.goaways = []
        self.limits = []
        self.ready = asyncio.Event()
        self.closed = asyncio.Event()
        self.h2.initiate_connection()
        self.flush()
        self.reading = asyncio.create_task(self.read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, port, context):
        provider = cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
        try:
            yield provider
        finally:
            provider.reading.cancel()
            provider.writer.transport.abort()

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    async def read(self):
        # The library refuses to go on after a GOAWAY.
        refusals = (ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError)
        with contextlib.suppress(*refusals):
            while data := await self.reader.read(65_536):
                for event in self.h2.receive_data(data):
                    self.on_event(event)
                self.flush()
        self.closed.set()
        for answer in self.answers.values():
            if not answer.done.done():
                answer.done.set_exception(ConnectionResetError())

    def on_event(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            changed = event.changed_settings
            if h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS in changed:
                code = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
                self.limits.append(changed[code].new_value)
            self.ready.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(event)
        elif isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id].headers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id].body += event.data
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[event.stream_id].done.set_result(None)
        elif isinstance(event, h2.events.StreamReset):
            self.answers[event.stream_id].reset = event.error_code
            self.answers[event.stream_id].done.set_result(None)

    def start(self, headers, *, token=TOKEN, path=None, method="POST", body=b"{}", flush=True):
        stream_id = self.h2.get_next_available_stream_id()
        answer = self.answers[stream_id] = Answer()
        pseudo = [
            (":method", method),
            (":scheme", "https"),
            (":path", path or f"/3/device/{token}"),
            (":authority", "localhost"),
        ]
        self.h2.send_headers(stream_id, pseudo + headers, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream_id, body, end_stream=True)
        if flush:
            self.flush()
        return answer

    async def push(self, headers=None, **request):
        await asyncio.wait_for(self.ready.wait(), 5)
        answer = self.start(push_headers() if headers is None else headers, **request)
        await asyncio.wait_for(answer.done, 5)
        return answer


def provider_token(private_pem, *, issued_at=None, team=TEAM, key_id=KEY_ID, algorithm="ES256"):
    claims = {"iss": team, "iat": int(time.time() if issued_at is None else issued_at)}
    return jwt.encode(claims, private_pem, algorithm, headers={"kid": key_id})


def bearer(token):
    return push_headers(authorization=f"bearer {token}")


# Accepting.


async def test_an_accepted_push_is_answered_with_its_id_and_recorded_in_full(authority, client_tls):
    """proves: A17, J5, N9 (what the notifier's tests look at)."""
    headers = push_headers(apns_collapse_id="c1")
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        answer = await client.push(headers)
        (record,) = await apns.journal.wait_for(1)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["apns-id"] == dict(headers)["apns-id"] == record.apns_id
    assert (record.token, record.topic, record.priority, record.push_type) == (
        TOKEN,
        TOPIC,
        5,
        "background",
    )
    assert (record.collapse_id, record.auth_kind, record.auth_identity) == (
        "c1",
        "certificate",
        TOPIC,
    )
    assert record.expiration == int(dict(headers)["apns-expiration"])
    assert abs(record.time_ns - time.time_ns()) < 10**10


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_tls_versions_are_spoken(authority, tmp_path, version):
    context = tls_context(authority, tmp_path, with_certificate=True)
    context.minimum_version = context.maximum_version = version
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, context) as client:
        assert (await client.push()).status == 200


async def test_a_missing_apns_id_is_made_up_and_aps_alone_is_a_fine_payload(authority, client_tls):
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        answer = await client.push(push_headers(apns_id=None), body=b'{"aps":{}}')
        assert answer.status == 200
        assert uuid.UUID(answer.headers["apns-id"])


# Refusing: every row of the table of reasons that a request can bring about.


REFUSALS = [
    (405, "MethodNotAllowed", {}, {"method": "GET", "body": None}),
    (404, "BadPath", {}, {"path": "/2/device/abab"}),
    (400, "MissingDeviceToken", {}, {"path": "/3/device/"}),
    (400, "BadDeviceToken", {}, {"token": "zz" * 32}),
    (400, "MissingTopic", {"apns_topic": None}, {}),
    (400, "BadTopic", {"apns_topic": "pass demo"}, {}),
    (400, "TopicDisallowed", {"apns_topic": "pass.demo.other"}, {}),
    (400, "BadPriority", {"apns_priority": "10"}, {}),
    (400, "BadPriority", {"apns_priority": None}, {}),
    (400, "InvalidPushType", {"apns_push_type": "alert"}, {}),
    (400, "BadExpirationDate", {"apns_expiration": "soon"}, {}),
    (400, "BadExpirationDate", {"apns_expiration": "-1"}, {}),
    (400, "BadCollapseId", {"apns_collapse_id": "c" * 65}, {}),
    (400, "BadMessageId", {"apns_id": "A" * 36}, {}),
    (400, "PayloadEmpty", {}, {"body": b""}),
    (400, "PayloadEmpty", {}, {"body": None}),
    (400, "PayloadEmpty", {}, {"body": b"{"}),
    (400, "BadPayload", {}, {"body": b'{"aps":{"alert":"x"}}'}),
    (413, "PayloadTooLarge", {}, {"body": b'{"a":"' + b"x" * 4096 + b'"}'}),
]


@pytest.mark.parametrize(("status", "reason", "changes", "request_"), REFUSALS)
async def test_a_wrong_request_gets_the_status_and_reason_of_the_real_service(
    authority, client_tls, status, reason, changes, request_
):
    """proves: N1."""
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        answer = await client.push(push_headers(**changes), **request_)
        assert (answer.status, answer.reason) == (status, reason)
        assert answer.headers["apns-id"]
        assert apns.journal.accepted == 0


async def test_a_repeated_header_is_refused(authority, client_tls):
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        answer = await client.push([*push_headers(), ("apns-priority", "5")])
        assert (answer.status, answer.reason) == (400, "DuplicateHeaders")


async def test_tokens_can_be_unknown_foreign_or_gone(authority, client_tls):
    """proves: N2 (the 410 carries its time)."""
    known, foreign, gone = "01" * 32, "02" * 32, "03" * 32
    async with (
        ApnsSimulator(authority, strict_tokens=True) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        apns.devices.register(known, TOPIC)
        apns.devices.register(foreign, "pass.other")
        apns.devices.register(gone, TOPIC)
        apns.devices.unregister(gone, timestamp_ms=1_700_000_000_123)
        assert (await client.push(token=known.upper())).status == 200
        assert (await client.push(token="04" * 32)).reason == "BadDeviceToken"
        assert (await client.push(token=foreign)).reason == "DeviceTokenNotForTopic"
        answer = await client.push(token=gone)
    assert answer.status == 410
    assert json.loads(answer.body) == {"reason": "Unregistered", "timestamp": 1_700_000_000_123}


async def test_a_revoked_certificate_is_refused(authority, client_tls):
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        apns.revoke_certificate(TOPIC)
        answer = await client.push()
        assert (answer.status, answer.reason) == (403, "BadCertificate")


async def test_an_expired_certificate_or_another_authoritys_gets_no_connection(authority, tmp_path):
    expired = tls_context(
        authority, tmp_path, with_certificate=True, not_after=datetime(2024, 1, 1, tzinfo=UTC)
    )
    async with ApnsSimulator(authority) as apns:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            async with Provider.connect(apns.port, expired) as client:
                await asyncio.wait_for(client.closed.wait(), 5)
                raise ConnectionError
        assert apns.summary()["connections_opened"] == 0


# Provider tokens.


async def test_a_connection_without_any_proof_is_told_so(authority, plain_tls):
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, plain_tls) as client:
        answer = await client.push()
        assert (answer.status, answer.reason) == (403, "MissingProviderToken")


async def test_a_valid_token_is_accepted_and_opens_the_connection_for_many_streams(
    authority, plain_tls
):
    private, public = new_provider_key()
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, plain_tls) as client:
        apns.register_provider_key(TEAM, KEY_ID, public, [TOPIC])
        headers = bearer(provider_token(private))
        # Before it has read the settings, as eager clients do.
        first, second = client.start(headers, flush=False), client.start(headers)
        await asyncio.wait_for(asyncio.gather(first.done, second.done), 5)
        assert first.status == 200
        assert (second.reset, client.limits[0]) == (7, 1)
        assert (await client.push(headers)).status == 200
        assert client.limits == [1, 1000]
        (record, *_) = apns.journal.since()
        assert (record.auth_kind, record.auth_identity) == ("token", f"{TEAM}/{KEY_ID}")


async def test_a_refused_first_push_leaves_the_connection_at_one_stream(authority, plain_tls):
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, plain_tls) as client:
        await client.push()
        assert client.limits == [1]


async def test_bad_tokens_get_their_reasons(authority, plain_tls):
    private, public = new_provider_key()
    stranger, _ = new_provider_key()
    wrong = {
        "signed by another key": provider_token(stranger),
        "another team": provider_token(private, team="OTHER12345"),
        "unknown key": provider_token(private, key_id="UNKNOWN123"),
        "from the future": provider_token(private, issued_at=time.time() + 600),
        "not a token": "abc",
    }
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, plain_tls) as client:
        apns.register_provider_key(TEAM, KEY_ID, public, [TOPIC])
        for name, token in wrong.items():
            answer = await client.push(bearer(token))
            assert (answer.status, answer.reason) == (403, "InvalidProviderToken"), name
        old = provider_token(private, issued_at=time.time() - 3700)
        assert (await client.push(bearer(old))).reason == "ExpiredProviderToken"


async def test_a_token_works_only_for_its_teams_topics_and_its_environment(authority, plain_tls):
    private, public = new_provider_key()
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, plain_tls) as client:
        apns.register_provider_key(TEAM, KEY_ID, public, ["pass.demo.other"])
        headers = bearer(provider_token(private))
        assert (await client.push(headers)).reason == "TopicDisallowed"
        apns.register_provider_key(TEAM, KEY_ID, public, [TOPIC])
        assert (await client.push(headers)).status == 200
        apns.register_provider_key(TEAM, KEY_ID, public, [TOPIC], environment="sandbox")
        assert (await client.push(headers)).reason == "BadEnvironmentKeyIdInToken"


async def test_one_connection_serves_one_key_only(authority, plain_tls):
    private, public = new_provider_key()
    other_private, other_public = new_provider_key()
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, plain_tls) as client:
        apns.register_provider_key(TEAM, KEY_ID, public, [TOPIC])
        apns.register_provider_key("OTHER12345", "OTHERKEY12", other_public, [TOPIC])
        assert (await client.push(bearer(provider_token(private)))).status == 200
        other = provider_token(other_private, team="OTHER12345", key_id="OTHERKEY12")
        assert (await client.push(bearer(other))).reason == "UnrelatedKeyIdInToken"


async def test_a_token_replaced_more_than_once_in_twenty_minutes_is_too_many(authority, plain_tls):
    """proves: N8 (the check that the notifier is held against)."""
    now = [1_800_000_000.0]
    private, public = new_provider_key()

    def fresh():
        return bearer(provider_token(private, issued_at=now[0]))

    async with (
        ApnsSimulator(authority, clock=lambda: now[0]) as apns,
        Provider.connect(apns.port, plain_tls) as client,
    ):
        apns.register_provider_key(TEAM, KEY_ID, public, [TOPIC])
        first = fresh()
        assert (await client.push(first)).status == 200
        now[0] += 60
        assert (await client.push(fresh())).status == 200
        now[0] += 60
        answer = await client.push(fresh())
        assert (answer.status, answer.reason) == (429, "TooManyProviderTokenUpdates")
        assert (await client.push(first)).status == 200
        now[0] += 1200
        assert (await client.push(fresh())).status == 200


# Misbehaving.


async def test_any_status_can_be_injected_with_or_without_a_body(authority, client_tls):
    faults = [
        ApnsFault(action="answer", status=503, subject_prefix="01"),
        ApnsFault(
            action="answer",
            status=429,
            reason="TooManyRequests",
            retry_after_s=9,
            subject_prefix="02",
        ),
        ApnsFault(action="answer", status=500, reason="InternalServerError", subject_prefix="03"),
    ]
    async with (
        ApnsSimulator(authority, faults=faults) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        bare = await client.push(token="01" * 32)
        limited = await client.push(token="02" * 32)
        broken = await client.push(token="03" * 32)
        assert apns.journal.accepted == 0
    assert (bare.status, bare.body) == (503, b"")
    assert (limited.status, limited.reason, limited.headers["retry-after"]) == (
        429,
        "TooManyRequests",
        "9",
    )
    assert (broken.status, broken.reason) == (500, "InternalServerError")


async def test_a_delay_holds_back_the_answer_and_nothing_else(authority, client_tls):
    slow = ApnsFault(action="delay", delay_ms=300, subject_prefix="01")
    async with (
        ApnsSimulator(authority, faults=[slow]) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        await client.ready.wait()
        delayed = client.start(push_headers(), token="01" * 32)
        started = time.monotonic()
        assert (await client.push(token="02" * 32)).status == 200
        assert not delayed.done.done()
        await asyncio.wait_for(delayed.done, 5)
        assert time.monotonic() - started > 0.25
        assert delayed.status == 200


@pytest.mark.parametrize("loss", ["reset", "cut", "silence"])
async def test_an_answer_can_be_lost_after_the_push_was_accepted(authority, client_tls, loss):
    fault = ApnsFault(action="answer_lost", loss=loss, count=1)
    async with (
        ApnsSimulator(authority, faults=[fault]) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        await client.ready.wait()
        answer = client.start(push_headers())
        await apns.journal.wait_for(1)
        if loss == "reset":
            await asyncio.wait_for(answer.done, 5)
            assert answer.reset == 2
        elif loss == "cut":
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(answer.done, 5)
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(answer.done), 0.2)
            assert (await client.push()).status == 200


@pytest.mark.parametrize("action", ["refuse_stream", "cut", "no_answer"])
async def test_a_push_can_fail_without_being_accepted(authority, client_tls, action):
    async with (
        ApnsSimulator(authority, faults=[ApnsFault(action=action)]) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        await client.ready.wait()
        answer = client.start(push_headers())
        if action == "refuse_stream":
            await asyncio.wait_for(answer.done, 5)
            assert answer.reset == 7
        elif action == "cut":
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(answer.done, 5)
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(answer.done), 0.2)
        assert apns.journal.accepted == 0


async def test_goaway_amid_many_in_flight_finishes_what_it_took_and_nothing_more(
    authority, client_tls
):
    faults = [
        ApnsFault(action="delay", delay_ms=300),
        ApnsFault(action="goaway", skip=49, count=1, reason="Shutdown"),
    ]
    async with (
        ApnsSimulator(authority, faults=faults) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        await client.ready.wait()
        answers = [client.start(push_headers(), token=f"{n:064x}") for n in range(100)]
        await asyncio.wait_for(client.closed.wait(), 5)
        accepted = {record.token for record in apns.journal.since()}
        done = {f"{n:064x}" for n, answer in enumerate(answers) if answer.headers}
    (goaway,) = client.goaways
    assert goaway.additional_data == b'{"reason":"Shutdown"}'
    assert accepted == {f"{n:064x}" for n in range(50)}
    assert goaway.last_stream_id == 99
    # h2 stops reading at GOAWAY; real clients see the earlier answers, which others test.
    assert done <= accepted


async def test_connections_can_be_told_to_go_away_at_any_time(authority, client_tls):
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        assert (await client.push()).status == 200
        apns.go_away_every(0.05)
        await asyncio.wait_for(client.closed.wait(), 5)
        assert client.goaways


async def test_the_number_of_streams_can_be_lowered_while_connected(authority, client_tls):
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        assert (await client.push()).status == 200
        apns.change_max_concurrent_streams(1)
        assert (await client.push()).status == 200
        assert client.limits == [1000, 1]


# Delivering.


async def test_online_phones_are_rung_and_offline_ones_get_the_newest_ring_later(
    authority, client_tls
):
    online, offline, lost = "01" * 32, "02" * 32, "03" * 32
    async with ApnsSimulator(authority) as apns, Provider.connect(apns.port, client_tls) as client:
        apns.devices.set_online(offline, online=False)
        apns.devices.set_online(lost, online=False)
        with apns.devices.subscribe() as rings:
            await client.push(token=online)
            await client.push(token=offline)
            newest = await client.push(token=offline)
            await client.push(push_headers(apns_expiration="0"), token=lost)
            first = await rings.next_batch(1)
            assert [ring.token for ring in first] == [online]
            apns.devices.set_online(offline, online=True)
            apns.devices.set_online(lost, online=True)
            second = await rings.next_batch(1)
    assert [(ring.token, ring.apns_id) for ring in second] == [(offline, newest.headers["apns-id"])]
    summary = apns.summary()
    assert (summary["coalesced"], summary["lost"], summary["delivered"]) == (1, 1, 2)


async def test_a_ring_that_waits_past_its_expiration_is_dropped(authority, client_tls):
    now = [1_800_000_000.0]
    async with (
        ApnsSimulator(authority, clock=lambda: now[0]) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        await client.push(push_headers(apns_expiration=str(int(now[0]) + 60)))
        now[0] += 61
        with apns.devices.subscribe() as rings:
            assert await rings.next_batch(0.05) == []


async def test_a_callback_hears_of_each_delivery(authority, client_tls):
    heard = []
    async with (
        ApnsSimulator(authority, on_delivery=lambda *ring: heard.append(ring)) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        await client.push()
    assert heard == [(TOKEN, TOPIC)]


# The control port and the process.


async def test_the_control_port_shows_pushes_and_takes_faults(authority, client_tls):
    async with (
        ApnsSimulator(authority) as apns,
        Provider.connect(apns.port, client_tls) as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{apns.control_port}") as control,
    ):
        await client.push()
        await client.push()
        page = (await control.get("/pushes", params={"since": 1})).json()
        assert ([push["number"] for push in page["pushes"]], page["next"]) == ([1], 2)
        rule = {"action": "answer", "status": 503, "count": 1}
        assert (await control.post("/faults", json={"rules": [rule]})).status_code == 200
        assert (await client.push()).status == 503
        summary = (await control.get("/summary")).json()
        assert summary["answers"] == {"200": 2, "503": 1}
        assert summary["faults_fired"][0]["fired"] == 1
        assert (await control.post("/faults", json={"rules": [{"action": "x"}]})).status_code == 400
        device = {"token": TOKEN, "topic": TOPIC, "gone": True}
        await control.post("/devices", json={"devices": [device]})
        assert (await client.push()).status == 410
        await control.post("/reset", json={})
        assert (await control.get("/summary")).json()["accepted"] == 0


async def test_rings_stream_over_the_control_port(authority, client_tls):
    async with (
        ApnsSimulator(authority) as apns,
        Provider.connect(apns.port, client_tls) as client,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{apns.control_port}") as control,
    ):
        await client.push()
        async with control.stream("GET", "/deliveries/stream") as stream:
            lines = (line async for line in stream.aiter_lines() if line)
            waited = json.loads(await asyncio.wait_for(anext(lines), 5))
            await client.push(token="cd" * 32)
            live = json.loads(await asyncio.wait_for(anext(lines), 5))
    assert (waited["token"], waited["topic"]) == (TOKEN, TOPIC)
    assert live["token"] == "cd" * 32


async def test_old_records_are_discarded_beyond_the_bound(authority, client_tls, tmp_path):
    async with (
        ApnsSimulator(authority, max_records=10) as apns,
        Provider.connect(apns.port, client_tls) as client,
    ):
        for _ in range(25):
            await client.push()
        kept = apns.journal.since()
        assert (kept[-1].number, len(kept)) == (24, 10)
        assert apns.journal.dump(tmp_path / "pushes.ndjson") == 10
        assert apns.summary()["discarded_records"] == 15


async def test_it_runs_as_a_process_and_ends_when_told(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "passferry_testing.apns_simulator",
        "--state-dir",
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        addresses = json.loads(line)
        authority = DemoAuthority.load(tmp_path / "authority")
        context = tls_context(authority, tmp_path, with_certificate=True)
        async with Provider.connect(addresses["port"], context) as client:
            assert (await client.push()).status == 200
        async with httpx.AsyncClient(base_url=addresses["control"]) as control:
            assert (await control.get("/summary")).json()["accepted"] == 1
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
