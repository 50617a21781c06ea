"""APNs over HTTP/2: one client, and so few long-lived connections, per credential."""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import wreq
from wreq import exceptions as wreq_errors
from wreq.http2 import Http2Options
from wreq.redirect import Policy
from wreq.tls import CertStore, Identity

from passferry_notifier.adapters.apns_provider_tokens import ProviderKeyInvalid, ProviderTokens
from passferry_notifier.domain.apns_verdicts import (
    CREDENTIAL_REFUSED,
    NOT_CONNECTED,
    NOT_SENT,
    UNKNOWN,
    apns_verdict,
    is_known,
)
from passferry_notifier.domain.credentials import AppleCredential
from passferry_notifier.domain.deliveries import Action, Verdict
from passferry_notifier.metrics import APNS_REQUEST_SECONDS, APNS_RESPONSES
from passferry_runtime.clock import Clock
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

MAX_CLIENTS = 1_000
EXPIRATION_S = 24 * 3_600
MAX_ERROR_BODY_BYTES = 4_096

_TOKEN = re.compile(r"[0-9a-fA-F]{2,400}")


@dataclass(slots=True)
class _Client:
    """`blames_certificate`: it shows one and has had no answer yet, so that a connection lost
    after the handshake is most probably a refusal of it."""

    client: wreq.Client
    blames_certificate: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    reason: str | None = None
    timestamp_ms: int | None = None
    retry_after_s: float | None = None


class WreqApns:
    """`ca_pem` replaces the usual roots, for tests and the demo."""

    def __init__(
        self, base_url: str, ca_pem: bytes | None, tokens: ProviderTokens, clock: Clock
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._ca_pem = ca_pem
        self._tokens = tokens
        self._clock = clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    async def ring(
        self, credential: AppleCredential, push_token: str, delivery_id: UUID
    ) -> Verdict:
        if not _TOKEN.fullmatch(push_token):
            # It would change the path. APNs would call it bad, too; but that cannot be a mistake.
            return Verdict(action=Action.DROPPED, reason="push_token_malformed")
        sent_at = self._clock.now()
        started_at = time.perf_counter()
        answer = await self._send(credential, push_token, delivery_id, sent_at)
        APNS_REQUEST_SECONDS.observe(time.perf_counter() - started_at)
        if answer.status == 200:
            APNS_RESPONSES.labels(status="200", reason="").inc()
        else:
            reason = answer.reason or ""
            known = reason if is_known(answer.status, reason) else "other"
            APNS_RESPONSES.labels(status=str(answer.status), reason=known).inc()
        return apns_verdict(
            answer.status,
            answer.reason,
            sent_at=sent_at,
            timestamp_ms=answer.timestamp_ms,
            retry_after_s=answer.retry_after_s,
        )

    async def _send(
        self, credential: AppleCredential, push_token: str, delivery_id: UUID, now: datetime
    ) -> _Answer:
        try:
            held = self._client(credential)
            headers = _headers(credential.pass_type_identifier, delivery_id, now)
            token = ""
            if credential.kind == "token":
                token = await self._tokens.token(credential)
                headers["authorization"] = f"bearer {token}"
        except (ProviderKeyInvalid, ValueError, wreq_errors.TlsError, wreq_errors.BuilderError):
            log.error("apple_credential_unusable", workspace_id=credential.workspace_id)
            return _Answer(NOT_SENT, CREDENTIAL_REFUSED)
        url = f"{self._base_url}/3/device/{push_token}"
        answer = await _post(held, url, headers)
        if answer.reason == "ExpiredProviderToken" and token:
            other = await self._tokens.replace(credential, token)
            if other != token:
                headers["authorization"] = f"bearer {other}"
                answer = await _post(held, url, headers)
        return answer

    def _client(self, credential: AppleCredential) -> _Client:
        held = self._clients.get(credential.key)
        if held is None:
            client = _new_client(self._ca_pem, credential)
            held = _Client(client, blames_certificate=credential.kind == "certificate")
            self._clients[credential.key] = held
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        self._clients.move_to_end(credential.key)
        return held


def _new_client(ca_pem: bytes | None, credential: AppleCredential) -> wreq.Client:
    options = Http2Options(
        initial_max_send_streams=1,
        initial_window_size=65_535,
        initial_connection_window_size=1 << 24,
        enable_push=False,
        keep_alive_interval=timedelta(minutes=5),
        keep_alive_timeout=timedelta(seconds=10),
        keep_alive_while_idle=True,
    )
    identity: dict[str, Any] = {}
    if credential.kind == "certificate":
        identity["tls_identity"] = Identity.from_pkcs8_pem(
            credential.certificate_chain_pem, credential.private_key_pem
        )
    return wreq.Client(
        http2_only=True,
        https_only=True,
        http2_options=options,
        tls_verify=True if ca_pem is None else CertStore.from_pem_stack(ca_pem),
        redirect=Policy.none(),
        timeout=timedelta(seconds=10),
        connect_timeout=timedelta(seconds=5),
        pool_idle_timeout=timedelta(hours=1),
        **identity,
    )


def _headers(topic: str, delivery_id: UUID, now: datetime) -> dict[str, str]:
    # To the hour, so that header tables can hold it.
    expiration = (int(now.timestamp()) // 3_600 + 1) * 3_600 + EXPIRATION_S
    return {
        "apns-topic": topic,
        "apns-push-type": "background",
        "apns-priority": "5",
        "apns-expiration": str(expiration),
        "apns-id": str(delivery_id),
        "content-type": "application/json",
    }


async def _post(held: _Client, url: str, headers: dict[str, str]) -> _Answer:
    try:
        response = await held.client.post(url, headers=headers, body=b"{}", default_headers=False)
        status = response.status.as_int()
        held.blames_certificate = False
        if status == 200:
            return _Answer(200)
        body = bytes(await response.bytes())[:MAX_ERROR_BODY_BYTES]
        retry_after = response.headers.get("retry-after")
    except (wreq_errors.ConnectionResetError, wreq_errors.RequestError):
        # With TLS 1.3 a client certificate is refused after the handshake: as a reset, a broken
        # pipe or a closed connection, whichever is seen first.
        return _Answer(NOT_SENT, CREDENTIAL_REFUSED if held.blames_certificate else UNKNOWN)
    except wreq_errors.ConnectionError:
        return _Answer(NOT_SENT, NOT_CONNECTED)
    except (wreq_errors.TimeoutError, wreq_errors.BodyError, wreq_errors.TlsError):
        return _Answer(NOT_SENT, UNKNOWN)
    return _refusal(status, body, None if retry_after is None else bytes(retry_after))


def _refusal(status: int, body: bytes, retry_after: bytes | None) -> _Answer:
    try:
        detail = json.loads(body or b"{}")
    except ValueError:
        detail = {}
    if not isinstance(detail, dict):
        detail = {}
    reason, timestamp = detail.get("reason"), detail.get("timestamp")
    seconds = retry_after.decode("ascii", "replace") if retry_after else ""
    return _Answer(
        status,
        reason if isinstance(reason, str) else None,
        timestamp if isinstance(timestamp, int) else None,
        float(seconds) if seconds.isdigit() else None,
    )
