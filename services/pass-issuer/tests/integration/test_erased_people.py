"""Erased people stay erased, whatever was asked for before and is heard later; on real Postgres."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import zlib
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest

from passferry_contracts.events.directory import EnrolmentRequested, LinkChanged
from passferry_contracts.events.inbound import (
    InboundBalanceChanged,
    InboundHolder,
    InboundPassCreated,
    InboundPassUpdated,
)
from passferry_contracts.events.passes import PassCreated, PassErased, PassUpdated
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.registry import TOPICS
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.app import build_job_runner
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.secret_columns import SECRET_COLUMNS
from passferry_pass_issuer.entrypoints.check_upkeep import upkeep_check
from passferry_runtime.crypto import KeyRing
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

NAME, ADDRESS, ID, CARD = "Anna Planted", "anna@planted.example", "planted-1", "planted-card"
SECRETS = ("planted", "anna", "7654321")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def ring():
    return KeyRing.from_json(KeyRing.generate("own"))


@pytest.fixture
async def office(harness, make, authority, ring):
    async with make.open_office(harness, authority=authority, cipher=ring) as opened:
        yield opened


class NothingWaits:
    async def is_long(self) -> bool:
        return False


@pytest.fixture
async def shop(office):
    return await new_shop(office)


async def new_shop(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    shop = SimpleNamespace(workspace_id=UUID(workspace_id), base=base)
    shop.programs = {
        "ledger": await office.program(workspace_id),
        "upstream": await office.program(
            workspace_id,
            name="Upstream",
            protocol="GIFT_CARD",
            unit="EUR",
            unit_scale=2,
            balance_owner="upstream",
        ),
    }

    async def issue(status=201, program="ledger", **body):
        given = {"program_id": shop.programs[program], **body}
        return await office.call("POST", f"{base}/passes", status=status, json=given)

    shop.issue = issue
    runner = build_job_runner(
        office.issuer.workbench.transactions,
        office.stores,
        issuer=office.issuer,
        press=office.press,
        directory=office.directory,
        results_kept_days=30,
    )
    shop.runner = replace(runner, backlog=NothingWaits())
    return shop


async def erase(office, shop, reference=f"external:{ID}"):
    office.clock.advance(timedelta(minutes=1))
    erased = await office.call("POST", f"{shop.base}/holders/{reference}/erasure")
    office.clock.advance(timedelta(minutes=1))
    return erased


async def send_file(office, shop, kind, query, *rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return await office.call(
        "POST",
        f"{shop.base}/{kind}?{query}&max_per_second=10000",
        status=202,
        content=text.getvalue().encode(),
        headers={"Content-Type": "text/csv"},
    )


async def work_off(office, shop, job):
    for _ in range(20):
        office.clock.advance(timedelta(seconds=1))
        await shop.runner.once()
    key = {"Authorization": f"Bearer {office.administrator_key}"}
    shown = (await office.client.get(job["self"], headers=key)).json()
    assert shown["state"] == "done", shown
    answer = await office.client.get(f"{job['self']}/errors", headers=key)
    return shown, list(csv.DictReader(io.StringIO(answer.text)))[:-1]


async def named_in(office, *, without=()):
    """Rows of the schema that name the person; the outbox keeps what is sent until it is."""
    tables = await office.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'pass_issuer'"
    )
    assert len(tables) > 20
    found = []
    for table in {each["table_name"] for each in tables} - {"outbox", *without}:
        rows = await office.rows(f'SELECT lower(t::text) AS row FROM pass_issuer."{table}" t')
        found += [f"{table}: {row['row']}" for row in rows if names_the_person(row["row"])]
    return found


ISSUE_HEADER = ("external_id", "holder.external_id", "holder.full_name", "holder.email")


async def test_a_file_that_waited_brings_nobody_back_who_was_erased_meanwhile(office, shop):
    # proves: J71, J84
    await shop.issue(
        external_id=CARD, holder={"external_id": ID, "full_name": NAME, "email": ADDRESS}
    )
    rows = [
        (CARD, "", "", ""),
        ("n-1", ID, NAME, ""),
        ("n-2", "", NAME, ADDRESS.upper()),
        # Two ids are two people, even with one address; and whoever else is in it gets a pass.
        ("n-3", "bo", "Bo", ADDRESS),
        ("n-4", "cleo", "Cleo", "cleo@example.org"),
    ]
    query = f"program_id={shop.programs['ledger']}"
    job = await send_file(office, shop, "bulk-issues", query, ISSUE_HEADER, *rows)
    await office.call("POST", f"{shop.base}/bulk-issues/{job['bulk_issue_id']}/pause")
    await erase(office, shop)
    await office.call("POST", f"{shop.base}/bulk-issues/{job['bulk_issue_id']}/resume")
    done, errors = await work_off(office, shop, job)
    assert (done["created"], done["refused"]) == (2, 3)
    assert {each["code"] for each in errors} == {"holder_erased"}
    assert [each["field"] for each in errors] == [
        "external_id",
        "holder.external_id",
        "holder.email",
    ]
    assert "order it anew" in errors[0]["detail"]
    await office.call("GET", f"{shop.base}/holders/external:{ID}", status=404)
    assert await named_in(office) == []

    # The same file, sent now, is a new order of a new person.
    again = await send_file(office, shop, "bulk-issues", query, ISSUE_HEADER, *rows[1:2])
    done, _ = await work_off(office, shop, again)
    assert done["created"] == 1
    shown = await office.call("GET", f"{shop.base}/holders/external:{ID}")
    assert shown["full_name"] == NAME


async def test_who_was_known_by_an_address_alone_is_known_again_by_it(office, shop):
    # proves: J71
    issued = await shop.issue(holder={"full_name": NAME, "email": ADDRESS}, code="PLANTED-7")
    query = f"program_id={shop.programs['ledger']}"
    header = (*ISSUE_HEADER, "code")
    rows = [("n-1", ID, NAME, ADDRESS, ""), ("n-2", "", "", "", "PLANTED-7")]
    job = await send_file(office, shop, "bulk-issues", query, header, *rows)
    await erase(office, shop, issued["holder_id"])
    done, errors = await work_off(office, shop, job)
    assert (done["created"], [each["field"] for each in errors]) == (0, ["holder.email", "code"])


async def test_a_card_that_somebody_voided_with_our_word_is_erased_like_the_others(office, shop):
    # proves: J71
    card = await shop.issue(external_id=CARD, holder={"external_id": ID, "full_name": NAME})
    path = f"{shop.base}/passes/{card['pass_id']}/void"
    await office.call("POST", path, json={"reason": "erased"})
    assert (await erase(office, shop))["passes_erased"] is True
    [told] = await office.events(PassErased)
    assert str(told.pass_id) == card["pass_id"]
    names = await office.rows("SELECT 1 FROM pass_issuer.erased_name")
    assert len(names) == 3  # the holder's id, and the card's id and code


async def test_a_file_of_changes_from_before_does_not_reach_who_has_the_name_now(office, shop):
    # proves: J71, J84
    await shop.issue(external_id=CARD, holder={"external_id": ID, "full_name": NAME})
    header = ("external_id", "field.favourite")
    job = await send_file(
        office, shop, "bulk-changes", "action=update", header, (CARD, f"{NAME} likes tea")
    )
    await erase(office, shop)
    await shop.issue(external_id=CARD, holder={"external_id": "bo", "full_name": "Bo"})
    done, errors = await work_off(office, shop, job)
    assert (done["changed"], [each["code"] for each in errors]) == (0, ["holder_erased"])
    new = await office.call("GET", f"{shop.base}/passes/external:{CARD}")
    assert new["fields"] == {}
    header = ("external_id", "field.favourite")
    later = await send_file(
        office, shop, "bulk-changes", "action=update", header, (CARD, "Bo likes tea")
    )
    done, _ = await work_off(office, shop, later)
    assert done["changed"] == 1


def created(office, shop, **changes):
    given = {
        "workspace_id": shop.workspace_id,
        "external_id": CARD,
        "program_id": UUID(shop.programs["upstream"]),
        "version": 1,
        "balance_minor": 5,
        "occurred_at": office.clock.now(),
        "holder": InboundHolder(external_id=ID, full_name=NAME, email=ADDRESS),
    }
    return InboundPassCreated(**(given | changes))


def told(outcomes):
    return [each.code if each is not None else None for each in outcomes]


async def test_an_event_heard_again_brings_no_erased_person_back(office, shop):
    # proves: J71, A22
    first = created(office, shop)
    assert await office.hear(first) == [None]
    await erase(office, shop)
    late = [
        first,
        created(office, shop, external_id="n-1", occurred_at=first.occurred_at),
        created(
            office,
            shop,
            external_id=CARD,
            holder=InboundHolder(full_name=NAME),
            occurred_at=first.occurred_at,
        ),
    ]
    [refused, *others] = await office.hear(*late)
    assert told([refused, *others]) == ["holder_erased"] * 3
    # A dead letter says what to do, and nothing of what it holds.
    assert "order it anew" in str(refused)
    assert not any(each in str(refused).lower() for each in SECRETS)
    assert await named_in(office) == []
    assert len(await office.events(PassCreated)) == 1

    # A later order with the same names is of a new person.
    assert await office.hear(created(office, shop)) == [None]
    shown = await office.call("GET", f"{shop.base}/holders/external:{ID}")
    assert shown["full_name"] == NAME


async def test_a_late_event_about_an_erased_pass_does_not_reach_who_has_its_name_now(office, shop):
    # proves: J71, A22
    first = created(office, shop)
    await office.hear(first)
    address = {"workspace_id": shop.workspace_id, "external_id": CARD, "version": 9}
    late = InboundPassUpdated(
        **address, occurred_at=office.clock.now(), fields={"favourite": f"{NAME} likes tea"}
    )
    await erase(office, shop)
    # Nobody waits for a pass that will not come.
    assert told(await office.hear(late)) == ["holder_erased"]
    bo = InboundHolder(external_id="bo", full_name="Bo")
    await office.hear(created(office, shop, holder=bo))
    balance = InboundBalanceChanged(
        **address | {"version": 2}, occurred_at=office.clock.now(), new_balance_minor=7
    )
    assert told(await office.hear(late, balance)) == ["holder_erased", None]
    new = await office.call("GET", f"{shop.base}/passes/external:{CARD}")
    assert (new["fields"], new["balance_minor"]) == ({}, 7)
    assert await named_in(office, without={"pass"}) == []


async def test_a_form_that_was_sent_before_the_erasure_is_answered_with_the_reason(office, shop):
    # proves: J71
    await shop.issue(holder={"external_id": ID, "full_name": NAME, "email": ADDRESS})

    def asked(number):
        return EnrolmentRequested(
            workspace_id=shop.workspace_id,
            program_id=UUID(shop.programs["ledger"]),
            claim_code_sha256=f"{number:064x}",
            full_name=NAME,
            email=ADDRESS,
            requested_at=office.clock.now(),
        )

    late = asked(1)
    await erase(office, shop)
    assert await office.hear(late) == [None]
    assert await office.hear(asked(2)) == [None]
    claims = [each for each in await office.events(LinkChanged) if each.kind == "claim"]
    assert [each.claim_outcome for each in claims] == ["holder_erased", "issued"]


async def test_a_strangers_form_with_her_address_stops_no_order_of_hers(office, shop):
    # proves: J71
    def asked(number):
        return EnrolmentRequested(
            workspace_id=shop.workspace_id,
            program_id=UUID(shop.programs["ledger"]),
            claim_code_sha256=f"{number:064x}",
            full_name="Mallory",
            email=ADDRESS,
            requested_at=office.clock.now(),
        )

    await person(office, shop, ID, full_name=NAME, email=ADDRESS)
    query = f"program_id={shop.programs['ledger']}"
    rows = [("n-1", ID, NAME, ADDRESS)]
    waiting = await send_file(office, shop, "bulk-issues", query, ISSUE_HEADER, *rows)
    late = asked(1)
    assert await office.hear(asked(2)) == [None]
    [stranger] = await office.rows(
        "SELECT holder_id FROM pass_issuer.holder WHERE NOT is_address_proven"
    )
    await erase(office, shop, stranger["holder_id"])
    # A form that was under way when the stranger was erased may be the stranger's.
    assert await office.hear(late) == [None]
    claims = [each for each in await office.events(LinkChanged) if each.kind == "claim"]
    assert [each.claim_outcome for each in claims] == ["issued", "holder_erased"]
    done, errors = await work_off(office, shop, waiting)
    assert (done["created"], errors) == (1, [])


async def test_what_is_remembered_of_the_erased_is_unreadable_and_of_one_workspace_alone(
    office, shop
):
    # proves: J71, J2, A16
    other = await new_shop(office)
    person = {"external_id": ID, "full_name": NAME, "email": ADDRESS}
    for each in (shop, other):
        await each.issue(external_id=CARD, holder=person)
    query = f"program_id={other.programs['ledger']}"
    row = ("n-1", "", NAME, ADDRESS)
    job = await send_file(office, other, "bulk-issues", query, ISSUE_HEADER, row)
    [known] = await office.rows(
        "SELECT email_hmac FROM pass_issuer.holder WHERE workspace_id = $1", shop.workspace_id
    )
    await erase(office, shop)
    kept = await office.rows("SELECT * FROM pass_issuer.erased_name")
    assert {each["workspace_id"] for each in kept} == {shop.workspace_id}
    # The holder, the address, and the pass with its code.
    assert len(kept) == 4
    assert {len(each["name_hmac"]) for each in kept} == {32}
    # Nor does it tell which other holder has the address, to who can read the tables only.
    assert known["email_hmac"] not in {each["name_hmac"] for each in kept}
    # There she is still who she was.
    _, errors = await work_off(office, other, job)
    assert [each["code"] for each in errors] == ["holder_is_member"]
    await erase(office, other)
    kept = await office.rows("SELECT * FROM pass_issuer.erased_name")
    mine, theirs = (
        {row["name_hmac"] for row in kept if row["workspace_id"] == each.workspace_id}
        for each in (shop, other)
    )
    assert mine
    assert not mine & theirs


async def test_the_erased_are_remembered_until_nothing_older_can_come_back(office, shop):
    # proves: J71
    await shop.issue(external_id=CARD, holder={"external_id": ID, "email": ADDRESS})
    query = f"program_id={shop.programs['ledger']}"
    row = ("n-1", ID, NAME, "")
    job = await send_file(office, shop, "bulk-issues", query, ISSUE_HEADER, row)
    path = f"{shop.base}/bulk-issues/{job['bulk_issue_id']}"
    await office.call("POST", f"{path}/pause")
    await erase(office, shop)

    async def remembered(**later):
        office.clock.advance(timedelta(**later))
        await office.issuer.life.keep_time()
        return len(await office.rows("SELECT 1 FROM pass_issuer.erased_name"))

    assert await remembered(days=29) == 4
    # Paused and resumed, a file may wait for longer than anything else.
    await office.call("POST", f"{path}/resume")
    await office.call("POST", f"{path}/pause")
    assert await remembered(days=20) == 4
    await office.call("POST", f"{path}/resume")
    done, errors = await work_off(office, shop, job)
    assert (done["created"], [each["code"] for each in errors]) == (0, ["holder_erased"])
    assert await remembered(seconds=1) == 0


async def test_an_erasure_done_page_by_page_remembers_every_pass_from_its_beginning(
    office, shop, monkeypatch
):
    # proves: J71
    monkeypatch.setattr("passferry_pass_issuer.application.draw_holder_passes.PAGE_PASSES", 1)
    for number in range(3):
        await office.hear(created(office, shop, external_id=f"{CARD}-{number}"))
    late = created(office, shop, external_id=f"{CARD}-2", holder=InboundHolder())
    assert (await erase(office, shop))["passes_erased"] is False
    between = created(office, shop, external_id=f"{CARD}-2", holder=InboundHolder())
    office.clock.advance(timedelta(hours=1))
    await office.issuer.life.keep_time()
    # A later order was asked for after the erasure, though before this page of it.
    assert told(await office.hear(late, between)) == ["holder_erased", None]
    assert len(await office.events(PassCreated)) == 4


async def person(office, shop, name, **facts):
    path = f"{shop.base}/holders/external:{name}"
    return await office.call("PUT", path, status=201, json=facts)


FIELDS = {"favourite": f"{NAME} likes tea", "size": "L", "number": "planted-77"}


@pytest.fixture
async def handed_over(office, shop):
    """A card that was Anna's and is Bo's."""
    await person(office, shop, ID, full_name=NAME, email=ADDRESS)
    await person(office, shop, "bo", full_name="Bo")
    card = await shop.issue(holder={"external_id": ID}, fields=FIELDS)
    path = f"{shop.base}/passes/{card['pass_id']}"
    await office.call("POST", f"{path}/transfer", json={"holder": "external:bo"})
    return path


async def test_cards_that_never_open_keep_none_from_being_cleared_that_does(
    office, shop, monkeypatch
):
    # proves: J71, A14
    monkeypatch.setattr("passferry_pass_issuer.application.former_holders.LATE_PER_WORKSPACE", 2)
    monkeypatch.setattr("passferry_pass_issuer.application.do_duties.MAX_FAILED", 2)
    await person(office, shop, ID, full_name=NAME)
    cards = []
    for number in range(5):
        await person(office, shop, f"bo-{number}", full_name="Bo")
        card = await shop.issue(
            holder={"external_id": ID}, fields=FIELDS, external_id=f"card-{number}"
        )
        path = f"{shop.base}/passes/{card['pass_id']}"
        await office.call("POST", f"{path}/transfer", json={"holder": f"external:bo-{number}"})
        cards.append(card["pass_id"])
    for each in cards:
        await office.rows(SPOIL_TOKEN, UUID(each))
    assert (await erase(office, shop))["passes_erased"] is False
    # The last one of the line is the only one that opens again.
    await office.rows(MEND_TOKEN, UUID(max(cards)))
    for _ in range(3):
        office.clock.advance(timedelta(minutes=1))
        await office.issuer.life.keep_time()
    card = await office.call("GET", f"{shop.base}/passes/{max(cards)}")
    assert card["fields"] == {"size": "L", "number": "planted-77"}
    waiting = await office.rows("SELECT 1 FROM pass_issuer.former_holder")
    assert len(waiting) == 4
    assert (await upkeep_check(office.issuer.life.keep_time.failures).probe()).state == "degraded"


async def test_who_was_erased_leaves_the_card_that_was_handed_over_before(
    office, shop, handed_over
):
    # proves: J71, J93
    told = len(await office.envelopes())
    erased = await erase(office, shop)
    assert erased["passes_erased"] is True
    card = await office.call("GET", handed_over)
    # It goes on as Bo's: what nobody can know to be Anna's stays.
    assert (card["status"], card["fields"]) == ("active", {"size": "L", "number": "planted-77"})
    events = [each.data for each in (await office.envelopes())[told:]]
    [updated] = [each for each in events if isinstance(each, PassUpdated)]
    assert str(updated.erased_holder_id) == erased["holder_id"]
    assert (updated.changed_fields, updated.holder_id) == (["favourite"], None)
    [drawn] = [each for each in events if isinstance(each, PassRendered)]
    assert "Bo" in drawn.apple.pass_json
    assert "nna" not in drawn.model_dump_json()
    assert await office.events(PassErased) == []
    assert await office.rows("SELECT 1 FROM pass_issuer.former_holder") == []
    [audited] = await office.rows(
        "SELECT after FROM pass_issuer.audit_log WHERE action = 'pass.former_holder_erased'"
    )
    assert json.loads(audited["after"]) == {"changed_fields": ["favourite"]}
    # Bo's own erasure deletes it.
    await erase(office, shop, "external:bo")
    assert len(await office.events(PassErased)) == 1


async def test_what_was_said_anew_since_is_the_next_holders(office, shop, handed_over):
    # proves: J71
    kept = await office.rows("SELECT h::text AS row FROM pass_issuer.former_holder h")
    assert "favourite" in kept[0]["row"]
    assert not any(each in kept[0]["row"].lower() for each in SECRETS)
    await office.call("PATCH", handed_over, json={"fields": {"favourite": "Bo likes tea"}})
    await erase(office, shop)
    assert (await office.call("GET", handed_over))["fields"]["favourite"] == "Bo likes tea"


SPOIL_TOKEN = """
UPDATE pass_issuer.pass SET authentication_token_ciphertext =
    authentication_token_ciphertext || 'x'::bytea WHERE pass_id = $1
"""
MEND_TOKEN = """
UPDATE pass_issuer.pass SET authentication_token_ciphertext =
    substr(authentication_token_ciphertext, 1, length(authentication_token_ciphertext) - 1)
WHERE pass_id = $1
"""


async def test_a_card_that_does_not_open_says_nothing_more_of_them_once_it_does(
    office, shop, handed_over
):
    # proves: J71
    await person(office, shop, "cleo", full_name="Cleo Brand")
    beside = await shop.issue(holder={"external_id": "cleo"}, fields=FIELDS)
    pass_id = UUID(handed_over.rpartition("/")[2])
    await office.rows(SPOIL_TOKEN, pass_id)
    erased = await erase(office, shop)
    # The person is erased; Bo's card still says their name, and that is told, also when asked again.
    assert erased["passes_erased"] is False
    again = f"{shop.base}/holders/{erased['holder_id']}/erasure"
    assert (await office.call("POST", again))["passes_erased"] is False
    for _ in range(2):
        office.clock.advance(timedelta(minutes=1))
        await office.issuer.life.keep_time()
        health = await upkeep_check(office.issuer.life.keep_time.failures).probe()
        assert health.state == "degraded"
        assert str(pass_id) in health.detail
    told = [each for each in await office.events(PassUpdated) if each.erased_holder_id]
    assert told == []
    await office.rows(MEND_TOKEN, pass_id)
    await office.issuer.life.keep_time()
    assert (await office.call("GET", handed_over))["fields"] == {
        "size": "L",
        "number": "planted-77",
    }
    [told] = [each for each in await office.events(PassUpdated) if each.erased_holder_id]
    assert (str(told.erased_holder_id), told.changed_fields) == (erased["holder_id"], ["favourite"])
    assert (await office.call("POST", again))["passes_erased"] is True
    last = [each for each in await office.events(PassRendered) if each.pass_id == pass_id][-1]
    assert NAME not in last.apple.pass_json
    assert (await upkeep_check(office.issuer.life.keep_time.failures).probe()).state == "ok"
    assert await office.rows("SELECT 1 FROM pass_issuer.former_holder") == []
    # Nobody else's card is touched.
    other = await office.call("GET", f"{shop.base}/passes/{beside['pass_id']}")
    assert other["fields"] == FIELDS


async def test_a_follower_of_the_card_forgets_them_too(office, shop, handed_over):
    # proves: J71, J93
    await person(office, shop, "cleo", full_name="Cleo Brand")
    note = {"fields": {"note": "for Bo"}}
    await office.call("PATCH", handed_over, json=note)
    body = {"holder": "external:cleo"}
    made = await office.call("POST", f"{handed_over}/reissue", status=201, json=body)
    new = f"{shop.base}/passes/{made['pass']['pass_id']}"
    assert made["pass"]["fields"] == FIELDS | note["fields"]
    await erase(office, shop)
    left = {"size": "L", "number": "planted-77", "note": "for Bo"}
    assert [(await office.call("GET", each))["fields"] for each in (handed_over, new)] == [left] * 2


async def test_a_card_that_came_back_is_erased_with_its_holder(office, shop, handed_over):
    # proves: J71
    back = {"holder": f"external:{ID}"}
    await office.call("POST", f"{handed_over}/transfer", json=back)
    await erase(office, shop)
    [told] = await office.events(PassErased)
    assert handed_over.endswith(str(told.pass_id))
    assert await named_in(office) == []
    # Bo had it for a while, and is told of when he goes.
    bo = await erase(office, shop, "external:bo")
    updates = [each for each in await office.events(PassUpdated) if each.erased_holder_id]
    assert [str(each.erased_holder_id) for each in updates] == [bo["holder_id"]]
    assert len(await office.events(PassErased)) == 1
    assert await office.rows("SELECT 1 FROM pass_issuer.former_holder") == []


async def test_the_code_of_a_card_stays_whoever_it_was_made_of(office, shop, make):
    # proves: J71, J93
    barcode = {"format": "qr", "message": {"source": "field.number"}}
    layout = make.template_json()["apple"] | {"barcode": barcode}
    template_id = await office.template(str(shop.workspace_id), apple=layout)
    shop.programs["coded"] = await office.program(
        str(shop.workspace_id), template_id=template_id, name="Coded"
    )
    await person(office, shop, "planted-77", full_name=NAME)
    await person(office, shop, "bo", full_name="Bo")
    card = await shop.issue(program="coded", holder={"external_id": "planted-77"}, fields=FIELDS)
    path = f"{shop.base}/passes/{card['pass_id']}"
    await office.call("POST", f"{path}/transfer", json={"holder": "external:bo"})
    await erase(office, shop, "external:planted-77")
    assert (await office.call("GET", path))["fields"] == {"size": "L", "number": "planted-77"}


async def test_a_card_that_cannot_be_drawn_without_them_is_left_and_told(
    office, shop, handed_over, monkeypatch
):
    def refusing(self, subject):
        raise ContentRejected("invalid", "fields.name", "cannot be shown")

    monkeypatch.setattr(WalletRenderer, "render", refusing)
    await erase(office, shop)
    assert (await office.call("GET", handed_over))["status"] == "active"
    [told] = [each for each in await office.events(PassUpdated) if each.erased_holder_id]
    assert told.changed_fields == []


async def sealed_about(office, ring):
    """Ciphertexts that name the person once they are opened."""
    found = []
    for column in SECRET_COLUMNS:
        names = [name for name, _ in column.keys]
        listed = ", ".join(["workspace_id", *names, column.column])
        rows = await office.rows(
            f"SELECT {listed} FROM pass_issuer.{column.table} WHERE {column.column} IS NOT NULL"
        )
        for row in rows:
            context = column.context_of(row["workspace_id"], [row[name] for name in names])
            opened = ring.decrypt(row[column.column], context=context)
            with contextlib.suppress(zlib.error):
                opened = zlib.decompress(opened)
            if names_the_person(opened.decode(errors="replace")):
                found.append(f"{column.table}.{column.column}")
    return found


def names_the_person(text):
    return any(each in text.lower() or each.encode().hex() in text.lower() for each in SECRETS)


async def kept_on_kafka(office, *, since):
    """What names the person among what topics keep: of compacted ones the last record of each
    key, of the others what was told after the outbox row `since`, when retention took the rest."""
    rows = await office.rows(
        "SELECT id, topic, key, headers::text AS headers, value FROM pass_issuer.outbox ORDER BY id"
    )
    last = {(row["topic"], row["key"]): row["id"] for row in rows}
    return [
        f"{row['topic']} {row['key']}"
        for row in rows
        if (
            last[row["topic"], row["key"]] == row["id"]
            if TOPICS[row["topic"]].compacted
            else row["id"] > since
        )
        and names_the_person(f"{row['key']} {row['headers']} {(row['value'] or b'').decode()}")
    ]


async def lived_here(office, shop):
    """Everything of the issuer that can hold something of a person does; the late orders of it."""
    await person(
        office,
        shop,
        ID,
        full_name=NAME,
        email=ADDRESS,
        phone="+49 40 7654321",
        tags=["planted-tag"],
        consents={"marketing": {"given": True, "source": "planted-source"}},
    )
    await person(office, shop, "bo", full_name="Bo")
    given = {"holder": {"external_id": ID}, "fields": {"favourite": f"{NAME} likes tea"}}
    once = {"Idempotency-Key": "planted-key"}
    message_once = {"Idempotency-Key": "planted-message"}
    body = {"program_id": shop.programs["ledger"], **given}
    path = f"{shop.base}/passes"
    given_away = await office.call("POST", path, status=201, json=body, headers=once)
    card = f"{path}/{given_away['pass_id']}"
    words = {"header": "Planted", "body": f"Dear {NAME}"}
    await office.call("POST", f"{card}/messages", status=201, json=words, headers=message_once)
    await office.call("POST", f"{card}/transfer", json={"holder": "external:bo"})
    await shop.issue(**given, external_id=CARD, code="PLANTED-1", serial_number="planted-serial")
    # A file that was done, and one that waits; what an upstream said; and a form.
    query = f"program_id={shop.programs['upstream']}"
    rows = [ISSUE_HEADER, ("n-1", "", NAME, ADDRESS), ("planted-n-2", ID, NAME, ADDRESS)]
    done = await send_file(office, shop, "bulk-issues", f"{query}&dry_run=true", *rows)
    await work_off(office, shop, done)
    waiting = await send_file(office, shop, "bulk-issues", query, *rows)
    await office.call("POST", f"{shop.base}/bulk-issues/{waiting['bulk_issue_id']}/pause")
    said = created(office, shop, external_id="planted-up")
    await office.hear(said)
    return waiting, said


async def test_a_scan_of_all_that_is_kept_finds_nothing_of_who_was_erased(office, shop, ring):
    # proves: J71, J72
    waiting, said = await lived_here(office, shop)
    assert await named_in(office)
    assert set(await sealed_about(office, ring)) >= {"holder.personal_ciphertext"}
    [last] = await office.rows("SELECT max(id) AS id FROM pass_issuer.outbox")
    assert len(await kept_on_kafka(office, since=0)) > 5
    await erase(office, shop)
    # At once in the tables, but for the serial number, by which phones ask for the last revision.
    left = await named_in(office)
    assert not [row for row in left if names_the_person(row.replace("planted-serial", ""))]
    # The file that waits is the last to hold anything.
    assert set(await sealed_about(office, ring)) == {"job_chunk.content_ciphertext"}
    # Whatever is heard late changes nothing of that.
    assert told(await office.hear(said)) == ["holder_erased"]
    path = f"{shop.base}/bulk-issues/{waiting['bulk_issue_id']}"
    await office.call("POST", f"{path}/resume")
    _, errors = await work_off(office, shop, waiting)
    assert {each["code"] for each in errors} == {"holder_erased"}
    office.clock.advance(timedelta(days=2))
    await office.issuer.life.keep_time()
    assert await named_in(office) == []
    assert await sealed_about(office, ring) == []
    assert await kept_on_kafka(office, since=last["id"]) == []


@pytest.mark.parametrize("way", ["transfer", "reissue"])
async def test_nobody_takes_over_a_card_that_an_erasure_is_on_its_way_to(
    office, shop, monkeypatch, way
):
    # proves: J71, J93
    monkeypatch.setattr("passferry_pass_issuer.application.draw_holder_passes.PAGE_PASSES", 1)
    await person(office, shop, "bo", full_name="Bo")
    shop.programs["tea"] = await office.program(str(shop.workspace_id), name="Tea")
    for program in ("ledger", "tea"):
        holder = {"external_id": ID, "full_name": NAME}
        card = await shop.issue(program=program, holder=holder, fields=FIELDS)
    assert (await erase(office, shop))["passes_erased"] is False
    path = f"{shop.base}/passes/{card['pass_id']}/{way}"
    problem = await office.call("POST", path, status=409, json={"holder": "external:bo"})
    assert problem["code"] == "holder_erased"
    await office.issuer.life.keep_time()
    assert len(await office.events(PassErased)) == 2
    assert await named_in(office) == []


async def test_what_the_audit_log_knows_of_former_holders_is_taken_over(office, shop, handed_over):
    # proves: J71
    [kept] = await office.rows("SELECT holder_id, pass_id FROM pass_issuer.former_holder")
    await office.rows("DELETE FROM pass_issuer.former_holder")
    migration = resources.files("passferry_pass_issuer.migrations") / "0012_erased_people.sql"
    text = migration.read_text()
    for table in ("former_holder", "audit_log"):
        text = text.replace(f" {table} ", f" pass_issuer.{table} ")
    await office.rows(text[text.index("INSERT INTO") :].rstrip().rstrip(";"))
    rows = "SELECT holder_id, pass_id, own_values::text FROM pass_issuer.former_holder"
    [taken] = await office.rows(rows)
    assert (taken["holder_id"], taken["pass_id"]) == (kept["holder_id"], kept["pass_id"])
    assert taken["own_values"] == "{}"
    await erase(office, shop)
    [told] = [each for each in await office.events(PassUpdated) if each.erased_holder_id]
    assert told.changed_fields == []


async def test_who_had_what_a_reissued_card_is_made_of_is_taken_over(office, shop):
    # proves: J71
    # Ana's card, transferred to Bo, reissued to Bo, and reissued to Cleo.
    for name in ("bo", "cleo"):
        await person(office, shop, name, full_name=name)
    card = await shop.issue(holder={"external_id": ID, "full_name": NAME})
    bystander = await shop.issue(holder={"external_id": "dora"})
    path = f"{shop.base}/passes"
    await office.call("POST", f"{path}/{bystander['pass_id']}/reissue", status=201)
    bos = {"json": {"holder": "external:bo"}}
    await office.call("POST", f"{path}/{card['pass_id']}/transfer", **bos)
    second = await office.call("POST", f"{path}/{card['pass_id']}/reissue", status=201)
    await office.rows("UPDATE pass_issuer.pass_replacement SET state = 'done'")
    third = await office.call(
        "POST",
        f"{path}/{second['pass']['pass_id']}/reissue",
        status=201,
        json={"holder": "external:cleo"},
    )
    rows = "SELECT holder_id, pass_id FROM pass_issuer.former_holder"
    kept = {tuple(row) for row in await office.rows(rows)}
    ana, bo = UUID(card["holder_id"]), UUID(second["pass"]["holder_id"])
    ids = [UUID(each["pass_id"]) for each in (card, second["pass"], third["pass"])]
    assert kept == {(ana, each) for each in ids} | {(bo, ids[2])}
    await office.rows("DELETE FROM pass_issuer.former_holder")
    directory = resources.files("passferry_pass_issuer.migrations")
    text = (directory / "0017_followers_of_former_holders.sql").read_text()
    connection = await asyncpg.connect(office.harness.admin_url)
    try:
        await connection.execute("SET search_path = pass_issuer")
        await connection.execute(text)
        assert {tuple(row) for row in await office.rows(rows)} == kept
        # Of those who were erased meanwhile nothing is written down again.
        await office.rows("DELETE FROM pass_issuer.former_holder")
        await office.rows(
            "UPDATE pass_issuer.holder SET erased_at = now() WHERE holder_id = $1", ana
        )
        await connection.execute(text)
        assert {tuple(row) for row in await office.rows(rows)} == {(bo, ids[2])}
    finally:
        await connection.close()
