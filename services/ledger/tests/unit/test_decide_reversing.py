"""Taking entries back; and one outcome per key. Lots are in `test_lots`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from passferry_ledger.domain.changes import Order
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.domain.decide import decide
from passferry_ledger.domain.rules import Rules, TierLevel, TierRule


@pytest.mark.parametrize(
    ("kind", "amount"), [("load", 5), ("earn", 5), ("redeem", 5), ("adjust", 5), ("adjust", -5)]
)
def test_an_entry_is_taken_back_once(till: Any, kind: str, amount: int) -> None:
    account = till.open(balance=50)
    entry = till.tell(account, kind, amount)
    undone = till.tell(account, "reverse", reverses=entry.entry_id)
    assert (undone.code, undone.balance_minor) == ("applied", 50)
    assert till.code(account, "reverse", reverses=entry.entry_id) == "already_reversed"
    assert till.code(account, "reverse", reverses=undone.entry_id) == "entry_not_reversible"


def test_partial_refunds_add_up_to_the_entry_and_not_beyond(till: Any) -> None:
    account = till.open(balance=50)
    entry = till.tell(account, "redeem", 30)
    assert till.code(account, "reverse", 31, reverses=entry.entry_id) == "reversal_exceeds_entry"
    till.tell(account, "reverse", 10, reverses=entry.entry_id)
    assert till.code(account, "reverse", 21, reverses=entry.entry_id) == "reversal_exceeds_entry"
    assert till.tell(account, "reverse", reverses=entry.entry_id).change_minor == 20


def test_only_entries_of_the_pass_can_be_taken_back(till: Any) -> None:
    account, other = till.open(balance=50), till.open(balance=50)
    entry = till.tell(account, "redeem", 5)
    assert till.code(other, "reverse", reverses=entry.entry_id) == "entry_unknown"
    assert till.code(account, "reverse", reverses=uuid4()) == "entry_unknown"
    assert till.code(account, "reverse", reverses_reference="nothing") == "entry_unknown"
    assert till.code(account, "reverse") == "entry_unknown"


def test_an_earning_that_was_spent_is_not_taken_back(till: Any) -> None:
    account = till.open()
    earned = till.tell(account, "earn", 30)
    till.tell(account, "redeem", 1)
    refused = till.tell(account, "reverse", reverses=earned.entry_id)
    assert (refused.code, refused.available_minor) == ("insufficient_balance", 29)


def test_what_kind_of_entry_cannot_be_taken_back(till: Any) -> None:
    account = till.open(balance=50)
    opening = next(iter(till.book.entries))
    kept = till.tell(account, "hold", 5)
    released = till.tell(account, "release", hold_id=kept.hold_id)
    closed = till.tell(account, "close")
    codes = [
        till.code(account, "reverse", reverses=entry_id)
        for entry_id in (opening, kept.entry_id, released.entry_id, closed.entry_id)
    ]
    assert codes == ["entry_not_reversible"] * 4


def test_a_transfer_is_taken_back_from_either_side_once(till: Any) -> None:
    giver, receiver = till.open(balance=30), till.open()
    moved = till.tell(giver, "transfer", 20, to=receiver)
    part = till.tell(receiver, "reverse", 5, reverses=moved.entry_id)
    assert (part.balance_minor, part.other.balance_minor) == (15, 15)
    till.tell(receiver, "redeem", 10)
    assert till.code(giver, "reverse", reverses=moved.entry_id) == "insufficient_balance"
    rest = till.tell(giver, "reverse", 5, reverses=moved.entry_id)
    assert (rest.balance_minor, rest.other.balance_minor) == (20, 0)


def test_a_reversal_of_an_earning_counts_for_the_tier(till: Any) -> None:
    rule = TierRule(valid_days=10, levels=(TierLevel(name="silver", from_minor=100),))
    account = till.open(rules=Rules(tiers=rule))
    earned = till.tell(account, "earn", 100)
    assert earned.tier == "silver"
    till.tell(account, "reverse", 1, reverses=earned.entry_id)
    till.later(days=10)
    assert till.tell(account, "review").tier is None


def test_a_reversal_never_opens_what_was_used_up(till: Any) -> None:
    # proves: A26
    coupon = till.open(protocol="COUPON", unit="uses", balance=1)
    used = till.tell(coupon, "use")
    coupon.is_open = False
    undone = till.tell(coupon, "reverse", reverses=used.entry_id)
    assert (undone.code, undone.balance_minor, coupon.is_open) == ("applied", 1, False)
    assert till.code(coupon, "use") == "account_closed"


def test_a_key_has_one_outcome_for_ever(till: Any) -> None:
    account = till.open(balance=5)
    command = Command(
        workspace_id=till.workspace_id,
        kind=EntryKind.REDEEM,
        amount_minor=10,
        pass_id=account.pass_id,
        idempotency_key="one",
    )

    def say(said: Command) -> Any:
        order = Order(
            command=said,
            fingerprint=said.fingerprint(),
            entry_id=uuid4(),
            account_id=account.account_id,
        )
        return decide(till.book, order, till.now)

    refused = say(command)
    assert refused.code == "insufficient_balance"
    till.tell(account, "earn", 100)
    assert say(command) == replace(refused, is_replayed=True)
    assert say(replace(command, amount_minor=9)).code == "key_reused"
    account.external_id = "card-1"
    assert say(replace(command, external_id="card-2")).code == "key_reused"
    unused = replace(command, idempotency_key="unused", external_id="card-2")
    assert say(unused).code == "pass_mismatch"
    applied = say(replace(command, idempotency_key="two"))
    assert say(replace(command, idempotency_key="two")) == replace(applied, is_replayed=True)
    assert account.balance_minor == 95
