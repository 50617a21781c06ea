"""A till in memory: accounts in a book, and commands that are decided at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_ledger.domain.book import Account, Book, Terms
from passferry_ledger.domain.changes import Order
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.decide import decide
from passferry_ledger.domain.outcomes import Outcome
from passferry_ledger.domain.rules import LotDates, Rules

COUNTER_KINDS = ("issuance", "redeemed", "adjustments", "expired")


@dataclass
class Till:
    """Says commands about accounts and checks, after each, what must always hold."""

    now: datetime = datetime(2026, 5, 14, 12, 0, tzinfo=UTC)
    workspace_id: UUID = field(default_factory=uuid4)
    book: Book = field(default_factory=Book)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def open(self, *, balance: int = 0, unit: str = "points", **said: Any) -> Account:
        """An account of a program of its own. `said`: the rest of its terms."""
        terms = {"protocol": "MEMBERSHIP", "status": "active", "floor_minor": 0, "rules": Rules()}
        account = Account(
            account_id=next(self.numbers),
            workspace_id=self.workspace_id,
            pass_id=uuid4(),
            external_id=None,
            unit=unit,
            unit_scale=0,
            terms=Terms(
                workspace_id=self.workspace_id,
                program_id=uuid4(),
                revision=1,
                counters={(kind, unit): next(self.numbers) for kind in COUNTER_KINDS},
                **(terms | said),
            ),
        )
        self.book.accounts[account.account_id] = account
        if balance:
            assert self.tell(account, "opening", balance).code == "applied"
        return account

    def tell(self, account: Account, kind: str, amount: int | None = None, **said: Any) -> Outcome:
        to = said.pop("to", None)
        suspended = said.pop("suspended", False)
        command = Command(
            workspace_id=self.workspace_id,
            kind=EntryKind(kind),
            amount_minor=amount,
            pass_id=account.pass_id,
            **({} if kind == "opening" else {"idempotency_key": str(uuid4())}) | said,
        )
        order = Order(
            command=command,
            fingerprint=command.fingerprint(),
            entry_id=uuid4(),
            account_id=account.account_id,
            other_id=None if to is None else to.account_id,
            is_suspended=suspended,
        )
        before = (account.balance_minor, account.held_minor, account.version)
        outcome = decide(self.book, order, self.now)
        if not outcome.is_applied:
            assert (account.balance_minor, account.held_minor, account.version) == before
        self._keep_entries()
        return outcome

    def code(self, account: Account, kind: str, amount: int | None = None, **said: Any) -> str:
        return self.tell(account, kind, amount, **said).code

    def later(self, **by: int) -> None:
        self.now += timedelta(**by)

    def lots(self, account: Account) -> dict[LotDates, int]:
        return {lot.dates: lot.remaining_minor for lot in account.lots if lot.remaining_minor}

    def _keep_entries(self) -> None:
        """The store would find them by id."""
        for entry in self.book.written_entries:
            assert sum(posting.amount_minor for posting in entry.postings) == 0
            self.book.entries[entry.entry_id] = entry
        self.book.written_entries.clear()


@pytest.fixture
def till() -> Till:
    return Till()
