"""The receiver of Google Wallet's signed callbacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from passferry_runtime.auth import public
from passferry_runtime.clock import Clock
from passferry_runtime.logging import get_logger
from passferry_wallet.google.callbacks import (
    Callback,
    CallbackRejected,
    RootKey,
    verify_callback,
)
from passferry_wallet_webservice.application.ports import VisitStore
from passferry_wallet_webservice.metrics import GOOGLE_CALLBACKS

log = get_logger(__name__)

MAX_CALLBACK_BYTES = 32_768
MAX_ISSUERS = 16
#: What a callback for another issuer of the same workspace is refused with.
_ANOTHER_ISSUER = frozenset({"issuer_id_invalid", "message_signature_invalid", "issuer_mismatch"})


@dataclass(frozen=True, slots=True)
class GoogleRoutes:
    visits: VisitStore
    root_keys: Callable[[], Awaitable[Sequence[RootKey]]]
    issuers_of: Callable[[UUID], Sequence[str]]
    sender_id: str
    clock: Clock

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)

        @router.post("/w/{workspace_id}/google/callback")
        @public
        async def take_callback(request: Request, workspace_id: str) -> Response:
            try:
                workspace = UUID(workspace_id)
            except ValueError:
                # As for a workspace that does not exist.
                return Response(status_code=401)
            return await self.take(request, workspace)

        return router

    async def take(self, request: Request, workspace_id: UUID) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_CALLBACK_BYTES:
                return Response(status_code=413)
        keys = await self.root_keys()
        if not keys:
            # Not the sender's fault: it tries again.
            return Response(status_code=503, headers={"Retry-After": "30"})
        callback = self._verified(bytes(body), workspace_id, keys)
        if callback is None:
            GOOGLE_CALLBACKS.labels(result="refused").inc()
            return Response(status_code=401)
        outcome = await self.visits.google_callback(
            workspace_id,
            nonce=callback.nonce,
            expires_at=callback.expires_at,
            google_object_id=callback.object_id,
            is_save=callback.event_type == "save",
        )
        GOOGLE_CALLBACKS.labels(result=outcome.value).inc()
        return Response(status_code=200)

    def _verified(
        self, body: bytes, workspace_id: UUID, keys: Sequence[RootKey]
    ) -> Callback | None:
        """The workspace comes from the address, never from the message."""
        for issuer_id in self.issuers_of(workspace_id)[:MAX_ISSUERS]:
            try:
                return verify_callback(
                    body,
                    issuer_id=issuer_id,
                    root_keys=keys,
                    now=self.clock.now(),
                    sender_id=self.sender_id,
                )
            except CallbackRejected as error:
                log.info("google_callback_refused", workspace_id=workspace_id, code=error.code)
                if error.code not in _ANOTHER_ISSUER:
                    # Nobody makes us verify the same again and again.
                    return None
        return None
