"""Stores rendered revisions and publishes those that can be fetched."""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.rendered import AppleRendering, PassRendered
from passferry_contracts.events.wallet import PassPublished
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record, Transaction
from passferry_wallet_webservice.application.ports import Publication
from passferry_wallet_webservice.domain.publication import (
    Candidate,
    Current,
    Decision,
    RecentContents,
    decide,
    next_last_modified,
)

COMPLETE_TEMPLATES = """
SELECT workspace_id, template_id, template_version FROM template
WHERE is_complete AND (workspace_id, template_id, template_version) IN
    (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]))
"""

CURRENT = """
SELECT workspace_id, pass_id, revision, signature IS NOT NULL AS is_signed, pass_json, manifest,
    update_tag, last_modified, recent_contents
FROM published_pass
WHERE (workspace_id, pass_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
ORDER BY workspace_id, pass_id
FOR UPDATE
"""

#: One bump per batch and pass type; the row stays locked until the commit.
BUMP_COUNTER = """
INSERT INTO update_counter (workspace_id, pass_type_identifier, value) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, pass_type_identifier)
    DO UPDATE SET value = update_counter.value + excluded.value
RETURNING value
"""

UPSERT = """
INSERT INTO published_pass (workspace_id, pass_id, pass_type_identifier, serial_number, revision,
    status, template_id, template_version, pass_json, manifest, signature, token_sha256,
    update_tag, last_modified, recent_contents, google_object_id, save_link, save_link_signed_at, published_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[],
    $6::text[], $7::uuid[], $8::bigint[], $9::text[], $10::text[], $11::bytea[], $12::bytea[],
    $13::bigint[], $14::timestamptz[], $15::jsonb[], $16::text[], $17::text[],
    $18::timestamptz[], $19::timestamptz[])
ON CONFLICT (workspace_id, pass_id) DO UPDATE SET
    revision = excluded.revision, status = excluded.status, template_id = excluded.template_id,
    template_version = excluded.template_version, pass_json = excluded.pass_json,
    manifest = excluded.manifest, signature = excluded.signature,
    token_sha256 = excluded.token_sha256, update_tag = excluded.update_tag,
    last_modified = excluded.last_modified, recent_contents = excluded.recent_contents,
    google_object_id = coalesce(excluded.google_object_id, published_pass.google_object_id),
    save_link = coalesce(excluded.save_link, published_pass.save_link),
    save_link_signed_at =
        coalesce(excluded.save_link_signed_at, published_pass.save_link_signed_at),
    published_at = excluded.published_at
"""

ENRICH = """
UPDATE published_pass SET signature = coalesce($3, signature),
    google_object_id = coalesce($4, google_object_id), save_link = coalesce($5, save_link),
    save_link_signed_at = coalesce($6, save_link_signed_at)
WHERE workspace_id = $1 AND pass_id = $2
"""

WAIT = """
INSERT INTO waiting_revision
    (workspace_id, pass_id, revision, template_id, template_version, waits_for, payload)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (workspace_id, pass_id) DO UPDATE SET revision = excluded.revision,
    template_id = excluded.template_id, template_version = excluded.template_version,
    waits_for = excluded.waits_for, payload = excluded.payload, stored_at = now()
WHERE waiting_revision.revision <= excluded.revision
"""

STOP_WAITING = """
DELETE FROM waiting_revision USING unnest($1::uuid[], $2::uuid[], $3::bigint[])
    AS done(workspace_id, pass_id, revision)
WHERE waiting_revision.workspace_id = done.workspace_id
    AND waiting_revision.pass_id = done.pass_id AND waiting_revision.revision <= done.revision
"""

WAITING_FOR_TEMPLATE = """
SELECT payload FROM waiting_revision
WHERE workspace_id = $1 AND template_id = $2 AND template_version = $3 AND waits_for = 'template'
ORDER BY pass_id LIMIT $4
"""

WAITING_BATCH = 256
PassKey = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A revision with what is to become of it."""

    rendered: PassRendered
    apple: AppleRendering
    decision: Decision
    current: Record | None

    @property
    def key(self) -> PassKey:
        return self.rendered.workspace_id, self.rendered.pass_id

    @property
    def changes_apple(self) -> bool:
        """The bytes that a device would be given differ from those of before."""
        if self.current is None:
            return True
        before = self.current["pass_json"], self.current["manifest"]
        return before != (self.apple.pass_json, self.apple.manifest)


class PostgresRevisions:
    """Kafka's revisions in, published passes out; wakes those who wait for a pass."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._changed: dict[PassKey, asyncio.Event] = {}

    async def store(self, revisions: Sequence[PassRendered]) -> Publication:
        newest: dict[PassKey, PassRendered] = {}
        for each in revisions:
            known = newest.get((each.workspace_id, each.pass_id))
            if known is None or each.revision >= known.revision:
                newest[each.workspace_id, each.pass_id] = _merged(known, each)
        chosen = [each for each in newest.values() if each.apple is not None]
        if not chosen:
            return Publication(ignored=len(revisions))
        async with self._database.transaction({each.workspace_id for each in chosen}) as tx:
            plans = await self._plan(tx, chosen)
            await self._publish(tx, [p for p in plans if p.decision is Decision.PUBLISH])
            await self._enrich(tx, [p for p in plans if p.decision is Decision.ENRICH])
            await self._wait(tx, plans)
        for plan in plans:
            event = self._changed.pop(plan.key, None)
            if event is not None:
                event.set()
        await self._publish_completed_meanwhile(plans)
        return _count(plans)

    async def _publish_completed_meanwhile(self, plans: Sequence[_Plan]) -> None:
        """A template that was completed while its revision was put to wait did not see it."""
        waiting = {
            (plan.rendered.workspace_id, plan.rendered.template_id, plan.rendered.template_version)
            for plan in plans
            if plan.decision is Decision.WAIT_FOR_TEMPLATE
        }
        for key in waiting:
            workspace_id, template_id, template_version = key
            async with self._database.transaction({workspace_id}) as tx:
                found = await tx.fetch(
                    COMPLETE_TEMPLATES, [workspace_id], [template_id], [template_version]
                )
            if found:
                await self.publish_waiting(*key)

    async def publish_waiting(
        self, workspace_id: UUID, template_id: UUID, template_version: int
    ) -> int:
        """Publish what waited for this template, now that it is complete."""
        published = 0
        while True:
            async with self._database.transaction({workspace_id}) as tx:
                rows = await tx.fetch(
                    WAITING_FOR_TEMPLATE, workspace_id, template_id, template_version, WAITING_BATCH
                )
            if not rows:
                return published
            waiting = [PassRendered.model_validate_json(row["payload"]) for row in rows]
            outcome = await self.store(waiting)
            published += outcome.published
            if outcome.waiting == len(waiting):
                return published

    async def changed(self, workspace_id: UUID, pass_id: UUID, timeout_s: float) -> None:
        """Return when this process stored something of the pass, or when the time is over."""
        event = self._changed.setdefault((workspace_id, pass_id), asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            self._changed.pop((workspace_id, pass_id), None)

    async def _plan(self, tx: Transaction, revisions: Sequence[PassRendered]) -> list[_Plan]:
        workspaces = [each.workspace_id for each in revisions]
        complete = {
            (row["workspace_id"], row["template_id"], row["template_version"])
            for row in await tx.fetch(
                COMPLETE_TEMPLATES,
                workspaces,
                [each.template_id for each in revisions],
                [each.template_version for each in revisions],
            )
        }
        rows = await tx.fetch(CURRENT, workspaces, [each.pass_id for each in revisions])
        current = {(row["workspace_id"], row["pass_id"]): row for row in rows}
        plans = []
        for each in revisions:
            apple = each.apple
            if apple is None:
                continue
            row = current.get((each.workspace_id, each.pass_id))
            template = (each.workspace_id, each.template_id, each.template_version)
            candidate = Candidate(
                each.revision,
                apple.signature is not None,
                each.google is not None and each.google.save_link is not None,
                template in complete,
            )
            known = Current(row["revision"], row["is_signed"]) if row else None
            plans.append(_Plan(each, apple, decide(candidate, known), row))
        return plans

    async def _publish(self, tx: Transaction, plans: list[_Plan]) -> None:
        if not plans:
            return
        now = self._clock.now()
        tags = await self._tags(tx, plans)
        rows = [_row(plan, tags.get(plan.key), now) for plan in plans]
        await tx.execute(UPSERT, *(list(column) for column in zip(*rows, strict=True)))
        for plan in plans:
            if plan.changes_apple:
                tx.emit(WALLET_ACTIVITY, _published_event(plan, now))

    async def _tags(self, tx: Transaction, plans: list[_Plan]) -> dict[PassKey, int]:
        by_type: dict[tuple[UUID, str], list[_Plan]] = defaultdict(list)
        for plan in plans:
            if plan.changes_apple:
                pass_type = plan.apple.pass_type_identifier
                by_type[plan.rendered.workspace_id, pass_type].append(plan)
        tags: dict[PassKey, int] = {}
        # In one order everywhere, so that two batches cannot wait for each other.
        for (workspace_id, pass_type), members in sorted(by_type.items()):
            top = await tx.fetchval(BUMP_COUNTER, workspace_id, pass_type, len(members))
            for index, plan in enumerate(members):
                tags[plan.key] = top - len(members) + 1 + index
        return tags

    async def _enrich(self, tx: Transaction, plans: list[_Plan]) -> None:
        await tx.executemany(ENRICH, [_enrichment(plan) for plan in plans])

    async def _wait(self, tx: Transaction, plans: list[_Plan]) -> None:
        reasons = {
            Decision.WAIT_FOR_TEMPLATE: "template",
            Decision.WAIT_FOR_SIGNATURE: "signature",
        }
        waiting = [
            (
                *plan.key,
                plan.rendered.revision,
                plan.rendered.template_id,
                plan.rendered.template_version,
                reasons[plan.decision],
                plan.rendered.model_dump_json(exclude_none=True),
            )
            for plan in plans
            if plan.decision in reasons
        ]
        await tx.executemany(WAIT, waiting)
        done = [plan for plan in plans if plan.decision not in reasons]
        if done:
            await tx.execute(
                STOP_WAITING,
                [plan.rendered.workspace_id for plan in done],
                [plan.rendered.pass_id for plan in done],
                [plan.rendered.revision for plan in done],
            )


def _merged(known: PassRendered | None, later: PassRendered) -> PassRendered:
    """The later record of a revision may lack the signature that an earlier one brought."""
    if known is None or known.revision < later.revision:
        return later
    apple, google = later.apple, later.google
    if apple is not None and apple.signature is None and known.apple is not None:
        apple = apple.model_copy(update={"signature": known.apple.signature})
    if google is not None and google.save_link is None and known.google is not None:
        google = known.google
    return later.model_copy(update={"apple": apple, "google": google})


def _signature(apple: AppleRendering) -> bytes | None:
    return base64.b64decode(apple.signature) if apple.signature is not None else None


def _row(plan: _Plan, tag: int | None, now: datetime) -> tuple[object, ...]:
    rendered, apple, google = plan.rendered, plan.apple, plan.rendered.google
    current = plan.current
    recent = RecentContents.from_json(current["recent_contents"] if current else "[]")
    if tag is None and current is not None:
        tag, last_modified = current["update_tag"], current["last_modified"]
    else:
        last_modified = next_last_modified(now, current["last_modified"] if current else None)
        recent = recent.with_newest(last_modified, apple.manifest)
    return (
        rendered.workspace_id,
        rendered.pass_id,
        apple.pass_type_identifier,
        apple.serial_number,
        rendered.revision,
        rendered.status.value,
        rendered.template_id,
        rendered.template_version,
        apple.pass_json,
        apple.manifest,
        _signature(apple),
        bytes.fromhex(apple.authentication_token_sha256),
        tag,
        last_modified,
        recent.to_json(),
        google.object_id if google else None,
        google.save_link if google else None,
        google.save_link_signed_at if google else None,
        now,
    )


def _enrichment(plan: _Plan) -> tuple[object, ...]:
    google = plan.rendered.google
    return (
        *plan.key,
        _signature(plan.apple),
        google.object_id if google else None,
        google.save_link if google else None,
        google.save_link_signed_at if google else None,
    )


def _published_event(plan: _Plan, now: datetime) -> PassPublished:
    rendered = plan.rendered
    return PassPublished(
        workspace_id=rendered.workspace_id,
        pass_id=rendered.pass_id,
        pass_type_identifier=plan.apple.pass_type_identifier,
        serial_number=plan.apple.serial_number,
        revision=rendered.revision,
        status=rendered.status,
        content_sha256=rendered.content_sha256,
        cause_type=rendered.causes[0].event_type if rendered.causes else "pass.updated",
        caused_at=rendered.caused_at,
        published_at=now,
    )


def _count(plans: Sequence[_Plan]) -> Publication:
    def number(*decisions: Decision) -> int:
        return sum(plan.decision in decisions for plan in plans)

    return Publication(
        published=number(Decision.PUBLISH),
        enriched=number(Decision.ENRICH),
        waiting=number(Decision.WAIT_FOR_TEMPLATE, Decision.WAIT_FOR_SIGNATURE),
        ignored=number(Decision.IGNORE),
    )
