"""Every command by `ledger.commands`, and its answer on `ledger.results`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events import ledger as events
from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.directory import ProgramChanged, WorkspaceAccessChanged
from passferry_contracts.events.passes import PassCreated
from passferry_contracts.registry import (
    DEAD_LETTERS,
    LEDGER_COMMANDS,
    LEDGER_RESULTS,
    PASS_BALANCE_CHANGED,
    PASS_CREATED,
    PASS_REDEEMED,
    PASS_UPDATED,
    PROGRAM_CHANGED,
    WORKSPACE_ACCESS,
    Topic,
)
from passferry_contracts.types import BalanceOwner, Protocol, WorkspaceKind
from passferry_ledger.app import service
from passferry_ledger.settings import LedgerSettings
from passferry_testing.harness import EventRecorder, Harness, running

pytestmark = pytest.mark.integration

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
HEARD = (PASS_BALANCE_CHANGED, PASS_REDEEMED, LEDGER_RESULTS, DEAD_LETTERS["ledger"])
RULES = {
    "earn": {"points": 2, "per_minor": 100, "purchase_unit": "EUR"},
    "expiry": {"kind": "after_days", "days": 365},
}


@pytest.fixture
def topics() -> tuple[Topic, ...]:
    told = (WORKSPACE_ACCESS, PROGRAM_CHANGED, PASS_CREATED, PASS_UPDATED, LEDGER_COMMANDS)
    return (*told, *HEARD)


class Counter:
    """A shop that orders by Kafka only."""

    def __init__(self, harness: Harness, heard: EventRecorder) -> None:
        self.harness, self.heard = harness, heard
        self.workspace_id = uuid4()

    async def open(self) -> None:
        access = WorkspaceAccessChanged(
            workspace_id=self.workspace_id,
            name="Kaffeefähre",
            kind=WorkspaceKind.ROOT,
            revision=1,
            changed_at=NOW,
        )
        await self.harness.publish(WORKSPACE_ACCESS, access)

    async def issue(self, protocol: Protocol, unit: str, opening: int, **said: Any) -> UUID:
        """A pass of a program of its own."""
        program_id, pass_id = uuid4(), uuid4()
        program = ProgramChanged(
            workspace_id=self.workspace_id,
            program_id=program_id,
            name="Ten coffees",
            protocol=protocol,
            unit=unit,
            rules=RULES,
            status="active",
            revision=1,
            changed_at=NOW,
        )
        await self.harness.publish(PROGRAM_CHANGED, program)
        created = PassCreated.model_validate(
            {
                "workspace_id": self.workspace_id,
                "pass_id": pass_id,
                "program_id": program_id,
                "protocol": protocol,
                "template_id": uuid4(),
                "template_version": 1,
                "holder_id": uuid4(),
                "external_id": f"card-{pass_id}",
                "code": f"code-{pass_id}",
                "balance_owner": BalanceOwner.PASSFERRY,
                "unit": unit,
                "opening_balance_minor": opening,
                "revision": 1,
                "created_at": NOW,
            }
            | said
        )
        await self.harness.publish(PASS_CREATED, created)
        return pass_id

    async def order(self, kind: type, pass_id: UUID | None, **said: Any) -> events.CommandCompleted:
        """Returns the answer, which names the record that it answers."""
        fields: dict[str, Any] = {
            "workspace_id": self.workspace_id,
            "pass_id": pass_id,
            "idempotency_key": str(uuid4()),
        }
        command = kind.model_validate(fields | said)
        (record_id,) = await self.harness.publish(LEDGER_COMMANDS, command)
        (answer,) = await self.heard.expect(
            events.CommandCompleted,
            where=lambda each: each.command_event_id == record_id,
            timeout_s=30,
        )
        assert answer.command_type == command.event_type
        assert answer.idempotency_key == command.idempotency_key
        return answer


@asynccontextmanager
async def counter(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counter]:
    await harness.migrate("ledger", "passferry_ledger.migrations")
    for name, value in harness.environment("ledger").items():
        if name != "PASSFERRY_REDIS_URL":
            monkeypatch.setenv(name, value)
    async with (
        service(LedgerSettings()) as built,
        running(built),
        harness.recording(*HEARD) as heard,
    ):
        shop = Counter(harness, heard)
        await shop.open()
        yield shop


def told(answer: events.CommandCompleted) -> tuple[Any, ...]:
    return answer.kind, answer.change_minor, answer.balance_minor, answer.available_minor


async def test_every_command_by_kafka_is_answered(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # proves: C9, J93
    async with counter(harness, monkeypatch) as shop:
        card = await shop.issue(Protocol.MEMBERSHIP, "points", 100)
        other = await shop.issue(Protocol.MEMBERSHIP, "points", 0)
        order = shop.order
        assert told(await order(events.LoadCommand, card, amount_minor=10)) == (
            "load", 10, 110, 110,
        )  # fmt: skip
        earned = await order(events.EarnCommand, card, amount_minor=5)
        assert told(earned) == ("earn", 5, 115, 115)
        bought = await order(
            events.PurchaseCommand, card, purchase_minor=1_050, purchase_unit="EUR"
        )
        assert told(bought) == ("earn", 21, 136, 136)
        spent = await order(events.RedeemCommand, card, amount_minor=36, reference="bill-1")
        assert told(spent) == ("redeem", -36, 100, 100)
        adjusted = await order(events.AdjustCommand, card, amount_minor=-4, reason="spilled")
        assert told(adjusted) == ("adjust", -4, 96, 96)
        moved = await order(events.TransferCommand, card, amount_minor=6, to_pass_id=other)
        assert told(moved) == ("transfer", -6, 90, 90)
        held = await order(events.HoldCommand, card, amount_minor=30)
        assert told(held) == ("hold", 0, 90, 60)
        captured = await order(
            events.CaptureCommand, card, hold_id=held.hold_id, amount_minor=10, keep_rest=True
        )
        assert told(captured) == ("capture", -10, 80, 60)
        released = await order(events.ReleaseCommand, card, hold_id=held.hold_id)
        assert told(released) == ("release", 0, 80, 80)
        part = await order(events.ReverseCommand, card, entry_reference="bill-1", amount_minor=6)
        assert told(part) == ("reverse", 6, 86, 86)
        undone = await order(events.ReverseCommand, card, entry_id=earned.entry_id)
        assert told(undone) == ("reverse", -5, 81, 81)
        lapsed = await order(events.ExpireCommand, card, amount_minor=1)
        assert told(lapsed) == ("expire", -1, 80, 80)
        used = await order(events.UseCommand, None, code=f"code-{card}", amount_minor=30)
        assert told(used) == ("redeem", -30, 50, 50)
        rest = await order(events.RedeemEverythingCommand, card)
        assert told(rest) == ("redeem", -50, 0, 0)
        closed = await order(events.CloseCommand, card, reason="left")
        assert told(closed)[:3] == ("close", 0, 0)
        assert [closed.outcome, closed.version] == ["applied", 16]
        changes = await shop.heard.expect(
            PassBalanceChanged, 16, where=lambda each: each.pass_id == card
        )
        assert [each.version for each in changes] == list(range(1, 17))
        received = await shop.heard.expect(PassBalanceChanged, where=lambda e: e.pass_id == other)
        assert [(each.change_minor, each.reason) for each in received] == [(6, "transfer")]


async def test_a_scan_by_kafka_does_what_the_protocol_says(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # proves: C9, A5, A18
    async with counter(harness, monkeypatch) as shop:
        card = await shop.issue(Protocol.MEMBERSHIP, "points", 0)
        coupon = await shop.issue(Protocol.COUPON, "uses", 1)
        ticket = await shop.issue(Protocol.EVENT_TICKET, "visits", 1)
        earned = await shop.order(events.UseCommand, None, code=f"code-{card}", purchase_minor=500)
        assert told(earned) == ("earn", 10, 10, 10)
        assert told(await shop.order(events.UseCommand, coupon))[:3] == ("redeem", -1, 0)
        assert told(await shop.order(events.UseCommand, ticket))[:3] == ("check_in", -1, 0)
        again = await shop.order(events.CheckInCommand, ticket)
        assert (again.outcome, again.code) == ("refused", "already_checked_in")
        spent = await shop.heard.expect(PassRedeemed, 2)
        assert {each.pass_id: each.exhausted for each in spent} == {coupon: True, ticket: False}


async def test_refusals_are_answered_with_their_code(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counter(harness, monkeypatch) as shop:
        card = await shop.issue(Protocol.MEMBERSHIP, "points", 10)
        money = await shop.issue(Protocol.GIFT_CARD, "EUR", 10)
        upstream = await shop.issue(
            Protocol.MEMBERSHIP, "points", 0, balance_owner=BalanceOwner.UPSTREAM
        )
        refusals: list[tuple[str, type, UUID, dict[str, Any]]] = [
            ("insufficient_balance", events.RedeemCommand, card, {"amount_minor": 11}),
            ("insufficient_balance", events.HoldCommand, card, {"amount_minor": 11}),
            ("unit_mismatch", events.LoadCommand, card, {"amount_minor": 1, "unit": "EUR"}),
            ("purchase_earns_nothing", events.PurchaseCommand, card, {"purchase_minor": 1}),
            ("unit_mismatch", events.TransferCommand, card, {"amount_minor": 1, "to_pass_id": money}),
            ("transfer_to_itself", events.TransferCommand, card, {"to_pass_id": card}),
            ("hold_unknown", events.CaptureCommand, card, {"hold_id": uuid4()}),
            ("hold_unknown", events.ReleaseCommand, card, {"hold_id": uuid4()}),
            ("entry_unknown", events.ReverseCommand, card, {"entry_id": uuid4()}),
            ("nothing_to_expire", events.ExpireCommand, card, {}),
            ("action_not_supported", events.CheckInCommand, card, {}),
            ("amount_required", events.UseCommand, money, {}),
            ("balance_kept_upstream", events.EarnCommand, upstream, {"amount_minor": 1}),
            ("amount_out_of_range", events.AdjustCommand, card, {"amount_minor": 2**63 - 1}),
        ]  # fmt: skip
        for code, kind, pass_id, said in refusals:
            answer = await shop.order(kind, pass_id, **said)
            assert (answer.outcome, answer.code, answer.entry_id) == ("refused", code, None)
            assert answer.detail
        assert (await shop.order(events.EarnCommand, card, amount_minor=1)).version == 2


async def test_birthday_points_go_the_way_of_all_points(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # proves: B16
    async with counter(harness, monkeypatch) as shop:
        card = await shop.issue(Protocol.MEMBERSHIP, "points", 0)
        said = {
            "amount_minor": 50,
            "reason": "birthday",
            "idempotency_key": f"birthday-{card}-2026",
        }
        first = await shop.order(events.EarnCommand, card, **said)
        again = await shop.order(events.EarnCommand, card, **said)
        assert (first.balance_minor, first.replayed) == (50, False)
        assert (again.entry_id, again.replayed) == (first.entry_id, True)
        (change,) = await shop.heard.expect(PassBalanceChanged)
        assert (change.reason, change.change_minor, change.version) == ("birthday", 50, 1)
        assert change.entry_id == first.entry_id


async def test_usage_told_from_outside_counts_once_per_reference(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # proves: A19, A18
    async with counter(harness, monkeypatch) as shop:
        coupon = await shop.issue(Protocol.COUPON, "EUR", 1_000)
        lines = [("t-1", 400), ("t-2", 100), ("t-1", 400), ("t-2", 100), ("t-3", 500)]
        answers = [
            await shop.order(
                events.RedeemCommand,
                None,
                external_id=f"card-{coupon}",
                amount_minor=amount,
                reference=f"coupon-transactions/{number}",
                merchant_id="till-7",
            )
            for number, amount in lines
        ]
        assert [answer.code for answer in answers] == [
            None, None, "reference_used", "reference_used", None,
        ]  # fmt: skip
        redeemed = await shop.heard.expect(PassRedeemed, 3)
        assert [(each.amount_minor, each.exhausted) for each in redeemed] == [
            (400, False), (100, False), (500, True),
        ]  # fmt: skip
        assert {each.merchant_id for each in redeemed} == {"till-7"}
        changes = await shop.heard.expect(PassBalanceChanged, 4)
        assert [each.new_balance_minor for each in changes] == [1_000, 600, 500, 0]
