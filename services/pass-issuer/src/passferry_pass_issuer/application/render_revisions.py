"""Makes revisions: render, sign where the pass is on Apple, store, tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import orjson

from passferry_contracts.registry import PASS_RENDERED, PASS_UPDATED
from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.make_subjects import Facts, MakeSubjects
from passferry_pass_issuer.application.pass_events import pass_rendered, pass_status_changed
from passferry_pass_issuer.application.ports import (
    Catalogue,
    Credentials,
    Holders,
    ManifestSigner,
    PassChange,
    RevisionRenderer,
    SaveLinkSigner,
    SigningMaterial,
    Transaction,
)
from passferry_pass_issuer.domain.credentials import is_taken_from
from passferry_pass_issuer.domain.end_rules import with_end
from passferry_pass_issuer.domain.google_ids import vertical_of
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import (
    Rendering,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_pass_issuer.metrics import (
    RENDER_SECONDS,
    REVISION_BATCH_PASSES,
    REVISIONS,
    SIGN_SECONDS,
    UNSIGNED_REVISIONS,
)
from passferry_runtime.clock import Clock
from passferry_runtime.outbox import EventTooLarge
from passferry_wallet.google.taking_back import taking_back

#: The web service asks for another after twelve hours, by its own clock.
SAVE_LINK_LIFE = timedelta(hours=11)
MAX_CAUSES = 32

PassKey = tuple[UUID, UUID]


class RevisionStore(Protocol):
    async def lock(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, WalletPass]: ...

    async def ids_of(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], UUID]: ...

    async def unsigned(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        pass_type_identifier: str,
        *,
        after: UUID,
        limit: int,
    ) -> list[UUID]: ...

    async def unsigned_types(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> list[tuple[UUID, str]]: ...

    async def update(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RenderRevisions:
    """The one way in which revisions come to be, whatever caused them."""

    store: RevisionStore
    catalogue: Catalogue
    holders: Holders
    credentials: Credentials
    renderer: RevisionRenderer
    manifest_signer: ManifestSigner
    save_link_signer: SaveLinkSigner
    subject_of: MakeSubjects
    clock: Clock

    async def store_changed(
        self, transaction: Transaction, changes: Sequence[PassChange]
    ) -> list[WalletPass]:
        """Rows as stored, in the order of `changes`; see `ports.RevisionWriter`.

        Raises `ContentRejected`, before anything is written, when one cannot be shown.
        """
        results = await self._store(transaction, changes, may_refuse=False)
        return [row for row in results if isinstance(row, WalletPass)]

    async def store_showable(
        self, transaction: Transaction, changes: Sequence[PassChange]
    ) -> list[WalletPass | ContentRejected]:
        """As `store_changed`, with the refusal in place of each row that cannot be shown."""
        return await self._store(transaction, changes, may_refuse=True)

    async def _store(
        self, transaction: Transaction, changes: Sequence[PassChange], *, may_refuse: bool
    ) -> list[WalletPass | ContentRejected]:
        if not changes:
            return []
        now = self.clock.now()
        facts = await self._facts(transaction, [change.after for change in changes])
        results: list[WalletPass | ContentRejected] = []
        with RENDER_SECONDS.time():
            for change in changes:
                try:
                    results.append(self._draw(change, facts, now))
                except ContentRejected as refusal:
                    if not may_refuse:
                        raise
                    results.append(refusal)
        shown = [index for index, row in enumerate(results) if isinstance(row, WalletPass)]
        stored = await self._finish(
            transaction,
            [changes[index] for index in shown],
            [row for row in results if isinstance(row, WalletPass)],
            facts,
            now,
        )
        for index, row in zip(shown, stored, strict=True):
            results[index] = row
        return results

    async def _finish(
        self,
        transaction: Transaction,
        changes: Sequence[PassChange],
        drawn: Sequence[WalletPass],
        facts: Facts,
        now: datetime,
    ) -> list[WalletPass]:
        """Sign, store and tell of what was drawn."""
        REVISION_BATCH_PASSES.observe(len(changes))
        signed = await self._sign(transaction, drawn, now)
        finished = [
            await self._with_save_link(transaction, change, row, facts, now)
            for change, row in zip(changes, signed, strict=True)
        ]
        await self.store.update(transaction, finished)
        told = [
            await self._tell(transaction, change, row, facts, now)
            for change, row in zip(changes, finished, strict=True)
        ]
        pairs = zip(changes, told, strict=True)
        raised = sum(row.revision > change.before.revision for change, row in pairs)
        REVISIONS.labels(outcome="raised").inc(raised)
        REVISIONS.labels(outcome="unchanged").inc(len(told) - raised)
        return told

    async def _tell(
        self,
        transaction: Transaction,
        change: PassChange,
        row: WalletPass,
        facts: Facts,
        now: datetime,
    ) -> WalletPass:
        if not _is_news(change.before, row):
            return row
        try:
            transaction.emit(PASS_RENDERED, pass_rendered(row, facts.template_of(row)))
        except EventTooLarge:
            if row.status is PassStatus.ACTIVE:
                raise
            # What it shows is too much to be told. That it ended must be, in both wallets.
            bare = self.renderer.render_bare(self.subject_of(row, facts, ends=True))
            [row] = await self._sign(transaction, [_with_rendering(row, bare, change, facts)], now)
            await self.store.update(transaction, [row])
            transaction.emit(PASS_RENDERED, pass_rendered(row, facts.template_of(row)))
        return row

    async def _facts(self, transaction: Transaction, passes: Sequence[WalletPass]) -> Facts:
        templates = {(p.workspace_id, p.template_id, p.template_version) for p in passes}
        return Facts(
            await self.catalogue.templates(transaction, templates),
            await self.catalogue.programs(
                transaction, {(p.workspace_id, p.program_id) for p in passes}
            ),
            await self.holders.facts(transaction, {(p.workspace_id, p.holder_id) for p in passes}),
        )

    def _draw(self, change: PassChange, facts: Facts, now: datetime) -> WalletPass:
        """The next revision, or the same one when people would see no difference."""
        if change.before.forgotten_at is not None:
            # Its records are gone everywhere: drawing it would bring them back.
            return change.before
        after = _with_end(change.after, facts, now)
        rendering = self._rendering(change.before, after, facts)
        if rendering.content_sha256 == change.before.content_sha256:
            return changed(after, updated_at=now)
        return changed(
            _with_rendering(after, rendering, change, facts),
            causes=tuple(change.causes)[:MAX_CAUSES],
            caused_at=change.caused_at,
            rendered_at=now,
            updated_at=now,
        )

    def _rendering(self, before: WalletPass, after: WalletPass, facts: Facts) -> Rendering:
        """Of what ended at least that it ended: that must be shown, in both wallets."""
        subject = self.subject_of(after, facts, ends=_ends(before, after))
        if facts.holder_of(after) is None:
            return self.renderer.render_bare(subject)
        try:
            return self.renderer.render(subject)
        except ContentRejected:
            if after.is_usable:
                raise
            return self.renderer.render_bare(subject)

    async def _sign(
        self, transaction: Transaction, rows: Sequence[WalletPass], now: datetime
    ) -> list[WalletPass]:
        """Only passes that are on Apple, and only revisions without a signature."""
        jobs: list[tuple[int, SigningMaterial, str]] = []
        opened: dict[tuple[UUID, str], SigningMaterial | None] = {}
        for index, row in enumerate(rows):
            if not row.is_on_apple or row.manifest is None or row.pass_type_identifier is None:
                continue
            if row.signature is not None and row.signed_revision == row.revision:
                continue
            key = row.workspace_id, row.pass_type_identifier
            if key not in opened:
                opened[key] = await self.credentials.signing_material(transaction, *key)
            material = opened[key]
            if material is None or not _can_sign(material, row, now):
                # Told by the health check; signed when an identity is uploaded that devices take.
                UNSIGNED_REVISIONS.inc()
                continue
            jobs.append((index, material, row.manifest))
        if not jobs:
            return list(rows)
        with SIGN_SECONDS.time():
            signatures = await self.manifest_signer.sign_manifests(
                [(material, manifest) for _, material, manifest in jobs], signing_time=now
            )
        signed = list(rows)
        for (index, _, _), signature in zip(jobs, signatures, strict=True):
            row = rows[index]
            signed[index] = changed(row, signature=signature, signed_revision=row.revision)
        return signed

    async def _with_save_link(
        self,
        transaction: Transaction,
        change: PassChange,
        row: WalletPass,
        facts: Facts,
        now: datetime,
    ) -> WalletPass:
        """A fresh save link for a pass that is on its way to Google."""
        template = facts.template_of(row)
        issuer_id = template.google_issuer_id
        body = row.google_object_body
        if not row.is_on_google or body is None or issuer_id is None:
            return row
        is_fresh = row.save_link_signed_at is not None and (
            now - row.save_link_signed_at < SAVE_LINK_LIFE
        )
        # A saved pass is kept up to date by its object: its link is renewed on demand, and not
        # with every new revision.
        if row.save_link is not None and (is_fresh or not change.wants_save_link):
            return row
        credential = await self.credentials.google_credential(
            transaction, row.workspace_id, issuer_id
        )
        if credential is None:
            return row
        link, is_whole = await self.save_link_signer.sign_save_link(
            credential,
            vertical=vertical_of(row.protocol, template.content.google),
            object_body=body,
            now=now,
        )
        if not is_whole and row.inserted_google_object_id != row.google_object_id:
            # It would name an object that does not exist yet: it is made once the notifier has
            # said that Google has it.
            return row
        return changed(
            row, save_link=link, save_link_signed_at=now, save_link_revision=row.revision
        )


def _with_rendering(
    row: WalletPass, rendering: Rendering, change: PassChange, facts: Facts
) -> WalletPass:
    return changed(
        row,
        revision=change.before.revision + 1,
        content_sha256=rendering.content_sha256,
        pass_json=rendering.pass_json,
        manifest=rendering.manifest,
        google_object_id=rendering.google_object_id,
        google_object_body=_taking_back(change, rendering, facts),
        signature=None,
    )


def _with_end(row: WalletPass, facts: Facts, now: datetime) -> WalletPass:
    program = facts.programs[row.workspace_id, row.program_id]
    rules = facts.template_of(row).content.ends_when
    return with_end(row, rules, time_zone=program.time_zone, now=now)


def _taking_back(
    change: PassChange, rendering: Rendering, facts: Facts
) -> Mapping[str, Any] | None:
    """Google merges what it is sent. Another object never heard of what this one said."""
    before, body = change.before.google_object_body, rendering.google_object
    if before is None or body is None or before.get("id") != body.get("id"):
        return body
    after = change.after
    vertical = vertical_of(after.protocol, facts.template_of(after).content.google)
    return taking_back(vertical, "Object", before, body)


def _ends(before: WalletPass, after: WalletPass) -> bool:
    """Also for another reason: what is deleted may be erased after that."""
    is_other = (after.status, after.status_reason) != (before.status, before.status_reason)
    return is_other and not after.is_usable


def _can_sign(material: SigningMaterial, row: WalletPass, now: datetime) -> bool:
    """No device takes what an expired certificate signed, or one that the pass is not for."""
    return (
        material.not_after > now
        and row.pass_json is not None
        and is_taken_from(
            material.team_identifier, orjson.loads(row.pass_json), has_nfc=material.has_nfc
        )
    )


def _is_news(before: WalletPass, after: WalletPass) -> bool:
    return (
        after.revision != before.revision
        or after.signed_revision != before.signed_revision
        or after.save_link != before.save_link
        or after.is_on_google != before.is_on_google
    )


def tell_status(
    transaction: Transaction,
    before: WalletPass,
    stored: WalletPass,
    *,
    changed_at: datetime,
    event_id: str | None = None,
) -> None:
    """Tell of a pass that ended with this change, once."""
    if stored.status is not before.status:
        told = pass_status_changed(stored, changed_at=changed_at)
        transaction.emit(PASS_UPDATED, told, event_id=event_id)
