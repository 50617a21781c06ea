"""The replay: what accounts must be, worked out from their postings from zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that does not add up; `subject` is an account, entry or key."""

    code: str
    workspace_id: UUID
    subject: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAccount:
    workspace_id: UUID
    account_id: int
    balance_minor: int
    held_minor: int
    version: int
    is_kept_upstream: bool
    unit: str
    lowest_floor_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPosting:
    entry_id: UUID
    amount_minor: int
    unit: str
    version: int
    balance_after_minor: int
    held_change_minor: int = 0
    held_after_minor: int = 0


class AccountReplay:
    """Takes an account's postings in the order of their versions, however many there are."""

    def __init__(self, account: StoredAccount) -> None:
        self._account = account
        self._balance = 0
        self._held = 0
        self._version = 0

    def take(self, posting: StoredPosting) -> Iterator[Finding]:
        self._balance += posting.amount_minor
        self._held += posting.held_change_minor
        self._version += 1
        subject = f"entry {posting.entry_id}"
        if posting.version != self._version:
            yield self._finding("VERSION_GAP", subject, self._version, posting.version)
            self._version = posting.version
        if posting.balance_after_minor != self._balance:
            yield self._finding(
                "BALANCE_AFTER_MISMATCH", subject, self._balance, posting.balance_after_minor
            )
        if posting.held_after_minor != self._held or self._held < 0:
            yield self._finding(
                "HELD_AFTER_MISMATCH", subject, max(self._held, 0), posting.held_after_minor
            )
        if posting.unit != self._account.unit:
            yield self._finding("UNIT_MISMATCH", subject, self._account.unit, posting.unit)
        floor = self._account.lowest_floor_minor
        if posting.amount_minor < 0 and self._balance < floor:
            yield self._finding("BELOW_FLOOR", subject, floor, self._balance)

    def finish(self) -> Iterator[Finding]:
        account = self._account
        subject = f"account {account.account_id}"
        if account.is_kept_upstream and self._version > 0:
            yield self._finding("UPSTREAM_HAS_ENTRIES", subject, 0, self._version)
        if account.version != self._version:
            yield self._finding("VERSION_MISMATCH", subject, self._version, account.version)
        if account.held_minor != self._held:
            yield self._finding("HELD_MISMATCH", subject, self._held, account.held_minor)
        if account.balance_minor != self._balance:
            yield self._finding("BALANCE_MISMATCH", subject, self._balance, account.balance_minor)

    def _finding(self, code: str, subject: str, expected: object, actual: object) -> Finding:
        return Finding(
            code=code,
            workspace_id=self._account.workspace_id,
            subject=subject,
            expected=str(expected),
            actual=str(actual),
        )


def replay_account(account: StoredAccount, postings: Iterable[StoredPosting]) -> Iterator[Finding]:
    replay = AccountReplay(account)
    for posting in postings:
        yield from replay.take(posting)
    yield from replay.finish()
