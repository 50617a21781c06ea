"""Takes classes to Google: at once when they are published, and again when their credential works."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from passferry_notifier.application.ports import CredentialDirectory, GoogleClassRow
from passferry_notifier.application.ring_devices import CREDENTIAL_MISSING
from passferry_notifier.application.update_google import SendToGoogle
from passferry_notifier.domain.deliveries import Action, Verdict
from passferry_notifier.domain.retry_policy import MAX_RETRY_AFTER_S, RetryPolicy
from passferry_runtime.clock import Clock
from passferry_runtime.errors import RetryLater
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: What a credential was refused of which issuer for, so that it is asked once only.
_Refused = dict[tuple[str, str], Verdict]

#: Its objects are dropped meanwhile; the class is there when the first of them may go out again.
SUSPENDED = Verdict(action=Action.POSTPONED, reason="workspace_suspended")
#: Nothing is wrong: its passes are for others than Google, or nobody has begun yet.
NO_ACCOUNT = Verdict(action=Action.POSTPONED, reason="no_google_account")
TOO_SLOW = Verdict(action=Action.RETRY, reason="too_slow")
RATE_LIMITED = "rate_limited"

#: Its turns and its requests together.
CLASS_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingClass:
    row: GoogleClassRow
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingGroup:
    """Classes of one issuer that wait for the same thing. `due_at`: when the first of them is."""

    workspace_id: UUID
    issuer_id: str
    reason: str
    count: int
    due_at: datetime


class WaitingClasses(Protocol):
    """Classes that Google shall have and cannot be given now. Once it has them, they are none."""

    async def wait(
        self, row: GoogleClassRow, reason: str, *, attempts: int, until: datetime | None
    ) -> None:
        """Nothing where Google has it meanwhile. Without `until` it waits for its workspace to be
        made due, and is of no group."""

    async def give_up(self, row: GoogleClassRow) -> None:
        """It is tried with its next version or object, and not before."""

    async def make_due(self, workspaces: Sequence[UUID], *, now: datetime) -> None:
        """All that waits there."""

    async def groups(self, workspaces: Sequence[UUID]) -> list[WaitingGroup]: ...

    async def claim(
        self, workspaces: Sequence[UUID], *, now: datetime, lease_until: datetime
    ) -> list[WaitingClass]:
        """Some of each workspace."""


@dataclass(frozen=True, kw_only=True)
class BringClasses:
    """The first save must find the class of its template.

    Where a version changes nothing but its class no object follows that would bring it: what fails
    for a passing reason is told, and its event comes again. What lacks a credential that works
    waits for it. What is refused for itself is told to the first object of the class.
    """

    credentials: CredentialDirectory
    is_suspended: Callable[[UUID], bool]
    send: SendToGoogle
    waiting: WaitingClasses
    clock: Clock
    policy: RetryPolicy
    class_timeout_s: float = CLASS_TIMEOUT_S
    #: Accounts that are to ask for nothing before then, of whichever workspace.
    _resting: dict[str, datetime] = field(default_factory=dict)

    async def __call__(self, rows: Sequence[GoogleClassRow]) -> list[RetryLater | None]:
        """Of a template that was published; one for each row."""
        await self.credentials.until_known()
        refused: _Refused = {}
        return [await self._bring(row, refused) for row in rows]

    async def _bring(self, row: GoogleClassRow, refused: _Refused) -> RetryLater | None:
        refusal = await self._write(row, refused)
        if refusal is None or refusal.action is Action.FAILED:
            return None
        if _is_for_credential(refusal):
            await self._wait(row, refusal, attempts=1)
            return None
        return RetryLater(refusal.reason or "class_not_written", "its class is not at Google yet")

    async def again(self, classes: Sequence[WaitingClass]) -> None:
        """Of those that waited. A credential that is refused is not asked for the next of them."""
        refused: _Refused = {}
        # Whoever takes these may not get through all: those that had no attempt yet come first.
        for each in sorted(classes, key=lambda each: each.attempts):
            account = self._account(each.row)
            refusal = self._rest(account)
            if refusal is None:
                refusal = await self._try(each.row, refused)
                if refusal is None:
                    continue
                if account and refusal.reason == RATE_LIMITED:
                    self._let_rest(account, refusal.retry_after_s or 0.0)
            if refusal.action is Action.FAILED:
                log.warning(
                    "google_class_refused",
                    workspace_id=each.row.workspace_id,
                    class_id=each.row.class_id,
                    reason=refusal.reason,
                )
                await self.waiting.give_up(each.row)
            else:
                await self._wait(each.row, refusal, attempts=each.attempts + 1)

    async def _try(self, row: GoogleClassRow, refused: _Refused) -> Verdict | None:
        try:
            async with asyncio.timeout(self.class_timeout_s) as patience:
                return await self._write(row, refused)
        except Exception:
            if patience.expired():
                return TOO_SLOW
            log.exception("class_attempt_broke", class_id=row.class_id)
            return Verdict(action=Action.RETRY, reason="internal")

    def _account(self, row: GoogleClassRow) -> str:
        """That would be asked now, if any; a digest over its private key."""
        credential = self.credentials.google(row.workspace_id, row.issuer_id)
        if credential is None or self.is_suspended(row.workspace_id):
            return ""
        return credential.key

    def _let_rest(self, account: str, seconds: float) -> None:
        now = self.clock.now()
        for key in [each for each, ends_at in self._resting.items() if ends_at <= now]:
            del self._resting[key]
        self._resting[account] = now + timedelta(seconds=min(seconds, MAX_RETRY_AFTER_S))

    def _rest(self, account: str) -> Verdict | None:
        """What Google said of one class of the account goes for the next of them."""
        now = self.clock.now()
        rest_s = (self._resting.get(account, now) - now).total_seconds()
        if rest_s <= 0:
            return None
        return Verdict(action=Action.RETRY, reason=RATE_LIMITED, retry_after_s=rest_s)

    async def _write(self, row: GoogleClassRow, refused: _Refused) -> Verdict | None:
        if self.is_suspended(row.workspace_id):
            return SUSPENDED
        credential = self.credentials.google(row.workspace_id, row.issuer_id)
        if credential is None:
            has_google = self.credentials.has_google(row.workspace_id)
            return CREDENTIAL_MISSING if has_google else NO_ACCOUNT
        # One account may serve several issuers, and have a right of some of them only.
        asked = credential.key, row.issuer_id
        if asked in refused:
            return refused[asked]
        refusal = await self.send.write_class(credential, row)
        if refusal is not None and refusal.action is Action.CREDENTIAL_FAULT:
            refused[asked] = refusal
        return refusal

    async def _wait(self, row: GoogleClassRow, refusal: Verdict, *, attempts: int) -> None:
        delay_s = self.policy.delay_s(attempts, random.random(), refusal.retry_after_s)
        until = self.clock.now() + timedelta(seconds=delay_s)
        reason = refusal.reason or "class_not_written"
        if refusal is NO_ACCOUNT:
            await self.waiting.wait(row, reason, attempts=0, until=None)
            if not self.credentials.has_google(row.workspace_id):
                return
            # It came meanwhile, and made due what waited before.
        await self.waiting.wait(row, reason, attempts=attempts, until=until)


def _is_for_credential(refusal: Verdict) -> bool:
    others = CREDENTIAL_MISSING, SUSPENDED, NO_ACCOUNT
    return refusal.action is Action.CREDENTIAL_FAULT or refusal in others
