"""What a till sees of the pass that it scans."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_ledger.application.direct_commands import DirectCommands
from passferry_ledger.application.ports import Submission
from passferry_ledger.application.read_balances import ReadBalances
from passferry_ledger.domain.accounts import AccountView, PassAddress
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.outcomes import APPLIED

#: What tills do with passes of each protocol.
OFFERS: dict[str, tuple[EntryKind, ...]] = {
    "MEMBERSHIP": (EntryKind.EARN, EntryKind.REDEEM),
    "COUPON": (EntryKind.REDEEM,),
    "EVENT_TICKET": (EntryKind.CHECK_IN,),
    "GIFT_CARD": (EntryKind.REDEEM, EntryKind.LOAD),
}
#: All that there is may be too much at once, and less be allowed.
LESS_MAY_DO = frozenset({"entry_limit_exceeded", "day_limit_exceeded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """`code` says why it is not offered now; None where it is."""

    kind: EntryKind
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    account: AccountView
    offers: list[Offer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPass:
    """Tries the smallest command of each kind, so that an offer is what the ledger would say.

    Raises as `ReadBalances.balance` and `DirectCommands.try_out` do.
    """

    read_balances: ReadBalances
    direct: DirectCommands

    async def __call__(self, address: PassAddress) -> Scan:
        account = await self.read_balances.balance(address)
        kinds = OFFERS.get(account.protocol, ())
        outcomes = await self.direct.try_out(
            [Submission(command=_smallest(kind, account)) for kind in kinds]
        )
        offers = [
            Offer(kind=kind, code=None if _is_offered(outcome.code) else outcome.code)
            for kind, outcome in zip(kinds, outcomes, strict=True)
        ]
        return Scan(account=account, offers=offers)


def _is_offered(code: str) -> bool:
    return code == APPLIED or code in LESS_MAY_DO


def _smallest(kind: EntryKind, account: AccountView) -> Command:
    """Of redemptions all there is, as the program may have a least one."""
    return Command(
        workspace_id=account.workspace_id,
        kind=kind,
        pass_id=account.pass_id,
        amount_minor=1 if kind in (EntryKind.EARN, EntryKind.LOAD) else None,
        everything=kind is EntryKind.REDEEM,
    )
