"""Google Wallet's REST API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from passferry_notifier.adapters.google_limits import RequestQuota
from passferry_notifier.application.ports import GoogleAnswer
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_notifier.metrics import GOOGLE_QUOTA_WAIT, GOOGLE_REQUESTS, GOOGLE_TOKEN_REFRESHES
from passferry_runtime.clock import Clock
from passferry_runtime.logging import get_logger
from passferry_wallet.google.save_link import (
    ServiceAccountRejected,
    load_service_account,
    token_assertion,
)

log = get_logger(__name__)

API = "/walletobjects/v1/"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: A token is renewed this long before it ends.
MARGIN_S = 60.0
MAX_TOKENS = 10_000
TOKEN_HOSTS = frozenset({"oauth2.googleapis.com", "accounts.google.com"})


class TokenRefused(Exception):
    """Google gives no token for this service account: 401 or 403 as a `GoogleAnswer`."""


@dataclass(slots=True)
class _Token:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    value: str = ""
    ends_at: float = 0.0


class HttpxGoogle:
    """`base_url` is the root of the API; token addresses may be there too, or at Google."""

    def __init__(
        self, client: httpx.AsyncClient, base_url: str, quota: RequestQuota, clock: Clock
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._token_hosts = TOKEN_HOSTS | {urlsplit(base_url).hostname}
        self._quota = quota
        self._clock = clock
        self._tokens: dict[str, _Token] = {}

    async def call(
        self,
        credential: GoogleCredential,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> GoogleAnswer:
        try:
            token = await self._token(credential)
            answer = await self._request(credential, token, method, path, body)
            if answer.status == 401:
                token = await self._token(credential, refused=token)
                answer = await self._request(credential, token, method, path, body)
        except TokenRefused as refused:
            return GoogleAnswer(401, {}, str(refused), "token_refused")
        except httpx.HTTPError as error:
            GOOGLE_REQUESTS.labels(method=method, status="none").inc()
            return GoogleAnswer(0, {}, type(error).__name__)
        return answer

    async def _request(
        self,
        credential: GoogleCredential,
        token: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
    ) -> GoogleAnswer:
        GOOGLE_QUOTA_WAIT.observe(await self._quota.wait(credential.key))
        response = await self._client.request(
            method,
            f"{self._base_url}{API}{path}",
            content=None if body is None else orjson.dumps(body),
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )
        GOOGLE_REQUESTS.labels(method=method, status=str(response.status_code)).inc()
        return _answer(response)

    async def _token(self, credential: GoogleCredential, refused: str | None = None) -> str:
        held = self._tokens.get(credential.key)
        if held is None:
            if len(self._tokens) >= MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            held = self._tokens.setdefault(credential.key, _Token())
        async with held.lock:
            is_fresh = self._clock.now().timestamp() < held.ends_at - MARGIN_S
            if not is_fresh or held.value == refused:
                await self._fetch_token(credential, held)
            return held.value

    async def _fetch_token(self, credential: GoogleCredential, held: _Token) -> None:
        now = self._clock.now()
        try:
            account = load_service_account(credential.service_account)
        except ServiceAccountRejected as rejected:
            raise TokenRefused(rejected.code) from rejected
        if urlsplit(account.token_uri).hostname not in self._token_hosts:
            # A key file names the address itself: it may not make us talk to anybody else.
            raise TokenRefused("token_uri_not_allowed")
        assertion = await asyncio.to_thread(token_assertion, account, now=now)
        response = await self._client.post(
            account.token_uri, data={"grant_type": GRANT_TYPE, "assertion": assertion}
        )
        GOOGLE_TOKEN_REFRESHES.labels(result=str(response.status_code)).inc()
        if response.status_code >= 500 or response.status_code == 429:
            raise httpx.RemoteProtocolError("no token now")
        answer = _answer(response)
        token = answer.body.get("access_token")
        if response.status_code != 200 or not isinstance(token, str):
            log.error("google_token_refused", workspace_id=credential.workspace_id)
            raise TokenRefused(f"status_{response.status_code}")
        life_s = answer.body.get("expires_in")
        held.value = token
        held.ends_at = now.timestamp() + (life_s if isinstance(life_s, int) else 3_600)


def _answer(response: httpx.Response) -> GoogleAnswer:
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    error = body.get("error")
    message = reason = ""
    if isinstance(error, dict):
        message = str(error.get("message", ""))
        details = error.get("errors")
        if isinstance(details, list) and details and isinstance(details[0], dict):
            reason = str(details[0].get("reason", ""))
    seconds = response.headers.get("retry-after", "")
    return GoogleAnswer(
        response.status_code,
        body,
        message,
        reason,
        float(seconds) if seconds.isdigit() else None,
    )
