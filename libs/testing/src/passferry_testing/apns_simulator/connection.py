"""One provider's TLS connection: authenticates it, judges its pushes, answers, misbehaves."""

import asyncio
import itertools
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from cryptography import x509
from cryptography.x509.oid import NameOID

from passferry_testing.apns_simulator.apns_faults import ApnsFault
from passferry_testing.apns_simulator.devices import DeviceDirectory
from passferry_testing.apns_simulator.http2 import ErrorCode, Request, ServerConnection
from passferry_testing.apns_simulator.journal import PushJournal
from passferry_testing.apns_simulator.provider_tokens import ProviderKey, ProviderTokens
from passferry_testing.apns_simulator.request_checks import (
    Headers,
    check_headers,
    check_push,
    check_route,
    requested_apns_id,
)
from passferry_testing.apns_simulator.verdicts import Push, Refusal, Sender
from passferry_testing.faults import FaultSchedule

GOAWAY_GRACE_S = 10.0
GOAWAY_LINGER_S = 0.2


@dataclass(slots=True)
class PushService:
    """What all connections share."""

    tokens: ProviderTokens
    devices: DeviceDirectory
    journal: PushJournal
    faults: FaultSchedule[ApnsFault]
    max_concurrent_streams: int = 1000
    revoked_topics: set[str] = field(default_factory=set)
    connections: set["ApnsConnection"] = field(default_factory=set)
    connection_numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    connections_opened: int = 0
    max_in_flight: int = 0
    refused_streams: int = 0


class ApnsConnection(asyncio.Protocol):
    def __init__(self, service: PushService) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._number = next(service.connection_numbers)
        self._certificate: Sender | None = None
        self._key: ProviderKey | None = None
        self._key_sender: Sender | None = None
        self._transport: asyncio.Transport | None = None
        self._http2 = ServerConnection()
        self._is_reading = False
        self._is_ending = False
        self._last_accepted_stream = 0

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, as uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() != "h2":
            self.cut()
            return
        self._certificate = _certificate_sender(tls.getpeercert(binary_form=True))
        self._service.connections_opened += 1
        self._service.connections.add(self)
        # Without a certificate the service grants one stream until it has seen a valid push.
        granted = 1 if self._certificate is None else self._service.max_concurrent_streams
        self._http2 = ServerConnection(max_concurrent_streams=granted)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._is_reading = True
        for request in self._http2.receive(data):
            # A cut, a GOAWAY or a reset may have ended a stream of the same read.
            if self._transport is not None and self._http2.is_open(request.stream_id):
                self._on_request(request)
        self._is_reading = False
        service = self._service
        service.max_in_flight = max(service.max_in_flight, self._http2.open_streams)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.connections.discard(self)
        self._service.refused_streams += self._http2.refused_streams
        self._transport = None

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    @property
    def refused_streams(self) -> int:
        """Streams that the peer opened beyond the granted number."""
        return self._http2.refused_streams

    # Controls.

    def go_away(self, *, last_stream_id: int | None = None, reason: str | None = None) -> None:
        """Announce the end, finish the streams that count, then close."""
        detail = b"" if reason is None else _compact({"reason": reason})
        self._http2.goaway(ErrorCode.NO_ERROR, detail, last_stream_id=last_stream_id)
        self._loop.call_later(GOAWAY_GRACE_S, self.close)
        if not self._is_reading:
            self._flush()

    def change_max_concurrent_streams(self, limit: int) -> None:
        self._http2.change_max_concurrent_streams(limit)
        self._flush()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # One request.

    def _on_request(self, request: Request) -> None:
        apns_id = requested_apns_id(request)
        judged = self._judge(request, apns_id)
        if isinstance(judged, Refusal):
            self._refuse(request.stream_id, apns_id, judged)
            return
        push, sender = judged
        fault, delay_s = self._service.faults.decide(push.token, push.topic)
        if fault is None:
            self._accept(request.stream_id, push, sender)
            self._answer_after(delay_s, request.stream_id, apns_id, None)
        else:
            self._misbehave(fault, delay_s, request.stream_id, push, sender)

    def _judge(self, request: Request, apns_id: str) -> tuple[Push, Sender] | Refusal:
        refusal = check_route(request)
        if refusal is not None:
            return refusal
        headers = check_headers(request)
        if isinstance(headers, Refusal):
            return headers
        sender = self._authenticate(headers)
        if isinstance(sender, Refusal):
            return sender
        push = check_push(request, headers, sender, apns_id)
        if isinstance(push, Refusal):
            return push
        return self._service.devices.check(push) or (push, sender)

    def _authenticate(self, headers: Headers) -> Sender | Refusal:
        if self._certificate is not None:
            # With a certificate the service ignores an authorization header.
            revoked = self._certificate.identity in self._service.revoked_topics
            return Refusal(403, "BadCertificate") if revoked else self._certificate
        authorization = headers.get(b"authorization")
        if authorization is None:
            return Refusal(403, "MissingProviderToken")
        key = self._service.tokens.check(authorization)
        if isinstance(key, Refusal):
            return key
        if self._key is None or self._key_sender is None:
            self._key = key
            self._key_sender = Sender("token", f"{key.team_identifier}/{key.key_id}", key.topics)
        elif key.key_id != self._key.key_id:
            # One connection serves one key of one team.
            return Refusal(403, "UnrelatedKeyIdInToken")
        elif key is not self._key:
            self._key_sender = Sender("token", self._key_sender.identity, key.topics)
            self._key = key
        return self._key_sender

    def _accept(self, stream_id: int, push: Push, sender: Sender) -> None:
        self._last_accepted_stream = max(self._last_accepted_stream, stream_id)
        self._service.journal.record(push, sender, self._number)
        self._service.devices.deliver(push)
        if self._certificate is None:
            granted = self._service.max_concurrent_streams
            self._http2.change_max_concurrent_streams(granted)

    def _misbehave(
        self, fault: ApnsFault, delay_s: float, stream_id: int, push: Push, sender: Sender
    ) -> None:
        action = fault.action
        if action in ("answer_lost", "goaway"):
            self._accept(stream_id, push, sender)
        if action == "answer":
            refusal = Refusal(fault.status, fault.reason, fault.timestamp_ms, fault.retry_after_s)
            self._answer_after(delay_s, stream_id, push.apns_id, refusal)
        elif action == "goaway":
            self._answer_after(delay_s, stream_id, push.apns_id, None)
            # Bodies may complete out of order: never disown a stream that was accepted.
            last = max(stream_id, self._last_accepted_stream)
            self.go_away(last_stream_id=last, reason=fault.reason)
        elif action == "refuse_stream":
            self._after(delay_s, self._http2.reset, stream_id, ErrorCode.REFUSED_STREAM)
        elif action == "cut" or (action == "answer_lost" and fault.loss == "cut"):
            self._after(delay_s, self.cut)
        elif action == "answer_lost" and fault.loss == "reset":
            self._after(delay_s, self._http2.reset, stream_id, ErrorCode.INTERNAL_ERROR)

    # Answers.

    def _answer_after(
        self, delay_s: float, stream_id: int, apns_id: str, refusal: Refusal | None
    ) -> None:
        if refusal is not None:
            self._after(delay_s, self._refuse, stream_id, apns_id, refusal)
        elif delay_s:
            self._after(delay_s, self._confirm, stream_id, apns_id)
        else:
            self._confirm(stream_id, apns_id)

    def _after(self, delay_s: float, act: Callable[..., None], *arguments: object) -> None:
        if delay_s:
            self._loop.call_later(delay_s, self._act_late, act, arguments)
        else:
            act(*arguments)

    def _act_late(self, act: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if self._transport is not None:
            act(*arguments)
            self._flush()

    def _confirm(self, stream_id: int, apns_id: str) -> None:
        self._service.journal.count_answer(200, "")
        self._http2.respond(stream_id, 200, [(b"apns-id", apns_id.encode())])

    def _refuse(self, stream_id: int, apns_id: str, refusal: Refusal) -> None:
        self._service.journal.count_answer(refusal.status, refusal.reason or "")
        headers = [(b"apns-id", apns_id.encode())]
        if refusal.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % refusal.retry_after_s))
        self._http2.respond(stream_id, refusal.status, headers, _error_body(refusal))

    def _flush(self) -> None:
        if self._transport is None:
            return
        output = self._http2.take_output()
        if output:
            self._transport.write(output)
        is_finished = self._http2.is_going_away and not self._http2.open_streams
        if (self._http2.is_closing or is_finished) and not self._is_ending:
            self._is_ending = True
            # Closing while the peer still writes would make TCP throw the GOAWAY away.
            self._loop.call_later(GOAWAY_LINGER_S, self.close)


def _error_body(refusal: Refusal) -> bytes:
    if refusal.reason is None:
        return b""
    body: dict[str, object] = {"reason": refusal.reason}
    if refusal.timestamp_ms is not None:
        body["timestamp"] = refusal.timestamp_ms
    return _compact(body)


def _compact(body: dict[str, object]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _certificate_sender(der: bytes | None) -> Sender | None:
    if not der:
        return None
    subject = x509.load_der_x509_certificate(der).subject
    topics = {str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.USER_ID)}
    return Sender("certificate", ",".join(sorted(topics)), frozenset(topics))
