"""Who writes a class at Google, and who waits for it, with fakes of the store and of Google.

proves: J7
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from passferry_notifier.application.ports import GoogleAnswer, GoogleClassRow
from passferry_notifier.application.update_google import SendToGoogle
from passferry_notifier.domain.credentials import GoogleCredential
from passferry_runtime.clock import SystemClock

WORKSPACE = uuid4()
CREDENTIAL = GoogleCredential(
    workspace_id=WORKSPACE, key="key", issuer_id="3388", service_account={}
)
#: As far as we know it is there; Google says that it is not.
ROW = GoogleClassRow(
    workspace_id=WORKSPACE,
    class_id="3388.card",
    issuer_id="3388",
    vertical="loyalty",
    template_version=1,
    body={"id": "3388.card"},
    body_sha256="a",
    former_message_ids=(),
    template_id=uuid4(),
    synced_sha256="a",
)


@dataclass
class FakeStore:
    #: Those that are told before `ROW`, once each.
    before: list[GoogleClassRow] = field(default_factory=list)

    async def class_of(self, workspace_id: UUID, class_id: str) -> GoogleClassRow | None:
        return self.before.pop(0) if self.before else ROW

    async def class_synced(self, workspace_id: UUID, class_id: str, body_sha256: str) -> None: ...


@dataclass
class FakeGoogle:
    calls: list[str] = field(default_factory=list)
    bodies: list[Mapping[str, Any] | None] = field(default_factory=list)

    async def call(
        self,
        credential: GoogleCredential,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> GoogleAnswer:
        self.calls.append(f"{method} {path}")
        self.bodies.append(body)
        await asyncio.sleep(0)
        return GoogleAnswer(200, {})


def sender(google: FakeGoogle, store: FakeStore | None = None) -> SendToGoogle:
    return SendToGoogle(
        store=store or FakeStore(),  # type: ignore[arg-type]  # has what is asked for
        gateway=google,
        budget=None,  # type: ignore[arg-type]  # classes notify nobody
        clock=SystemClock(),
    )


async def test_who_puts_a_message_on_a_class_is_not_taken_for_one_who_writes_it() -> None:
    google = FakeGoogle()
    send = sender(google)
    async with send.turns.of((WORKSPACE, ROW.class_id)):
        writing = asyncio.create_task(send.write_class(CREDENTIAL, ROW, is_missing=True))
        await asyncio.sleep(0)
        assert google.calls == []
    assert await writing is None
    assert google.calls == ["POST loyaltyClass"]


async def test_a_class_that_many_miss_at_once_is_written_once() -> None:
    google = FakeGoogle()
    send = sender(google)
    writers = [send.write_class(CREDENTIAL, ROW, is_missing=True) for _ in range(5)]
    assert await asyncio.gather(*writers) == [None] * 5
    assert google.calls == ["POST loyaltyClass"]


async def test_an_older_version_that_arrives_last_does_not_stay() -> None:
    google = FakeGoogle()
    older = replace(ROW, body={"id": "older"}, body_sha256="older", synced_sha256=None)
    # While it is under way another replica writes the newer one, and says so.
    send = sender(google, FakeStore(before=[older]))
    assert await send.write_class(CREDENTIAL, older) is None
    assert google.bodies == [older.body, ROW.body]
