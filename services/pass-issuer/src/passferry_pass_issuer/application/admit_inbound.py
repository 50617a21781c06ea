"""Admits what upstream systems say of passes whose balance they keep themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.inbound import (
    InboundBalanceChanged,
    InboundEvent,
    InboundPassCreated,
    InboundPassUpdated,
    InboundPassVoided,
    InboundRedeemed,
)
from passferry_contracts.types import BalanceOwner
from passferry_pass_issuer.application.erased_people import ErasedNames
from passferry_pass_issuer.application.issue_passes import IssueResult
from passferry_pass_issuer.application.life_ports import EndedPasses
from passferry_pass_issuer.application.ports import PassChange, Transaction
from passferry_pass_issuer.application.render_revisions import (
    PassKey,
    RenderRevisions,
    RevisionStore,
    tell_status,
)
from passferry_pass_issuer.application.republish_inbound import canonical_id, republish
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.erased_names import ERASED_CODE, ERASED_DETAIL, pass_name
from passferry_pass_issuer.domain.inbound_signature import RecordProof
from passferry_pass_issuer.domain.issuing import (
    HolderRequest,
    IssueOutcome,
    IssueRequest,
)
from passferry_pass_issuer.domain.refusals import ContentRejected, Unreadable
from passferry_pass_issuer.domain.upstream import (
    voided_by_upstream,
    with_upstream_balance,
    with_upstream_fields,
    with_upstream_redemption,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_pass_issuer.metrics import INBOUND_EVENTS
from passferry_runtime.errors import Rejected, RetryLater

#: The workspace has them or will have them soon; anything else about a request stays wrong.
_NOT_YET = frozenset({"program_unknown", "program_without_template", "template_not_published"})


class WorkspaceDirectory(Protocol):
    def is_known(self, workspace_id: UUID) -> bool: ...

    def is_suspended(self, workspace_id: UUID) -> bool: ...

    def may_hold_passes(self, workspace_id: UUID) -> bool: ...

    def workspace_of_business(self, business_id: str) -> UUID | None: ...


class Issue(Protocol):
    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        requests: Sequence[IssueRequest],
        *,
        asked_at: datetime | None = None,
    ) -> list[IssueResult]: ...


class Signatures(Protocol):
    async def __call__(
        self, events: Sequence[tuple[UUID, RecordProof | None]]
    ) -> list[Rejected | None]: ...


Verdict = RetryLater | Rejected | None


@dataclass(frozen=True, slots=True)
class GivenInbound:
    event_id: str
    data: InboundEvent
    #: The record that it came with; without one there is no signature.
    proof: RecordProof | None = None


@dataclass(frozen=True, slots=True)
class _Addressed:
    """An event and where it stands in its batch."""

    index: int
    workspace_id: UUID
    event: GivenInbound


@dataclass(slots=True)
class _Folding:
    """What a batch makes of one pass: each admitted event with the pass before and after it."""

    before: WalletPass
    row: WalletPass
    steps: list[tuple[GivenInbound, WalletPass, WalletPass]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class AdmitInbound:
    """Checks workspace and ownership, orders by the upstream's version, republishes."""

    workbench: Workbench
    directory: WorkspaceDirectory
    store: RevisionStore
    revisions: RenderRevisions
    ended: EndedPasses
    issue: Issue
    signatures: Signatures
    erased_names: ErasedNames

    async def __call__(self, events: Sequence[GivenInbound]) -> list[Verdict]:
        """One outcome per event; one that is refused stops no other."""
        outcomes: list[Verdict] = [None] * len(events)
        results = ["admitted"] * len(events)
        changes: list[_Addressed] = []
        waiting: set[tuple[UUID | None, str]] = set()
        places = await self._places(events)
        for index, (event, place) in enumerate(zip(events, places, strict=True)):
            lane = (event.data.workspace_id, event.data.partition_key())
            if isinstance(place, Rejected):
                outcomes[index] = place
                continue
            if lane in waiting and not isinstance(event.data, InboundPassCreated):
                outcomes[index] = RetryLater("waits_behind", "an earlier event of it waits")
                continue
            if isinstance(place, RetryLater):
                outcomes[index] = place
                waiting.add(lane)
                continue
            addressed = _Addressed(index, place, event)
            if isinstance(event.data, InboundPassCreated):
                outcomes[index] = await self._create(addressed, event.data)
            else:
                changes.append(addressed)
        if changes:
            await self._change(changes, outcomes, results)
        for event, outcome, result in zip(events, outcomes, results, strict=True):
            INBOUND_EVENTS.labels(
                event_type=event.data.event_type, result=_result(outcome, result)
            ).inc()
        return outcomes

    async def _places(self, events: Sequence[GivenInbound]) -> list[UUID | RetryLater | Rejected]:
        """The workspace of each event, unless it is unknown, not theirs or not signed."""
        places: list[UUID | RetryLater | Rejected] = []
        for event in events:
            try:
                places.append(self._workspace_of(event.data))
            except (RetryLater, Rejected) as verdict:
                places.append(verdict)
        known = [(at, place) for at, place in enumerate(places) if isinstance(place, UUID)]
        faults = await self.signatures([(place, events[at].proof) for at, place in known])
        for (at, _), fault in zip(known, faults, strict=True):
            if fault is not None:
                places[at] = fault
        return places

    def _workspace_of(self, data: InboundEvent) -> UUID:
        by_business = (
            self.directory.workspace_of_business(data.business_id)
            if data.business_id is not None
            else None
        )
        if data.business_id is not None and by_business is None:
            raise RetryLater("workspace_unknown", "no workspace has this business_id yet")
        workspace_id = data.workspace_id or by_business
        if workspace_id is None or not self.directory.is_known(workspace_id):
            raise RetryLater("workspace_unknown", "no such workspace yet")
        if by_business not in (None, workspace_id):
            raise Rejected("foreign_workspace", "business_id belongs to another workspace")
        if not self.directory.may_hold_passes(workspace_id):
            raise Rejected("workspace_without_passes", "the workspace is a parent: name a child")
        if self.directory.is_suspended(workspace_id):
            raise Rejected("workspace_suspended", "the workspace is suspended")
        return workspace_id

    async def _create(self, addressed: _Addressed, data: InboundPassCreated) -> Verdict:
        """A transaction of its own: issuing is locked per workspace."""
        workspace_id = addressed.workspace_id
        if data.external_id is None:
            # The upstream cannot know our id of a pass that is not there yet.
            return Rejected("external_id_required", "a new pass is named by its external_id")
        try:
            async with self.workbench.open(
                [workspace_id], actor=f"event:{data.event_type}"
            ) as work:
                [result] = await self.issue(
                    work, workspace_id, [_issue_request(data)], asked_at=data.occurred_at
                )
                _check_issued(result)
        except ContentRejected as refusal:
            return _verdict_of(refusal)
        except (RetryLater, Rejected) as verdict:
            return verdict
        return None

    async def _change(
        self, changes: Sequence[_Addressed], outcomes: list[Verdict], results: list[str]
    ) -> None:
        """All in one transaction; each alone when one of them cannot be shown."""
        try:
            await self._change_together(changes, outcomes, results)
        except ContentRejected as refusal:
            if len(changes) == 1:
                outcomes[changes[0].index] = _verdict_of(refusal)
                return
            for each in changes:
                await self._change([each], outcomes, results)

    async def _change_together(
        self, changes: Sequence[_Addressed], outcomes: list[Verdict], results: list[str]
    ) -> None:
        workspaces = {each.workspace_id for each in changes}
        async with self.workbench.open(workspaces, actor="event:pass.inbound") as work:
            keys = await self._keys(work.transaction, changes)
            found = await self.store.lock(work.transaction, set(keys.values()))
            # After the look for passes, so that no later pass is taken for the erased one.
            late = await self._of_erased(work.transaction, changes)
            foldings: dict[PassKey, _Folding] = {}
            for each in changes:
                key = keys.get(each.index)
                wallet_pass = found.get(key) if key is not None else None
                outcomes[each.index] = verdict = (
                    Rejected(ERASED_CODE, f"external_id: {ERASED_DETAIL}")
                    if each.index in late
                    else _verdict_on_pass(wallet_pass, each.event.data)
                )
                if verdict is not None or key is None or wallet_pass is None:
                    continue
                folding = foldings.setdefault(key, _Folding(wallet_pass, wallet_pass))
                outcomes[each.index], results[each.index] = _fold(folding, each.event)
            await self._store(work, [each for each in foldings.values() if each.steps])

    async def _keys(
        self, transaction: Transaction, changes: Sequence[_Addressed]
    ) -> dict[int, PassKey]:
        """By index: which pass each event means, where that is known."""
        names = {
            (each.workspace_id, each.event.data.external_id)
            for each in changes
            if each.event.data.pass_id is None and each.event.data.external_id is not None
        }
        ids: Mapping[tuple[UUID, str], UUID] = (
            await self.store.ids_of(transaction, names) if names else {}
        )
        keys: dict[int, PassKey] = {}
        for each in changes:
            data = each.event.data
            pass_id = data.pass_id or ids.get((each.workspace_id, data.external_id or ""))
            if pass_id is not None:
                keys[each.index] = (each.workspace_id, pass_id)
        return keys

    async def _of_erased(self, transaction: Transaction, changes: Sequence[_Addressed]) -> set[int]:
        """Events about a pass whose holder was erased after they happened: whoever has its name
        now is somebody else."""
        named = {
            each.index: (each.workspace_id, pass_name(each.event.data.external_id))
            for each in changes
            if each.event.data.external_id is not None
        }
        erased = await self.erased_names.erased_at(transaction, set(named.values()))
        return {
            each.index
            for each in changes
            if each.index in named
            and named[each.index] in erased
            and each.event.data.occurred_at <= erased[named[each.index]]
        }

    async def _store(self, work: Work, foldings: Sequence[_Folding]) -> None:
        stored = await self.revisions.store_showable(
            work.transaction, [_change_of(folding, work.now) for folding in foldings]
        )
        for folding, drawn in zip(foldings, stored, strict=True):
            row = drawn
            if isinstance(row, ContentRejected):
                if folding.row.status is folding.before.status:
                    raise row
                # What cannot be shown ends all the same.
                row = changed(folding.row, updated_at=work.now)
                await self.ended.end_undrawn(work.transaction, [row])
            for event, before, after in folding.steps:
                republish(work.transaction, before, after, row, event.data, work.now)
            tell_status(work.transaction, folding.before, row, changed_at=work.now)


def _result(outcome: Verdict, result: str) -> str:
    if outcome is None:
        return result
    return "waiting" if isinstance(outcome, RetryLater) else "refused"


def _issue_request(data: InboundPassCreated) -> IssueRequest:
    return IssueRequest(
        program_id=data.program_id,
        external_id=data.external_id,
        holder=HolderRequest(
            external_id=data.holder.external_id,
            full_name=data.holder.full_name,
            email=data.holder.email,
            locale=data.holder.locale,
        ),
        opening_balance_minor=data.balance_minor,
        field_values=data.fields,
        code=data.code,
        expires_at=data.expires_at,
        upstream_version=data.version,
    )


def _verdict_of(refusal: ContentRejected) -> RetryLater | Rejected:
    """What does not open here is no fault of the event."""
    verdict = RetryLater if isinstance(refusal, Unreadable) else Rejected
    return verdict(refusal.code, str(refusal))


def _check_issued(result: IssueResult) -> None:
    """Raises what undoes the transaction."""
    if result.outcome is IssueOutcome.REFUSED and result.refusal is not None:
        verdict = RetryLater if result.refusal.code in _NOT_YET else Rejected
        raise verdict(result.refusal.code, str(result.refusal))
    issued = result.wallet_pass
    if issued is not None and issued.balance_owner is not BalanceOwner.UPSTREAM:
        raise Rejected("balance_kept_here", "balances of this program are kept by our ledger")


def _verdict_on_pass(wallet_pass: WalletPass | None, data: InboundEvent) -> Verdict:
    if wallet_pass is None:
        return RetryLater("pass_unknown", "no such pass yet")
    if data.external_id not in (None, wallet_pass.external_id):
        return Rejected("pass_mismatch", "pass_id and external_id name two passes")
    if wallet_pass.balance_owner is not BalanceOwner.UPSTREAM:
        return Rejected("balance_kept_here", "the balance of this pass is kept by our ledger")
    return None


def _fold(folding: _Folding, event: GivenInbound) -> tuple[Verdict, str]:
    try:
        after = _after(folding.row, event.data)
    except ContentRejected as refusal:
        return Rejected(refusal.code, str(refusal)), "refused"
    if after is None:
        return None, "outdated"
    folding.steps.append((event, folding.row, after))
    folding.row = after
    return None, "admitted"


def _after(before: WalletPass, data: InboundEvent) -> WalletPass | None:
    """The pass with the event's change; None when it says nothing new."""
    match data:
        case InboundBalanceChanged():
            return with_upstream_balance(
                before, balance_minor=data.new_balance_minor, version=data.version
            )
        case InboundRedeemed():
            return with_upstream_redemption(
                before, version=data.version, exhausted=data.exhausted, at=data.occurred_at
            )
        case InboundPassUpdated():
            return with_upstream_fields(
                before,
                field_values=data.fields,
                expires_at=data.expires_at,
                version=data.version,
            )
        case InboundPassVoided():
            return voided_by_upstream(before, reason=data.reason)
        case _:
            return None


def _change_of(folding: _Folding, now: datetime) -> PassChange:
    return PassChange(
        before=folding.before,
        after=folding.row,
        causes=[
            {
                "event_type": event.data.event_type,
                "event_id": canonical_id(folding.before, event.data),
                "reason": None,
            }
            for event, _, _ in folding.steps
        ],
        caused_at=now,
    )
