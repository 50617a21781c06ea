"""Stores rendered revisions and publishes those that can be fetched."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record, Transaction
from passferry_wallet_webservice.adapters import revision_statements as sql
from passferry_wallet_webservice.adapters.device_events import still_registered, tell_gone
from passferry_wallet_webservice.adapters.revision_rows import (
    PassKey,
    Plan,
    enrichment_row,
    merged,
    published_event,
    published_row,
    waiting_row,
)
from passferry_wallet_webservice.application.ports import Publication
from passferry_wallet_webservice.domain.publication import Candidate, Current, Decision, decide

WAITING_BATCH = 256
_BEFORE_ALL = UUID(int=0)
_WAITS_FOR = {
    Decision.WAIT_FOR_TEMPLATE: "template",
    Decision.WAIT_FOR_SIGNATURE: "signature",
}


class PostgresRevisions:
    """Kafka's revisions in, published passes out; wakes those who wait for a pass."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._changed: dict[PassKey, asyncio.Event] = {}

    async def store(self, revisions: Sequence[PassRendered]) -> Publication:
        newest: dict[PassKey, PassRendered] = {}
        for each in revisions:
            key = each.workspace_id, each.pass_id
            newest[key] = merged(newest.get(key), each)
        # A rendering for neither wallet says nothing that could be served.
        chosen = [each for each in newest.values() if each.apple or each.google]
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

    async def _publish_completed_meanwhile(self, plans: Sequence[Plan]) -> None:
        """A template that was completed while its revision was put to wait did not see it."""
        waiting = {
            (plan.rendered.workspace_id, plan.rendered.template_id, plan.rendered.template_version)
            for plan in plans
            if plan.decision is Decision.WAIT_FOR_TEMPLATE
        }
        if not waiting:
            return
        async with self._database.transaction({key[0] for key in waiting}) as tx:
            found = await tx.fetch(sql.COMPLETE_TEMPLATES, *_columns(waiting))
        for row in found:
            await self.publish_waiting(*row)

    async def publish_waiting(
        self, workspace_id: UUID, template_id: UUID, template_version: int
    ) -> int:
        """Publish what waited for this template, now that it is complete."""
        published, after = 0, _BEFORE_ALL
        while True:
            async with self._database.transaction({workspace_id}) as tx:
                rows = await tx.fetch(
                    sql.WAITING_FOR_TEMPLATE,
                    workspace_id,
                    template_id,
                    template_version,
                    after,
                    WAITING_BATCH,
                )
            if not rows:
                return published
            after = rows[-1]["pass_id"]
            waiting = [PassRendered.model_validate_json(row["payload"]) for row in rows]
            published += (await self.store(waiting)).published

    async def changed(self, workspace_id: UUID, pass_id: UUID, timeout_s: float) -> None:
        """Return when this process stored something of the pass, or when the time is over."""
        event = self._changed.setdefault((workspace_id, pass_id), asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            self._changed.pop((workspace_id, pass_id), None)

    async def _plan(self, tx: Transaction, revisions: Sequence[PassRendered]) -> list[Plan]:
        keys = [(each.workspace_id, each.pass_id) for each in revisions]
        # In this order: what waits is locked before anything else is looked at.
        waiting = _by_pass(await tx.fetch(sql.WAITING, *_columns(keys)))
        chosen = [
            _with_what_waits(waiting.get(key), each)
            for key, each in zip(keys, revisions, strict=True)
        ]
        templates = {(e.workspace_id, e.template_id, e.template_version) for e in chosen}
        complete = {
            tuple(row) for row in await tx.fetch(sql.COMPLETE_TEMPLATES, *_columns(templates))
        }
        current = _by_pass(await tx.fetch(sql.CURRENT, *_columns(keys)))
        plans = []
        for key, each in zip(keys, chosen, strict=True):
            row = current.get(key)
            template = (each.workspace_id, each.template_id, each.template_version)
            candidate = Candidate(
                each.revision,
                each.apple is not None and each.apple.signature is not None,
                each.google is not None and each.google.save_link is not None,
                each.apple is None or template in complete,
            )
            known = Current(row["revision"], row["is_signed"], row["has_devices"]) if row else None
            plans.append(Plan(each, decide(candidate, known), row))
        return plans

    async def _publish(self, tx: Transaction, plans: list[Plan]) -> None:
        if not plans:
            return
        now = self._clock.now()
        await self._drop_former_devices(tx, [p.key for p in plans if p.changes_token], now)
        tags = await self._tags(tx, plans)
        rows = [published_row(plan, tags.get(plan.key), now) for plan in plans]
        await tx.execute(sql.PUBLISH, *_columns(rows))
        for plan in plans:
            apple = plan.changed_apple
            if apple is not None:
                tx.emit(WALLET_ACTIVITY, published_event(plan.rendered, apple, now))
        await self._tell_again(tx, [plan.key for plan in plans if plan.is_awaited], now)

    async def _drop_former_devices(
        self, tx: Transaction, keys: list[PassKey], now: datetime
    ) -> None:
        """Told before the publication, so that nobody rings them for what they cannot fetch."""
        if keys:
            rows = await tx.fetch(sql.DROP_DEVICES, *_columns(keys))
            tell_gone(tx, rows, "handed_over", now)

    async def _tell_again(self, tx: Transaction, keys: list[PassKey], now: datetime) -> None:
        """Have devices rung that were told of as having this revision, which nobody could fetch."""
        if keys:
            for row in await tx.fetch(sql.DEVICES, *_columns(keys)):
                tx.emit(WALLET_ACTIVITY, still_registered(row, now))

    async def _tags(self, tx: Transaction, plans: list[Plan]) -> dict[PassKey, int]:
        by_type: dict[tuple[UUID, str], list[Plan]] = defaultdict(list)
        for plan in plans:
            apple = plan.changed_apple
            if apple is not None:
                by_type[plan.rendered.workspace_id, apple.pass_type_identifier].append(plan)
        tags: dict[PassKey, int] = {}
        # In one order everywhere, so that two batches cannot wait for each other.
        for (workspace_id, pass_type), members in sorted(by_type.items()):
            top = await tx.fetchval(sql.BUMP_COUNTER, workspace_id, pass_type, len(members))
            for index, plan in enumerate(members):
                tags[plan.key] = top - len(members) + 1 + index
        return tags

    async def _enrich(self, tx: Transaction, plans: list[Plan]) -> None:
        if plans:
            await tx.execute(sql.ENRICH, *_columns([enrichment_row(plan) for plan in plans]))

    async def _wait(self, tx: Transaction, plans: list[Plan]) -> None:
        waiting = [
            waiting_row(plan, _WAITS_FOR[plan.decision])
            for plan in plans
            if plan.decision in _WAITS_FOR
        ]
        if waiting:
            await tx.execute(sql.WAIT, *_columns(waiting))
        done = [
            (*plan.key, plan.rendered.revision) for plan in plans if plan.decision not in _WAITS_FOR
        ]
        if done:
            await tx.execute(sql.STOP_WAITING, *_columns(done))


def _columns(
    rows: set[tuple[UUID, UUID, int]] | Sequence[tuple[object, ...]],
) -> list[list[object]]:
    """One array per column, as unnest wants them."""
    return [list(column) for column in zip(*rows, strict=True)]


def _by_pass(rows: Sequence[Record]) -> Mapping[PassKey, Record]:
    return {(row["workspace_id"], row["pass_id"]): row for row in rows}


def _with_what_waits(waiting: Record | None, rendered: PassRendered) -> PassRendered:
    """What waits may have the signature that a repetition lacks."""
    if waiting is None or waiting["revision"] != rendered.revision:
        return rendered
    return merged(PassRendered.model_validate_json(waiting["payload"]), rendered)


def _count(plans: Sequence[Plan]) -> Publication:
    def number(*decisions: Decision) -> int:
        return sum(plan.decision in decisions for plan in plans)

    return Publication(
        published=number(Decision.PUBLISH),
        enriched=number(Decision.ENRICH),
        waiting=number(Decision.WAIT_FOR_TEMPLATE, Decision.WAIT_FOR_SIGNATURE),
        ignored=number(Decision.IGNORE),
    )
