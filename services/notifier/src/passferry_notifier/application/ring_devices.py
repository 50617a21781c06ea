"""Rings: finds credential and token of each, and hands them to the dispatcher."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.application.dispatch import Dispatcher, Work
from passferry_notifier.application.ports import (
    ApnsGateway,
    CredentialDirectory,
    Meter,
    PassKey,
    PushTokenCache,
    PushTokenOpener,
    Ring,
)
from passferry_notifier.application.record_outcomes import Recorder
from passferry_notifier.domain.credentials import AppleCredential
from passferry_notifier.domain.deliveries import Action, Verdict

#: A credential that is missing makes everything due when it comes; this is for the case that
#: the news of it was lost.
MISSING_CREDENTIAL_WAIT_S = 60.0

CREDENTIAL_MISSING = Verdict(
    action=Action.POSTPONED,
    reason="credential_missing",
    retry_after_s=MISSING_CREDENTIAL_WAIT_S,
)
SUSPENDED = Verdict(action=Action.DROPPED, reason="workspace_suspended")
UNREGISTERED = Verdict(action=Action.DROPPED, reason="unregistered")
TOKEN_UNREADABLE = Verdict(action=Action.FAILED, reason="push_token_unreadable")


@dataclass(frozen=True, slots=True)
class RingDetail:
    credential: AppleCredential
    push_token: str = field(repr=False)


@dataclass(kw_only=True)
class RingDevices:
    credentials: CredentialDirectory
    is_suspended: Callable[[UUID], bool]
    cache: PushTokenCache
    opener: PushTokenOpener
    recorder: Recorder
    meter: Meter
    #: Workspaces and pass types that lack a credential, for the health report.
    missing: set[tuple[UUID, str]] = field(default_factory=set)
    dispatcher: Dispatcher[RingDetail] = field(init=False)

    async def __call__(self, rings: Sequence[Ring], *, are_complete: bool) -> None:
        """`are_complete`: the rings of a pass are all its devices, so the cache may be filled."""
        if not rings:
            return
        await self.credentials.until_known()
        sendable: list[tuple[Ring, AppleCredential]] = []
        for ring in rings:
            credential = self._credential_of(ring)
            if credential is not None:
                sendable.append((ring, credential))
        if not sendable:
            return
        tokens = await self._tokens([ring for ring, _ in sendable], are_complete=are_complete)
        works = []
        for ring, credential in sendable:
            delivery = ring.delivery
            token = tokens.get(delivery.delivery_id)
            if token is None:
                self.recorder.add([delivery], TOKEN_UNREADABLE)
                continue
            lane = (delivery.workspace_id, token, delivery.pass_type_identifier)
            works.append(Work(delivery, lane, credential.key, RingDetail(credential, token)))
        self.dispatcher.submit(works)

    def _credential_of(self, ring: Ring) -> AppleCredential | None:
        delivery = ring.delivery
        if self.is_suspended(delivery.workspace_id):
            self.recorder.add([delivery], SUSPENDED)
            return None
        pass_type = delivery.pass_type_identifier or ""
        credential = self.credentials.apple(delivery.workspace_id, pass_type)
        if credential is None:
            self.missing.add((delivery.workspace_id, pass_type))
            self.recorder.add([delivery], CREDENTIAL_MISSING)
        else:
            self.missing.discard((delivery.workspace_id, pass_type))
        return credential

    async def _tokens(self, rings: Sequence[Ring], *, are_complete: bool) -> dict[UUID, str]:
        """By delivery. The cache spares opening ciphertexts; it never decides who is rung."""
        by_pass: dict[PassKey, list[Ring]] = defaultdict(list)
        for ring in rings:
            by_pass[ring.delivery.workspace_id, ring.delivery.pass_id].append(ring)
        cached = await self.cache.tokens_of(by_pass)
        tokens: dict[UUID, str] = {}
        to_fill: dict[PassKey, list[str]] = {}
        hits = misses = 0
        for key, members in by_pass.items():
            known = {_sha256(token): token for token in cached.get(key, ())}
            wanted = {ring.delivery.push_token_sha256 for ring in members}
            opened: list[str] = []
            for ring in members:
                token = known.get(ring.delivery.push_token_sha256 or "")
                token = token or self.opener.open(ring.delivery, ring.push_token_ciphertext)
                if token is not None:
                    tokens[ring.delivery.delivery_id] = token
                    opened.append(token)
            if wanted <= known.keys():
                hits += 1
                continue
            misses += 1
            if are_complete and len(opened) == len(members):
                to_fill[key] = opened
        self.meter.token_lookup("hit", hits)
        self.meter.token_lookup("miss", misses)
        if to_fill:
            await self.cache.fill(to_fill)
        return tokens


def dispatcher_for(
    ring_devices: RingDevices,
    gateway: ApnsGateway,
    *,
    per_credential: int,
    in_total: int,
    interval_s: float,
) -> Dispatcher[RingDetail]:
    recorder, meter = ring_devices.recorder, ring_devices.meter

    async def send(work: Work[RingDetail]) -> Verdict:
        detail = work.detail
        return await gateway.ring(detail.credential, detail.push_token, work.delivery.delivery_id)

    return Dispatcher(
        send=send,
        on_outcome=lambda works, verdict: recorder.add([w.delivery for w in works], verdict),
        on_coalesced=lambda count: meter.coalesced(Channel.APPLE_WALLET, count),
        per_credential=per_credential,
        in_total=in_total,
        interval_s=interval_s,
    )


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
