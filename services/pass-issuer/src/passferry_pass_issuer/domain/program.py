"""One scheme: what earning and redeeming mean, and who may be issued a pass of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from passferry_contracts.types import BalanceOwner, Protocol
from passferry_pass_issuer.domain.refusals import ContentRejected


class ProgramStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


#: Whole uses of a coupon or entries of a ticket, points of a membership; money has no default.
DEFAULT_UNITS = {
    Protocol.MEMBERSHIP: "points",
    Protocol.COUPON: "uses",
    Protocol.EVENT_TICKET: "entries",
}
#: A coupon or ticket that can be used never is no coupon.
LEAST_OPENING_MINOR = {Protocol.COUPON: 1, Protocol.EVENT_TICKET: 1}
#: Rules that have a meaning for one protocol alone.
PROTOCOL_OF_RULE = {"earn": Protocol.MEMBERSHIP, "check_in": Protocol.EVENT_TICKET}
MAX_MINOR = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Amounts are integers of minor units; `unit_scale` is the unit's decimal places."""

    workspace_id: UUID
    program_id: UUID
    name: str
    protocol: Protocol
    status: ProgramStatus
    #: New passes get the newest published version of it; no pass can be issued without.
    template_id: UUID | None
    balance_owner: BalanceOwner
    unit: str
    unit_scale: int
    #: What a balance may not go below.
    floor_minor: int
    limits: Mapping[str, int]
    rules: Mapping[str, Any]
    thresholds: Sequence[Mapping[str, Any]]
    #: Of a pass whose request names none.
    opening_balance_minor: int
    opening_minimum_minor: int
    opening_maximum_minor: int | None
    #: The ids under which PassKit knows the program: program_id, tier_id, campaign_id, offer_id,
    #: production_id.
    passkit: Mapping[str, str]
    revision: int
    created_at: datetime
    updated_at: datetime


def opening_balance(program: Program, asked_minor: int | None) -> int:
    """The balance a new pass starts with, or `ContentRejected`."""
    amount = program.opening_balance_minor if asked_minor is None else asked_minor
    where = "opening_balance_minor"
    if abs(amount) > MAX_MINOR:
        raise ContentRejected("invalid", where, "is beyond 64 bits")
    least = LEAST_OPENING_MINOR.get(program.protocol)
    if least is not None and amount < least:
        raise ContentRejected(
            "opening_balance_too_low", where, f"of a {program.protocol} is at least {least}"
        )
    if amount < max(program.opening_minimum_minor, program.floor_minor):
        raise ContentRejected("opening_balance_too_low", where, "is below the program's minimum")
    most = program.opening_maximum_minor
    ceiling = program.limits.get("max_balance_minor")
    for bound in (most, ceiling):
        if bound is not None and amount > bound:
            raise ContentRejected("opening_balance_too_high", where, "is above the program's limit")
    return amount


def check_program(program: Program) -> None:
    """Raises `ContentRejected` for numbers that contradict one another."""
    least, most = program.opening_minimum_minor, program.opening_maximum_minor
    if most is not None and most < least:
        raise ContentRejected("invalid", "opening_maximum_minor", "is below the minimum")
    # A default of 0 may be below the minimum: every request then names its own amount.
    if program.opening_balance_minor != 0:
        opening_balance(program, None)


def check_rules(program: Program) -> None:
    """Raises `ContentRejected` for a rule that a program of this kind cannot obey.

    Called when rules are given only: rules that are kept already must not stand in the way of a
    suspension.
    """
    given = {name for name, rule in program.rules.items() if rule is not None}
    if program.balance_owner is BalanceOwner.UPSTREAM:
        for name in ("earn", "expiry", "tiers"):
            if name in given:
                raise _not_applicable(
                    name, "is the upstream's to keep; leave it out or let Passferry own the balance"
                )
    for name, protocol in PROTOCOL_OF_RULE.items():
        if name in given and program.protocol is not protocol:
            raise _not_applicable(name, f"is for {protocol} programs only; leave it out")


def _not_applicable(name: str, detail: str) -> ContentRejected:
    return ContentRejected("rule_not_applicable", f"rules.{name}", detail)
