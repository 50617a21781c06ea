"""What becomes of a rendered revision, and the rows and events that it makes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.rendered import AppleRendering, PassRendered
from passferry_contracts.events.wallet import PassPublished
from passferry_runtime.postgres import Record
from passferry_wallet_webservice.domain.publication import (
    Decision,
    RecentContents,
    next_last_modified,
)

PassKey = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Plan:
    """A revision with what is to become of it."""

    rendered: PassRendered
    decision: Decision
    current: Record | None

    @property
    def key(self) -> PassKey:
        return self.rendered.workspace_id, self.rendered.pass_id

    @property
    def is_awaited(self) -> bool:
        """Devices are registered, and there was nothing that they could fetch."""
        current = self.current
        return current is not None and current["has_devices"] and not current["is_signed"]

    @property
    def changes_token(self) -> bool:
        """The pass is somebody else's now: devices of before hold a token that is no more."""
        apple, current = self.rendered.apple, self.current
        if apple is None or current is None or current["token_sha256"] is None:
            return False
        return bool(current["token_sha256"] != bytes.fromhex(apple.authentication_token_sha256))

    @property
    def changed_apple(self) -> AppleRendering | None:
        """What a device would be given, where that is not what it would have been given before."""
        apple, current = self.rendered.apple, self.current
        if apple is None or current is None:
            return apple
        if self.is_awaited:
            return apple
        before = current["pass_json"], current["manifest"]
        return apple if before != (apple.pass_json, apple.manifest) else None


def merged(known: PassRendered | None, later: PassRendered) -> PassRendered:
    """The later record of a revision may lack the signature that an earlier one brought."""
    if known is None or known.revision < later.revision:
        return later
    if known.revision > later.revision:
        return known
    apple, google = later.apple, later.google
    if apple is not None and apple.signature is None and known.apple is not None:
        apple = apple.model_copy(update={"signature": known.apple.signature})
    if google is not None and google.save_link is None and known.google is not None:
        google = known.google
    return later.model_copy(update={"apple": apple, "google": google})


def published_row(plan: Plan, tag: int | None, now: datetime) -> tuple[object, ...]:
    """Arguments of PUBLISH. Without a `tag` the pass keeps tag and date: nothing changed."""
    rendered, apple, google = plan.rendered, plan.rendered.apple, plan.rendered.google
    current = plan.current
    recent = RecentContents.from_json(current["recent_contents"] if current else "[]")
    last_modified = next_last_modified(now, current["last_modified"] if current else None)
    if tag is not None and apple is not None:
        recent = recent.with_newest(last_modified, apple.manifest)
    elif current is not None:
        tag, last_modified = current["update_tag"], current["last_modified"]
    return (
        rendered.workspace_id,
        rendered.pass_id,
        apple.pass_type_identifier if apple else None,
        apple.serial_number if apple else None,
        rendered.revision,
        rendered.status.value,
        rendered.template_id,
        rendered.template_version,
        apple.pass_json if apple else None,
        apple.manifest if apple else None,
        _signature(apple),
        bytes.fromhex(apple.authentication_token_sha256) if apple else None,
        tag or 0,
        last_modified,
        recent.to_json(),
        google.object_id if google else None,
        google.save_link if google else None,
        google.save_link_signed_at if google else None,
        now,
    )


def enrichment_row(plan: Plan) -> tuple[object, ...]:
    """Arguments of ENRICH."""
    google = plan.rendered.google
    return (
        *plan.key,
        _signature(plan.rendered.apple),
        google.object_id if google else None,
        google.save_link if google else None,
        google.save_link_signed_at if google else None,
    )


def waiting_row(plan: Plan, waits_for: str) -> tuple[object, ...]:
    """Arguments of WAIT."""
    rendered = plan.rendered
    return (
        *plan.key,
        rendered.revision,
        rendered.template_id,
        rendered.template_version,
        waits_for,
        rendered.model_dump_json(exclude_none=True),
    )


def published_event(rendered: PassRendered, apple: AppleRendering, now: datetime) -> PassPublished:
    return PassPublished(
        workspace_id=rendered.workspace_id,
        pass_id=rendered.pass_id,
        pass_type_identifier=apple.pass_type_identifier,
        serial_number=apple.serial_number,
        revision=rendered.revision,
        status=rendered.status,
        content_sha256=rendered.content_sha256,
        cause_type=rendered.causes[0].event_type if rendered.causes else "pass.updated",
        caused_at=rendered.caused_at,
        published_at=now,
    )


def _signature(apple: AppleRendering | None) -> bytes | None:
    if apple is None or apple.signature is None:
        return None
    return base64.b64decode(apple.signature)
