"""What became of a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from passferry_ledger.domain.rules import Crossing

APPLIED = "applied"
UNKNOWN = "pass_unknown"
OTHER_UNKNOWN = "other_pass_unknown"
KEY_REUSED = "key_reused"
PASS_MISMATCH = "pass_mismatch"  # noqa: S105 - a refusal, no password
ABORTED = "bulk_aborted"
NEEDS_MANAGER = "reversal_needs_manager"

#: A pass not known yet may be known in a moment; the others are about the request, not the ledger.
NEVER_REMEMBERED = frozenset(
    {UNKNOWN, OTHER_UNKNOWN, KEY_REUSED, PASS_MISMATCH, ABORTED, NEEDS_MANAGER}
)
#: Refusals that the same command may overcome by being sent again soon.
NOT_KNOWN_YET = frozenset({UNKNOWN, OTHER_UNKNOWN})

#: Each refusal with what it tells the caller. The codes are the ledger's interface: they are in
#: problem documents and on ledger.results.
REFUSALS: dict[str, str] = {
    UNKNOWN: "The ledger does not know this pass yet. Ask again shortly, with the same key.",
    OTHER_UNKNOWN: "The ledger does not know the receiving pass yet. Ask again shortly.",
    PASS_MISMATCH: "The names given are of two different passes.",
    KEY_REUSED: "This idempotency key was already used for another command.",
    ABORTED: "Another command of this bulk was refused, so none was applied.",
    "balance_kept_upstream": "The balance of this pass is kept by the upstream system.",
    "workspace_suspended": "The workspace is suspended.",
    "program_suspended": "The program is suspended.",
    "program_retired": "The program is retired.",
    "account_closed": "The pass was voided, has expired or was deleted.",
    "unit_mismatch": "The unit is not the one of this pass.",
    "amount_invalid": "The amount must be positive; of an adjustment, anything but zero.",
    "amount_required": "This program needs an amount: say amount_minor.",
    "reference_used": "An entry with this reference exists already in the workspace.",
    "amount_out_of_range": "The balance would leave the range of 64-bit integers.",
    "entry_limit_exceeded": "The amount is above the program's limit for one entry.",
    "day_limit_exceeded": "The amount would exceed the program's limit for one day.",
    "balance_limit_exceeded": "The balance would exceed the program's limit.",
    "insufficient_balance": "The balance does not cover the amount.",
    "nothing_to_redeem": "Nothing is left on this pass.",
    "redemption_too_small": "The amount is below the program's least redemption.",
    "redemption_too_large": "The amount is above the program's largest redemption.",
    "no_earn_rule": "The program has no rule for purchases: say amount_minor.",
    "purchase_unit_mismatch": "The program's rule is about purchases in another unit.",
    "purchase_earns_nothing": "By the program's rule this purchase earns nothing.",
    "action_not_supported": "Passes of this protocol do not support the command.",
    "already_checked_in": "This ticket was used for entry before.",
    "transfer_to_itself": "Giver and receiver are the same pass.",
    "other_account_closed": "The receiving pass was voided, has expired or was deleted.",
    "other_balance_limit_exceeded": "The receiver's balance would exceed its program's limit.",
    "hold_unknown": "This pass has no such hold.",
    "hold_ended": "The hold was captured, released or has expired.",
    "hold_exceeded": "The amount is above what the hold still covers.",
    "hold_until_invalid": "A hold ends in the future, within 31 days.",
    "too_many_holds": "This pass has the most open holds that it may have.",
    "holds_open": "Capture or release the open holds of this pass first.",
    "entry_unknown": "This pass has no such entry.",
    NEEDS_MANAGER: "An adjustment is reversed by those who may adjust: the role manager.",
    "entry_not_reversible": "Entries of this kind cannot be reversed.",
    "already_reversed": "The entry was reversed before.",
    "reversal_exceeds_entry": "More than what is left of the entry cannot be reversed.",
    "nothing_to_expire": "No points of this pass have lapsed.",
    "nothing_to_review": "The tier of this pass is not due for review.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSide:
    """The second pass of a transfer, or of its reversal, after it."""

    pass_id: UUID
    external_id: str | None
    program_id: UUID
    version: int
    previous_balance_minor: int
    balance_minor: int
    available_minor: int
    held_minor: int
    tier: str | None = None
    crossings: tuple[Crossing, ...] = ()


@dataclass(slots=True, kw_only=True)
class Outcome:
    """`code` is `applied` or a key of `REFUSALS`.

    Of a pass that is known, its ids and unit are told; where the command was decided upon, also
    version and balances as they were after it. `previous_balance_minor` is as it was before.
    """

    code: str
    is_replayed: bool = False
    #: What was recorded; None of refusals.
    kind: str | None = None
    pass_id: UUID | None = None
    external_id: str | None = None
    program_id: UUID | None = None
    unit: str | None = None
    unit_scale: int = 0
    entry_id: UUID | None = None
    version: int | None = None
    previous_balance_minor: int | None = None
    balance_minor: int | None = None
    #: What could be spent after it.
    available_minor: int | None = None
    held_minor: int = 0
    #: The protocol makes this use final.
    is_exhausted: bool = False
    recorded_at: datetime | None = None
    #: Captures and releases: the hold they were about. Of a hold, its own entry.
    hold_id: UUID | None = None
    #: Reversals: the entry that was taken back.
    reverses: UUID | None = None
    tier: str | None = None
    crossings: tuple[Crossing, ...] = ()
    other: OtherSide | None = None

    @property
    def is_applied(self) -> bool:
        return self.code == APPLIED

    @property
    def change_minor(self) -> int:
        if self.balance_minor is None or self.previous_balance_minor is None:
            return 0
        return self.balance_minor - self.previous_balance_minor

    @property
    def detail(self) -> str:
        return REFUSALS.get(self.code, "")


def aborted(outcomes: Sequence[Outcome], keys: Sequence[object]) -> list[Outcome]:
    """Of a bulk that is all or none and had a refusal: nothing of it happened, but what was applied
    before under its key stays so. `keys` are of the same commands."""
    undone = {
        key
        for key, outcome in zip(keys, outcomes, strict=True)
        if outcome.is_applied and not outcome.is_replayed
    }
    return [
        Outcome(code=ABORTED, pass_id=outcome.pass_id)
        if outcome.is_applied and (key in undone)
        else outcome
        for key, outcome in zip(keys, outcomes, strict=True)
    ]
