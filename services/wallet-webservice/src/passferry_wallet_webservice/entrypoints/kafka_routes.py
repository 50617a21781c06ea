"""What the web service learns from Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.directory import (
    LinkChanged,
    TemplateAssetStored,
    TemplatePublished,
)
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.registry import (
    DELIVERY_COMPLETED,
    LINK_CHANGED,
    PASS_RENDERED,
    TEMPLATE_ASSETS,
    TEMPLATE_PUBLISHED,
)
from passferry_runtime.errors import Rejected
from passferry_runtime.kafka.records import Incoming, IncomingRecord, Outcome, Route
from passferry_wallet_webservice.application.ports import (
    GoneToken,
    RegistrationStore,
    RevisionStore,
    TemplateKey,
    TemplateStore,
)
from passferry_wallet_webservice.metrics import REVISIONS

Payload = TypeVar("Payload")


def routes(
    revisions: RevisionStore,
    templates: TemplateStore,
    registrations: RegistrationStore,
) -> list[Route]:
    async def publish_completed(completed: list[TemplateKey]) -> None:
        for key in completed:
            published = await revisions.publish_waiting(*key)
            REVISIONS.labels(outcome="published").inc(published)

    async def take_rendered(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        outcome = await revisions.store(_all(batch, PassRendered))
        REVISIONS.labels(outcome="published").inc(outcome.published)
        REVISIONS.labels(outcome="enriched").inc(outcome.enriched)
        REVISIONS.labels(outcome="waiting").inc(outcome.waiting)
        REVISIONS.labels(outcome="ignored").inc(outcome.ignored)
        return None

    async def take_templates(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        await publish_completed(await templates.store_templates(_all(batch, TemplatePublished)))
        return None

    async def take_assets(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        await publish_completed(await templates.store_assets(_all(batch, TemplateAssetStored)))
        return None

    async def take_links(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        await templates.store_links(_all(batch, LinkChanged))
        return None

    async def take_deliveries(batch: Sequence[Incoming]) -> Sequence[Outcome] | None:
        gone = [
            GoneToken(each.workspace_id, each.push_token_sha256, each.token_gone_at)
            for each in _all(batch, DeliveryCompleted)
            if each.token_gone_at is not None and each.push_token_sha256 is not None
        ]
        if gone:
            await registrations.drop_gone_tokens(gone)
        return None

    async def forget_pass(tombstone: IncomingRecord) -> None:
        if tombstone.workspace_id is not None:
            await registrations.forget_pass(tombstone.workspace_id, _id(tombstone))

    async def forget_link(tombstone: IncomingRecord) -> None:
        if tombstone.workspace_id is not None:
            await templates.forget_link(tombstone.workspace_id, _id(tombstone))

    return [
        Route(topic=PASS_RENDERED, handler=take_rendered, on_tombstone=forget_pass),
        Route(topic=TEMPLATE_PUBLISHED, handler=take_templates, max_batch=16),
        Route(topic=TEMPLATE_ASSETS, handler=take_assets, max_batch=8),
        Route(topic=LINK_CHANGED, handler=take_links, on_tombstone=forget_link),
        Route(topic=DELIVERY_COMPLETED, handler=take_deliveries),
    ]


def _all(batch: Sequence[Incoming], kind: type[Payload]) -> list[Payload]:
    return [each.data for each in batch if isinstance(each.data, kind)]


def _id(tombstone: IncomingRecord) -> UUID:
    try:
        return UUID(tombstone.key.decode())
    except ValueError as error:
        raise Rejected("key_invalid", "the key of the tombstone is no id") from error
