"""Tells messages through Google: on the object of one pass, or on every class of a template."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from passferry_contracts.events.deliveries import MessageIssued
from passferry_contracts.registry import Payload
from passferry_contracts.types import Channel
from passferry_notifier.application.dispatch import Dispatcher, Work
from passferry_notifier.application.ports import (
    Completion,
    CredentialDirectory,
    GoogleAnswer,
    GoogleGateway,
    Meter,
    NotificationBudget,
)
from passferry_notifier.application.record_outcomes import Recorder
from passferry_notifier.application.ring_devices import CREDENTIAL_MISSING, SUSPENDED
from passferry_notifier.application.turns import CLASS_TAKEN, Turns, TurnTaken
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_notifier.domain.deliveries import DELIVERED, Action, Delivery, Verdict
from passferry_notifier.domain.google_messages import (
    MAX_MESSAGES,
    Message,
    kept_message,
    message_body,
    with_room_for_one,
)
from passferry_notifier.domain.google_verdicts import google_refusal, is_quota_of_notifications
from passferry_runtime.clock import Clock
from passferry_runtime.ids import derived_id
from passferry_runtime.tracing import current_traceparent

#: The rendering of its pass comes on another topic.
NOT_KNOWN_YET = Verdict(action=Action.RETRY, reason="not_known_yet")
#: The object is being brought there.
ON_ITS_WAY = Verdict(action=Action.POSTPONED, reason="object_on_its_way", retry_after_s=2.0)
#: A class comes with its template, or once a credential is there and good.
CLASS_NOT_THERE = "class_not_there"
#: How long a message waits for it, as a share of how long it waits already.
WAIT_PER_AGE = 0.1
SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.5, 300.0
NOT_ON_GOOGLE = Verdict(action=Action.DROPPED, reason="not_on_google")
PASS_ENDED = Verdict(action=Action.DROPPED, reason="pass_ended")
FULL = Verdict(action=Action.FAILED, reason="messages_full")
SILENT = Verdict(action=Action.DELIVERED_SILENT, reason="notification_budget_spent")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleMessage:
    """A message with its delivery; `delivery.pass_id` is the template's of one for its classes."""

    delivery: Delivery
    message_id: str
    header: str | None = field(repr=False)
    body: str = field(repr=False)
    is_notifying: bool
    is_for_class: bool

    @property
    def key(self) -> tuple[UUID, UUID]:
        return self.delivery.workspace_id, self.delivery.pass_id


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTarget:
    """A class or object that may get messages."""

    issuer_id: str
    vertical: str
    kind: str
    name: str
    #: Of an object: messages of its class notify its holder too.
    class_id: str | None = None
    #: Of a class: ids of the messages that its template says.
    template_message_ids: frozenset[str] = frozenset()
    is_there: bool = True
    #: Of an object: what ended says nothing any more.
    is_active: bool = True
    is_on_its_way: bool = False

    @property
    def path(self) -> str:
        return f"{self.vertical}{self.kind}/{self.name}"


class MessageStore(Protocol):
    async def add(
        self, messages: Sequence[GoogleMessage], *, lease_until: datetime
    ) -> list[GoogleMessage]:
        """Those that were not known before."""

    async def tell_dropped(self, completions: Sequence[Completion], *, now: datetime) -> None:
        """Of messages that were not added: nothing of them is kept."""

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> list[GoogleMessage]: ...

    async def begin(self, message: GoogleMessage) -> bool:
        """Note that it is about to be sent; False: its pass ended, or was erased, meanwhile.

        From now on it counts as attempted, whether or not anybody reports on it.
        """

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None: ...

    async def targets(
        self, messages: Collection[GoogleMessage]
    ) -> dict[tuple[UUID, UUID], list[MessageTarget]]:
        """By workspace and subject."""


@dataclass(frozen=True, slots=True)
class MessageDetail:
    credential: GoogleCredential
    message: GoogleMessage
    targets: Sequence[MessageTarget]
    #: What becomes of it once these have it: others of its classes are not there.
    afterwards: Verdict | None = None


@dataclass(kw_only=True)
class SendMessages:
    """Finds where each message goes and with which credential, and hands it to the dispatcher."""

    store: MessageStore
    credentials: CredentialDirectory
    is_suspended: Callable[[UUID], bool]
    recorder: Recorder
    clock: Clock
    lease_s: float
    #: Of a message whose class does not come.
    max_age_s: float
    #: Shared with the updates of objects, for the health report.
    missing: set[tuple[UUID, str]]
    dispatcher: Dispatcher[MessageDetail] = field(init=False)

    async def take(self, payloads: Sequence[Payload]) -> None:
        now = self.clock.now()
        issued = [data for data in payloads if isinstance(data, MessageIssued)]
        given = [_message(data, now) for data in issued if data.has_google_part is not False]
        others = [_message(data, now) for data in issued if data.has_google_part is False]
        if others:
            await self._drop(others, now)
        if given:
            lease_until = now + timedelta(seconds=self.lease_s)
            await self(await self.store.add(given, lease_until=lease_until))

    async def _drop(self, messages: Sequence[GoogleMessage], now: datetime) -> None:
        completions = [
            Completion(
                delivery=each.delivery,
                state="dropped",
                verdict=NOT_ON_GOOGLE,
                attempts=0,
                next_attempt_at=now,
            )
            for each in messages
        ]
        await self.store.tell_dropped(completions, now=now)
        for completion in completions:
            self.recorder.meter.completed(completion, now)

    async def __call__(self, messages: Sequence[GoogleMessage]) -> None:
        if not messages:
            return
        await self.credentials.until_known()
        targets = await self.store.targets(messages)
        works = []
        for message in messages:
            found = self._place(message, targets.get(message.key, []))
            if isinstance(found, Verdict):
                self.recorder.add([message.delivery], found)
            else:
                works.append(found)
        self.dispatcher.submit(works)

    def _place(
        self, message: GoogleMessage, targets: Sequence[MessageTarget]
    ) -> Verdict | Work[MessageDetail]:
        delivery = message.delivery
        if self.is_suspended(delivery.workspace_id):
            return SUSPENDED
        if not targets:
            return self._until_there(delivery) if message.is_for_class else NOT_KNOWN_YET
        if not all(each.is_active for each in targets):
            return PASS_ENDED
        there = [each for each in targets if each.is_there]
        is_awaited = message.is_for_class or any(each.is_on_its_way for each in targets)
        if not there and not is_awaited:
            return NOT_ON_GOOGLE
        issuer_id = targets[0].issuer_id
        credential = self.credentials.google(delivery.workspace_id, issuer_id)
        if credential is None:
            self.missing.add((delivery.workspace_id, issuer_id))
            return CREDENTIAL_MISSING
        if not there:
            return self._until_there(delivery) if message.is_for_class else ON_ITS_WAY
        afterwards = self._until_there(delivery) if len(there) < len(targets) else None
        # A lane of its own: no message takes the place of another.
        lane = (delivery.workspace_id, delivery.delivery_id)
        queue = f"{delivery.workspace_id}:{credential.key}"
        return Work(delivery, lane, queue, MessageDetail(credential, message, there, afterwards))

    def _until_there(self, delivery: Delivery) -> Verdict:
        age_s = (self.clock.now() - delivery.created_at).total_seconds()
        if age_s >= self.max_age_s:
            return Verdict(action=Action.FAILED, reason=CLASS_NOT_THERE)
        wait_s = min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, age_s * WAIT_PER_AGE))
        return Verdict(action=Action.POSTPONED, reason=CLASS_NOT_THERE, retry_after_s=wait_s)


@dataclass(frozen=True, kw_only=True)
class AddMessages:
    """One attempt. A class that has the message already is not told it again."""

    store: MessageStore
    gateway: GoogleGateway
    budget: NotificationBudget
    clock: Clock
    #: Of classes and objects whose list is being changed.
    turns: Turns

    async def __call__(self, work: Work[MessageDetail]) -> Verdict:
        detail, is_silent = work.detail, False
        workspace_id = detail.message.delivery.workspace_id
        for target in detail.targets:
            # Lists are read and written whole.
            in_turn = self.turns.of_class if target.kind == "Class" else self.turns.of_object
            try:
                async with in_turn(workspace_id, target.name):
                    verdict = await self._add(detail, target)
            except TurnTaken:
                return CLASS_TAKEN
            if verdict.action not in (Action.DELIVERED, Action.DELIVERED_SILENT):
                return verdict
            is_silent = is_silent or verdict.action is Action.DELIVERED_SILENT
        return detail.afterwards or (SILENT if is_silent else DELIVERED)

    async def _add(self, detail: MessageDetail, target: MessageTarget) -> Verdict:
        credential, message = detail.credential, detail.message
        # It may have waited long, for its credential or its turn.
        if not await self.store.begin(message):
            return PASS_ENDED
        # The attempt before may have arrived; with several classes, at some of them.
        if message.delivery.attempts > 0:
            present = await self.gateway.call(credential, "GET", target.path)
            if present.status != 200:
                return _refusal(present)
            if any(each.get("id") == message.message_id for each in _messages(present)):
                return DELIVERED
        may_notify = message.is_notifying and await self.budget.take(
            message.delivery.workspace_id,
            target.name,
            message.delivery.delivery_id,
            self.clock.now(),
            class_id=target.class_id,
        )
        answer = await self._post(detail, target, may_notify=may_notify)
        if may_notify and is_quota_of_notifications(answer.status, answer.message, answer.reason):
            may_notify = False
            answer = await self._post(detail, target, may_notify=False)
        if answer.status == 400:
            return await self._add_with_room(detail, target, may_notify=may_notify)
        return _outcome(answer, message, has_notified=may_notify)

    async def _post(
        self, detail: MessageDetail, target: MessageTarget, *, may_notify: bool
    ) -> GoogleAnswer:
        message = detail.message
        told = message_body(
            message.message_id, message.header, message.body, is_notifying=may_notify
        )
        path = f"{target.path}/addMessage"
        return await self.gateway.call(detail.credential, "POST", path, {"message": told})

    async def _add_with_room(
        self, detail: MessageDetail, target: MessageTarget, *, may_notify: bool
    ) -> Verdict:
        """After a refusal, which may be for the ten that Google keeps, or for something else."""
        credential = detail.credential
        present = await self.gateway.call(credential, "GET", target.path)
        if present.status != 200:
            return _refusal(present)
        messages = _messages(present)
        if len(messages) < MAX_MESSAGES:
            return Verdict(action=Action.FAILED, reason="status_400")
        kept = with_room_for_one(messages, target.template_message_ids)
        if kept is None:
            return FULL
        answer = await self._replace(credential, target, kept)
        if answer.status != 200:
            return _refusal(answer)
        answer = await self._post(detail, target, may_notify=may_notify)
        if answer.status == 400:
            # It was refused for itself: what made room for it comes back.
            await self._replace(credential, target, [kept_message(each) for each in messages])
        return _outcome(answer, detail.message, has_notified=may_notify)

    async def _replace(
        self, credential: GoogleCredential, target: MessageTarget, messages: Sequence[Message]
    ) -> GoogleAnswer:
        body: dict[str, Any] = {"messages": messages}
        if target.kind == "Class" and target.vertical != "generic":
            body["reviewStatus"] = "UNDER_REVIEW"
        return await self.gateway.call(credential, "PATCH", target.path, body)


def messages_dispatcher(send_messages: SendMessages, add: AddMessages, meter: Meter) -> None:
    recorder = send_messages.recorder
    send_messages.dispatcher = Dispatcher(
        send=add,
        on_outcome=lambda works, verdict: recorder.add([w.delivery for w in works], verdict),
        on_coalesced=lambda count: meter.coalesced(Channel.GOOGLE_WALLET, count),
        per_credential=4,
        in_total=100,
        max_held=10_000,
    )


def _message(data: MessageIssued, now: datetime) -> GoogleMessage:
    subject_id = UUID(data.partition_key())
    parts = ("message.issued", str(data.workspace_id), str(subject_id), data.message_id)
    delivery = Delivery(
        workspace_id=data.workspace_id,
        delivery_id=derived_id(*parts),
        pass_id=subject_id,
        channel=Channel.GOOGLE_WALLET,
        target=data.message_id,
        revision=0,
        notification_type="message",
        cause_type=data.event_type,
        traceparent=current_traceparent(data.partition_key()),
        caused_at=data.issued_at,
        created_at=now,
    )
    return GoogleMessage(
        delivery=delivery,
        message_id=data.message_id,
        header=data.header,
        body=data.body,
        is_notifying=data.notify,
        is_for_class=data.pass_id is None,
    )


def _outcome(answer: GoogleAnswer, message: GoogleMessage, *, has_notified: bool) -> Verdict:
    if answer.status != 200:
        return _refusal(answer)
    return SILENT if message.is_notifying and not has_notified else DELIVERED


def _messages(answer: GoogleAnswer) -> list[Mapping[str, Any]]:
    return [each for each in answer.body.get("messages") or () if isinstance(each, Mapping)]


def _refusal(answer: GoogleAnswer) -> Verdict:
    return google_refusal(answer.status, answer.message, answer.reason, answer.retry_after_s)
