"""What became of a command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

APPLIED = "applied"
UNKNOWN = "pass_unknown"

#: Each refusal with what it tells the caller. The codes are the ledger's interface: they are in
#: `apply_commands_v1`, in problem documents and on ledger.results.
REFUSALS: dict[str, str] = {
    UNKNOWN: "The ledger does not know this pass yet. Ask again shortly, with the same key.",
    "pass_mismatch": "pass_id and external_id name two different passes.",
    "key_reused": "This idempotency key was already used for another command.",
    "balance_kept_upstream": "The balance of this pass is kept by the upstream system.",
    "workspace_suspended": "The workspace is suspended.",
    "program_suspended": "The program is suspended.",
    "program_retired": "The program is retired.",
    "account_closed": "The pass was voided, has expired or was deleted.",
    "unit_mismatch": "The unit is not the one of this pass.",
    "amount_invalid": "The amount must be positive; of an adjustment, anything but zero.",
    "reference_used": "An entry with this reference exists already in the workspace.",
    "amount_out_of_range": "The balance would leave the range of 64-bit integers.",
    "entry_limit_exceeded": "The amount is above the program's limit for one entry.",
    "day_limit_exceeded": "The amount would exceed the program's limit for one day.",
    "balance_limit_exceeded": "The balance would exceed the program's limit.",
    "insufficient_balance": "The balance does not cover the amount.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`code` is `applied` or a key of `REFUSALS`.

    Of a pass that is known, its ids and unit are told; where the command was decided upon, also
    version and balances as they were after it. `previous_balance_minor` is as it was before.
    """

    code: str
    is_replayed: bool = False
    pass_id: UUID | None = None
    external_id: str | None = None
    program_id: UUID | None = None
    unit: str | None = None
    unit_scale: int = 0
    entry_id: UUID | None = None
    version: int | None = None
    previous_balance_minor: int | None = None
    balance_minor: int | None = None
    #: What could be spent after it: the balance above the program's floor.
    available_minor: int | None = None
    #: The protocol makes this use final.
    is_exhausted: bool = False
    recorded_at: datetime | None = None

    @property
    def is_applied(self) -> bool:
        return self.code == APPLIED

    @property
    def detail(self) -> str:
        return REFUSALS.get(self.code, "")
