"""Passes that are transferred to somebody else, or replaced because they were lost."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import timedelta
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from passferry_contracts.events.directory import LinkChanged
from passferry_contracts.events.ledger import CommandCompleted, TransferCommand
from passferry_contracts.events.passes import PassCreated, PassErased, PassUpdated, PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.registry import LINK_CHANGED
from passferry_contracts.types import Platform
from passferry_pass_issuer.adapters.postgres_owners import PostgresReplacements
from passferry_pass_issuer.application import draw_holder_passes, watch_reissues
from passferry_pass_issuer.application.draw_holder_passes import DrawHolderPasses
from passferry_pass_issuer.entrypoints.check_reissues import reissues_check
from passferry_runtime.errors import RetryLater
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@pytest.fixture
async def shop(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    program_id = await office.program(workspace_id)

    async def issue(**body):
        body = {"program_id": program_id, **body}
        return await office.call("POST", f"{base}/passes", status=201, json=body)

    async def holder(name):
        path = f"{base}/holders/external:{name}"
        return await office.call("PUT", path, status=201, json={"full_name": f"{name} Doe"})

    issue.base, issue.workspace_id, issue.program_id = base, workspace_id, program_id
    issue.holder = holder
    return issue


async def row_of(office, issued):
    [row] = await office.rows(
        "SELECT * FROM pass_issuer.pass WHERE pass_id = $1", UUID(str(issued["pass_id"]))
    )
    return row


def answer(command, **changes):
    given = {
        "workspace_id": command.workspace_id,
        "command_event_id": "e-1",
        "command_type": "ledger.transfer",
        "idempotency_key": command.idempotency_key,
        "pass_id": command.pass_id,
        "outcome": "applied",
        "balance_minor": 0,
        "completed_at": "2026-05-14T12:00:00Z",
    }
    return CommandCompleted(**(given | changes))


async def test_a_pass_changes_hands_and_the_former_holders_name_leaves_it(office, shop):
    # proves: J93, J71
    await shop.holder("ana")
    bo = await shop.holder("bo")
    one = await shop(holder={"external_id": "ana"}, opening_balance_minor=7)
    former = await row_of(office, one)
    path = f"{shop.base}/passes/{one['pass_id']}/transfer"
    moved = await office.call("POST", path, json={"holder": "external:bo"})
    assert moved["holder_id"] == bo["holder_id"]
    same = ("pass_id", "serial_number", "code", "external_id", "balance_minor", "status")
    assert {name: moved[name] for name in same} == {name: one[name] for name in same}
    last = (await office.events(PassRendered))[-1]
    assert (last.revision, "bo Doe" in last.apple.pass_json) == (2, True)
    assert "ana" not in last.apple.pass_json
    # The former holder's device knows a token that opens nothing any more.
    now = await row_of(office, one)
    token = json.loads(last.apple.pass_json)["authenticationToken"]
    assert hashlib.sha256(token.encode()).hexdigest() == now["authentication_token_sha256"]
    assert last.apple.authentication_token_sha256 == now["authentication_token_sha256"]
    assert now["authentication_token_sha256"] != former["authentication_token_sha256"]
    # Neither does the former link.
    assert moved["link"] != one["link"]
    first, revoked, fresh = await office.events(LinkChanged)
    assert (revoked.link_id, revoked.revoked) == (first.link_id, True)
    assert (fresh.revoked, fresh.link_id != first.link_id) == (False, True)
    assert (await office.compacted(LINK_CHANGED))[LINK_CHANGED.name, str(first.link_id)] is None
    [told] = await office.events(PassUpdated)
    assert (told.changed_fields, str(told.holder_id)) == (["holder_id"], bo["holder_id"])
    # Doing it twice is doing it once.
    again = await office.call("POST", path, json={"holder": bo["holder_id"]})
    assert (again["revision"], again["link"]) == (2, moved["link"])
    [audited] = await office.rows(
        "SELECT before, after FROM pass_issuer.audit_log WHERE action = 'pass.transferred'"
    )
    assert json.loads(audited["after"])["holder_id"] == bo["holder_id"]


async def test_what_a_pass_says_of_its_former_holder_can_leave_it_with_the_transfer(office, shop):
    # proves: J71
    await shop.holder("bo")
    body = {
        "program_id": shop.program_id,
        "holder": {"external_id": "ana"},
        "fields": {"favourite": "planted words of ana", "size": "L", "note": "planted"},
    }
    key = {"Idempotency-Key": "first"}
    path = f"{shop.base}/passes"
    one = await office.call("POST", path, status=201, json=body, headers=key)
    given = {"holder": "external:bo", "fields": {"favourite": "tea", "note": None}}
    moved = await office.call("POST", f"{path}/{one['pass_id']}/transfer", json=given)
    assert moved["fields"] == {"favourite": "tea", "size": "L"}
    last = (await office.events(PassRendered))[-1]
    assert "tea" in last.apple.pass_json
    assert "planted" not in last.apple.pass_json
    [told] = await office.events(PassUpdated)
    assert told.changed_fields == ["favourite", "holder_id", "note"]
    # Nor is what was answered about ana kept, where her erasure would not find it.
    assert await office.rows("SELECT 1 FROM pass_issuer.idempotency") == []
    wrong = {"holder": "external:bo", "fields": {"no name": "x"}}
    two = await shop(holder={"external_id": "cleo"})
    refused = await office.call("POST", f"{path}/{two['pass_id']}/transfer", status=409, json=wrong)
    assert refused["code"] == "holder_is_member"
    await shop.holder("dan")
    wrong["holder"] = "external:dan"
    refused = await office.call("POST", f"{path}/{two['pass_id']}/transfer", status=422, json=wrong)
    assert refused["errors"][0]["field"] == "fields.no name"


async def test_a_message_to_the_former_holder_is_not_shown_to_the_next(office, shop):
    await shop.holder("bo")
    one = await shop(holder={"full_name": "Ana"})
    path = f"{shop.base}/passes/{one['pass_id']}"
    await office.call("POST", f"{path}/messages", status=201, json={"body": "Dear Ana"})
    await office.call("POST", f"{path}/transfer", json={"holder": "external:bo"})
    assert (await row_of(office, one))["latest_message"] is None


async def test_a_person_is_a_member_once_after_a_transfer_too(office, shop):
    # proves: C12, J93
    await shop.holder("bo")
    theirs = await shop(holder={"external_id": "bo"})
    mine = await shop(holder={"full_name": "Ana"})
    path = f"{shop.base}/passes/{mine['pass_id']}/transfer"
    problem = await office.call("POST", path, status=409, json={"holder": "external:bo"})
    assert problem["code"] == "holder_is_member"
    await office.call("POST", f"{shop.base}/passes/{theirs['pass_id']}/void")
    assert (await office.call("POST", path, json={"holder": "external:bo"}))["revision"] == 2


async def test_what_ended_and_who_is_not_there_change_no_hands(office, shop):
    # proves: J93, J70
    await shop.holder("bo")
    one = await shop()
    path = f"{shop.base}/passes/{one['pass_id']}"
    await office.call("POST", f"{path}/transfer", status=404, json={"holder": "external:nobody"})
    other = await office.workspace()
    foreign = f"/workspaces/{other}/holders/external:cleo"
    cleo = await office.call("PUT", foreign, status=201, json={})
    await office.call("POST", f"{path}/transfer", status=404, json={"holder": cleo["holder_id"]})
    await office.call("POST", f"{path}/void")
    problem = await office.call(
        "POST", f"{path}/transfer", status=409, json={"holder": "external:bo"}
    )
    assert problem["code"] == "pass_voided"
    await office.call("POST", f"{path}/reissue", status=409)


async def test_a_lost_pass_is_void_once_the_ledger_moved_what_it_held(office, shop):
    # proves: J93, J71
    lost = await shop(
        holder={"external_id": "ana", "full_name": "Ana Doe"},
        opening_balance_minor=70,
        fields={"favourite": "Tea"},
    )
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    answered = await office.call("POST", path, status=201, json={"external_id": "card-2"})
    new = answered["pass"]
    assert (answered["state"], answered["replaces"]) == ("moving", lost["pass_id"])
    assert (new["external_id"], new["fields"]) == ("card-2", {"favourite": "Tea"})
    assert (new["holder_id"], new["balance_minor"]) == (lost["holder_id"], 0)
    for secret in ("serial_number", "code", "link"):
        assert new[secret] != lost[secret]
    _, created = await office.events(PassCreated)
    assert created.opening_balance_minor == 0
    [command] = await office.events(TransferCommand)
    assert (str(command.pass_id), str(command.to_pass_id)) == (lost["pass_id"], new["pass_id"])
    assert command.amount_minor is None
    # Until the ledger answers, the lost one is good: what it holds is nowhere else.
    assert (await office.call("GET", f"{shop.base}/passes/{lost['pass_id']}"))["status"] == "active"
    again = await office.call("POST", path, json={"external_id": "card-2"})
    assert (again["state"], again["pass"]["pass_id"]) == ("moving", new["pass_id"])
    assert len(await office.events(TransferCommand)) == 1
    # What others ordered, or an older order, is not heard.
    await office.hear(
        answer(command, idempotency_key="shop-1"),
        answer(command, idempotency_key=f"reissue:{lost['pass_id']}:9"),
        answer(command, pass_id=UUID(new["pass_id"])),
    )
    assert await office.events(PassVoided) == []
    assert await office.hear(answer(command), answer(command)) == [None, None]
    [voided] = await office.events(PassVoided)
    assert (str(voided.pass_id), voided.reason) == (lost["pass_id"], "replaced")
    assert (await office.call("POST", path))["state"] == "done"
    actions = await office.rows(
        "SELECT action FROM pass_issuer.audit_log WHERE target = $1 ORDER BY id", lost["pass_id"]
    )
    assert [row["action"] for row in actions] == ["pass.issued", "pass.reissued", "pass.voided"]


async def test_a_member_with_a_new_card_is_still_a_member_once(office, shop):
    # proves: C12
    holder = {"external_id": "ana"}
    lost = await shop(holder=holder)
    answered = await office.call(
        "POST", f"{shop.base}/passes/{lost['pass_id']}/reissue", status=201
    )
    body = {"program_id": shop.program_id, "holder": holder}
    found = await office.call("POST", f"{shop.base}/passes", json=body)
    assert found["pass_id"] == answered["pass"]["pass_id"]
    transfer = f"{shop.base}/passes/{lost['pass_id']}/transfer"
    await shop.holder("bo")
    problem = await office.call("POST", transfer, status=409, json={"holder": "external:bo"})
    assert problem["code"] == "pass_replaced"


async def test_while_the_ledger_moves_a_balance_neither_pass_ends(office, shop):
    # proves: J93
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    lost = await shop(opening_balance_minor=500, expires_at=soon)
    path = f"{shop.base}/passes/{lost['pass_id']}"
    new = (await office.call("POST", f"{path}/reissue", status=201))["pass"]
    for each in (lost, new):
        other = f"{shop.base}/passes/{each['pass_id']}"
        ends = [("POST", f"{other}/void"), ("POST", f"{other}/expire"), ("DELETE", other)]
        for method, address in ends:
            problem = await office.call(method, address, status=409)
            assert problem["code"] == "reissue_moving"
    office.clock.advance(timedelta(hours=2))
    await office.issuer.life.keep_time()
    assert (await office.call("GET", path))["status"] == "active"
    [command] = await office.events(TransferCommand)
    await office.hear(answer(command))
    assert (await office.call("GET", path))["status_reason"] == "replaced"
    await office.issuer.life.keep_time()
    ended = await office.call("GET", f"{shop.base}/passes/{new['pass_id']}")
    assert ended["status"] == "expired"


async def test_a_follower_is_not_replaced_before_its_balance_has_come(office, shop):
    # proves: J93
    lost = await shop(opening_balance_minor=500)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    second = (await office.call("POST", path, status=201))["pass"]
    next_path = f"{shop.base}/passes/{second['pass_id']}/reissue"
    problem = await office.call("POST", next_path, status=409)
    assert problem["code"] == "reissue_moving"
    [first] = await office.events(TransferCommand)
    await office.hear(answer(first))
    third = (await office.call("POST", next_path, status=201))["pass"]
    _, command = await office.events(TransferCommand)
    assert (str(command.pass_id), str(command.to_pass_id)) == (second["pass_id"], third["pass_id"])
    await office.hear(answer(command))
    for each, status in ((lost, "voided"), (second, "voided"), (third, "active")):
        assert (await row_of(office, each))["status"] == status


async def test_an_order_that_failed_is_not_given_again_while_its_follower_is_replaced(office, shop):
    # proves: J93, C12
    lost = await shop(holder={"external_id": "ana"}, opening_balance_minor=500)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    second = (await office.call("POST", path, status=201))["pass"]
    [first] = await office.events(TransferCommand)
    refused = {"outcome": "refused", "balance_minor": 500}
    await office.hear(answer(first, code="day_limit_exceeded", **refused))
    next_path = f"{shop.base}/passes/{second['pass_id']}/reissue"
    await office.call("POST", next_path, status=201)
    problem = await office.call("POST", path, status=409)
    assert problem["code"] == "reissue_moving"
    _, command = await office.events(TransferCommand)
    await office.hear(answer(command, outcome="refused", code="nothing_to_redeem"))
    assert (await row_of(office, second))["status"] == "voided"
    # Whoever has that third card is a member by it, and gets no fourth beside it.
    problem = await office.call("POST", path, status=409)
    assert problem["code"] == "holder_is_member"
    assert len(await office.events(TransferCommand)) == 2


async def test_an_answer_for_a_pass_that_cannot_end_yet_is_heard_later(office, shop):
    lost = await shop(opening_balance_minor=500)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    await office.call("POST", path, status=201)
    [command] = await office.events(TransferCommand)
    other = await shop(opening_balance_minor=5)
    # As it was when a follower could be replaced at once.
    await office.rows(
        "INSERT INTO pass_issuer.pass_replacement (workspace_id, old_pass_id, new_pass_id, state,"
        " created_at, updated_at) VALUES ($1, $2, $3, 'moving', now(), now())",
        UUID(shop.workspace_id),
        UUID(other["pass_id"]),
        UUID(lost["pass_id"]),
    )
    [verdict] = await office.hear(answer(command))
    assert (type(verdict), verdict.code) == (RetryLater, "reissue_moving")
    assert (await office.call("POST", path))["state"] == "moving"
    await office.rows(
        "UPDATE pass_issuer.pass_replacement SET state = 'done' WHERE old_pass_id = $1",
        UUID(other["pass_id"]),
    )
    assert await office.hear(answer(command)) == [None]
    assert (await row_of(office, lost))["status_reason"] == "replaced"


async def test_what_stayed_on_a_closed_account_is_not_called_moved(office, shop):
    lost = await shop(opening_balance_minor=500)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    await office.call("POST", path, status=201)
    [command] = await office.events(TransferCommand)
    refused = {"outcome": "refused", "code": "account_closed", "balance_minor": 500}
    await office.hear(answer(command, **refused))
    assert await office.events(PassVoided) == []
    [failed] = await office.rows("SELECT * FROM pass_issuer.pass_replacement")
    assert (failed["state"], failed["code"], failed["left_minor"]) == (
        "failed",
        "account_closed",
        500,
    )


@pytest.mark.parametrize("code", ["nothing_to_redeem", "account_closed"])
async def test_an_empty_pass_is_replaced_as_well(office, shop, code):
    lost = await shop()
    await office.call("POST", f"{shop.base}/passes/{lost['pass_id']}/reissue", status=201)
    [command] = await office.events(TransferCommand)
    await office.hear(answer(command, outcome="refused", code=code))
    assert len(await office.events(PassVoided)) == 1


async def test_a_transfer_that_the_ledger_refused_leaves_the_lost_pass_good(office, shop):
    lost = await shop(opening_balance_minor=70)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    await office.call("POST", path, status=201)
    [first] = await office.events(TransferCommand)
    refused = answer(first, outcome="refused", code="day_limit_exceeded", balance_minor=70)
    await office.hear(refused)
    assert await office.events(PassVoided) == []
    # Asking again orders it anew, under another key: the refusal of the first is remembered.
    again = await office.call("POST", path)
    assert (again["state"], again["code"]) == ("moving", None)
    _, second = await office.events(TransferCommand)
    assert second.idempotency_key != first.idempotency_key
    await office.hear(refused)
    assert await office.events(PassVoided) == []
    await office.hear(answer(second))
    assert [event.reason for event in await office.events(PassVoided)] == ["replaced"]
    assert len(await office.events(PassCreated)) == 2


async def test_a_follower_that_ended_gets_a_follower_of_its_own(office, shop):
    # proves: J93, C12
    holder = {"external_id": "ana"}
    lost = await shop(holder=holder, opening_balance_minor=70)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    first = (await office.call("POST", path, status=201))["pass"]
    [command] = await office.events(TransferCommand)
    await office.hear(answer(command, outcome="refused", code="day_limit_exceeded"))
    await office.call("DELETE", f"{shop.base}/passes/{first['pass_id']}")
    again = await office.call("POST", path, status=201)
    assert (again["state"], again["pass"]["status"]) == ("moving", "active")
    _, second = await office.events(TransferCommand)
    assert str(second.to_pass_id) == again["pass"]["pass_id"] != first["pass_id"]
    # It is what the holder has now, and nobody gets a second membership beside it.
    body = {"program_id": shop.program_id, "holder": holder}
    found = await office.call("POST", f"{shop.base}/passes", json=body)
    assert found["pass_id"] == again["pass"]["pass_id"]
    await office.hear(answer(second))
    assert (await office.call("POST", path))["state"] == "done"


@pytest.mark.parametrize("other", [{"holder": "external:bo"}, {"external_id": "card-3"}])
async def test_a_follower_is_not_given_to_who_asks_for_another(office, shop, other):
    await shop.holder("bo")
    one = await shop(holder={"external_id": "ana"})
    path = f"{shop.base}/passes/{one['pass_id']}/reissue"
    mine = {"external_id": "card-2", "holder": "external:ana"}
    first = await office.call("POST", path, status=201, json=mine)
    assert (await office.call("POST", path, json=mine))["pass"] == first["pass"]
    problem = await office.call("POST", path, status=409, json=other)
    assert problem["code"] == "reissue_differs"


async def test_a_pass_whose_balance_is_kept_elsewhere_is_replaced_there(office, shop):
    program = await office.program(shop.workspace_id, balance_owner="upstream")
    one = await shop(program_id=program)
    problem = await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/reissue", status=409)
    assert problem["code"] == "balance_kept_upstream"


async def test_a_taken_name_and_a_foreign_pass_are_refused(office, shop):
    # proves: J70
    one, other = await shop(external_id="card-1"), await office.workspace()
    path = f"{shop.base}/passes/{one['pass_id']}/reissue"
    problem = await office.call("POST", path, status=409, json={"external_id": "card-1"})
    assert problem["code"] == "external_id_taken"
    await office.call("POST", f"/workspaces/{other}/passes/{one['pass_id']}/reissue", status=404)
    assert await office.events(TransferCommand) == []


async def test_two_who_replace_a_pass_at_once_get_one_follower(office, shop):
    one = await shop(opening_balance_minor=7)
    path = f"/api/v1{shop.base}/passes/{one['pass_id']}/reissue"
    headers = {"X-Api-Key": office.administrator_key}
    answers = await asyncio.gather(*(office.client.post(path, headers=headers) for _ in range(4)))
    assert sorted(each.status_code for each in answers) == [200, 200, 200, 201]
    assert len({each.json()["pass"]["pass_id"] for each in answers}) == 1
    assert len(await office.events(TransferCommand)) == 1


async def test_an_erased_holder_whose_pass_was_being_replaced_leaves_nothing(office, shop):
    lost = await shop(holder={"external_id": "ana", "full_name": "Ana Planted"})
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    await office.call("POST", path, status=201)
    await office.call("DELETE", f"{shop.base}/holders/external:ana")
    [command] = await office.events(TransferCommand)
    assert await office.hear(answer(command)) == [None]
    assert await office.events(PassVoided) == []
    office.clock.advance(timedelta(days=2))
    await office.issuer.life.keep_time()
    left = await office.rows("SELECT p::text AS row FROM pass_issuer.pass p")
    assert not [row for row in left if "Planted" in row["row"]]


async def giver_is_erased_on_the_way(office, shop):
    """Ana's card is reissued to Bo; before the ledger answers, Ana is erased."""
    await shop.holder("bo")
    ana = {"external_id": "ana", "full_name": "Ana Planted"}
    programs = [await office.program(shop.workspace_id, name=name) for name in ("Club", "Pool")]
    before = await shop(program_id=programs[0], holder=ana)
    lost = await shop(holder=ana, external_id="ana-1", opening_balance_minor=500)
    behind = await shop(program_id=programs[1], holder=ana)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    await office.call("POST", path, status=201, json={"holder": "external:bo"})
    erased = await office.call("DELETE", f"{shop.base}/holders/external:ana")
    assert erased["passes_erased"] is False
    return lost, [before, behind]


async def test_what_is_on_its_way_to_the_next_holder_arrives_although_the_giver_is_erased(
    office, shop
):
    # proves: J93, J71
    lost, others = await giver_is_erased_on_the_way(office, shop)
    for _ in range(2):
        office.clock.advance(timedelta(seconds=15))
        await office.issuer.life.keep_time()
    # Whatever else they had is gone at once, and told once.
    told = [str(each.pass_id) for each in await office.events(PassErased)]
    assert told == [each["pass_id"] for each in others]
    assert (await row_of(office, lost))["status"] == "active"
    [command] = await office.events(TransferCommand)
    await office.hear(answer(command))
    assert (await row_of(office, lost))["status_reason"] == "replaced"
    await office.issuer.life.keep_time()
    told = [str(each.pass_id) for each in await office.events(PassErased)]
    assert told[2:] == [lost["pass_id"]]
    assert await office.rows("SELECT 1 FROM pass_issuer.holder_pages") == []
    office.clock.advance(timedelta(days=2))
    await office.issuer.life.keep_time()
    left = await office.rows("SELECT p::text AS row FROM pass_issuer.pass p")
    assert not [row for row in left if "Planted" in row["row"] or "ana-1" in row["row"]]


async def test_an_erasure_does_not_wait_for_a_ledger_that_never_answers(office, shop):
    lost, _ = await giver_is_erased_on_the_way(office, shop)
    office.clock.advance(timedelta(hours=25))
    await office.issuer.life.keep_time()
    assert (await row_of(office, lost))["status_reason"] == "erased"
    assert await office.rows("SELECT 1 FROM pass_issuer.holder_pages") == []


async def test_an_erasure_waits_for_no_move_of_another_workspace(office, shop):
    # proves: J70
    lost, _ = await giver_is_erased_on_the_way(office, shop)
    foreign = await office.workspace()
    body = {"program_id": await office.program(foreign), "holder": {"external_id": "ana"}}
    await office.call("POST", f"/workspaces/{foreign}/passes", status=201, json=body)
    erased = await office.call("DELETE", f"/workspaces/{foreign}/holders/external:ana")
    assert erased["passes_erased"] is True
    assert (await row_of(office, lost))["status"] == "active"


async def test_a_pass_that_was_opened_on_google_is_reissued_to_its_next_holder(office, shop):
    # proves: J93, C12
    bo = await shop.holder("bo")
    one = await shop(holder={"full_name": "Ana"}, opening_balance_minor=7)
    opened = PassLinkOpened(
        workspace_id=UUID(shop.workspace_id),
        pass_id=UUID(one["pass_id"]),
        platform=Platform.OTHER,
        needs_rendering=True,
        occurred_at=one["created_at"],
    )
    await office.hear(opened)
    path = f"{shop.base}/passes/{one['pass_id']}"
    problem = await office.call(
        "POST", f"{path}/transfer", status=409, json={"holder": "external:bo"}
    )
    assert problem["code"] == "pass_on_google"
    body = {"holder": "external:bo"}
    new = (await office.call("POST", f"{path}/reissue", status=201, json=body))["pass"]
    assert new["holder_id"] == bo["holder_id"]
    assert new["google_object_id"] != one["google_object_id"]
    [command] = await office.events(TransferCommand)
    await office.hear(answer(command))
    last = (await office.events(PassRendered))[-1]
    assert str(last.pass_id) == one["pass_id"]
    assert "bo Doe" not in last.model_dump_json()
    # The next holder is a member now, so nobody's second pass becomes theirs.
    other = await shop(holder={"full_name": "Cleo"})
    path = f"{shop.base}/passes/{other['pass_id']}/reissue"
    assert (await office.call("POST", path, status=409, json=body))["code"] == "holder_is_member"
    nobody = {"holder": "external:nobody"}
    assert (await office.call("POST", path, status=404, json=nobody))["code"] == "holder_not_found"


async def test_asking_for_a_replacement_while_the_ledger_answers_disturbs_neither(office, shop):
    for _ in range(3):
        lost = await shop(opening_balance_minor=7)
        path = f"/api/v1{shop.base}/passes/{lost['pass_id']}/reissue"
        headers = {"X-Api-Key": office.administrator_key}
        await office.client.post(path, headers=headers)
        command = (await office.events(TransferCommand))[-1]
        asked = [office.client.post(path, headers=headers) for _ in range(6)]
        answers = await asyncio.gather(*asked, office.hear(answer(command)))
        assert [each.status_code for each in answers[:-1]] == [200] * 6
        assert answers[-1] == [None]
    assert len(await office.events(PassVoided)) == 3


async def test_a_new_pass_never_has_the_code_of_the_lost_one(office, shop, make):
    # proves: J93
    barcode = {"format": "qr", "message": {"source": "field.ticket", "default": "NONE"}}
    layout = make.template_json()["apple"] | {"barcode": barcode}
    template_id = await office.template(shop.workspace_id, apple=layout)
    program = await office.program(shop.workspace_id, template_id=template_id, name="Ticket")
    fields = {"ticket": "SECRET-OF-THE-LOST", "favourite": "Tea"}
    lost = await shop(program_id=program, fields=fields)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    problem = await office.call("POST", path, status=422)
    assert problem["errors"][0]["field"] == "fields.ticket"
    body = {"fields": {"ticket": "T-2"}}
    new = (await office.call("POST", path, status=201, json=body))["pass"]
    assert new["fields"] == {"ticket": "T-2", "favourite": "Tea"}


async def reissues_health(office):
    watch = office.issuer.life.keep_time.watch_reissues
    check = reissues_check(watch, office.clock)
    assert check.gates_readiness is False
    return await check.probe()


def oldest_moving():
    return REGISTRY.get_sample_value("passferry_issuer_oldest_moving_reissue_timestamp_seconds")


async def test_a_reissue_that_the_ledger_does_not_answer_is_shown(office, shop):
    # proves: J93
    keep_time = office.issuer.life.keep_time
    await keep_time()
    assert (oldest_moving(), (await reissues_health(office)).state) == (0, "ok")
    lost, later = await shop(opening_balance_minor=500), await shop(opening_balance_minor=500)
    ordered_at = office.clock.now()
    await office.call("POST", f"{shop.base}/passes/{lost['pass_id']}/reissue", status=201)
    office.clock.advance(timedelta(minutes=50))
    await office.call("POST", f"{shop.base}/passes/{later['pass_id']}/reissue", status=201)
    await keep_time()
    assert oldest_moving() == pytest.approx(ordered_at.timestamp())
    assert (await reissues_health(office)).state == "ok"
    office.clock.advance(timedelta(minutes=11))
    shown = await reissues_health(office)
    assert shown.state == "degraded"
    assert lost["pass_id"] in shown.detail
    assert shop.workspace_id in shown.detail
    # Another replica does the rounds, and shows it.
    keep_time.rest()
    assert (oldest_moving(), (await reissues_health(office)).state) == (0, "ok")
    await keep_time()
    assert (await reissues_health(office)).state == "degraded"
    first, _ = await office.events(TransferCommand)
    await office.hear(answer(first))
    await keep_time()
    assert oldest_moving() == pytest.approx((ordered_at + timedelta(minutes=50)).timestamp())
    assert (await reissues_health(office)).state == "ok"


async def test_the_oldest_reissue_is_found_in_whichever_workspace_it_waits(
    office, shop, monkeypatch
):
    # proves: J93
    lost = await shop(opening_balance_minor=500)
    await office.call("POST", f"{shop.base}/passes/{lost['pass_id']}/reissue", status=201)
    office.clock.advance(timedelta(hours=2))
    newer = await office.workspace()
    program_id = await office.program(newer)
    body = {"program_id": program_id}
    theirs = await office.call("POST", f"/workspaces/{newer}/passes", status=201, json=body)
    await office.call("POST", f"/workspaces/{newer}/passes/{theirs['pass_id']}/reissue", status=201)
    monkeypatch.setattr(watch_reissues, "PAGE_WORKSPACES", 1)
    await office.issuer.life.keep_time()
    oldest = office.issuer.life.keep_time.watch_reissues.oldest
    assert (str(oldest.workspace_id), str(oldest.pass_id)) == (shop.workspace_id, lost["pass_id"])


async def test_a_look_that_fails_leaves_what_was_seen_and_stops_no_duty(office, shop, monkeypatch):
    # proves: J93
    lost = await shop(opening_balance_minor=500)
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    other = await shop(expires_at=soon)
    await office.call("POST", f"{shop.base}/passes/{lost['pass_id']}/reissue", status=201)
    await office.issuer.life.keep_time()

    async def failing(*_given):
        raise LookupError("planted")

    monkeypatch.setattr(PostgresReplacements, "oldest_moving", failing)
    office.clock.advance(timedelta(hours=2))
    await office.issuer.life.keep_time()
    shown = await office.call("GET", f"{shop.base}/passes/{other['pass_id']}")
    assert shown["status"] == "expired"
    assert (await reissues_health(office)).state == "degraded"


async def test_a_transfer_that_was_not_answered_is_ordered_once_more_under_the_same_key(
    office, shop
):
    # proves: J93
    lost = await shop(opening_balance_minor=500)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    new = (await office.call("POST", path, status=201))["pass"]
    office.clock.advance(timedelta(minutes=59))
    await office.call("POST", path)
    assert len(await office.events(TransferCommand)) == 1
    office.clock.advance(timedelta(minutes=2))
    again = await office.call("POST", path)
    assert (again["state"], again["pass"]["pass_id"]) == ("moving", new["pass_id"])
    first, second = await office.events(TransferCommand)
    assert first == second
    await office.hear(answer(second, replayed=True))
    [voided] = await office.events(PassVoided)
    assert (str(voided.pass_id), voided.reason) == (lost["pass_id"], "replaced")
    await office.call("POST", path)
    assert len(await office.events(TransferCommand)) == 2


async def test_however_often_a_reissue_is_asked_for_the_ledger_is_told_once_an_hour(office, shop):
    # proves: J93
    lost = await shop(opening_balance_minor=500)
    ordered_at = office.clock.now()
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    await office.call("POST", path, status=201)
    told = 1
    for minutes, is_told in (
        (61, True),
        (0, False),
        (1, False),
        (58, False),
        (2, True),
        (1, False),
    ):
        office.clock.advance(timedelta(minutes=minutes))
        await office.call("POST", path)
        told += is_told
        assert len(await office.events(TransferCommand)) == told
    # For whoever watches it waits since it was ordered.
    await office.issuer.life.keep_time()
    assert oldest_moving() == pytest.approx(ordered_at.timestamp())
    await office.rows("UPDATE pass_issuer.pass_replacement SET told_at = NULL")
    await office.call("POST", path)
    await office.call("POST", path)
    assert len(await office.events(TransferCommand)) == told + 1, "ordered by a release before"


async def test_a_transfer_that_is_ordered_anew_has_its_own_hour(office, shop):
    # proves: J93
    lost = await shop(opening_balance_minor=500)
    path = f"{shop.base}/passes/{lost['pass_id']}/reissue"
    await office.call("POST", path, status=201)
    office.clock.advance(timedelta(minutes=61))
    await office.call("POST", path)
    *_, repeated = await office.events(TransferCommand)
    await office.hear(
        answer(repeated, outcome="refused", code="day_limit_exceeded", balance_minor=500)
    )
    office.clock.advance(timedelta(minutes=2))
    # Another try, under another key, is told at once, and again when its own hour is over.
    for minutes, count in ((0, 3), (59, 3), (2, 4)):
        office.clock.advance(timedelta(minutes=minutes))
        await office.call("POST", path)
        assert len(await office.events(TransferCommand)) == count
    keys = [
        each.idempotency_key.rpartition(":")[2] for each in await office.events(TransferCommand)
    ]
    assert keys == ["1", "1", "2", "2"]


async def a_person_with_many_cards(office, shop):
    """More than two pages of them; one of the first and one of the last are on their way to Bo."""
    program_id = await office.program(
        shop.workspace_id, protocol="GIFT_CARD", unit="EUR", unit_scale=2
    )
    await shop.holder("bo")
    ana = {"external_id": "ana", "full_name": "Ana Planted"}
    for _ in range(3):
        card = {"program_id": program_id, "holder": ana, "opening_balance_minor": 500}
        body = {"passes": [card] * 75}
        await office.call("POST", f"{shop.base}/passes/bulk", json=body)
    rows = await office.rows(
        "SELECT pass_id FROM pass_issuer.pass WHERE program_id = $1 ORDER BY pass_id",
        UUID(program_id),
    )
    cards = [str(row["pass_id"]) for row in rows]
    assert len(cards) == 225 > 2 * draw_holder_passes.PAGE_PASSES
    lost = [cards[2], cards[220]]
    for each in lost:
        path = f"{shop.base}/passes/{each}/reissue"
        await office.call("POST", path, status=201, json={"holder": "external:bo"})
    return cards, lost


async def test_a_moving_balance_keeps_none_of_the_pages_behind_it_from_being_erased(office, shop):
    # proves: J71, J93
    cards, lost = await a_person_with_many_cards(office, shop)
    erased = await office.call("DELETE", f"{shop.base}/holders/external:ana")
    assert erased["passes_erased"] is False
    keep_time = office.issuer.life.keep_time
    await keep_time()
    told = [str(each.pass_id) for each in await office.events(PassErased)]
    assert told == [each for each in cards if each not in lost]
    for each in lost:
        assert (await row_of(office, {"pass_id": each}))["status"] == "active"
    # While they wait, nobody looks at them again and again.
    [page] = await office.rows("SELECT requested_at, held_up FROM pass_issuer.holder_pages")
    office.clock.advance(timedelta(minutes=1))
    await keep_time()
    assert await office.rows("SELECT requested_at, held_up FROM pass_issuer.holder_pages") == [page]
    first, second = await office.events(TransferCommand)
    # Whichever is answered is erased, and does not wait for the other.
    for command in (second, first):
        await office.hear(answer(command))
        assert (await row_of(office, {"pass_id": command.pass_id}))["status_reason"] == "replaced"
        await keep_time()
    told = [str(each.pass_id) for each in await office.events(PassErased)]
    assert sorted(told) == cards
    assert told[-2:] == [lost[1], lost[0]]
    assert await office.rows("SELECT 1 FROM pass_issuer.holder_pages") == []
    again = await office.call("DELETE", f"{shop.base}/holders/{erased['holder_id']}")
    assert again["passes_erased"] is True


async def test_of_many_passes_none_waits_longer_than_a_day_for_a_ledger_that_is_silent(
    office, shop
):
    # proves: J71
    cards, lost = await a_person_with_many_cards(office, shop)
    await office.call("DELETE", f"{shop.base}/holders/external:ana")
    await office.issuer.life.keep_time()
    assert len(await office.events(PassErased)) == len(cards) - len(lost)
    office.clock.advance(timedelta(hours=25))
    await office.issuer.life.keep_time()
    assert len(await office.events(PassErased)) == len(cards)
    assert await office.rows("SELECT 1 FROM pass_issuer.holder_pages") == []


async def test_pages_that_fail_are_gone_through_one_by_one_past_a_moving_balance(
    office, shop, monkeypatch
):
    # proves: J71, J93
    cards, lost = await a_person_with_many_cards(office, shop)
    await office.call("DELETE", f"{shop.base}/holders/external:ana")
    step = DrawHolderPasses.step

    async def failing(self, work, page, *, limit=None):
        if limit is None:
            raise LookupError("planted")
        await step(self, work, page, limit=2)

    monkeypatch.setattr(DrawHolderPasses, "step", failing)
    for _ in range(3):
        await office.issuer.life.keep_time()
    assert len(await office.events(PassErased)) == len(cards) - len(lost)
