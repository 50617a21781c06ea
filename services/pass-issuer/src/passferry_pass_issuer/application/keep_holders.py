"""Keeps holders: who they are, what they agreed to, and their right to be forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any
from uuid import UUID

from passferry_pass_issuer.application.draw_holder_passes import DrawHolderPasses
from passferry_pass_issuer.application.erased_people import ErasedNames
from passferry_pass_issuer.application.life_ports import HolderRecords, RememberedAnswers
from passferry_pass_issuer.application.ports import Passes
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.holder import (
    Consent,
    Holder,
    check_time_zone,
    checked_tags,
    with_consents,
)
from passferry_pass_issuer.domain.rendering_subject import HolderFacts
from passferry_runtime.errors import NotFound
from passferry_runtime.ids import uuid7

EXTERNAL_PREFIX = "external:"


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderChange:
    """`facts` has the given members of `HolderFacts`. With `is_whole`, all others are removed;
    consents are only ever added to."""

    facts: Mapping[str, Any]
    tags: Sequence[str] | None = None
    consents: Mapping[str, Consent] = field(default_factory=dict)
    is_whole: bool


@dataclass(frozen=True, kw_only=True)
class SaveHolder:
    passes: Passes
    holders: HolderRecords
    draw: DrawHolderPasses

    async def __call__(
        self, work: Work, workspace_id: UUID, reference: str, change: HolderChange
    ) -> tuple[Holder, bool]:
        """The holder, and whether it is new. A whole one that is named by an external id is made
        when it is not there."""
        # Whoever issues makes holders too, and locks in this order.
        await self.passes.lock_issuing(work.transaction, workspace_id)
        before = await self.holders.holder(
            work.transaction, workspace_id, reference, for_update=True
        )
        if before is None:
            before = _new_holder(work, workspace_id, reference, change)
            is_new = True
        else:
            is_new = False
        if before.erased_at is not None:
            raise NotFound("holder_not_found", "there is no such holder")
        after = _changed(before, change)
        changed = _differences(before, after)
        if not changed and not is_new:
            return before, False
        after = replace(after, updated_at=work.now)
        await self.holders.save(work.transaction, after)
        if not is_new and after.facts != before.facts:
            await self.draw.start(work, workspace_id, after.holder_id, is_erasure=False)
        await work.audit(
            workspace_id,
            "holder.created" if is_new else "holder.changed",
            after.holder_id,
            # Names of what changed; what it says is nobody's business.
            after={"changed_fields": changed},
        )
        return after, is_new


def _new_holder(work: Work, workspace_id: UUID, reference: str, change: HolderChange) -> Holder:
    if not change.is_whole or not reference.startswith(EXTERNAL_PREFIX):
        raise NotFound("holder_not_found", "there is no such holder")
    external_id = reference.removeprefix(EXTERNAL_PREFIX)
    return Holder(
        workspace_id=workspace_id,
        facts=HolderFacts(holder_id=uuid7(), external_id=external_id),
        created_at=work.now,
        updated_at=work.now,
    )


def _changed(before: Holder, change: HolderChange) -> Holder:
    check_time_zone(change.facts.get("time_zone"))
    base = before.facts
    if change.is_whole:
        base = HolderFacts(holder_id=base.holder_id, external_id=base.external_id)
    tags = before.tags
    if change.tags is not None or change.is_whole:
        tags = checked_tags(change.tags or ())
    return replace(
        before,
        facts=replace(base, **change.facts),
        tags=tags,
        # Who writes the address here knows whose it is.
        is_address_proven=before.is_address_proven or change.is_whole or "email" in change.facts,
        consents=with_consents(before.consents, change.consents),
    )


def _differences(before: Holder, after: Holder) -> list[str]:
    names = [
        each.name
        for each in fields(HolderFacts)
        if getattr(before.facts, each.name) != getattr(after.facts, each.name)
    ]
    names += ["is_address_proven"] if before.is_address_proven != after.is_address_proven else []
    names += ["tags"] if tuple(before.tags) != tuple(after.tags) else []
    names += ["consents"] if before.consents != after.consents else []
    return sorted(names)


@dataclass(frozen=True, kw_only=True)
class EraseHolder:
    """The right to be forgotten: the person is gone at once, and so are the passes.

    Phones are rung for a last revision that shows nothing of them; the records of the passes
    follow when there was time to fetch it.
    """

    passes: Passes
    holders: HolderRecords
    answers: RememberedAnswers
    draw: DrawHolderPasses
    erased_names: ErasedNames

    async def __call__(self, work: Work, workspace_id: UUID, reference: str) -> tuple[Holder, bool]:
        """The stub that is left, and whether no pass says anything of them; doing so twice is once."""
        await self.passes.lock_issuing(work.transaction, workspace_id)
        # Who is forgotten need not be readable.
        before = await self.holders.stub(work.transaction, workspace_id, reference)
        if before is None:
            raise NotFound("holder_not_found", "there is no such holder")
        if before.erased_at is not None:
            return before, await self.draw.is_all_erased(work, workspace_id, before.holder_id)
        erased = Holder(
            workspace_id=workspace_id,
            facts=HolderFacts(holder_id=before.holder_id),
            created_at=before.created_at,
            updated_at=work.now,
            erased_at=work.now,
        )
        names = await self.erased_names.of_holder(work.transaction, workspace_id, before.holder_id)
        await self.holders.save(work.transaction, erased)
        await self.erased_names.remember(work.transaction, workspace_id, before.holder_id, names)
        await self.answers.forget_subjects(work.transaction, workspace_id, [before.holder_id])
        await self.draw.start(work, workspace_id, before.holder_id, is_erasure=True)
        await work.audit(workspace_id, "holder.erased", before.holder_id)
        return erased, await self.draw.is_all_erased(work, workspace_id, before.holder_id)
