"""Writes what was decided: each table once, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_ledger.adapters.result_details import details_of
from passferry_ledger.domain.book import Account, Book, Entry, Hold, Posting, Result
from passferry_ledger.domain.commands import Command
from passferry_runtime.postgres import Transaction

WRITE = """
SELECT write_entries_v1(
    $1,
    $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
    $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34,
    $35, $36, $37, $38, $39, $40, $41, $42, $43,
    $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60)
"""

WRITE_HOLDS = """
INSERT INTO hold (
    hold_id, workspace_id, account_id, amount_minor, captured_minor, released_minor, state,
    expires_at)
SELECT hold_id, workspace_id, account_id, amount_minor, captured_minor, released_minor, state,
       expires_at
FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::text[], $8::timestamptz[]
    ) AS given(
        hold_id, workspace_id, account_id, amount_minor, captured_minor, released_minor, state,
        expires_at)
ON CONFLICT (hold_id) DO UPDATE
SET captured_minor = excluded.captured_minor, released_minor = excluded.released_minor,
    state = excluded.state
"""

# A lot that was empty and is filled again is announced again.
WRITE_LOTS = """
INSERT INTO lot (lot_id, workspace_id, account_id, starts_at, expires_at, remaining_minor)
SELECT lot_id, workspace_id, account_id, starts_at, expires_at, remaining_minor
FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[]
    ) AS given(lot_id, workspace_id, account_id, starts_at, expires_at, remaining_minor)
ON CONFLICT (lot_id) DO UPDATE
SET remaining_minor = excluded.remaining_minor,
    announced_at = CASE WHEN lot.remaining_minor = 0 THEN NULL ELSE lot.announced_at END
"""

WRITE_MOVEMENTS = """
INSERT INTO lot_movement (entry_id, lot_id, place, workspace_id, amount_minor)
SELECT entry_id, lot_id, place, workspace_id, amount_minor
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::bigint[])
    AS given(entry_id, lot_id, place, workspace_id, amount_minor)
"""


async def write_book(transaction: Transaction, book: Book, now: datetime) -> None:
    """Everything that the decisions changed; nothing when they changed nothing."""
    results = list(book.written_results.values())
    entries = book.written_entries
    if not results and not entries:
        return
    accounts = [account for account in book.accounts.values() if account.is_changed]
    postings = [(entry, posting) for entry in entries for posting in entry.postings]
    await transaction.execute(
        WRITE,
        now,
        *_results(results),
        *_entries(entries),
        *_postings(postings),
        *_accounts(accounts),
    )
    await _write_holds(transaction, book)
    await _write_lots(transaction, book, postings)


def _sparse(values: Iterable[Any]) -> list[Any]:
    """A column that most batches have nothing in: unnest fills what is missing with nulls."""
    column = list(values)
    return column if column.count(None) < len(column) else []


def _results(results: Sequence[tuple[Command, Result]]) -> list[list[Any]]:
    told = [(command, result, result.outcome) for command, result in results]
    return [
        [command.workspace_id for command, _, _ in told],
        [command.idempotency_key for command, _, _ in told],
        [result.fingerprint for _, result, _ in told],
        [result.account_id for _, result, _ in told],
        [outcome.code for _, _, outcome in told],
        [command.kind.value for command, _, _ in told],
        [outcome.kind for _, _, outcome in told],
        [outcome.entry_id for _, _, outcome in told],
        [outcome.version for _, _, outcome in told],
        [outcome.previous_balance_minor for _, _, outcome in told],
        [outcome.balance_minor for _, _, outcome in told],
        [outcome.available_minor for _, _, outcome in told],
        [outcome.held_minor for _, _, outcome in told],
        [outcome.is_exhausted for _, _, outcome in told],
        [outcome.recorded_at for _, _, outcome in told],
        [command.recorded_by for command, _, _ in told],
        _sparse(details_of(outcome) for _, _, outcome in told),
    ]


def _entries(entries: Sequence[Entry]) -> list[list[Any]]:
    given = [(entry, entry.command) for entry in entries if entry.command is not None]
    return [
        [entry.workspace_id for entry, _ in given],
        [entry.entry_id for entry, _ in given],
        [entry.kind for entry, _ in given],
        _sparse(command.reference for _, command in given),
        _sparse(command.reason for _, command in given),
        _sparse(command.merchant_id for _, command in given),
        _sparse(command.merchant_name for _, command in given),
        _sparse(command.location for _, command in given),
        _sparse(command.terminal for _, command in given),
        [command.recorded_by for _, command in given],
        [command.occurred_at or entry.recorded_at for entry, command in given],
        [entry.recorded_at for entry, _ in given],
        _sparse(entry.reverses for entry, _ in given),
        _sparse(entry.hold_id for entry, _ in given),
        _sparse(command.purchase_minor for _, command in given),
        _sparse(command.purchase_unit for _, command in given),
    ]


def _postings(postings: Sequence[tuple[Entry, Posting]]) -> list[list[Any]]:
    return [
        [entry.workspace_id for entry, _ in postings],
        [entry.entry_id for entry, _ in postings],
        [posting.account_id for _, posting in postings],
        [posting.amount_minor for _, posting in postings],
        [posting.unit for _, posting in postings],
        [posting.version for _, posting in postings],
        [posting.balance_after_minor for _, posting in postings],
        [posting.held_change_minor for _, posting in postings],
        [posting.held_after_minor for _, posting in postings],
    ]


def _accounts(accounts: Sequence[Account]) -> list[list[Any]]:
    return [
        [account.account_id for account in accounts],
        [account.balance_minor for account in accounts],
        [account.held_minor for account in accounts],
        [account.open_holds for account in accounts],
        [account.version for account in accounts],
        [account.counted_on for account in accounts],
        [account.day_earned_minor for account in accounts],
        [account.day_redeemed_minor for account in accounts],
        [account.full_minor for account in accounts],
        [account.lots_minor for account in accounts],
        _sparse(account.undated_expires_at for account in accounts),
        _sparse(account.tier for account in accounts),
        [account.tier_earned_minor for account in accounts],
        _sparse(account.tier_until for account in accounts),
        [account.is_checked_in for account in accounts],
        [account.recorded_at for account in accounts],
        _sparse(account.closed_reason for account in accounts),
    ]


async def _write_holds(transaction: Transaction, book: Book) -> None:
    holds: list[Hold] = [hold for hold in book.holds.values() if hold.is_changed]
    if not holds:
        return
    await transaction.execute(
        WRITE_HOLDS,
        [hold.hold_id for hold in holds],
        [book.accounts[hold.account_id].workspace_id for hold in holds],
        [hold.account_id for hold in holds],
        [hold.amount_minor for hold in holds],
        [hold.captured_minor for hold in holds],
        [hold.released_minor for hold in holds],
        [hold.state for hold in holds],
        [hold.expires_at for hold in holds],
    )


async def _write_lots(
    transaction: Transaction, book: Book, postings: Sequence[tuple[Entry, Posting]]
) -> None:
    moved = [
        (entry, place, movement)
        for entry, posting in postings
        for place, movement in enumerate(posting.movements)
    ]
    if not moved:
        return
    touched: set[UUID] = {movement.lot_id for _, _, movement in moved}
    lots = [
        (account, lot)
        for account in book.accounts.values()
        for lot in account.lots
        if lot.lot_id in touched
    ]
    await transaction.execute(
        WRITE_LOTS,
        [lot.lot_id for _, lot in lots],
        [account.workspace_id for account, _ in lots],
        [account.account_id for account, _ in lots],
        [lot.dates.starts_at for _, lot in lots],
        [lot.dates.expires_at for _, lot in lots],
        [lot.remaining_minor for _, lot in lots],
    )
    await transaction.execute(
        WRITE_MOVEMENTS,
        [entry.entry_id for entry, _, _ in moved],
        [movement.lot_id for _, _, movement in moved],
        [place for _, place, _ in moved],
        [entry.workspace_id for entry, _, _ in moved],
        [movement.amount_minor for _, _, movement in moved],
    )
