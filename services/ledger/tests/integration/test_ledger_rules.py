"""The rules of money and points, shown on Postgres and on the ledger written a second time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from passferry_ledger.application.ports import Opening, Submission
from passferry_ledger.domain.accounts import Closing, NewAccount, Program
from passferry_ledger.domain.commands import Command
from passferry_ledger.domain.outcomes import Outcome

LARGEST = 2**63 - 1


@dataclass
class Subject:
    """Either ledger behind the same ports."""

    store: Any
    accounts: Any
    make: Any

    async def open_one(self, program: Program | None = None, **changes: object) -> NewAccount:
        known = program or self.make.program(uuid4())
        await self.accounts.store_programs([known])
        account = self.make.account(known, **changes)
        assert await self.accounts.open_accounts([account]) == [Opening.OPENED]
        return account

    async def apply(self, *commands: Command, suspended: Collection[Any] = ()) -> list[Outcome]:
        return await self.store.apply(
            [Submission(command=command) for command in commands], suspended=suspended
        )

    async def codes(self, *commands: Command) -> list[str]:
        return [outcome.code for outcome in await self.apply(*commands)]


@pytest.fixture(params=["memory", "postgres"])
def ledger(request: pytest.FixtureRequest, make: Any) -> Subject:
    if request.param == "memory":
        fake = make.fake_ledger()
        return Subject(fake, fake, make)
    real = request.getfixturevalue("real")
    return Subject(real.commands, real.accounts, make)


async def test_an_earned_amount_can_be_redeemed_and_versions_count_from_one(
    ledger: Subject, make: Any
) -> None:
    # proves: P11
    account = await ledger.open_one()
    earned, redeemed = await ledger.apply(
        make.command(account, "earn", 100), make.command(account, "redeem", 30)
    )
    assert (earned.code, earned.version, earned.balance_minor) == ("applied", 1, 100)
    assert (redeemed.code, redeemed.version, redeemed.balance_minor) == ("applied", 2, 70)
    assert redeemed.previous_balance_minor == 100


async def test_spending_more_than_there_is_is_refused_with_what_there_is(
    ledger: Subject, make: Any
) -> None:
    account = await ledger.open_one(opening_balance_minor=50)
    (refused,) = await ledger.apply(make.command(account, "redeem", 51))
    assert (refused.code, refused.available_minor) == ("insufficient_balance", 50)
    assert (refused.balance_minor, refused.version) == (50, 1)


async def test_a_refusal_is_remembered_even_when_the_balance_would_suffice_later(
    ledger: Subject, make: Any
) -> None:
    account = await ledger.open_one(opening_balance_minor=10)
    spend = make.command(account, "redeem", 20)
    (refused,) = await ledger.apply(spend)
    await ledger.apply(make.command(account, "earn", 100))
    (again,) = await ledger.apply(spend)
    assert again.code == "insufficient_balance"
    assert again.is_replayed
    assert replace(again, is_replayed=False) == refused


async def test_a_repeated_command_is_applied_once_and_answered_alike(
    ledger: Subject, make: Any
) -> None:
    account = await ledger.open_one()
    earn = make.command(account, "earn", 5)
    first, in_batch = await ledger.apply(earn, earn)
    (later,) = await ledger.apply(earn)
    assert first.balance_minor == 5
    assert in_batch == later == replace(first, is_replayed=True)


async def test_a_key_that_comes_with_another_command_is_refused(ledger: Subject, make: Any) -> None:
    account = await ledger.open_one(opening_balance_minor=10)
    earn = make.command(account, "earn", 5)
    other = replace(earn, amount_minor=6)
    assert await ledger.codes(earn, other) == ["applied", "key_reused"]
    assert await ledger.codes(other, earn) == ["key_reused", "applied"]


async def test_a_key_belongs_to_one_pass_of_a_workspace(ledger: Subject, make: Any) -> None:
    program = make.program(uuid4())
    one, other = await ledger.open_one(program), await ledger.open_one(program)
    earn = make.command(one, "earn", 5)
    elsewhere = replace(earn, pass_id=other.pass_id)
    assert await ledger.codes(earn, elsewhere) == ["applied", "key_reused"]
    assert await ledger.codes(elsewhere) == ["key_reused"]


async def test_the_same_order_by_pass_id_and_by_external_id_is_the_same(
    ledger: Subject, make: Any
) -> None:
    account = await ledger.open_one()
    by_id = make.command(account, "earn", 5)
    by_external_id = replace(by_id, pass_id=None, external_id=account.external_id)
    first, again = await ledger.apply(by_id, by_external_id)
    assert not first.is_replayed
    assert again.is_replayed
    assert again.balance_minor == 5


async def test_two_names_that_do_not_agree_are_refused(ledger: Subject, make: Any) -> None:
    account = await ledger.open_one()
    command = make.command(account, "earn", 5, external_id="somebody-else")
    assert await ledger.codes(command) == ["pass_mismatch"]


async def test_a_pass_not_known_yet_is_never_remembered(ledger: Subject, make: Any) -> None:
    program = make.program(uuid4())
    await ledger.accounts.store_programs([program])
    account = make.account(program)
    earn = make.command(account, "earn", 5)
    assert await ledger.codes(earn, earn) == ["pass_unknown", "pass_unknown"]
    assert await ledger.accounts.open_accounts([account]) == [Opening.OPENED]
    (applied,) = await ledger.apply(earn)
    assert (applied.code, applied.is_replayed, applied.balance_minor) == ("applied", False, 5)


async def test_a_reference_is_written_once_whatever_keys_it_comes_under(
    ledger: Subject, make: Any
) -> None:
    program = make.program(uuid4())
    one, other = await ledger.open_one(program), await ledger.open_one(program)
    first = make.command(one, "earn", 5, reference="till-7/0001")
    again = make.command(other, "earn", 5, reference="till-7/0001")
    third = make.command(one, "earn", 5, reference="till-7/0001")
    assert await ledger.codes(first, again) == ["applied", "reference_used"]
    assert await ledger.codes(third) == ["reference_used"]


async def test_a_refused_command_does_not_use_up_its_reference(ledger: Subject, make: Any) -> None:
    account = await ledger.open_one(opening_balance_minor=5)
    codes = await ledger.codes(
        make.command(account, "redeem", 6, reference="r"),
        make.command(account, "redeem", 7, reference="r"),
        make.command(account, "redeem", 5, reference="r"),
        make.command(account, "earn", 5, reference="r"),
    )
    assert codes == ["insufficient_balance", "insufficient_balance", "applied", "reference_used"]


async def test_workspaces_share_neither_keys_nor_references_nor_external_ids(
    ledger: Subject, make: Any
) -> None:
    # proves: J58, J70
    one = await ledger.open_one(external_id="card-1")
    other = await ledger.open_one(external_id="card-1")
    by_name = {"pass_id": None, "external_id": "card-1", "idempotency_key": "k", "reference": "r"}
    first, second = await ledger.apply(
        make.command(one, "earn", 5, **by_name), make.command(other, "earn", 7, **by_name)
    )
    assert (first.pass_id, first.balance_minor) == (one.pass_id, 5)
    assert (second.pass_id, second.balance_minor) == (other.pass_id, 7)
    stranger = make.command(one, "earn", 5, pass_id=other.pass_id)
    assert await ledger.codes(stranger) == ["pass_unknown"]


@pytest.mark.parametrize("reason", ["voided", "expired", "deleted"])
async def test_a_closed_account_takes_nothing_more_and_stays_closed(
    ledger: Subject, make: Any, reason: str
) -> None:
    # proves: A26
    account = await ledger.open_one(opening_balance_minor=10)
    closing = Closing(
        workspace_id=account.workspace_id,
        pass_id=account.pass_id,
        reason=reason,
        closed_at=account.opened_at,
    )
    assert await ledger.accounts.close_accounts([closing, closing]) == [True, True]
    assert await ledger.accounts.open_accounts([account]) == [Opening.KNOWN]
    codes = await ledger.codes(*(make.command(account, k, 1) for k in ("earn", "redeem", "adjust")))
    assert codes == ["account_closed"] * 3


async def test_closing_a_pass_not_known_yet_is_told(ledger: Subject, make: Any) -> None:
    account = make.account(make.program(uuid4()))
    closing = Closing(
        workspace_id=account.workspace_id,
        pass_id=account.pass_id,
        reason="voided",
        closed_at=account.opened_at,
    )
    assert await ledger.accounts.close_accounts([closing]) == [False]


async def test_a_pass_whose_balance_is_kept_upstream_is_refused_clearly(
    ledger: Subject, make: Any
) -> None:
    account = await ledger.open_one(is_kept_upstream=True)
    assert await ledger.codes(make.command(account, "earn", 1)) == ["balance_kept_upstream"]


@pytest.mark.parametrize(
    ("status", "code"), [("suspended", "program_suspended"), ("retired", "program_retired")]
)
async def test_a_program_that_is_not_active_refuses(
    ledger: Subject, make: Any, status: str, code: str
) -> None:
    program = make.program(uuid4())
    account = await ledger.open_one(program)
    await ledger.accounts.store_programs([replace(program, status=status, revision=2)])
    await ledger.accounts.store_programs([replace(program, status="active", revision=1)])
    assert await ledger.codes(make.command(account, "earn", 1)) == [code]


async def test_a_suspended_workspace_refuses_its_own_commands_only(
    ledger: Subject, make: Any
) -> None:
    one, other = await ledger.open_one(), await ledger.open_one()
    outcomes = await ledger.apply(
        make.command(one, "earn", 1), make.command(other, "earn", 1), suspended={one.workspace_id}
    )
    assert [outcome.code for outcome in outcomes] == ["workspace_suspended", "applied"]


async def test_only_a_used_up_coupon_is_exhausted(ledger: Subject, make: Any) -> None:
    # proves: A18
    coupon = await ledger.open_one(
        make.program(uuid4(), protocol="COUPON"), opening_balance_minor=3
    )
    card = await ledger.open_one(opening_balance_minor=3)
    outcomes = await ledger.apply(
        make.command(coupon, "redeem", 1),
        make.command(coupon, "redeem", 2),
        make.command(card, "redeem", 3),
    )
    assert [outcome.is_exhausted for outcome in outcomes] == [False, True, False]


async def test_a_coupon_that_an_adjustment_empties_is_not_exhausted(
    ledger: Subject, make: Any
) -> None:
    coupon = await ledger.open_one(
        make.program(uuid4(), protocol="COUPON"), opening_balance_minor=3
    )
    (outcome,) = await ledger.apply(make.command(coupon, "adjust", -3))
    assert (outcome.code, outcome.is_exhausted) == ("applied", False)


LIMITED = {"max_entry_minor": 100, "max_balance_minor": 250, "max_per_day_minor": 150}

REFUSED_COMMANDS: list[tuple[str, int, dict[str, Any], str]] = [
    ("earn", 5, {"unit": "EUR"}, "unit_mismatch"),
    ("earn", 0, {}, "amount_invalid"),
    ("earn", -5, {}, "amount_invalid"),
    ("redeem", 0, {}, "amount_invalid"),
    ("redeem", -5, {}, "amount_invalid"),
    ("adjust", 0, {}, "amount_invalid"),
    ("earn", 101, {}, "entry_limit_exceeded"),
    ("adjust", -101, {}, "entry_limit_exceeded"),
    ("earn", LARGEST, {}, "amount_out_of_range"),
    ("adjust", LARGEST, {}, "amount_out_of_range"),
    ("redeem", LARGEST, {}, "entry_limit_exceeded"),
    ("adjust", 60, {}, "balance_limit_exceeded"),
    ("adjust", -100, {"unit": "EUR"}, "unit_mismatch"),
]


@pytest.mark.parametrize(("kind", "amount", "changes", "code"), REFUSED_COMMANDS)
async def test_a_command_outside_the_rules_is_refused_and_changes_nothing(
    ledger: Subject, make: Any, kind: str, amount: int, changes: dict[str, Any], code: str
) -> None:
    # proves: A22
    program = make.program(uuid4(), **LIMITED)
    account = await ledger.open_one(program, opening_balance_minor=200)
    (outcome,) = await ledger.apply(make.command(account, kind, amount, **changes))
    assert (outcome.code, outcome.balance_minor, outcome.version) == (code, 200, 1)
    assert outcome.entry_id is None


async def test_the_limit_per_day_counts_earning_and_redeeming_apart(
    ledger: Subject, make: Any
) -> None:
    account = await ledger.open_one(
        make.program(uuid4(), max_per_day_minor=150), opening_balance_minor=500
    )
    codes = await ledger.codes(
        make.command(account, "earn", 100),
        make.command(account, "earn", 51),
        make.command(account, "redeem", 150),
        make.command(account, "redeem", 1),
        make.command(account, "earn", 50),
        make.command(account, "adjust", 400),
    )
    assert codes == [
        "applied",
        "day_limit_exceeded",
        "applied",
        "day_limit_exceeded",
        "applied",
        "applied",
    ]


async def test_balances_reach_the_ends_of_64_bits_and_no_further(
    ledger: Subject, make: Any
) -> None:
    program = make.program(uuid4(), floor_minor=-LARGEST)
    account = await ledger.open_one(program)
    outcomes = await ledger.apply(
        make.command(account, "earn", LARGEST),
        make.command(account, "earn", 1),
        make.command(account, "redeem", LARGEST),
        make.command(account, "redeem", LARGEST),
        make.command(account, "adjust", -1),
    )
    assert [outcome.code for outcome in outcomes] == [
        "applied",
        "amount_out_of_range",
        "applied",
        "applied",
        "amount_out_of_range",
    ]
    assert outcomes[-1].balance_minor == -LARGEST


async def test_a_floor_below_zero_is_what_may_be_overdrawn(ledger: Subject, make: Any) -> None:
    account = await ledger.open_one(make.program(uuid4(), floor_minor=-100))
    outcomes = await ledger.apply(
        make.command(account, "redeem", 60),
        make.command(account, "redeem", 41),
        make.command(account, "redeem", 40),
    )
    assert [outcome.code for outcome in outcomes] == ["applied", "insufficient_balance", "applied"]
    assert outcomes[1].available_minor == 40


async def test_a_pass_that_is_gone_gives_its_external_id_to_the_next(
    ledger: Subject, make: Any
) -> None:
    program = make.program(uuid4())
    old = await ledger.open_one(program, external_id="card-1")
    new = make.account(program, external_id="card-1")
    assert await ledger.accounts.open_accounts([new]) == [Opening.EXTERNAL_ID_TAKEN]
    closing = Closing(
        workspace_id=old.workspace_id,
        pass_id=old.pass_id,
        reason="deleted",
        closed_at=old.opened_at + timedelta(minutes=1),
    )
    await ledger.accounts.close_accounts([closing])
    assert await ledger.accounts.open_accounts([new]) == [Opening.OPENED]
    command = make.command(new, "earn", 5, pass_id=None, external_id="card-1")
    (outcome,) = await ledger.apply(command)
    assert (outcome.code, outcome.pass_id) == ("applied", new.pass_id)


async def test_one_batch_opens_what_it_can(ledger: Subject, make: Any) -> None:
    program = make.program(uuid4())
    await ledger.accounts.store_programs([program])
    first = make.account(program, opening_balance_minor=7)
    same_name = make.account(program, external_id=first.external_id)
    homeless = make.account(make.program(program.workspace_id))
    indebted = make.account(program, opening_balance_minor=-1)
    outcomes = await ledger.accounts.open_accounts([first, first, same_name, homeless, indebted])
    assert outcomes[0] is Opening.OPENED
    assert outcomes[1] in (Opening.OPENED, Opening.KNOWN)
    assert outcomes[2:] == [
        Opening.EXTERNAL_ID_TAKEN,
        Opening.PROGRAM_UNKNOWN,
        Opening.OPENING_BELOW_FLOOR,
    ]
    (outcome,) = await ledger.apply(make.command(first, "earn", 1))
    assert outcome.balance_minor == 8
