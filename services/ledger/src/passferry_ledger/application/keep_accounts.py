"""Following what pass-issuer says of programs and passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from passferry_contracts.events.directory import ProgramChanged
from passferry_contracts.events.passes import (
    PassBirthday,
    PassCreated,
    PassDeleted,
    PassErased,
    PassExpired,
    PassUpdated,
    PassVoided,
)
from passferry_contracts.types import BalanceOwner, PassStatus
from passferry_ledger.application.ports import AccountStore, Opening, Workspaces
from passferry_ledger.domain.accounts import Closing, NewAccount, Program
from passferry_runtime.errors import Rejected, RetryLater

PassChange = PassUpdated | PassVoided | PassExpired | PassDeleted | PassErased | PassBirthday
#: None: done; an exception says what else is to become of the event.
EventOutcome = RetryLater | Rejected | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePrograms:
    accounts: AccountStore
    workspaces: Workspaces

    async def __call__(self, events: Sequence[ProgramChanged]) -> list[EventOutcome]:
        outcomes: list[EventOutcome] = []
        programs = []
        for event in events:
            if self.workspaces.is_known(event.workspace_id):
                programs.append(program_of(event))
                outcomes.append(None)
            else:
                outcomes.append(RetryLater("workspace_unknown", str(event.workspace_id)))
        await self.accounts.store_programs(programs)
        return outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAccounts:
    """Also remembers passes whose balance others keep, so that commands get a clear refusal."""

    accounts: AccountStore
    workspaces: Workspaces

    async def __call__(self, events: Sequence[PassCreated]) -> list[EventOutcome]:
        outcomes = [self._unfit(event) for event in events]
        ready = [place for place, outcome in enumerate(outcomes) if outcome is None]
        openings = await self.accounts.open_accounts([account_of(events[place]) for place in ready])
        for place, opening in zip(ready, openings, strict=True):
            outcomes[place] = _outcome_of(opening, events[place])
        return outcomes

    def _unfit(self, event: PassCreated) -> EventOutcome:
        if not self.workspaces.is_known(event.workspace_id):
            return RetryLater("workspace_unknown", str(event.workspace_id))
        if not self.workspaces.may_hold_passes(event.workspace_id):
            return Rejected("workspace_holds_no_passes", str(event.workspace_id))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAccounts:
    """Whatever ends a pass closes its account; nothing opens it again."""

    accounts: AccountStore
    workspaces: Workspaces

    async def __call__(self, events: Sequence[PassChange]) -> list[EventOutcome]:
        ending = [place for place, event in enumerate(events) if _ends(event)]
        known = await self.accounts.close_accounts([closing_of(events[place]) for place in ending])
        outcomes: list[EventOutcome] = [None] * len(events)
        for place, is_known in zip(ending, known, strict=True):
            if not is_known:
                outcomes[place] = RetryLater("pass_unknown", str(events[place].pass_id))
        return outcomes


def _ends(event: PassChange) -> bool:
    return event.status is not PassStatus.ACTIVE or isinstance(
        event, PassVoided | PassExpired | PassDeleted | PassErased
    )


def _outcome_of(opening: Opening, event: PassCreated) -> EventOutcome:
    if opening in (Opening.OPENED, Opening.KNOWN):
        return None
    if opening is Opening.PROGRAM_UNKNOWN:
        return RetryLater(opening.value, str(event.program_id))
    return Rejected(opening.value, str(event.pass_id))


def program_of(event: ProgramChanged) -> Program:
    return Program(
        workspace_id=event.workspace_id,
        program_id=event.program_id,
        protocol=event.protocol.value,
        unit=event.unit,
        unit_scale=event.unit_scale,
        floor_minor=event.floor_minor,
        max_entry_minor=event.limits.max_entry_minor,
        max_balance_minor=event.limits.max_balance_minor,
        max_per_day_minor=event.limits.max_per_day_minor,
        rules=event.rules,
        thresholds=event.thresholds,
        status=event.status,
        revision=event.revision,
        changed_at=event.changed_at,
    )


def account_of(event: PassCreated) -> NewAccount:
    is_kept_upstream = event.balance_owner is BalanceOwner.UPSTREAM
    return NewAccount(
        workspace_id=event.workspace_id,
        pass_id=event.pass_id,
        external_id=event.external_id,
        program_id=event.program_id,
        unit=event.unit,
        unit_scale=event.unit_scale,
        is_kept_upstream=is_kept_upstream,
        # A balance that others keep never enters our accounts.
        opening_balance_minor=0 if is_kept_upstream else event.opening_balance_minor,
        opened_at=event.created_at,
        code=event.code or None,
    )


def closing_of(event: PassChange) -> Closing:
    return Closing(
        workspace_id=event.workspace_id,
        pass_id=event.pass_id,
        reason=event.reason or event.status.value,
        closed_at=event.changed_at,
        forget=isinstance(event, PassErased),
    )
