"""What the notifier learns from Kafka."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from uuid import UUID

from passferry_contracts.events.wallet import DeviceRegistered, DeviceUnregistered, PassPublished
from passferry_contracts.registry import (
    MESSAGE_ISSUED,
    PASS_RENDERED,
    TEMPLATE_PUBLISHED,
    WALLET_ACTIVITY,
    Payload,
)
from passferry_notifier.application.follow_newsstand import Change, FollowNewsstand
from passferry_notifier.application.follow_renderings import FollowRenderings
from passferry_notifier.application.ports import Publication, Registration, Removal
from passferry_notifier.application.send_messages import SendMessages
from passferry_runtime.kafka.records import Incoming, IncomingRecord, Outcome, Route
from passferry_runtime.tracing import current_traceparent

CountRegistration = Callable[[UUID, str], None]


def routes(
    newsstand: FollowNewsstand,
    renderings: FollowRenderings,
    messages: SendMessages,
    count_registration: CountRegistration,
) -> list[Route]:
    async def take_activity(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        changes = [change for each in batch if (change := _change(each.data)) is not None]
        if changes:
            await newsstand(changes)
        for each in batch:
            if isinstance(each.data, DeviceRegistered) and each.data.is_new:
                count_registration(each.data.workspace_id, "apple")
        return None

    async def take_rendered(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        await renderings.take_renderings([each.data for each in batch])
        return None

    async def take_templates(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        return await renderings.take_templates([each.data for each in batch])

    async def take_messages(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        await messages.take([each.data for each in batch])
        return None

    async def forget(tombstone: IncomingRecord) -> None:
        if tombstone.workspace_id is not None:
            pass_id = UUID(tombstone.key.decode())
            await newsstand.forget_pass(tombstone.workspace_id, pass_id)
            await renderings.forget_pass(tombstone.workspace_id, pass_id)
            await messages.store.forget_pass(tombstone.workspace_id, pass_id)

    return [
        Route(topic=WALLET_ACTIVITY, handler=take_activity),
        Route(topic=PASS_RENDERED, handler=take_rendered, on_tombstone=forget),
        Route(topic=TEMPLATE_PUBLISHED, handler=take_templates, max_batch=16),
        Route(topic=MESSAGE_ISSUED, handler=take_messages),
    ]


def _change(data: Payload) -> Change | None:
    match data:
        case PassPublished():
            return Publication(
                workspace_id=data.workspace_id,
                pass_id=data.pass_id,
                pass_type_identifier=data.pass_type_identifier,
                revision=data.revision,
                cause_type=data.cause_type,
                caused_at=data.caused_at,
                published_at=data.published_at,
                traceparent=current_traceparent(str(data.pass_id)),
            )
        case DeviceRegistered():
            return Registration(
                workspace_id=data.workspace_id,
                pass_id=data.pass_id,
                pass_type_identifier=data.pass_type_identifier,
                device_library_identifier=data.device_library_identifier,
                push_token_ciphertext=base64.b64decode(data.push_token_ciphertext),
                push_token_sha256=data.push_token_sha256,
                seen_revision=data.seen_revision,
                registered_at=data.registered_at,
            )
        case DeviceUnregistered():
            return Removal(
                workspace_id=data.workspace_id,
                pass_id=data.pass_id,
                device_library_identifier=data.device_library_identifier,
                push_token_sha256=data.push_token_sha256,
                unregistered_at=data.unregistered_at,
            )
        case _:
            return None
