"""Reads under locks what a batch of commands is about."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from uuid import UUID

from passferry_ledger.adapters.postgres_terms import KnownTerms
from passferry_ledger.adapters.result_details import outcome_details
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.book import Account, Book, Entry, Hold, Posting, Result, Terms
from passferry_ledger.domain.changes import Order
from passferry_ledger.domain.commands import Command
from passferry_ledger.domain.lots import Lot, LotMovement
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.domain.rules import LotDates
from passferry_runtime.ids import uuid7
from passferry_runtime.postgres import Record, Transaction

LOCK = """
SELECT place, is_other, account_id, pass_id, external_id, code, program_id, program_revision, unit,
       unit_scale, balance_owner, status, closed_reason, balance_minor, held_minor, open_holds,
       version, counted_on, day_earned_minor, day_redeemed_minor, full_minor, lots_minor,
       undated_expires_at, tier, tier_earned_minor, tier_until, is_checked_in, recorded_at,
       reversed_entry_id, referenced_entry_id, stored_fingerprint, stored_account_id, stored_code,
       stored_kind, stored_entry_id, stored_version, stored_previous, stored_balance,
       stored_available, stored_held, stored_exhausted, stored_recorded_at, stored_details
FROM lock_accounts_v1(
    p_workspace_ids => $1, p_pass_ids => $2, p_external_ids => $3, p_codes => $4,
    p_to_pass_ids => $5, p_to_external_ids => $6, p_reverses => $7, p_reverses_references => $8,
    p_keys => $9, p_references => $10)
"""

LOTS = """
SELECT lot_id, account_id, starts_at, expires_at, remaining_minor
FROM lot
WHERE workspace_id = ANY($3::uuid[])
    AND ((account_id = ANY($1::bigint[]) AND remaining_minor > 0) OR lot_id = ANY($2::uuid[]))
"""

HOLDS = """
SELECT hold_id, account_id, amount_minor, captured_minor, released_minor, state, expires_at
FROM hold WHERE hold_id = ANY($1::uuid[]) AND workspace_id = ANY($2::uuid[])
"""

ENTRIES = """
SELECT entry.entry_id, entry.workspace_id, entry.kind, entry.recorded_at, entry.hold_id,
       posting.account_id, posting.amount_minor, posting.unit, posting.version
FROM entry JOIN posting ON posting.entry_id = entry.entry_id
WHERE entry.entry_id = ANY($1::uuid[]) AND entry.workspace_id = ANY($2::uuid[])
ORDER BY entry.entry_id, posting.account_id
"""

MOVEMENTS = """
SELECT lot_movement.entry_id, lot_movement.lot_id, lot_movement.amount_minor, lot.account_id
FROM lot_movement JOIN lot ON lot.lot_id = lot_movement.lot_id
WHERE lot_movement.entry_id = ANY($1::uuid[]) AND lot.workspace_id = ANY($2::uuid[])
ORDER BY lot_movement.entry_id, lot_movement.place
"""

# Each leg of a reversal takes back the same amount, so that any one tells it.
REVERSED = """
SELECT entry.reverses, sum(leg.amount_minor)::bigint AS amount_minor
FROM entry
CROSS JOIN LATERAL (
    SELECT abs(posting.amount_minor) AS amount_minor FROM posting
    WHERE posting.entry_id = entry.entry_id AND posting.version IS NOT NULL LIMIT 1
) AS leg
WHERE entry.reverses = ANY($1::uuid[]) AND entry.workspace_id = ANY($2::uuid[])
GROUP BY entry.reverses
"""

RESTORED = """
SELECT entry.reverses, lot_movement.lot_id, sum(lot_movement.amount_minor)::bigint AS amount_minor
FROM entry JOIN lot_movement ON lot_movement.entry_id = entry.entry_id
WHERE entry.reverses = ANY($1::uuid[]) AND entry.workspace_id = ANY($2::uuid[])
GROUP BY entry.reverses, lot_movement.lot_id
"""


async def read_book(
    transaction: Transaction,
    submissions: Sequence[Submission],
    known_terms: KnownTerms,
    *,
    suspended: Collection[UUID],
) -> tuple[Book, list[Order]]:
    """The accounts stay locked until the transaction ends. Orders are as the submissions."""
    commands = [submission.command for submission in submissions]
    rows = await _lock(transaction, commands)
    terms = await known_terms.get(
        transaction, {_terms_name(row, commands) for row in rows if row["account_id"] is not None}
    )
    book = Book()
    orders: dict[int, Order] = {}
    others: dict[int, int] = {}
    entries: set[UUID] = set()
    accounts_with_lots: set[int] = set()
    for row in rows:
        place, account_id = row["place"] - 1, row["account_id"]
        command = commands[place]
        if account_id is not None and account_id not in book.accounts:
            name = _terms_name(row, commands)
            book.accounts[account_id] = _account(command.workspace_id, row, terms[name])
            if row["lots_minor"] > 0:
                accounts_with_lots.add(account_id)
        if row["is_other"]:
            others[place] = account_id
            continue
        orders[place] = _order(command, account_id, command.workspace_id in suspended)
        _note(book, command, row, entries)
    workspaces = sorted({command.workspace_id for command in commands})
    await _read_entries(transaction, book, entries, workspaces)
    await _read_holds(transaction, book, commands, workspaces)
    await _read_lots(transaction, book, accounts_with_lots, workspaces)
    for place, other_id in others.items():
        orders[place].other_id = other_id
    return book, [orders[place] for place in range(len(commands))]


async def _lock(transaction: Transaction, commands: Sequence[Command]) -> list[Record]:
    return await transaction.fetch(
        LOCK,
        [command.workspace_id for command in commands],
        [command.pass_id for command in commands],
        [command.external_id for command in commands],
        [command.code for command in commands],
        [command.to_pass_id for command in commands],
        [command.to_external_id for command in commands],
        [command.reverses for command in commands],
        [command.reverses_reference for command in commands],
        [command.idempotency_key for command in commands],
        [command.reference for command in commands],
    )


def _terms_name(row: Record, commands: Sequence[Command]) -> tuple[UUID, UUID, int, str]:
    workspace_id = commands[row["place"] - 1].workspace_id
    return workspace_id, row["program_id"], row["program_revision"], row["unit"]


def _order(command: Command, account_id: int | None, is_suspended: bool) -> Order:
    return Order(
        command=command,
        fingerprint=command.fingerprint(),
        entry_id=uuid7(),
        account_id=account_id,
        is_suspended=is_suspended,
    )


def _note(book: Book, command: Command, row: Record, entries: set[UUID]) -> None:
    """What is stored under the command's key and its references."""
    workspace_id = command.workspace_id
    if row["referenced_entry_id"] is not None and command.reference is not None:
        book.references[(workspace_id, command.reference)] = row["referenced_entry_id"]
    if row["reversed_entry_id"] is not None:
        entries.add(row["reversed_entry_id"])
        if command.reverses_reference is not None:
            name = (workspace_id, command.reverses_reference)
            book.references[name] = row["reversed_entry_id"]
    if row["stored_code"] is not None and command.idempotency_key is not None:
        book.results[(workspace_id, command.idempotency_key)] = _result(row)


def _account(workspace_id: UUID, row: Record, terms: Terms) -> Account:
    return Account(
        account_id=row["account_id"],
        workspace_id=workspace_id,
        pass_id=row["pass_id"],
        external_id=row["external_id"],
        code=row["code"],
        terms=terms,
        unit=row["unit"],
        unit_scale=row["unit_scale"],
        is_kept_upstream=row["balance_owner"] == "upstream",
        is_open=row["status"] == "open",
        closed_reason=row["closed_reason"],
        balance_minor=row["balance_minor"],
        held_minor=row["held_minor"],
        open_holds=row["open_holds"],
        version=row["version"],
        counted_on=row["counted_on"],
        day_earned_minor=row["day_earned_minor"],
        day_redeemed_minor=row["day_redeemed_minor"],
        full_minor=row["full_minor"],
        tier=row["tier"],
        tier_earned_minor=row["tier_earned_minor"],
        tier_until=row["tier_until"],
        undated_expires_at=row["undated_expires_at"],
        is_checked_in=row["is_checked_in"],
        recorded_at=row["recorded_at"],
    )


def _result(row: Record) -> Result:
    """The outcome as it was; of the pass, as it is."""
    details = row["stored_details"]
    outcome = Outcome(
        code=row["stored_code"],
        kind=row["stored_kind"],
        pass_id=row["pass_id"],
        external_id=row["external_id"],
        program_id=row["program_id"],
        unit=row["unit"],
        unit_scale=row["unit_scale"] or 0,
        entry_id=row["stored_entry_id"],
        version=row["stored_version"],
        previous_balance_minor=row["stored_previous"],
        balance_minor=row["stored_balance"],
        available_minor=row["stored_available"],
        held_minor=row["stored_held"],
        is_exhausted=row["stored_exhausted"],
        recorded_at=row["stored_recorded_at"],
        **(outcome_details(json.loads(details)) if details is not None else {}),
    )
    return Result(
        fingerprint=row["stored_fingerprint"],
        account_id=row["stored_account_id"],
        outcome=outcome,
    )


async def _read_entries(
    transaction: Transaction, book: Book, entry_ids: set[UUID], workspaces: list[UUID]
) -> None:
    if not entry_ids:
        return
    wanted = sorted(entry_ids)
    legs: dict[tuple[UUID, int], Posting] = {}
    for row in await transaction.fetch(ENTRIES, wanted, workspaces):
        entry = book.entries.setdefault(row["entry_id"], _entry(row))
        posting = Posting(
            account_id=row["account_id"],
            amount_minor=row["amount_minor"],
            unit=row["unit"],
            version=row["version"],
        )
        entry.postings.append(posting)
        legs[(entry.entry_id, posting.account_id)] = posting
    for row in await transaction.fetch(MOVEMENTS, wanted, workspaces):
        movement = LotMovement(lot_id=row["lot_id"], amount_minor=row["amount_minor"])
        legs[(row["entry_id"], row["account_id"])].movements.append(movement)
    for row in await transaction.fetch(REVERSED, wanted, workspaces):
        book.entries[row["reverses"]].reversed_minor = row["amount_minor"]
    for row in await transaction.fetch(RESTORED, wanted, workspaces):
        book.entries[row["reverses"]].restored[row["lot_id"]] = row["amount_minor"]


def _entry(row: Record) -> Entry:
    return Entry(
        entry_id=row["entry_id"],
        workspace_id=row["workspace_id"],
        kind=row["kind"],
        command=None,
        recorded_at=row["recorded_at"],
        postings=[],
        hold_id=row["hold_id"],
    )


async def _read_holds(
    transaction: Transaction, book: Book, commands: Sequence[Command], workspaces: list[UUID]
) -> None:
    wanted = {command.hold_id for command in commands if command.hold_id is not None}
    if not wanted:
        return
    for row in await transaction.fetch(HOLDS, sorted(wanted), workspaces):
        book.holds[row["hold_id"]] = Hold(
            hold_id=row["hold_id"],
            account_id=row["account_id"],
            amount_minor=row["amount_minor"],
            captured_minor=row["captured_minor"],
            released_minor=row["released_minor"],
            state=row["state"],
            expires_at=row["expires_at"],
        )


async def _read_lots(
    transaction: Transaction, book: Book, with_lots: set[int], workspaces: list[UUID]
) -> None:
    used = {
        movement.lot_id
        for entry in book.entries.values()
        for posting in entry.postings
        for movement in posting.movements
    }
    if not with_lots and not used:
        return
    for row in await transaction.fetch(LOTS, sorted(with_lots), sorted(used), workspaces):
        lot = Lot(
            lot_id=row["lot_id"],
            dates=LotDates(starts_at=row["starts_at"], expires_at=row["expires_at"]),
            remaining_minor=row["remaining_minor"],
        )
        # An entry may be named by a pass that has no part in it: its lots are not ours to change.
        account = book.accounts.get(row["account_id"])
        if account is not None:
            account.lots.append(lot)
