"""One attempt to tell a message, with fakes of the store and of Google.

proves: J7
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from passferry_contracts.types import Channel
from passferry_notifier.application.dispatch import Work
from passferry_notifier.application.ports import GoogleAnswer
from passferry_notifier.application.send_messages import (
    PASS_ENDED,
    AddMessages,
    GoogleMessage,
    MessageDetail,
    MessageTarget,
)
from passferry_notifier.application.turns import Turns
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_notifier.domain.deliveries import DELIVERED, Delivery
from passferry_runtime.clock import SystemClock

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)


@dataclass
class FakeStore:
    may_begin: bool = True
    begun: list[str] = field(default_factory=list)

    async def begin(self, message: GoogleMessage) -> bool:
        self.begun.append(message.message_id)
        return self.may_begin


@dataclass
class FakeGoogle:
    calls: list[str] = field(default_factory=list)

    async def call(
        self,
        credential: GoogleCredential,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> GoogleAnswer:
        self.calls.append(f"{method} {path}")
        return GoogleAnswer(200, {}, "")


class FakeBudget:
    async def take(
        self,
        workspace_id: UUID,
        resource_id: str,
        delivery_id: UUID,
        now: datetime,
        *,
        class_id: str | None = None,
    ) -> bool:
        return True


def work(attempts: int = 0) -> Work[MessageDetail]:
    workspace_id = uuid4()
    delivery = Delivery(
        workspace_id=workspace_id,
        delivery_id=uuid4(),
        pass_id=uuid4(),
        channel=Channel.GOOGLE_WALLET,
        target="m-1",
        revision=0,
        notification_type="message",
        cause_type="message.issued",
        attempts=attempts,
        caused_at=NOON,
        created_at=NOON,
    )
    message = GoogleMessage(
        delivery=delivery,
        message_id="m-1",
        header=None,
        body="Closed on Monday",
        is_notifying=True,
        is_for_class=False,
    )
    target = MessageTarget(issuer_id="3388", vertical="loyalty", kind="Object", name="3388.a")
    credential = GoogleCredential(
        workspace_id=workspace_id, key="key", issuer_id="3388", service_account={}
    )
    return Work(delivery, "lane", "queue", MessageDetail(credential, message, [target]))


def adding(store: FakeStore, google: FakeGoogle) -> AddMessages:
    return AddMessages(
        store=store,  # type: ignore[arg-type]  # has what is asked for
        gateway=google,
        budget=FakeBudget(),
        clock=SystemClock(),
        turns=Turns(),
    )


async def test_nothing_is_said_on_a_pass_that_ended_while_its_message_was_in_line() -> None:
    store, google = FakeStore(may_begin=False), FakeGoogle()
    assert await adding(store, google)(work()) == PASS_ENDED
    assert (store.begun, google.calls) == (["m-1"], [])


async def test_only_what_may_have_been_sent_is_asked_for() -> None:
    google = FakeGoogle()
    assert await adding(FakeStore(), google)(work()) == DELIVERED
    assert google.calls == ["POST loyaltyObject/3388.a/addMessage"]
    assert await adding(FakeStore(), google)(work(attempts=1)) == DELIVERED
    assert google.calls[1:] == ["GET loyaltyObject/3388.a", "POST loyaltyObject/3388.a/addMessage"]
