"""How passes end, and what is left of them: expiry, deletion, and the right to be forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from passferry_contracts.events.balances import PassBalanceChanged
from passferry_contracts.events.directory import LinkChanged
from passferry_contracts.events.inbound import InboundPassVoided
from passferry_contracts.events.passes import PassCreated, PassErased, PassExpired, PassVoided
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import DeviceRegistered, PassLinkOpened
from passferry_contracts.registry import LINK_CHANGED, PASS_RENDERED
from passferry_contracts.types import Platform
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.application import draw_holder_passes
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

#: Each is told nowhere once the person was forgotten.
PLANTED = {
    "full_name": "Quintessa Planted",
    "email": "quintessa.planted@example.org",
    "phone": "+49 40 7654321",
    "tags": ["planted-tag"],
    "consents": {"marketing": {"given": True, "source": "planted-source"}},
}
PLANTED_FIELD = "Planted flat white"
PLANTED_CODE = "PLANTED-CODE-1"
SECRETS = ("planted", "quintessa", "7654321")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


@pytest.fixture
async def shop(office, authority):
    workspace_id = await office.workspace()
    await office.give_identity(workspace_id, authority)
    base = f"/workspaces/{workspace_id}"
    programs = {}

    async def issue(program="GIFT_CARD", **body):
        if program not in programs:
            money = {"unit": "EUR", "unit_scale": 2} if program != "MEMBERSHIP" else {}
            programs[program] = await office.program(workspace_id, protocol=program, **money)
        body = {"program_id": programs[program], **body}
        return await office.call("POST", f"{base}/passes", status=201, json=body)

    issue.base, issue.workspace_id = base, workspace_id
    return issue


def opened(shop, issued, platform=Platform.APPLE):
    return PassLinkOpened(
        workspace_id=UUID(shop.workspace_id),
        pass_id=UUID(issued["pass_id"]),
        platform=platform,
        needs_rendering=True,
        occurred_at=issued["created_at"],
    )


def balance(shop, issued, amount, version):
    return PassBalanceChanged(
        workspace_id=UUID(shop.workspace_id),
        pass_id=UUID(issued["pass_id"]),
        external_id=issued["external_id"],
        program_id=UUID(issued["program_id"]),
        version=version,
        previous_balance_minor=0,
        new_balance_minor=amount,
        change_minor=amount,
        unit=issued["unit"],
        reason="reverse",
        changed_at=issued["created_at"],
    )


async def keep_time(office, **later):
    office.clock.advance(timedelta(**later))
    await office.issuer.life.keep_time()


async def everything_stored(office):
    """Every table of the schema, as text."""
    tables = await office.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'pass_issuer'"
        " AND table_name <> 'outbox'"
    )
    assert len(tables) > 20
    text = []
    for table in tables:
        rows = await office.rows(
            f'SELECT t::text AS row FROM pass_issuer."{table["table_name"]}" t'
        )
        text += [f"{table['table_name']}: {row['row']}" for row in rows]
    return text


def with_secrets(lines):
    return [line for line in lines if any(secret in line.lower() for secret in SECRETS)]


async def test_a_pass_expires_at_its_time_and_is_told_once(office, shop):
    # proves: J93, J71
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    one = await shop(expires_at=soon, opening_balance_minor=500)
    other = await shop(opening_balance_minor=500)
    await keep_time(office, minutes=59)
    assert await office.events(PassExpired) == []
    await keep_time(office, minutes=1)
    await keep_time(office, minutes=1)
    [told] = await office.events(PassExpired)
    assert (str(told.pass_id), told.reason, told.revision) == (one["pass_id"], "expired", 2)
    shown = await office.call("GET", f"{shop.base}/passes/{one['pass_id']}")
    assert (shown["status"], shown["status_reason"]) == ("expired", "expired")
    last = (await office.events(PassRendered))[-1]
    assert json.loads(last.apple.pass_json)["voided"] is True
    assert last.google.object_body["state"] == "EXPIRED"
    [ending] = [each for each in await office.envelopes() if isinstance(each.data, PassExpired)]
    assert [cause.event_id for cause in last.causes] == [ending.id]
    assert (await office.call("GET", f"{shop.base}/passes/{other['pass_id']}"))["revision"] == 1
    [audited] = await office.rows(
        "SELECT actor, target FROM pass_issuer.audit_log WHERE action = 'pass.expired'"
    )
    assert (audited["actor"], audited["target"]) == ("issuer:scheduler", one["pass_id"])


async def test_a_pass_that_got_more_time_does_not_expire(office, shop):
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    one = await shop(expires_at=soon, opening_balance_minor=500)
    path = f"{shop.base}/passes/{one['pass_id']}"
    await office.call("PATCH", path, json={"expires_at": None})
    await keep_time(office, hours=2)
    assert (await office.call("GET", path))["status"] == "active"


async def test_a_pass_that_cannot_be_drawn_expires_all_the_same(office, shop, monkeypatch):
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    broken = await shop(expires_at=soon, opening_balance_minor=500)
    fine = await shop(expires_at=soon, opening_balance_minor=500)
    render = WalletRenderer.render

    def refusing(self, subject):
        if str(subject.pass_id) == broken["pass_id"]:
            raise ContentRejected("invalid", "fields.points", "cannot be shown")
        return render(self, subject)

    monkeypatch.setattr(WalletRenderer, "render", refusing)
    await keep_time(office, hours=2)
    told = {str(each.pass_id): each.revision for each in await office.events(PassExpired)}
    # The broken one as well: bare, but over.
    assert told == {broken["pass_id"]: 2, fine["pass_id"]: 2}
    await keep_time(office, hours=2)
    assert len(await office.events(PassExpired)) == 2


async def test_expiry_goes_through_all_workspaces_in_small_pieces(office, shop, monkeypatch):
    monkeypatch.setattr("passferry_pass_issuer.application.keep_time.PER_WORKSPACE", 2)
    monkeypatch.setattr("passferry_pass_issuer.application.keep_time.BATCH", 3)
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    mine = [await shop(expires_at=soon, opening_balance_minor=500) for _ in range(5)]
    other = await office.workspace()
    program = await office.program(other, protocol="GIFT_CARD", unit="EUR", unit_scale=2)
    body = {"program_id": program, "expires_at": soon, "opening_balance_minor": 500}
    theirs = [
        await office.call("POST", f"/workspaces/{other}/passes", status=201, json=body)
        for _ in range(3)
    ]
    await keep_time(office, hours=2)
    told = [str(each.pass_id) for each in await office.events(PassExpired)]
    assert sorted(told) == sorted(each["pass_id"] for each in (*mine, *theirs))


async def test_marking_a_coupon_as_used_voids_it_and_tells_phones_once(office, shop):
    # proves: A5
    one = await shop("COUPON", opening_balance_minor=100)
    await office.hear(opened(shop, one))
    path = f"{shop.base}/passes/{one['pass_id']}/void"
    before = len(await office.events(PassRendered))
    for _ in range(2):
        answer = await office.call("POST", path, json={"reason": "used"})
    assert (answer["status"], answer["status_reason"]) == ("voided", "used")
    [told] = await office.events(PassVoided)
    assert told.reason == "used"
    [last] = (await office.events(PassRendered))[before:]
    assert last.apple.signature is not None
    assert not {"barcode", "barcodes"}.intersection(json.loads(last.apple.pass_json))
    assert last.google.object_body["state"] == "COMPLETED"


async def test_each_step_fills_what_is_kept_of_a_pass(office, shop):
    # proves: A6
    one = await shop(opening_balance_minor=500)
    await office.hear(balance(shop, one, 300, 1))
    office.clock.advance(timedelta(minutes=1))
    await office.call("POST", f"{shop.base}/passes/{one['pass_id']}/void", json={"reason": "fraud"})
    [row] = await office.rows("SELECT * FROM pass_issuer.pass")
    assert row["serial_number"] == one["serial_number"]
    assert len(row["authentication_token_sha256"]) == 64
    assert b"authenticationToken" not in row["authentication_token_ciphertext"]
    assert (row["status"], row["status_reason"], row["balance_minor"]) == ("voided", "fraud", 300)
    assert row["created_at"] < row["rendered_at"] == row["updated_at"] == office.clock.now()


async def test_a_deleted_pass_is_rung_first_and_taken_back_when_phones_had_time(office, shop):
    # proves: J93
    one = await shop(opening_balance_minor=500, fields={"favourite": PLANTED_FIELD})
    await office.hear(opened(shop, one))
    await office.call("DELETE", f"{shop.base}/passes/{one['pass_id']}")
    link = (await office.events(LinkChanged))[-1]
    key = (PASS_RENDERED.name, one["pass_id"])
    await keep_time(office, hours=23)
    kept = await office.compacted(PASS_RENDERED, LINK_CHANGED)
    assert json.loads(kept[key])["apple"]["signature"]
    assert json.loads((await office.events(PassRendered))[-1].apple.pass_json)["voided"] is True
    await keep_time(office, hours=1)
    kept = await office.compacted(PASS_RENDERED, LINK_CHANGED)
    assert kept[key] is None
    assert kept[LINK_CHANGED.name, str(link.link_id)] is None
    # The stub still says what became of it, and late events do not bring it back.
    shown = await office.call("GET", f"{shop.base}/passes/{one['pass_id']}")
    assert (shown["status"], shown["link"], shown["fields"]) == ("deleted", None, {})
    assert await office.hear(balance(shop, one, 1, 9)) == [None]
    assert await office.hear(opened(shop, one), opened(shop, one, Platform.OTHER)) == [None, None]
    assert await office.press.find_unsigned() == []
    assert (await office.compacted(PASS_RENDERED))[key] is None
    await keep_time(office, hours=100)
    assert (await office.compacted(PASS_RENDERED))[key] is None
    assert await office.rows("SELECT 1 FROM pass_issuer.pass_retirement") == []


async def erased_person(office, shop):
    """Someone with passes in every state, all of them showing who it is."""
    holders = f"{shop.base}/holders"
    await office.call("PUT", f"{holders}/external:planted-1", status=201, json=PLANTED)
    given = {
        "holder": {"external_id": "planted-1"},
        "opening_balance_minor": 500,
        "fields": {"favourite": PLANTED_FIELD},
    }
    active = await shop(**given, external_id="planted-pass", code=PLANTED_CODE)
    voided = await shop(**given)
    deleted = await shop(**given)
    stub = await shop(**given, external_id="planted-stub")
    await office.hear(opened(shop, active), opened(shop, voided))
    await office.call("POST", f"{shop.base}/passes/{voided['pass_id']}/void")
    await office.call("DELETE", f"{shop.base}/passes/{stub['pass_id']}")
    await keep_time(office, hours=25)
    await office.call("DELETE", f"{shop.base}/passes/{deleted['pass_id']}")
    return [active, voided, deleted, stub]


async def test_a_forgotten_person_is_nowhere(office, shop):
    # proves: J71
    passes = await erased_person(office, shop)
    neighbour = await shop(opening_balance_minor=500, holder={"full_name": "Neighbour"})
    assert with_secrets(await everything_stored(office))
    path = f"{shop.base}/holders/external:planted-1"
    answer = await office.call("POST", f"{path}/erasure")
    assert (answer["full_name"], answer["tags"], answer["passes_erased"]) == (None, [], True)
    # The person is gone from every table at once.
    assert with_secrets(await everything_stored(office)) == []
    told = await office.events(PassErased)
    assert {str(each.pass_id) for each in told} == {each["pass_id"] for each in passes}
    assert {(each.status, each.reason) for each in told} == {("deleted", "erased")}
    # Phones find a last revision that shows nobody.
    last = {str(each.pass_id): each for each in await office.events(PassRendered)}
    for each in passes[:3]:
        shown = json.loads(last[each["pass_id"]].apple.pass_json)
        assert shown["voided"] is True
        assert with_secrets([last[each["pass_id"]].model_dump_json()]) == []
    assert last[passes[0]["pass_id"]].apple.signature is not None
    kept = await office.compacted(PASS_RENDERED, LINK_CHANGED)
    assert with_secrets((value or b"").decode() for value in kept.values()) == []
    # Later every record of these passes is a tombstone, and the neighbour's are not.
    await keep_time(office, hours=24)
    kept = await office.compacted(PASS_RENDERED, LINK_CHANGED)
    mine = [each["pass_id"] for each in passes]
    assert all(kept[PASS_RENDERED.name, pass_id] is None for pass_id in mine)
    left = [value for (topic, _), value in kept.items() if topic == LINK_CHANGED.name and value]
    assert [json.loads(value)["pass_id"] for value in left] == [neighbour["pass_id"]]
    # Doing it again changes nothing; the id of the caller is free for somebody else.
    before = len(await office.envelopes())
    again = await office.call("DELETE", f"{shop.base}/holders/{answer['holder_id']}")
    assert (again["erased_at"], len(await office.envelopes())) == (answer["erased_at"], before)
    await office.call("GET", path, status=404)
    await office.call("PUT", path, status=201, json={})
    await office.call("PATCH", f"{shop.base}/holders/{answer['holder_id']}", status=404, json={})


async def test_an_erasure_of_many_passes_goes_on_by_itself(office, shop, monkeypatch):
    monkeypatch.setattr(draw_holder_passes, "PAGE_PASSES", 2)
    await office.call("PUT", f"{shop.base}/holders/external:planted-1", status=201, json=PLANTED)
    for _ in range(5):
        await shop(
            holder={"external_id": "planted-1"},
            opening_balance_minor=500,
            fields={"favourite": PLANTED_FIELD},
        )
    path = f"{shop.base}/holders/external:planted-1/erasure"
    answer = await office.call("POST", path)
    assert answer["passes_erased"] is False
    assert len(await office.events(PassErased)) == 2
    await office.issuer.life.keep_time()
    assert len(await office.events(PassErased)) == 5
    assert with_secrets(await everything_stored(office)) == []


async def test_a_pass_that_cannot_be_shown_without_its_person_leaves_the_wallets_bare(
    office, shop, monkeypatch
):
    await office.call("PUT", f"{shop.base}/holders/external:planted-1", status=201, json=PLANTED)
    one = await shop(
        "MEMBERSHIP",
        holder={"external_id": "planted-1"},
        fields={"favourite": PLANTED_FIELD},
        code=PLANTED_CODE,
    )

    def refusing(self, subject):
        raise ContentRejected("invalid", "fields.name", "cannot be shown")

    monkeypatch.setattr(WalletRenderer, "render", refusing)
    await office.call("POST", f"{shop.base}/holders/external:planted-1/erasure")
    [told] = await office.events(PassErased)
    assert str(told.pass_id) == one["pass_id"]
    last = (await office.events(PassRendered))[-1]
    assert (str(last.pass_id), last.revision) == (one["pass_id"], 2)
    assert json.loads(last.apple.pass_json)["voided"] is True
    assert last.google.object_body["state"] == "INACTIVE"
    await keep_time(office, seconds=0)
    # Phones have as long as with every deleted pass to fetch it.
    key = PASS_RENDERED.name, one["pass_id"]
    assert (await office.compacted(PASS_RENDERED))[key] is not None
    await keep_time(office, hours=25)
    assert (await office.compacted(PASS_RENDERED))[key] is None
    assert with_secrets(await everything_stored(office)) == []


async def test_the_audit_of_issuing_names_no_person(office, shop):
    # proves: J71
    await shop(opening_balance_minor=500, external_id="planted-pass")
    await shop(opening_balance_minor=500, holder={"full_name": PLANTED["full_name"]})
    audited = await office.rows("SELECT a::text AS row FROM pass_issuer.audit_log a")
    assert with_secrets(row["row"] for row in audited) == []
    assert len(await office.events(PassCreated)) == 2


UNOPENED = """
UPDATE pass_issuer.pass SET
    authentication_token_ciphertext = authentication_token_ciphertext || 'x'::bytea
WHERE pass_id = $1
"""
UNOPENED_HOLDER = """
UPDATE pass_issuer.holder SET personal_ciphertext = personal_ciphertext || 'x'::bytea
WHERE holder_id = $1
"""


@pytest.mark.parametrize("spoilt", ["pass", "holder"])
async def test_a_row_that_does_not_open_stops_neither_upkeep_nor_the_end_of_its_pass(
    office, spoilt
):
    # proves: J71
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    shops = [await office.workspace() for _ in range(2)]
    cards = []
    for workspace_id in shops:
        program_id = await office.program(workspace_id)
        for name in ("ana", "bo", "cleo"):
            body = {
                "program_id": program_id,
                "expires_at": None if name == "cleo" else soon,
                "holder": {"external_id": name, "full_name": name},
            }
            path = f"/workspaces/{workspace_id}/passes"
            cards.append(await office.call("POST", path, status=201, json=body))
    for bad in (cards[0], cards[2]):
        if spoilt == "pass":
            await office.rows(UNOPENED, UUID(bad["pass_id"]))
        else:
            await office.rows(UNOPENED_HOLDER, UUID(bad["holder_id"]))
    base = f"/workspaces/{shops[0]}"
    stolen = f"{base}/passes/{cards[2]['pass_id']}"
    assert (await office.call("POST", f"{stolen}/void"))["status"] == "voided"
    office.clock.advance(timedelta(hours=2))
    await office.issuer.life.keep_time()
    shown = await office.rows("SELECT status FROM pass_issuer.pass ORDER BY pass_id")
    assert [row["status"] for row in shown] == [
        *("expired", "expired", "voided"),
        *("expired", "expired", "active"),
    ]
    # Their right to be forgotten does not depend on it.
    await office.call("POST", f"{base}/holders/external:ana/erasure")
    await office.call("DELETE", stolen)
    office.clock.advance(timedelta(days=2))
    await office.issuer.life.keep_time()
    kept = await office.compacted(LINK_CHANGED)
    assert list(kept.values()).count(None) == 2


async def test_a_workspace_whose_duty_fails_keeps_no_other_waiting(office):
    soon = (office.clock.now() + timedelta(hours=1)).isoformat()
    bad, fine = sorted([await office.workspace() for _ in range(2)])
    issued = {}
    for each in (bad, fine):
        program_id = await office.program(each)
        body = {"program_id": program_id, "expires_at": soon}
        issued[each] = await office.call(
            "POST", f"/workspaces/{each}/passes", status=201, json=body
        )
    keeper, looked = office.issuer.life.keep_time, []

    class Failing:
        def __getattr__(self, name):
            return getattr(keeper.ended, name)

        async def expired(self, transaction, named, **how):
            looked.append(len(named))
            if UUID(bad) in named:
                raise RuntimeError("out of order")
            return await keeper.ended.expired(transaction, named, **how)

    office.clock.advance(timedelta(hours=2))
    await replace(keeper, end_due=replace(keeper.end_due, ended=Failing()))()
    path = f"/workspaces/{fine}/passes/{issued[fine]['pass_id']}"
    assert (await office.call("GET", path))["status"] == "expired"
    assert looked[0] > 1


async def test_passes_with_many_links_are_taken_back_part_by_part(office, monkeypatch):
    workspace_id = await office.workspace()
    program_id, base = await office.program(workspace_id), f"/workspaces/{workspace_id}/passes"
    for _ in range(3):
        one = await office.call("POST", base, status=201, json={"program_id": program_id})
        for _ in range(6):
            await office.call("POST", f"{base}/{one['pass_id']}/links", status=201, json={})
        await office.call("DELETE", f"{base}/{one['pass_id']}")
    monkeypatch.setattr("passferry_pass_issuer.application.keep_time.MAX_RECORDS", 5)
    # Of one pass they fit into a transaction, of two they do not.
    monkeypatch.setattr("passferry_runtime.postgres.MAX_EVENTS_PER_TRANSACTION", 10)
    office.clock.advance(timedelta(days=2))
    await office.issuer.life.keep_time()
    assert await office.rows("SELECT 1 FROM pass_issuer.pass_retirement") == []
    kept = await office.compacted(LINK_CHANGED)
    assert list(kept.values()) == [None] * 21


async def test_neither_a_members_number_nor_a_trace_of_their_phone_outlives_them(office, shop):
    # proves: J71
    number = "planted-member-77"
    one = await shop(serial_number=number, external_id=number, holder={"external_id": "ana"})
    kept = await shop(holder={"external_id": "bo"})

    def on_phone(issued):
        return DeviceRegistered(
            workspace_id=UUID(shop.workspace_id),
            pass_id=UUID(issued["pass_id"]),
            pass_type_identifier=issued["pass_type_identifier"],
            device_library_identifier="planted-phone",
            push_token_ciphertext="eA==",
            push_token_sha256="a" * 64,
            is_new=True,
            seen_revision=1,
            registered_at=office.clock.now(),
            serial_number=issued["serial_number"],
        )

    await office.hear(on_phone(one), on_phone(kept))
    await office.call("POST", f"{shop.base}/holders/external:ana/erasure")
    await keep_time(office, days=2)
    # What is told late brings nothing back.
    await office.hear(on_phone(one))
    assert with_secrets(await everything_stored(office)) == []
    traces = await office.rows("SELECT pass_id, apple_devices FROM pass_issuer.funnel_pass")
    with_trace = [str(row["pass_id"]) for row in traces if row["apple_devices"]]
    assert with_trace == [kept["pass_id"]]


async def test_what_the_ledger_or_an_upstream_ends_ends_although_it_cannot_be_shown(
    office, shop, monkeypatch
):
    # proves: J93
    ticket = await shop("COUPON", opening_balance_minor=1)
    program = await office.program(shop.workspace_id, balance_owner="upstream", name="Up")
    card = await shop(program_id=program, external_id="book-1")

    def refusing(self, subject):
        raise ContentRejected("invalid", "fields.name", "cannot be shown")

    monkeypatch.setattr(WalletRenderer, "render", refusing)
    used = balance(shop, ticket, 0, 2).model_copy(update={"exhausted": True})
    voided = InboundPassVoided(
        workspace_id=UUID(shop.workspace_id),
        external_id="book-1",
        version=2,
        occurred_at=office.clock.now(),
    )
    for _ in range(2):
        assert await office.hear(used) == [None]
        assert await office.hear(voided) == [None]
    told = {str(each.pass_id) for each in await office.events(PassVoided)}
    assert told == {ticket["pass_id"], card["pass_id"]}
    assert len(await office.events(PassVoided)) == 2
    # What ends nothing is refused, as before.
    other = await office.call("GET", f"{shop.base}/passes/{ticket['pass_id']}")
    assert (other["status"], other["balance_minor"], other["ledger_version"]) == ("voided", 0, 2)
