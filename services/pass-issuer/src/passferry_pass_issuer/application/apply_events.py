"""Applies what the ledger, phones and people did to passes: the newest of a batch wins."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from passferry_contracts.event import PassEvent
from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.wallet import DeviceRegistered, PassInstalled, PassLinkOpened
from passferry_contracts.types import Platform
from passferry_pass_issuer.application.life_ports import EndedPasses
from passferry_pass_issuer.application.ports import PassChange, Transactions
from passferry_pass_issuer.application.render_revisions import (
    PassKey,
    RenderRevisions,
    RevisionStore,
    tell_status,
)
from passferry_pass_issuer.domain.refusals import ContentRejected, Unreadable
from passferry_pass_issuer.domain.revision import with_balance, with_redemption
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_pass_issuer.metrics import COALESCED_CHANGES, PASS_EVENTS
from passferry_runtime.clock import Clock
from passferry_runtime.errors import Rejected, RetryLater

#: A part is drawn and signed before any of it is told, so large ones would cost latency.
PART_PASSES = 128
PARTS_AT_ONCE = 3

Cause = Mapping[str, str | None]
Verdict = RetryLater | Rejected | None


@dataclass(frozen=True, slots=True)
class GivenEvent:
    """An event with its id; `at` is when its change was committed."""

    event_id: str
    data: PassEvent

    @property
    def key(self) -> PassKey:
        return self.data.workspace_id, self.data.pass_id

    @property
    def at(self) -> datetime | None:
        if isinstance(self.data, PassBalanceChanged):
            return self.data.changed_at
        if isinstance(self.data, PassRedeemed):
            return self.data.redeemed_at
        return None

    @property
    def cause(self) -> Cause:
        reason = self.data.reason if isinstance(self.data, PassBalanceChanged) else None
        return {"event_type": self.data.event_type, "event_id": self.event_id, "reason": reason}


#: Whatever else is on the topics changes no pass, so that nothing is read or locked for it.
HEARD = (
    PassBalanceChanged,
    PassRedeemed,
    DeviceRegistered,
    PassLinkOpened,
    PassInstalled,
    DeliveryCompleted,
)

#: None: the event says nothing new of the pass.
Effect = Callable[[WalletPass, PassEvent], WalletPass | None]


def ledger_effect(wallet_pass: WalletPass, event: PassEvent) -> WalletPass | None:
    if isinstance(event, PassBalanceChanged):
        return with_balance(
            wallet_pass,
            balance_minor=event.new_balance_minor,
            version=event.version,
            exhausted=event.exhausted,
            tier=event.tier,
        )
    if isinstance(event, PassRedeemed):
        return with_redemption(
            wallet_pass, version=event.version, exhausted=event.exhausted, at=event.redeemed_at
        )
    return None


def wallet_effect(wallet_pass: WalletPass, event: PassEvent) -> WalletPass | None:
    """On Apple from the first opening there, on Google from the first opening elsewhere."""
    if isinstance(event, DeviceRegistered):
        return None if wallet_pass.is_on_apple else changed(wallet_pass, is_on_apple=True)
    if isinstance(event, PassLinkOpened):
        if event.platform is Platform.APPLE:
            is_known = wallet_pass.is_on_apple and not event.needs_rendering
            return None if is_known else changed(wallet_pass, is_on_apple=True)
        is_known = wallet_pass.is_on_google and not event.needs_rendering
        return None if is_known else changed(wallet_pass, is_on_google=True)
    if isinstance(event, PassInstalled) and event.platform is Platform.GOOGLE:
        return None if wallet_pass.is_on_google else changed(wallet_pass, is_on_google=True)
    return None


@dataclass(frozen=True, kw_only=True)
class ApplyEvents:
    """A transaction for each part of a batch; either may span workspaces."""

    transactions: Transactions
    store: RevisionStore
    ended: EndedPasses
    revisions: RenderRevisions
    clock: Clock
    effect: Effect

    async def __call__(self, events: Sequence[GivenEvent]) -> list[Verdict]:
        """One outcome per event: a pass that is not known yet is a passing reason, one that
        cannot be shown with what its event says is a lasting one, and neither stops others."""
        by_pass: dict[PassKey, list[int]] = {}
        for index, event in enumerate(events):
            if isinstance(event.data, HEARD):
                by_pass.setdefault(event.key, []).append(index)
        outcomes: list[Verdict] = [None] * len(events)
        if not by_pass:
            return outcomes
        given = {key: [events[index] for index in places] for key, places in by_pass.items()}
        for key, verdict in (await self._apply_in_parts(given)).items():
            for index in by_pass[key]:
                is_alone = len(by_pass[key]) == 1 or isinstance(verdict, RetryLater)
                # Of several changes only some may be at fault.
                outcomes[index] = verdict if is_alone else (await self([events[index]]))[0]
        return outcomes

    async def _apply_in_parts(
        self, given: Mapping[PassKey, Sequence[GivenEvent]]
    ) -> dict[PassKey, RetryLater | Rejected]:
        """While one part is signed, the next is read and drawn: no pass is in two of them."""
        keys, turns = list(given), asyncio.Semaphore(PARTS_AT_ONCE)

        async def apply(part: Sequence[PassKey]) -> dict[PassKey, RetryLater | Rejected]:
            async with turns:
                return await self._apply({key: given[key] for key in part})

        parts = await asyncio.gather(
            *(
                apply(keys[start : start + PART_PASSES])
                for start in range(0, len(keys), PART_PASSES)
            ),
            return_exceptions=True,
        )
        refused: dict[PassKey, RetryLater | Rejected] = {}
        for part in parts:
            # What the other parts did is done; all of the batch comes again, and changes nothing.
            if isinstance(part, BaseException):
                raise part
            refused |= part
        return refused

    async def _apply(
        self, given: Mapping[PassKey, Sequence[GivenEvent]]
    ) -> dict[PassKey, RetryLater | Rejected]:
        """Which passes were not changed, and why."""
        async with self.transactions.transaction({key[0] for key in given}) as transaction:
            passes = await self.store.lock(transaction, given.keys())
            heard = Counter[tuple[str, bool]]()
            changes = [
                change
                for key, events in given.items()
                if key in passes and (change := self._fold(passes[key], events, heard)) is not None
            ]
            for (event_type, is_new), number in heard.items():
                result = "new" if is_new else "old"
                PASS_EVENTS.labels(event_type=event_type, result=result).inc(number)
            stored = await self.revisions.store_showable(transaction, changes)
            refused: dict[PassKey, RetryLater | Rejected] = {
                key: RetryLater("pass_unknown", "no such pass yet")
                for key in given.keys() - passes.keys()
            }
            for change, row in zip(changes, stored, strict=True):
                before = change.before
                if isinstance(row, ContentRejected) and change.after.status is not before.status:
                    # What cannot be shown ends all the same: the ledger has closed its account.
                    ended = changed(change.after, updated_at=self.clock.now())
                    await self.ended.end_undrawn(transaction, [ended])
                    tell_status(transaction, before, ended, changed_at=self.clock.now())
                elif isinstance(row, Unreadable):
                    # The event is in order: it waits for who mends the row or the key ring.
                    key = before.workspace_id, before.pass_id
                    refused[key] = RetryLater(row.code, str(row))
                elif isinstance(row, ContentRejected):
                    refused[before.workspace_id, before.pass_id] = Rejected(row.code, str(row))
                else:
                    tell_status(transaction, before, row, changed_at=self.clock.now())
        return refused

    def _fold(
        self,
        before: WalletPass,
        events: Sequence[GivenEvent],
        heard: Counter[tuple[str, bool]],
    ) -> PassChange | None:
        """All that is new of one pass, as one change; counts what was new and what old."""
        row, causes, caused_at = before, list[Cause](), None
        for event in events:
            after = self.effect(row, event.data)
            heard[event.data.event_type, after is not None] += 1
            if after is None:
                continue
            if causes:
                COALESCED_CHANGES.inc()
            row = after
            causes.append(event.cause)
            caused_at = caused_at or event.at
        if not causes:
            return None
        return PassChange(
            before=before,
            after=row,
            causes=causes,
            caused_at=caused_at or self.clock.now(),
            wants_save_link=any(_is_opening_elsewhere(event.data) for event in events),
        )


def _is_opening_elsewhere(event: PassEvent) -> bool:
    return isinstance(event, PassLinkOpened) and event.platform is not Platform.APPLE
