"""Brings a pass's newest object to Google: insert or patch, its class first where that is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from passferry_contracts.types import Channel
from passferry_notifier.application.dispatch import Dispatcher, Work
from passferry_notifier.application.ports import (
    CredentialDirectory,
    GoogleAnswer,
    GoogleClassRow,
    GoogleGateway,
    GoogleObject,
    GoogleStore,
    GoogleUpdate,
    Meter,
    NotificationBudget,
)
from passferry_notifier.application.record_outcomes import Recorder
from passferry_notifier.application.ring_devices import CREDENTIAL_MISSING, SUSPENDED
from passferry_notifier.application.turns import CLASS_TAKEN, Turns, TurnTaken
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_notifier.domain.deliveries import GENERAL_UPDATE, Action, Delivery, Verdict
from passferry_notifier.domain.google_messages import merged_messages
from passferry_notifier.domain.google_verdicts import (
    google_refusal,
    is_class_missing,
    is_quota_of_notifications,
)
from passferry_runtime.clock import Clock

#: Their objects refuse `notifyPreference`.
NEVER_NOTIFYING = frozenset({"generic"})
#: Of a class that is published anew while it is written. A later one is written with its objects.
MAX_VERSIONS_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class UpdateDetail:
    credential: GoogleCredential
    object: GoogleObject


@dataclass(kw_only=True)
class UpdateGoogle:
    """Finds each update's credential and hands it to the dispatcher."""

    credentials: CredentialDirectory
    is_suspended: Callable[[UUID], bool]
    recorder: Recorder
    #: Workspaces and issuers that lack a credential, for the health report.
    missing: set[tuple[UUID, str]] = field(default_factory=set)
    dispatcher: Dispatcher[UpdateDetail] = field(init=False)

    async def __call__(self, updates: Sequence[GoogleUpdate]) -> None:
        if not updates:
            return
        await self.credentials.until_known()
        works = []
        for update in updates:
            delivery, target = update.delivery, update.object
            if self.is_suspended(delivery.workspace_id):
                self.recorder.add([delivery], SUSPENDED)
                continue
            credential = self.credentials.google(delivery.workspace_id, target.issuer_id)
            if credential is None:
                self.missing.add((delivery.workspace_id, target.issuer_id))
                self.recorder.add([delivery], CREDENTIAL_MISSING)
                continue
            self.missing.discard((delivery.workspace_id, target.issuer_id))
            lane = (delivery.workspace_id, target.object_id)
            # Workspaces that share an account wait apart, so that none pauses another.
            queue = f"{delivery.workspace_id}:{credential.key}"
            works.append(Work(delivery, lane, queue, UpdateDetail(credential, target)))
        self.dispatcher.submit(works)


@dataclass(frozen=True, kw_only=True)
class SendToGoogle:
    """One attempt. Whatever it leaves half done, the next one completes."""

    store: GoogleStore
    gateway: GoogleGateway
    budget: NotificationBudget
    clock: Clock
    #: Of classes that are being written, and of lists of messages.
    turns: Turns = field(default_factory=Turns)

    async def __call__(self, work: Work[UpdateDetail]) -> Verdict:
        credential, target = work.detail.credential, work.detail.object
        known = await self.store.class_of(target.workspace_id, target.class_id)
        if known is not None and not _is_synced(known):
            refusal = await self.write_class(credential, known)
            if refusal is not None:
                return refusal
        if target.synced_sha256 is None:
            answer = await self._insert(credential, target, was_class_known=known is not None)
            if answer.status != 409:
                return _verdict(answer, target)
        return await self._patch(
            credential, target, work.delivery, was_class_known=known is not None
        )

    async def _patch(
        self,
        credential: GoogleCredential,
        target: GoogleObject,
        delivery: Delivery,
        *,
        was_class_known: bool,
    ) -> Verdict:
        wants_notice = (
            target.vertical not in NEVER_NOTIFYING and delivery.notification_type != GENERAL_UPDATE
        )
        may_notify = wants_notice and await self.budget.take(
            target.workspace_id,
            target.object_id,
            delivery.delivery_id,
            self.clock.now(),
            class_id=target.class_id,
        )
        answer = await self._send_patch(credential, target, may_notify=may_notify)
        if may_notify and is_quota_of_notifications(answer.status, answer.message, answer.reason):
            may_notify = False
            answer = await self._send_patch(credential, target, may_notify=False)
        if answer.status == 404:
            answer = await self._insert(credential, target, was_class_known=was_class_known)
            return _verdict(answer, target)
        return _verdict(answer, target, is_silent=wants_notice and not may_notify)

    async def _send_patch(
        self, credential: GoogleCredential, target: GoogleObject, *, may_notify: bool
    ) -> GoogleAnswer:
        body: dict[str, Any] = dict(target.body)
        if may_notify:
            body["notifyPreference"] = "NOTIFY_ON_UPDATE"
        path = f"{target.vertical}Object/{target.object_id}"
        return await self.gateway.call(credential, "PATCH", path, body)

    async def _insert(
        self, credential: GoogleCredential, target: GoogleObject, *, was_class_known: bool
    ) -> GoogleAnswer:
        path = f"{target.vertical}Object"
        answer = await self.gateway.call(credential, "POST", path, target.body)
        if not is_class_missing(answer.status, answer.message, answer.reason):
            return answer
        known = await self.store.class_of(target.workspace_id, target.class_id)
        if known is None:
            return answer
        # A class that was not known a moment ago may have come with its template meanwhile.
        if was_class_known or not _is_synced(known):
            refusal = await self.write_class(credential, known, is_missing=True)
            if refusal is not None:
                return answer
        return await self.gateway.call(credential, "POST", path, target.body)

    async def write_class(
        self, credential: GoogleCredential, known: GoogleClassRow, *, is_missing: bool = False
    ) -> Verdict | None:
        """Once, also when its template and its first objects come together. `is_missing`: Google
        said that it has it not, whatever was told it before."""
        key = known.workspace_id, known.class_id
        # Who only changes its list of messages has not written it.
        writing = self.turns.of(("writing", *key))
        try:
            async with writing as was_being_written, self.turns.of_class(*key):
                known = await self.store.class_of(*key) or known
                if _is_synced(known) and (was_being_written or not is_missing):
                    return None
                return await self._write_newest(credential, known)
        except TurnTaken:
            return CLASS_TAKEN

    async def _write_newest(
        self, credential: GoogleCredential, known: GoogleClassRow
    ) -> Verdict | None:
        for _ in range(MAX_VERSIONS_AT_ONCE):
            refusal = await self._write_class(credential, known)
            newer = await self.store.class_of(known.workspace_id, known.class_id)
            if refusal is not None or newer is None or newer.body_sha256 == known.body_sha256:
                return refusal
            # It came while the one before was under way; whoever brought it may not have waited.
            known = newer
        return None

    async def _write_class(
        self, credential: GoogleCredential, known: GoogleClassRow
    ) -> Verdict | None:
        path = f"{known.vertical}Class"
        answer = await self.gateway.call(credential, "POST", path, known.body)
        if answer.status == 409:
            answer = await self._patch_class(credential, known, f"{path}/{known.class_id}")
        if answer.status != 200:
            return google_refusal(
                answer.status, answer.message, answer.reason, answer.retry_after_s
            )
        await self.store.class_synced(known.workspace_id, known.class_id, known.body_sha256)
        return None

    async def _patch_class(
        self, credential: GoogleCredential, known: GoogleClassRow, path: str
    ) -> GoogleAnswer:
        """Messages that were sent to the class by themselves stay: Google replaces lists whole."""
        body = known.body
        if "messages" in body:
            present = await self.gateway.call(credential, "GET", path)
            if present.status != 200:
                return present
            messages = merged_messages(
                body["messages"] or (), present.body.get("messages") or (), known.former_message_ids
            )
            body = {**body, "messages": messages or None}
        return await self.gateway.call(credential, "PATCH", path, body)


def dispatcher_for(
    update_google: UpdateGoogle, send: SendToGoogle, meter: Meter, *, per_credential: int = 10
) -> Dispatcher[UpdateDetail]:
    recorder = update_google.recorder
    return Dispatcher(
        send=send,
        on_outcome=lambda works, verdict: recorder.add([w.delivery for w in works], verdict),
        on_coalesced=lambda count: meter.coalesced(Channel.GOOGLE_WALLET, count),
        per_credential=per_credential,
        in_total=200,
    )


def _is_synced(known: GoogleClassRow) -> bool:
    return known.synced_sha256 == known.body_sha256


def _verdict(answer: GoogleAnswer, target: GoogleObject, *, is_silent: bool = False) -> Verdict:
    if answer.status != 200:
        return google_refusal(answer.status, answer.message, answer.reason, answer.retry_after_s)
    has_users = answer.body.get("hasUsers")
    return Verdict(
        action=Action.DELIVERED_SILENT if is_silent else Action.DELIVERED,
        reason="notification_budget_spent" if is_silent else None,
        has_users=has_users if isinstance(has_users, bool) else None,
        synced_sha256=target.body_sha256,
    )
