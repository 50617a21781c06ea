"""One command, one outcome: the rules of the ledger in one place, without any I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from passferry_ledger.domain.book import Account, Book, Result
from passferry_ledger.domain.changes import Case, Order, Refused
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.holding import capture, hold, release
from passferry_ledger.domain.lapsing import expire, review
from passferry_ledger.domain.outcomes import (
    KEY_REUSED,
    NEVER_REMEMBERED,
    PASS_MISMATCH,
    UNKNOWN,
    Outcome,
)
from passferry_ledger.domain.reversing import reverse
from passferry_ledger.domain.spending import (
    adjust,
    check_in,
    close,
    credit,
    kind_of_use,
    redeem,
    transfer,
)

HANDLERS: dict[EntryKind, Callable[[Case], Outcome]] = {
    EntryKind.OPENING: credit,
    EntryKind.LOAD: credit,
    EntryKind.EARN: credit,
    EntryKind.REDEEM: redeem,
    EntryKind.ADJUST: adjust,
    EntryKind.TRANSFER: transfer,
    EntryKind.HOLD: hold,
    EntryKind.CAPTURE: capture,
    EntryKind.RELEASE: release,
    EntryKind.REVERSE: reverse,
    EntryKind.EXPIRE: expire,
    EntryKind.CLOSE: close,
    EntryKind.CHECK_IN: check_in,
    EntryKind.REVIEW: review,
}

#: What may still happen to an account that was closed: it gives back and lets go, no more.
AFTER_CLOSING = frozenset({EntryKind.REVERSE, EntryKind.RELEASE})
SIGNED = frozenset({EntryKind.OPENING, EntryKind.ADJUST})
AMOUNT_NEEDED = frozenset({EntryKind.OPENING, EntryKind.LOAD, EntryKind.ADJUST, EntryKind.HOLD})


def decide(book: Book, order: Order, now: datetime) -> Outcome:
    """Apply the order to the book, or say why not. A key's first outcome is its only one."""
    command = order.command
    account = None if order.account_id is None else book.accounts.get(order.account_id)
    if account is None:
        return Outcome(code=UNKNOWN)
    key = (command.workspace_id, command.idempotency_key or "")
    known = book.results.get(key) if command.idempotency_key is not None else None
    if known is not None:
        is_same = known.fingerprint == order.fingerprint and _may_be_meant(command, account)
        if not is_same or known.account_id != account.account_id:
            return _refusal(KEY_REUSED, account, now)
        return replace(known.outcome, is_replayed=True)
    if not _agrees(command, account):
        return _refusal(PASS_MISMATCH, account, now)
    outcome = _decide_anew(book, order, account, now)
    if command.idempotency_key is not None and outcome.code not in NEVER_REMEMBERED:
        result = Result(
            fingerprint=order.fingerprint, account_id=account.account_id, outcome=outcome
        )
        book.results[key] = result
        book.written_results[key] = (command, result)
    return outcome


def _decide_anew(book: Book, order: Order, account: Account, now: datetime) -> Outcome:
    try:
        kind = kind_of_use(order.command, account)
        _check(book, order, account, kind)
        case = Case(book=book, order=order, account=account, kind=kind, now=now)
        return HANDLERS[kind](case)
    except Refused as refused:
        return _refusal(refused.code, account, now)


def _may_be_meant(command: Command, account: Account) -> bool:
    """Names that were forgotten since, or given to another pass, do not speak against it."""
    return (
        command.pass_id in (None, account.pass_id)
        and (account.external_id is None or command.external_id in (None, account.external_id))
        and (account.code is None or command.code in (None, account.code))
    )


def _agrees(command: Command, account: Account) -> bool:
    if command.pass_id is not None and command.pass_id != account.pass_id:
        return False
    if command.code is not None and command.code != account.code:
        return False
    return command.external_id is None or command.external_id == account.external_id


def _check(book: Book, order: Order, account: Account, kind: EntryKind) -> None:
    """What holds for every kind, in the order in which it is told."""
    command, terms = order.command, account.terms
    if account.is_kept_upstream:
        raise Refused("balance_kept_upstream")
    if not account.is_open and kind not in AFTER_CLOSING:
        raise Refused("account_closed")
    if kind is not EntryKind.OPENING:
        if order.is_suspended:
            raise Refused("workspace_suspended")
        if terms.status != "active":
            raise Refused(f"program_{terms.status}")
    if command.unit is not None and command.unit != account.unit:
        raise Refused("unit_mismatch")
    amount = command.amount_minor
    if amount is None:
        if kind in AMOUNT_NEEDED:
            raise Refused("amount_required")
    elif amount == 0 or (amount < 0 and kind not in SIGNED):
        raise Refused("amount_invalid")
    reference = command.reference
    if reference is not None and (account.workspace_id, reference) in book.references:
        raise Refused("reference_used")


def _refusal(code: str, account: Account, now: datetime) -> Outcome:
    """Tells how the account stands, so that the caller can act."""
    return Outcome(
        code=code,
        pass_id=account.pass_id,
        external_id=account.external_id,
        program_id=account.terms.program_id,
        unit=account.unit,
        unit_scale=account.unit_scale,
        version=account.version,
        previous_balance_minor=account.balance_minor,
        balance_minor=account.balance_minor,
        available_minor=account.available_minor(now),
        held_minor=account.held_minor,
        recorded_at=now,
        tier=account.tier,
    )
