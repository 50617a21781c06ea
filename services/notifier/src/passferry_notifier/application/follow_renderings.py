"""Follows the press: what Google shall have of each pass and template."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from passferry_contracts.events.directory import GoogleClass, TemplatePublished
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.registry import Payload
from passferry_notifier.application.bring_classes import BringClasses
from passferry_notifier.application.ports import (
    GoogleClassRow,
    GoogleStore,
    PassKey,
    RenderedForGoogle,
)
from passferry_notifier.application.update_google import UpdateGoogle
from passferry_notifier.domain.deliveries import cause_for_google
from passferry_runtime.clock import Clock
from passferry_runtime.errors import RetryLater
from passferry_runtime.tracing import current_traceparent


@dataclass(frozen=True, kw_only=True)
class FollowRenderings:
    store: GoogleStore
    update_google: UpdateGoogle
    bring_classes: BringClasses
    clock: Clock
    lease_s: float

    async def take_renderings(self, payloads: Sequence[Payload]) -> None:
        """Of several revisions of a pass only the newest matters: an update carries it whole."""
        newest: dict[PassKey, RenderedForGoogle] = {}
        for data in payloads:
            rendering = _rendering(data) if isinstance(data, PassRendered) else None
            if rendering is None:
                continue
            key = (rendering.workspace_id, rendering.pass_id)
            known = newest.get(key)
            if known is None or known.revision <= rendering.revision:
                newest[key] = rendering
        if not newest:
            return
        now = self.clock.now()
        updates = await self.store.store_objects(
            list(newest.values()), now=now, lease_until=now + timedelta(seconds=self.lease_s)
        )
        await self.update_google(updates)

    async def take_templates(self, payloads: Sequence[Payload]) -> list[RetryLater | None]:
        """One for each payload: a class that must be tried again brings back the version that it
        is of."""
        newest: dict[tuple[UUID, str], GoogleClassRow] = {}
        published = [data for data in payloads if isinstance(data, TemplatePublished)]
        for row in (row for data in published for row in _class_rows(data)):
            known = newest.get((row.workspace_id, row.class_id))
            if known is None or known.template_version <= row.template_version:
                newest[row.workspace_id, row.class_id] = row
        if not newest:
            return [None] * len(payloads)
        rows = list(newest.values())
        await self.store.store_classes(rows)
        late: dict[tuple[UUID, UUID, int], RetryLater] = {}
        for row, verdict in zip(rows, await self.bring_classes(rows), strict=True):
            if verdict is not None and row.template_id is not None:
                late[row.workspace_id, row.template_id, row.template_version] = verdict
        return [
            late.get((data.workspace_id, data.template_id, data.template_version))
            if isinstance(data, TemplatePublished)
            else None
            for data in payloads
        ]

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None:
        await self.store.forget_pass(workspace_id, pass_id)


def _rendering(data: PassRendered) -> RenderedForGoogle | None:
    google = data.google
    if google is None:
        return None
    return RenderedForGoogle(
        workspace_id=data.workspace_id,
        pass_id=data.pass_id,
        issuer_id=google.issuer_id,
        vertical=google.vertical,
        class_id=google.class_id,
        object_id=google.object_id,
        revision=data.revision,
        body=google.object_body,
        body_sha256=_digest(google.object_body),
        is_wanted=google.is_wanted,
        cause_type=cause_for_google([each.event_type for each in data.causes]),
        caused_at=data.caused_at,
        traceparent=current_traceparent(str(data.pass_id)),
    )


def _class_rows(data: TemplatePublished) -> list[GoogleClassRow]:
    """The class of the template, and those of its tiers."""
    plain = [] if data.google_class is None else [data.google_class]
    return [_class_row(data, google) for google in (*plain, *data.google_tier_classes)]


def _class_row(data: TemplatePublished, google: GoogleClass) -> GoogleClassRow:
    return GoogleClassRow(
        workspace_id=data.workspace_id,
        class_id=google.class_id,
        template_id=data.template_id,
        issuer_id=google.issuer_id,
        vertical=google.vertical,
        template_version=data.template_version,
        body=google.class_body,
        body_sha256=_digest(google.class_body),
        former_message_ids=google.former_message_ids,
        synced_sha256=None,
    )


def _digest(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
