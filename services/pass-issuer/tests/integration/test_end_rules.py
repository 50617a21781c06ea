"""Passes that end because their template says so, on real Postgres. proves: J93, A26"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.ledger import CommandCompleted, TransferCommand
from passferry_contracts.events.passes import PassExpired, PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@dataclass
class Card:
    office: Any
    workspace_id: str
    template_id: str
    issued: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/workspaces/{self.workspace_id}/passes/{self.issued['pass_id']}"

    def facts(self, version: int) -> dict[str, Any]:
        return {
            "workspace_id": UUID(self.workspace_id),
            "pass_id": UUID(self.issued["pass_id"]),
            "external_id": self.issued["external_id"],
            "program_id": UUID(self.issued["program_id"]),
            "version": version,
            "unit": self.issued["unit"],
        }

    async def balance(
        self, version: int, *, left: int, change: int = -1, exhausted: bool = False
    ) -> None:
        changed = PassBalanceChanged(
            **self.facts(version),
            previous_balance_minor=left - change,
            new_balance_minor=left,
            change_minor=change,
            reason="redeem" if change < 0 else "top_up",
            exhausted=exhausted,
            changed_at=self.office.clock.now(),
        )
        assert await self.office.hear(changed) == [None]

    async def use(self, version: int, *, left: int, exhausted: bool = False) -> None:
        await self.balance(version, left=left, exhausted=exhausted)
        redeemed = PassRedeemed(
            **self.facts(version),
            redemption_id=uuid4(),
            amount_minor=1,
            remaining_minor=left,
            exhausted=exhausted,
            redeemed_at=self.office.clock.now(),
        )
        # The same one again is no second use.
        assert await self.office.hear(redeemed, redeemed) == [None, None]

    async def later(self, **passed: float) -> None:
        self.office.clock.advance(timedelta(**passed))
        await self.office.issuer.life.keep_time()

    async def google_state(self) -> str:
        told = [
            each
            for each in await self.office.events(PassRendered)
            if str(each.pass_id) == self.issued["pass_id"]
        ]
        return str(told[-1].google.object_body["state"])


@pytest.fixture
def card(office):
    async def issue(*rules: dict[str, Any], **body: Any) -> Card:
        workspace_id = await office.workspace()
        template_id = await office.template(workspace_id, ends_when=list(rules))
        program_id = await office.program(workspace_id, template_id=template_id)
        given = {"program_id": program_id, "external_id": "m-1", **body}
        path = f"/workspaces/{workspace_id}/passes"
        return Card(
            office,
            workspace_id,
            template_id,
            await office.call("POST", path, status=201, json=given),
        )

    return issue


async def test_a_card_that_was_used_so_often_ends_once_with_its_reason(office, card):
    one = await card({"uses": 3})
    for version in (1, 2, 3):
        assert await office.events(PassVoided) == []
        await one.use(version, left=10 - version)
        await one.later(seconds=15)
    await one.later(seconds=15)
    [told] = await office.events(PassVoided)
    assert (str(told.pass_id), told.reason) == (one.issued["pass_id"], "redeemed")
    assert await one.google_state() == "COMPLETED"
    [row] = await office.rows("SELECT uses, ends_at, ends_as, status FROM pass_issuer.pass")
    assert (row["uses"], row["ends_as"], row["status"]) == (3, "redeemed", "voided")
    assert row["ends_at"] < office.clock.now()


async def test_a_spent_balance_ends_what_the_ledger_would_leave_open(office, card):
    one = await card({"balance_spent": True})
    await one.later(seconds=15)
    await one.use(1, left=1)
    await one.later(seconds=15)
    assert await office.events(PassVoided) == []
    await one.use(2, left=0)
    await one.later(minutes=4)
    assert await office.events(PassVoided) == []
    # Whatever draws it again does not put its end off.
    await office.call("PATCH", one.path, json={"fields": {"favourite": "Tea"}})
    await one.later(minutes=1)
    [told] = await office.events(PassVoided)
    assert told.reason == "redeemed"


async def test_money_that_comes_right_after_the_last_of_it_was_spent_keeps_its_card(office, card):
    one = await card({"balance_spent": True})
    await one.use(1, left=0)
    # The ledger has the top-up; its event is still on the way when the upkeep looks.
    await one.later(minutes=4)
    await one.balance(2, left=5, change=5)
    await one.later(hours=1)
    assert await office.events(PassVoided) == []
    await one.use(3, left=0)
    await one.later(minutes=5)
    [told] = await office.events(PassVoided)
    assert told.reason == "redeemed"


async def test_what_the_ledger_calls_exhausted_is_told_once_and_not_by_a_rule_too(office, card):
    one = await card({"balance_spent": True}, {"uses": 1})
    await one.use(1, left=0, exhausted=True)
    await one.later(seconds=15)
    [told] = await office.events(PassVoided)
    assert told.reason == "exhausted"


async def test_a_date_of_the_pass_itself_ends_it_and_a_later_date_lets_it_live(office, card):
    today = office.clock.now().date()
    first = (today + timedelta(days=1)).isoformat()
    one = await card({"date_field": "until"}, fields={"until": first})
    # It may be said anew, and nothing that is no date.
    later = (today + timedelta(days=3)).isoformat()
    answer = await office.call("PATCH", one.path, status=422, json={"fields": {"until": "soon"}})
    assert "fields.until" in str(answer)
    await office.call("PATCH", one.path, json={"fields": {"until": later}})
    await one.later(days=2)
    assert await office.events(PassExpired) == []
    await one.later(days=2)
    [told] = await office.events(PassExpired)
    assert told.reason == "expired"
    assert await one.google_state() == "EXPIRED"


async def test_wallets_and_the_answer_say_when_a_rule_lets_a_pass_expire(office, card):
    today = office.clock.now().date()

    def day(number: int) -> str:
        return (today + timedelta(days=number)).isoformat()

    def at(number: int) -> str:
        return f"{day(number)}T00:00:00Z"

    async def shown() -> Any:
        [row] = await office.rows("SELECT pass_json FROM pass_issuer.pass")
        return json.loads(row["pass_json"]).get("expirationDate")

    one = await card({"date_field": "until"}, {"days_after_last_use": 90}, fields={"until": day(2)})
    assert (one.issued["ends_at"], one.issued["ends_as"]) == (at(3), "expired")
    assert await shown() == at(3)
    await office.call("PATCH", one.path, json={"fields": {"until": day(6)}})
    assert await shown() == at(7)
    # Whichever is earlier: an end of its own, or that of a rule.
    await office.call("PATCH", one.path, json={"expires_at": at(5)})
    assert await shown() == at(5)
    await office.call("PATCH", one.path, json={"expires_at": at(50)})
    await one.use(1, left=1)
    seen = await office.call("GET", one.path)
    assert (seen["uses"], seen["ends_at"], seen["expires_at"]) == (1, at(7), at(50))
    assert seen["last_used_at"] is not None
    await one.later(days=8)
    # It says so still when it is over.
    seen = await office.call("GET", one.path)
    assert (seen["status"], seen["ends_at"]) == ("expired", at(7))
    assert await shown() == at(7)


async def test_an_end_that_is_no_expiry_is_told_to_no_wallet_before_it_comes(office, card):
    one = await card({"days_after_last_use": 30}, {"uses": 5})
    [row] = await office.rows("SELECT pass_json, ends_at, created_at FROM pass_issuer.pass")
    assert "expirationDate" not in json.loads(row["pass_json"])
    assert (one.issued["ends_as"], one.issued["uses"]) == ("inactive", 0)
    assert row["ends_at"] == row["created_at"] + timedelta(days=30)


async def test_a_pass_that_nobody_uses_ends_as_inactive(office, card):
    one = await card({"days_after_last_use": 30})
    await one.later(days=29)
    await one.use(1, left=5)
    await one.later(days=29)
    assert await office.events(PassVoided) == []
    await one.later(days=1)
    [told] = await office.events(PassVoided)
    assert told.reason == "inactive"
    assert await one.google_state() == "INACTIVE"


async def test_a_date_that_cannot_be_read_is_refused_before_anything_is_issued(office, card):
    with pytest.raises(AssertionError, match=r"fields\.until"):
        await card({"date_field": "until"}, fields={"until": "20270101"})
    assert await office.rows("SELECT FROM pass_issuer.pass") == []


async def test_a_pass_whose_own_date_is_past_is_not_issued(office, card, make):
    today = office.clock.now().date()
    past, later = (today + timedelta(days=days) for days in (-400, 400))
    one = await card({"date_field": "until"}, fields={"until": later.isoformat()})
    path = f"/workspaces/{one.workspace_id}/passes"
    body = {"program_id": one.issued["program_id"], "fields": {"until": past.isoformat()}}
    problem = await office.call("POST", path, status=422, json=body)
    assert (problem["code"], problem["errors"][0]["field"]) == ("over_already", "fields.until")
    # What others write for an end that never comes.
    never = {"program_id": one.issued["program_id"], "fields": {"until": "9999-12-31"}}
    await office.call("POST", path, status=201, json=never)
    rows = await office.rows("SELECT ends_at FROM pass_issuer.pass ORDER BY created_at, pass_id")
    assert [row["ends_at"] is None for row in rows] == [False, True]


async def answer_of_ledger(one: Card, **said: Any) -> None:
    """To the newest order that a card takes the place of this one."""
    command = (await one.office.events(TransferCommand))[-1]
    assert str(command.pass_id) == one.issued["pass_id"]
    given = {"outcome": "applied", "balance_minor": 0, **said}
    completed = CommandCompleted(
        workspace_id=command.workspace_id,
        command_event_id="e-1",
        command_type="ledger.transfer",
        idempotency_key=command.idempotency_key,
        pass_id=command.pass_id,
        completed_at=one.office.clock.now(),
        **given,
    )
    assert await one.office.hear(completed) == [None]


async def replaced(one: Card) -> Card:
    answered = await one.office.call("POST", f"{one.path}/reissue", status=201)
    await answer_of_ledger(one)
    return Card(one.office, one.workspace_id, one.template_id, answered["pass"])


async def test_a_lost_card_gets_no_new_uses_and_no_new_days(office, card):
    # proves: J93
    one = await card({"uses": 4}, {"days_after_issue": 30})
    await one.use(1, left=9)
    await one.later(days=5)
    two = await replaced(one)
    await two.use(1, left=8)
    await two.later(days=5)
    # One that takes the place of a card that took a place itself counts on as well.
    three = await replaced(two)
    [first, _, last] = await office.rows(
        "SELECT uses, ends_at, last_used_at, created_at, first_issued_at FROM pass_issuer.pass"
        " ORDER BY created_at"
    )
    assert last["uses"] == 2
    assert last["first_issued_at"] == first["created_at"]
    assert last["ends_at"] == first["created_at"] + timedelta(days=30)
    assert last["last_used_at"] == first["created_at"] + timedelta(days=5)
    await three.use(1, left=7)
    await three.use(2, left=6)
    await three.later(seconds=15)
    told = (await office.events(PassVoided))[-1]
    assert (str(told.pass_id), told.reason) == (three.issued["pass_id"], "redeemed")


async def test_what_a_lost_card_is_used_before_its_balance_moves_counts_on_the_next_one(
    office, card
):
    # proves: J93
    one = await card({"uses": 3}, {"days_after_last_use": 30})
    await one.use(1, left=9)
    answered = await office.call("POST", f"{one.path}/reissue", status=201)
    two = Card(office, one.workspace_id, one.template_id, answered["pass"])
    refused = {"outcome": "refused", "code": "day_limit_exceeded", "balance_minor": 9}
    await answer_of_ledger(one, **refused)
    # The old one stays good, until the order is given once more and heard.
    office.clock.advance(timedelta(days=20))
    await one.use(2, left=8)
    await office.call("POST", f"{one.path}/reissue")
    await answer_of_ledger(one)
    ends_at = office.clock.now() + timedelta(days=30)
    await one.later(seconds=15)
    [row] = await office.rows(
        "SELECT uses, ends_at, revision FROM pass_issuer.pass WHERE pass_id = $1",
        UUID(two.issued["pass_id"]),
    )
    assert (row["uses"], row["ends_at"], row["revision"]) == (2, ends_at, 1)
    await two.use(1, left=7)
    await two.later(seconds=15)
    told = (await office.events(PassVoided))[-1]
    assert (str(told.pass_id), told.reason) == (two.issued["pass_id"], "redeemed")


async def uses_of(one: Card) -> int:
    select = "SELECT uses FROM pass_issuer.pass WHERE pass_id = $1"
    [row] = await one.office.rows(select, UUID(one.issued["pass_id"]))
    uses: int = row["uses"]
    return uses


async def test_a_use_of_a_lost_card_that_is_heard_after_the_answer_counts_on_the_last_one(
    office, card
):
    # proves: J93
    one = await card({"uses": 5})
    await one.use(1, left=9)
    two = await replaced(one)
    three = await replaced(two)
    # Booked before the balance moved, told on another topic.
    await one.use(2, left=8)
    await one.later(seconds=15)
    await one.later(seconds=15)
    assert [await uses_of(each) for each in (two, three)] == [2, 2]
    # What was carried over is carried once.
    await one.later(seconds=15)
    assert await uses_of(three) == 2


async def test_uses_wait_for_a_card_that_does_not_open(office, card):
    one = await card({"uses": 3})
    await one.use(1, left=9)
    two = await replaced(one)
    await one.use(2, left=8)
    people = "UPDATE pass_issuer.holder SET personal_ciphertext = $1 RETURNING holder_id"
    [kept] = await office.rows("SELECT personal_ciphertext AS sealed FROM pass_issuer.holder")
    await office.rows(people, b"\x00")
    await one.later(seconds=15)
    assert await uses_of(two) == 1
    await office.rows(people, kept["sealed"])
    await one.later(seconds=15)
    assert await uses_of(two) == 2


async def test_a_card_that_is_spent_and_rests_is_not_replaced(office, card):
    one = await card({"balance_spent": True}, opening_balance_minor=1)
    await one.use(1, left=0)
    problem = await office.call("POST", f"{one.path}/reissue", status=422)
    assert (problem["code"], problem["errors"][0]["field"]) == ("over_already", "ends_when.0")
    assert await office.events(TransferCommand) == []


async def test_days_since_the_last_use_go_on_with_the_card_in_its_place(office, card):
    one = await card({"days_after_last_use": 30})
    await one.use(1, left=9)
    await one.later(days=29)
    two = await replaced(one)
    await two.later(days=1)
    told = (await office.events(PassVoided))[-1]
    assert (str(told.pass_id), told.reason) == (two.issued["pass_id"], "inactive")


async def test_a_card_that_was_used_before_uses_were_written_down_is_replaced_as_a_used_one(
    office, card
):
    one = await card({"days_after_last_use": 30})
    office.clock.advance(timedelta(days=40))
    await office.rows(
        "UPDATE pass_issuer.pass SET redeemed_version = 1, ledger_version = 1, updated_at = $1",
        office.clock.now() - timedelta(days=1),
    )
    two = await replaced(one)
    await two.later(days=28)
    assert (await office.call("GET", two.path))["status"] == "active"


async def test_a_card_in_the_place_of_a_used_one_waits_for_its_balance(office, card):
    one = await card({"balance_spent": True}, opening_balance_minor=10)
    await one.use(1, left=9)
    # The ledger's answer may be heard before the balance is.
    two = await replaced(one)
    await two.later(seconds=15)
    assert (await office.call("GET", two.path))["status"] == "active"
    await two.use(2, left=0)
    await two.later(minutes=5)
    assert (await office.call("GET", two.path))["status_reason"] == "redeemed"


async def test_a_card_that_is_used_up_is_not_replaced(office, card):
    today = office.clock.now().date()
    one = await card({"uses": 1}, {"date_field": "until"}, fields={"until": (today).isoformat()})
    office.clock.advance(timedelta(days=1))
    given = {"fields": {"until": (today + timedelta(days=9)).isoformat()}}
    path = f"{one.path}/reissue"
    problem = await office.call("POST", path, status=422)
    assert (problem["code"], problem["errors"][0]["field"]) == ("over_already", "fields.until")
    await one.use(1, left=9)
    problem = await office.call("POST", path, status=422, json=given)
    assert (problem["code"], problem["errors"][0]["field"]) == ("over_already", "ends_when.0")
    assert await office.events(TransferCommand) == []


async def test_who_used_a_pass_before_uses_were_written_down_keeps_it(office, card):
    one = await card({"days_after_last_use": 30})
    await one.later(days=29)
    await one.use(1, left=5)
    await office.rows("UPDATE pass_issuer.pass SET uses = 0, last_used_at = NULL, ends_at = NULL")
    await one.later(days=20)
    await office.call("PATCH", one.path, json={"fields": {"favourite": "tea"}})
    await one.later(days=0)
    assert await office.events(PassVoided) == []
    await one.later(days=40)
    [told] = await office.events(PassVoided)
    assert told.reason == "inactive"


async def test_rules_are_shown_again_checked_with_the_example_and_keep_to_their_workspace(
    office, card, make
):
    one, other = await card({"days_after_issue": 5}), await card({"days_after_issue": 400})
    path = f"/workspaces/{one.workspace_id}/templates/{one.template_id}"
    shown = await office.call("GET", path)
    assert (shown["ends_when"], shown["field_names"]) == ([{"days_after_issue": 5}], ["favourite"])
    apple = make.template_json()["apple"] | {"example_values": {"until": "soon"}}
    draft = make.template_json(apple=apple, ends_when=[{"date_field": "until"}])
    changed = await office.call("PUT", path, json=draft)
    assert "until" in changed["field_names"]
    refused = await office.call("POST", f"{path}/publish", status=422)
    assert "ends_when.0.date_field" in str(refused)
    await one.later(days=6)
    assert [str(each.pass_id) for each in await office.events(PassExpired)] == [
        one.issued["pass_id"]
    ]
    row = await office.call("GET", other.path)
    assert row["status"] == "active"
