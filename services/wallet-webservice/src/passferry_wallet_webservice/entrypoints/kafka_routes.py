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
from passferry_runtime.kafka.records import Incoming, IncomingRecord, Outcome, Route
from passferry_wallet_webservice.application.ports import (
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
        gone = [each for each in _all(batch, DeliveryCompleted) if each.token_gone_at is not None]
        if gone:
            await registrations.drop_gone_tokens(gone)
        return None

    async def forget(tombstone: IncomingRecord) -> None:
        if tombstone.workspace_id is not None:
            await registrations.forget_pass(tombstone.workspace_id, UUID(tombstone.key.decode()))

    return [
        Route(topic=PASS_RENDERED, handler=take_rendered, on_tombstone=forget),
        Route(topic=TEMPLATE_PUBLISHED, handler=take_templates, max_batch=16),
        Route(topic=TEMPLATE_ASSETS, handler=take_assets, max_batch=8),
        Route(topic=LINK_CHANGED, handler=take_links),
        Route(topic=DELIVERY_COMPLETED, handler=take_deliveries),
    ]


def _all(batch: Sequence[Incoming], kind: type[Payload]) -> list[Payload]:
    return [each.data for each in batch if isinstance(each.data, kind)]
