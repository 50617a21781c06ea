"""Updates, voids or writes to the passes that the rows of a file name."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.change_passes import ChangeFields, EndPass, FieldsChange
from passferry_pass_issuer.application.erased_people import ErasedNames, erased_since
from passferry_pass_issuer.application.job_ports import StagedRow, Step
from passferry_pass_issuer.application.ports import Programs, Transaction
from passferry_pass_issuer.application.send_messages import Message, SendMessage
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.bulk_changes import ChangeAction, ChangeRequest
from passferry_pass_issuer.domain.erased_names import ERASED_CODE, ERASED_DETAIL, pass_name
from passferry_pass_issuer.domain.jobs import Job, Outcome, Refusal, RowResult
from passferry_pass_issuer.domain.program import ProgramStatus
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.status_changes import REQUESTED
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.errors import Conflict, NotFound

PassKey = tuple[UUID, UUID]


class NamedPasses(Protocol):
    async def lock(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, WalletPass]: ...

    async def ids_of(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], UUID]: ...


@dataclass(frozen=True, kw_only=True)
class ChangeInBulk:
    """Each row by the use case of a single request, so that it means the same."""

    named: NamedPasses
    programs: Programs
    change_fields: ChangeFields
    end_pass: EndPass
    send_message: SendMessage
    erased_names: ErasedNames

    async def blocked(self, work: Work, job: Job) -> Step | None:
        return None

    async def __call__(
        self, work: Work, job: Job, chunk: Sequence[StagedRow]
    ) -> Sequence[RowResult] | Step:
        given = [
            (row.number, row.request) for row in chunk if isinstance(row.request, ChangeRequest)
        ]
        ids = await self._ids(work, job, [request for _, request in given])
        # All at once, in the order of everybody else who locks several.
        rows = await self.named.lock(work.transaction, ids.values())
        if await self._are_held_up(work, job, rows.values()):
            return Step(waits_for="program_suspended")
        erased = await self._erased(work, job, [request for _, request in given])
        results = []
        for number, request in given:
            if request.external_id in erased:
                results.append(_refused(number, _ERASED))
                continue
            key = ids.get(_name_of(request))
            if key is None or key not in rows:
                results.append(_refused(number, _UNKNOWN))
                continue
            try:
                rows[key], is_changed = await self._apply(work, rows[key], request)
            except (ContentRejected, Conflict, NotFound) as refusal:
                results.append(_refused(number, _told(refusal), key[1]))
                continue
            outcome = Outcome.CHANGED if is_changed else Outcome.UNCHANGED
            results.append(RowResult(number=number, outcome=outcome, pass_id=key[1]))
        return results

    async def _are_held_up(self, work: Work, job: Job, rows: Collection[WalletPass]) -> bool:
        """The kill switch of a program stops what people would see; but it may be pulled because
        passes of the program have to be voided."""
        if job.action is ChangeAction.VOID or not rows:
            return False
        programs = await self.programs.by_ids(
            work.transaction, job.workspace_id, sorted({row.program_id for row in rows})
        )
        return any(program.status is ProgramStatus.SUSPENDED for program in programs.values())

    async def _ids(
        self, work: Work, job: Job, requests: Sequence[ChangeRequest]
    ) -> dict[str | UUID | None, PassKey]:
        workspace_id = job.workspace_id
        external_ids = {each.external_id for each in requests if each.external_id is not None}
        found = await self.named.ids_of(
            work.transaction, [(workspace_id, each) for each in external_ids]
        )
        ids: dict[str | UUID | None, PassKey] = {
            name: (workspace_id, pass_id) for (_, name), pass_id in found.items()
        }
        for each in requests:
            if each.pass_id is not None:
                ids[each.pass_id] = workspace_id, each.pass_id
        return ids

    async def _erased(
        self, work: Work, job: Job, requests: Sequence[ChangeRequest]
    ) -> set[str | None]:
        """External ids that named passes of people who were erased after the file came: whoever
        has one now is somebody else."""
        names = {
            pass_name(each.external_id): each.external_id
            for each in requests
            if each.external_id is not None
        }
        found = await erased_since(
            self.erased_names, work.transaction, job.workspace_id, names, job.created_at
        )
        return {names[name] for name in found}

    async def _apply(
        self, work: Work, row: WalletPass, request: ChangeRequest
    ) -> tuple[WalletPass, bool]:
        """The pass afterwards, and whether anything is new."""
        reference = str(row.pass_id)
        if request.action is ChangeAction.VOID:
            after = await self.end_pass(
                work,
                row.workspace_id,
                reference,
                PassStatus.VOIDED,
                reason=request.reason or REQUESTED,
            )
            return after, after.status is not row.status
        if request.action is ChangeAction.UPDATE:
            change = FieldsChange(
                field_values=request.field_values,
                sets_expiry=request.sets_expiry,
                expires_at=request.expires_at,
            )
            after = await self.change_fields(work, row.workspace_id, reference, change)
            said = after.field_values, after.expires_at
            return after, said != (row.field_values, row.expires_at)
        _, is_new = await self.send_message(work, row.workspace_id, reference, _message(request))
        return row, is_new


_ERASED = Refusal(field="external_id", code=ERASED_CODE, detail=ERASED_DETAIL)
_UNKNOWN = Refusal(field="external_id", code="pass_not_found", detail="is of no pass")


def _name_of(request: ChangeRequest) -> str | UUID | None:
    return request.external_id if request.external_id is not None else request.pass_id


def _message(request: ChangeRequest) -> Message:
    """Without an id of the caller's, the same words to the same pass are the same message."""
    words = f"{request.header or ''}\n{request.body or ''}"
    made_up = hashlib.sha256(words.encode()).hexdigest()[:32]
    return Message(
        message_id=request.message_id or made_up,
        header=request.header,
        body=request.body or "",
        notify=request.notify,
    )


def _told(refusal: ContentRejected | Conflict | NotFound) -> Refusal:
    if isinstance(refusal, ContentRejected):
        return Refusal(field=refusal.field, code=refusal.code, detail=refusal.detail)
    return Refusal(field="external_id", code=refusal.code, detail=refusal.detail)


def _refused(number: int, refusal: Refusal, pass_id: UUID | None = None) -> RowResult:
    return RowResult(number=number, outcome=Outcome.REFUSED, pass_id=pass_id, refusal=refusal)
