"""Answers what people asked for on the public form: a pass for a claim code, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.directory import EnrolmentRequested, LinkChanged
from passferry_contracts.registry import LINK_CHANGED
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.life_ports import Claim, Claims, HolderRecords
from passferry_pass_issuer.application.ports import Passes
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.issuing import HolderRequest, IssueRequest
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_pass_issuer.metrics import ENROLMENTS
from passferry_runtime.errors import Rejected, RetryLater
from passferry_runtime.ids import derived_id

ISSUED = "issued"
#: Said without the pass: on a form anybody may write anybody's address.
ALREADY_MEMBER = "already_member"
WORKSPACE_SUSPENDED = "workspace_suspended"
ADDRESS_INVALID = "email_invalid"
#: A claim code opens its pass for so long; the pass has a permanent link of its own.
CLAIM_LIFE = timedelta(days=1)
SAME_ADDRESS = 50

_ADDRESS = re.compile(r"^[^@\s\x00-\x1f]{1,100}@[^@\s\x00-\x1f]{1,99}\Z")

Verdict = RetryLater | Rejected | None


class WorkspaceDirectory(Protocol):
    def is_known(self, workspace_id: UUID) -> bool: ...

    def is_suspended(self, workspace_id: UUID) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class AnswerEnrolments:
    """Each in a transaction of its own: issuing is locked per workspace."""

    workbench: Workbench
    directory: WorkspaceDirectory
    passes: Passes
    holders: HolderRecords
    issue: IssuePasses
    claims: Claims

    async def __call__(self, requests: Sequence[EnrolmentRequested]) -> list[Verdict]:
        return [await self._answer(request) for request in requests]

    async def _answer(self, request: EnrolmentRequested) -> Verdict:
        workspace_id = request.workspace_id
        if not self.directory.is_known(workspace_id):
            return RetryLater("workspace_unknown", "no such workspace yet")
        actor = f"event:{request.event_type}"
        async with self.workbench.open([workspace_id], actor=actor) as work:
            # Who comes second with one code finds the answer of the first.
            await self.passes.lock_issuing(work.transaction, workspace_id)
            known = await self.claims.of(work.transaction, workspace_id, request.claim_code_sha256)
            if known is None:
                outcome, wallet_pass = await self._outcome(work, request)
                await self._tell(work, request, outcome, wallet_pass)
                ENROLMENTS.labels(outcome=ISSUED if wallet_pass else "refused").inc()
            else:
                ENROLMENTS.labels(outcome="repeated").inc()
        return None

    async def _outcome(
        self, work: Work, request: EnrolmentRequested
    ) -> tuple[str, WalletPass | None]:
        if self.directory.is_suspended(request.workspace_id):
            return WORKSPACE_SUSPENDED, None
        if request.email is not None and _ADDRESS.match(request.email) is None:
            return ADDRESS_INVALID, None
        if await self._is_member(work, request):
            return ALREADY_MEMBER, None
        [result] = await self.issue(
            work, request.workspace_id, [_asked(request)], asked_at=request.requested_at
        )
        if result.refusal is not None:
            return result.refusal.code, None
        return ISSUED, result.wallet_pass

    async def _is_member(self, work: Work, request: EnrolmentRequested) -> bool:
        if request.email is None:
            return False
        people = await self.holders.with_email(
            work.transaction, request.workspace_id, request.email, limit=SAME_ADDRESS
        )
        wanted = [(request.program_id, holder.holder_id) for holder in people]
        return bool(await self.passes.memberships(work.transaction, request.workspace_id, wanted))

    async def _tell(
        self,
        work: Work,
        request: EnrolmentRequested,
        outcome: str,
        wallet_pass: WalletPass | None,
    ) -> None:
        link_id = derived_id("claim", str(request.workspace_id), request.claim_code_sha256)
        pass_id = wallet_pass.pass_id if wallet_pass is not None else None
        await self.claims.insert(
            work.transaction,
            Claim(
                workspace_id=request.workspace_id,
                claim_code_sha256=request.claim_code_sha256,
                link_id=link_id,
                outcome=outcome,
                pass_id=pass_id,
                created_at=work.now,
            ),
        )
        work.transaction.emit(
            LINK_CHANGED,
            LinkChanged(
                workspace_id=request.workspace_id,
                link_id=link_id,
                kind="claim",
                token_sha256=request.claim_code_sha256,
                pass_id=pass_id,
                pass_status=wallet_pass.status if wallet_pass is not None else None,
                expires_at=work.now + CLAIM_LIFE,
                claim_outcome=outcome,
                changed_at=work.now,
            ),
        )


def _asked(request: EnrolmentRequested) -> IssueRequest:
    return IssueRequest(
        program_id=request.program_id,
        holder=HolderRequest(
            full_name=request.full_name, email=request.email, locale=request.locale
        ),
        field_values=request.fields,
        trusts_address=False,
    )
