"""The upkeep serves everybody: what cannot be done for one holds up no other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import pytest

from passferry_contracts.events.passes import PassErased, PassExpired
from passferry_contracts.registry import LINK_CHANGED, PASS_RENDERED
from passferry_pass_issuer.adapters.postgres_upkeep import PostgresEndedPasses
from passferry_pass_issuer.application import do_duties, draw_holder_passes, end_due_passes
from passferry_pass_issuer.application import keep_time as keep_time_module
from passferry_pass_issuer.entrypoints.check_upkeep import upkeep_check
from passferry_runtime import postgres
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

PLANTED = "planted-name"

SPOIL_TOKEN = """
UPDATE pass_issuer.pass SET authentication_token_ciphertext = '\\x00'
WHERE pass_id = $1
"""

SPOIL_HOLDER = "UPDATE pass_issuer.holder SET personal_ciphertext = '\\x00' WHERE holder_id = $1"

CLOSED_LINKS = """
INSERT INTO pass_issuer.link (workspace_id, link_id, pass_id, token_sha256, created_at, is_extra,
    is_revoked)
SELECT $1, gen_random_uuid(), $2, md5(random()::text) || md5(random()::text), now(), true, true
FROM generate_series(1, $3)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


async def a_shop(office):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    program_id = await office.program(workspace_id)

    async def issue(**body):
        given = {"program_id": program_id, **body}
        return await office.call("POST", f"{base}/passes", status=201, json=given)

    issue.base, issue.workspace_id = base, workspace_id
    return issue


def soon(office):
    return (office.clock.now() + timedelta(hours=1)).isoformat()


async def status_of(office, shop, issued):
    return (await office.call("GET", f"{shop.base}/passes/{issued['pass_id']}"))["status"]


async def keep_time(office, **later):
    office.clock.advance(timedelta(**later))
    await office.issuer.life.keep_time()


async def health(office):
    return await upkeep_check(office.issuer.life.keep_time.failures).probe()


@pytest.mark.parametrize(
    ("spoil", "id_name"), [(SPOIL_TOKEN, "pass_id"), (SPOIL_HOLDER, "holder_id")]
)
async def test_a_secret_that_does_not_open_stops_no_other_pass_from_expiring(
    office, spoil, id_name
):
    # proves: J93
    mine, theirs = await a_shop(office), await a_shop(office)
    bad = await mine(holder={"full_name": PLANTED}, expires_at=soon(office))
    beside = await mine(expires_at=soon(office))
    other = await theirs(expires_at=soon(office))
    await office.rows(spoil, UUID(bad[id_name]))
    await keep_time(office, hours=2)
    assert await status_of(office, theirs, other) == "expired"
    assert await status_of(office, mine, beside) == "expired"
    # Its own end is told too.
    told = {str(each.pass_id): each.revision for each in await office.events(PassExpired)}
    assert told == {bad["pass_id"]: 2, beside["pass_id"]: 2, other["pass_id"]: 2}
    assert (await health(office)).state == "ok"


async def test_a_person_is_erased_whose_pass_holds_a_secret_that_does_not_open(office):
    # proves: J71
    shop = await a_shop(office)
    bad = await shop(holder={"external_id": "ana", "full_name": PLANTED})
    await office.rows(SPOIL_TOKEN, UUID(bad["pass_id"]))
    await office.call("POST", f"{shop.base}/holders/external:ana/erasure")
    [told] = await office.events(PassErased)
    assert str(told.pass_id) == bad["pass_id"]
    await keep_time(office, hours=25)
    kept = await office.compacted(PASS_RENDERED)
    assert kept[PASS_RENDERED.name, bad["pass_id"]] is None


async def test_links_are_taken_back_a_few_passes_at_a_time(office, monkeypatch):
    # proves: J93
    monkeypatch.setattr(keep_time_module, "MAX_RECORDS", 20)
    shop, other = await a_shop(office), await a_shop(office)
    passes = [await shop() for _ in range(4)]
    for each in passes:
        await office.rows(CLOSED_LINKS, UUID(shop.workspace_id), UUID(each["pass_id"]), 15)
        await office.call("DELETE", f"{shop.base}/passes/{each['pass_id']}")
    theirs = await other()
    await office.call("DELETE", f"{other.base}/passes/{theirs['pass_id']}")
    monkeypatch.setattr(postgres, "MAX_EVENTS_PER_TRANSACTION", 40)
    await keep_time(office, days=3)
    assert await office.rows("SELECT 1 FROM pass_issuer.pass_retirement") == []
    assert await office.rows("SELECT 1 FROM pass_issuer.link") == []
    kept = await office.compacted(PASS_RENDERED, LINK_CHANGED)
    assert len(kept) == 5 + 5 + 4 * 15
    assert set(kept.values()) == {None}


async def test_an_erasure_takes_as_many_passes_as_their_links_allow(office, monkeypatch):
    # proves: J71
    monkeypatch.setattr(draw_holder_passes, "MAX_LINKS", 20, raising=False)
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    program = await office.program(workspace_id, protocol="GIFT_CARD", unit="EUR", unit_scale=2)
    body = {"program_id": program, "holder": {"external_id": "ana"}, "opening_balance_minor": 5}
    for _ in range(4):
        one = await office.call("POST", f"{base}/passes", status=201, json=body)
        await office.rows(CLOSED_LINKS, UUID(workspace_id), UUID(one["pass_id"]), 15)
        await office.rows(
            "UPDATE pass_issuer.link SET is_revoked = false WHERE pass_id = $1",
            UUID(one["pass_id"]),
        )
    monkeypatch.setattr(postgres, "MAX_EVENTS_PER_TRANSACTION", 40)
    answer = await office.call("POST", f"{base}/holders/external:ana/erasure")
    assert answer["passes_erased"] is False
    await keep_time(office, seconds=0)
    assert len(await office.events(PassErased)) == 4
    assert await office.rows("SELECT 1 FROM pass_issuer.holder_pages") == []


async def test_what_fails_is_left_for_the_next_round_and_shown(office, monkeypatch):
    # proves: J93
    mine, theirs = await a_shop(office), await a_shop(office)
    bad, beside, other = await mine(), await mine(), await theirs()
    for shop, each in ((mine, bad), (mine, beside), (theirs, other)):
        await office.call("DELETE", f"{shop.base}/passes/{each['pass_id']}")
    forget = PostgresEndedPasses.forget

    async def failing(self, transaction, keys, *, now):
        if UUID(bad["pass_id"]) in {pass_id for _, pass_id in keys}:
            raise LookupError("planted")
        return await forget(self, transaction, keys, now=now)

    with monkeypatch.context() as patched:
        patched.setattr(PostgresEndedPasses, "forget", failing)
        await keep_time(office, days=3)
    left = await office.rows("SELECT pass_id FROM pass_issuer.pass_retirement")
    assert [str(row["pass_id"]) for row in left] == [bad["pass_id"]]
    shown = await health(office)
    assert shown.state == "degraded"
    assert shown.detail == f"retire of {bad['pass_id']} of workspace {mine.workspace_id} fails"
    await keep_time(office, minutes=1)
    assert await office.rows("SELECT 1 FROM pass_issuer.pass_retirement") == []
    assert (await health(office)).state == "ok"


@dataclass
class FakeBacklog:
    long: bool = False

    async def is_long(self) -> bool:
        return self.long


async def test_more_than_one_round_does_is_gone_on_with_at_once(office, monkeypatch):
    # proves: J93
    monkeypatch.setattr(do_duties, "MAX_LOOKS", 2)
    monkeypatch.setattr(end_due_passes, "PER_WORKSPACE", 1)
    shop = await a_shop(office)
    for _ in range(5):
        await shop(expires_at=soon(office))
    backlog = FakeBacklog()
    keep_time = replace(office.issuer.life.keep_time, backlog=backlog)
    office.clock.advance(timedelta(hours=2))
    assert await keep_time() is True
    backlog.long = True
    # Too much waits to be sent: the rest has time until the next round.
    assert await keep_time() is False
    backlog.long = False
    assert await keep_time() is False
    assert len(await office.events(PassExpired)) == 5


async def test_what_only_fails_is_not_tried_again_and_again_without_a_pause(office, monkeypatch):
    # proves: J93
    monkeypatch.setattr(do_duties, "MAX_LOOKS", 1)

    async def failing(*_given, **_more):
        raise LookupError("planted")

    monkeypatch.setattr(PostgresEndedPasses, "forget", failing)
    shop = await a_shop(office)
    one = await shop()
    await office.call("DELETE", f"{shop.base}/passes/{one['pass_id']}")
    office.clock.advance(timedelta(days=3))
    keep_time = replace(office.issuer.life.keep_time, backlog=FakeBacklog())
    assert await keep_time() is False
    assert (await health(office)).state == "degraded"


async def test_workspaces_take_turns_so_that_a_long_list_keeps_no_short_one_waiting(
    office, monkeypatch
):
    # proves: J93
    long, short = await a_shop(office), await a_shop(office)
    # Ids are in the order of age: this one would come first if nobody took turns.
    assert long.workspace_id < short.workspace_id
    many = [await long(expires_at=soon(office)) for _ in range(6)]
    few = [await short(expires_at=soon(office)) for _ in range(2)]
    monkeypatch.setattr(keep_time_module, "BATCH", 4)
    await keep_time(office, hours=2)
    owner = {each["pass_id"]: "long" for each in many} | {each["pass_id"]: "short" for each in few}
    told = [owner[str(each.pass_id)] for each in await office.events(PassExpired)]
    assert sorted(told[:4]) == ["long", "long", "short", "short"]
    assert told[4:] == ["long"] * 4
    for each in (*many, *few):
        base = long.base if owner[each["pass_id"]] == "long" else short.base
        await office.call("DELETE", f"{base}/passes/{each['pass_id']}")
    await keep_time(office, days=3)
    taken = await office.rows(
        "SELECT key FROM pass_issuer.outbox WHERE topic = $1 AND value IS NULL ORDER BY id",
        PASS_RENDERED.name,
    )
    assert [owner[row["key"]] for row in taken[:4]].count("short") == 2
