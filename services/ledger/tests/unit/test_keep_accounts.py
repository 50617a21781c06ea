"""Following programs and passes: what waits, what is refused for good, what is done."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest

from passferry_contracts.events.directory import ProgramChanged, ProgramLimits
from passferry_contracts.events.ledger import AdjustCommand, EarnCommand, RedeemCommand
from passferry_contracts.events.passes import (
    PassBirthday,
    PassCreated,
    PassDeleted,
    PassErased,
    PassExpired,
    PassUpdated,
    PassVoided,
)
from passferry_contracts.types import BalanceOwner, PassStatus, Protocol
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.keep_accounts import CloseAccounts, OpenAccounts, StorePrograms
from passferry_ledger.application.take_commands import OrderedCommand, TakeCommands
from passferry_runtime.errors import Rejected, RetryLater

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
WORKSPACE, PROGRAM = uuid4(), uuid4()


def program_changed(**changes: Any) -> ProgramChanged:
    fields = {
        "workspace_id": WORKSPACE,
        "program_id": PROGRAM,
        "name": "Kaffeefähre",
        "protocol": Protocol.MEMBERSHIP,
        "unit": "points",
        "limits": ProgramLimits(max_entry_minor=100),
        "status": "active",
        "revision": 1,
        "changed_at": NOW,
    }
    return ProgramChanged.model_validate(fields | changes)


def pass_created(**changes: Any) -> PassCreated:
    fields = {
        "workspace_id": WORKSPACE,
        "pass_id": uuid4(),
        "program_id": PROGRAM,
        "protocol": Protocol.MEMBERSHIP,
        "template_id": uuid4(),
        "template_version": 1,
        "holder_id": uuid4(),
        "external_id": f"card-{uuid4()}",
        "code": "4711",
        "balance_owner": BalanceOwner.PASSFERRY,
        "unit": "points",
        "opening_balance_minor": 20,
        "revision": 1,
        "created_at": NOW,
    }
    return PassCreated.model_validate(fields | changes)


def change_of(created: PassCreated, kind: type, **changes: Any) -> Any:
    fields = {
        "workspace_id": created.workspace_id,
        "pass_id": created.pass_id,
        "external_id": created.external_id,
        "program_id": created.program_id,
        "revision": 2,
        "status": PassStatus.ACTIVE,
        "changed_at": NOW,
    }
    return kind.model_validate(fields | changes)


def order(kind: type, created: PassCreated, **changes: Any) -> OrderedCommand:
    fields = {
        "workspace_id": created.workspace_id,
        "pass_id": created.pass_id,
        "idempotency_key": str(uuid4()),
        "amount_minor": 5,
    }
    data = kind.model_validate(fields | changes)
    return OrderedCommand(data=data, event_id="e1", source="/till", traceparent=None)


def codes(outcomes: list[Any]) -> list[tuple[type, str] | None]:
    return [None if each is None else (type(each), each.code) for each in outcomes]


class Keeper:
    """The use cases around one fake ledger."""

    def __init__(self, make: Any) -> None:
        self.ledger = make.fake_ledger()
        self.workspaces = make.workspaces()
        parts = {"accounts": self.ledger, "workspaces": self.workspaces}
        self.store_programs = StorePrograms(**parts)
        self.open_accounts = OpenAccounts(**parts)
        self.close_accounts = CloseAccounts(**parts)
        apply = ApplyCommands(ledger=self.ledger, workspaces=self.workspaces)
        self.take_commands = TakeCommands(apply=apply, workspaces=self.workspaces)

    def account(self, created: PassCreated) -> Any:
        return self.ledger.find(created.workspace_id, created.pass_id, None)


@pytest.fixture
def keeper(make: Any) -> Keeper:
    return Keeper(make)


async def test_a_created_pass_has_an_account_with_its_opening_balance(keeper: Keeper) -> None:
    created = pass_created()
    await keeper.store_programs([program_changed()])
    assert await keeper.open_accounts([created, created]) == [None, None]
    assert keeper.account(created).balance == 20


async def test_an_upstream_balance_never_enters_the_accounts(keeper: Keeper) -> None:
    created = pass_created(balance_owner=BalanceOwner.UPSTREAM)
    await keeper.store_programs([program_changed()])
    await keeper.open_accounts([created])
    assert keeper.account(created).balance == 0
    assert await keeper.take_commands([order(EarnCommand, created)]) == [None]
    assert keeper.account(created).version == 0


async def test_what_is_not_known_yet_waits(keeper: Keeper) -> None:
    early = pass_created()
    assert codes(await keeper.open_accounts([early])) == [(RetryLater, "program_unknown")]
    voided = change_of(early, PassVoided, status=PassStatus.VOIDED)
    assert codes(await keeper.close_accounts([voided])) == [(RetryLater, "pass_unknown")]
    assert codes(await keeper.take_commands([order(EarnCommand, early)])) == [
        (RetryLater, "pass_unknown")
    ]
    keeper.workspaces.unknown.add(WORKSPACE)
    for outcomes in (
        await keeper.store_programs([program_changed()]),
        await keeper.open_accounts([early]),
        await keeper.take_commands([order(EarnCommand, early)]),
    ):
        assert codes(outcomes) == [(RetryLater, "workspace_unknown")]


async def test_one_command_that_must_wait_does_not_hold_up_the_others(keeper: Keeper) -> None:
    created, early = pass_created(), pass_created()
    await keeper.store_programs([program_changed()])
    await keeper.open_accounts([created])
    outcomes = await keeper.take_commands(
        [order(EarnCommand, early), order(RedeemCommand, created), order(AdjustCommand, created)]
    )
    assert codes(outcomes) == [(RetryLater, "pass_unknown"), None, None]
    assert keeper.account(created).balance == 20


async def test_what_can_never_be_is_rejected(keeper: Keeper) -> None:
    created = pass_created()
    await keeper.store_programs([program_changed()])
    await keeper.open_accounts([created])
    twin = pass_created(external_id=created.external_id)
    indebted = pass_created(opening_balance_minor=-1)
    assert codes(await keeper.open_accounts([twin, indebted])) == [
        (Rejected, "external_id_taken"),
        (Rejected, "opening_below_floor"),
    ]
    keeper.workspaces.without_passes.add(WORKSPACE)
    assert codes(await keeper.open_accounts([pass_created()])) == [
        (Rejected, "workspace_holds_no_passes")
    ]


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        (PassVoided, PassStatus.VOIDED, "exhausted"),
        (PassExpired, PassStatus.EXPIRED, None),
        (PassDeleted, PassStatus.DELETED, None),
        (PassErased, PassStatus.DELETED, None),
    ],
)
async def test_whatever_ends_a_pass_closes_its_account(
    keeper: Keeper, kind: type, status: PassStatus, reason: str | None
) -> None:
    # proves: A18
    created = pass_created()
    await keeper.store_programs([program_changed()])
    await keeper.open_accounts([created])
    assert await keeper.close_accounts(
        [change_of(created, kind, status=status, reason=reason)]
    ) == [None]
    assert keeper.account(created).closed_reason == (reason or status.value)


async def test_what_does_not_end_a_pass_leaves_its_account_alone(keeper: Keeper) -> None:
    created, unknown = pass_created(), pass_created()
    await keeper.store_programs([program_changed()])
    await keeper.open_accounts([created])
    outcomes = await keeper.close_accounts(
        [
            change_of(created, PassUpdated),
            change_of(created, PassBirthday, birthday=date(1990, 5, 14)),
            change_of(unknown, PassUpdated),
        ]
    )
    assert outcomes == [None, None, None]
    assert keeper.account(created).closed_reason is None


async def test_commands_of_a_suspended_workspace_are_refused_and_answered(
    keeper: Keeper,
) -> None:
    created = pass_created()
    await keeper.store_programs([program_changed()])
    await keeper.open_accounts([created])
    keeper.workspaces.suspended.add(WORKSPACE)
    assert await keeper.take_commands([order(EarnCommand, created)]) == [None]
    assert keeper.account(created).balance == 20


async def test_batches_larger_than_one_transaction_are_split_in_order(keeper: Keeper) -> None:
    created = pass_created(opening_balance_minor=0)
    await keeper.store_programs([program_changed()])
    await keeper.open_accounts([created])
    orders = [order(EarnCommand, created, amount_minor=1) for _ in range(600)]
    assert await keeper.take_commands(orders) == [None] * 600
    assert keeper.account(created).version == 600
