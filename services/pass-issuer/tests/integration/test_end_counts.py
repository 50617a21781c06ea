"""What the end rules of a draft would do, told before anybody publishes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from passferry_contracts.events.passes import PassExpired, PassVoided
from passferry_pass_issuer.app import build_job_runner
from passferry_pass_issuer.application import count_ends
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

USED = """
UPDATE pass_issuer.pass SET uses = $2::integer, redeemed_version = $2::integer, balance_minor = $3 WHERE pass_id = $1
"""
DATED = """
UPDATE pass_issuer.pass SET field_values = jsonb_build_object('until', $2::text) WHERE pass_id = $1
"""
UNTOUCHED = """
SELECT md5(string_agg(p::text, '|' ORDER BY pass_id)) AS state FROM pass_issuer.pass p
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


class NothingWaits:
    async def is_long(self):
        return False


@pytest.fixture
async def shop(office, make):
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    template_id = await office.template(workspace_id)
    program = {"template_id": template_id, "rules": {"time_zone": "Pacific/Auckland"}}
    program_id = await office.program(workspace_id, **program)

    async def issue(**body):
        given = {"program_id": program_id, **body}
        return await office.call("POST", f"{base}/passes", status=201, json=given)

    async def draft(*rules):
        body = make.template_json(ends_when=list(rules))
        await office.call("PUT", f"{base}/templates/{template_id}", json=body)

    async def count(**more):
        return await office.call("GET", f"{base}/templates/{template_id}/ends", **more)

    issue.base, issue.draft, issue.count = base, draft, count
    issue.template = f"{base}/templates/{template_id}"
    return issue


async def test_each_rule_of_a_draft_says_how_many_passes_it_would_end(office, shop):
    # proves: A26
    rules = [
        {"uses": 3},
        {"balance_spent": True},
        {"date_field": "until"},
        {"days_after_issue": 30},
        {"days_after_last_use": 90},
    ]
    old = await shop()
    office.clock.advance(timedelta(days=40))
    used_up, spent, past, unclear, fine, over = [await shop() for _ in range(6)]
    await office.rows(USED, UUID(used_up["pass_id"]), 3, 5)
    await office.rows(USED, UUID(spent["pass_id"]), 4, 0)
    yesterday = (office.clock.now() - timedelta(days=2)).date().isoformat()
    tomorrow = (office.clock.now() + timedelta(days=2)).date().isoformat()
    await office.rows(DATED, UUID(past["pass_id"]), yesterday)
    await office.rows(DATED, UUID(unclear["pass_id"]), "soon")
    await office.rows(DATED, UUID(fine["pass_id"]), tomorrow)
    await office.call("POST", f"{shop.base}/passes/{over['pass_id']}/void")
    await shop.draft(*rules)
    [before] = await office.rows(UNTOUCHED)
    told = await shop.count()
    assert [each["rule"] for each in told["rules"]] == rules
    # One was used up and is spent as well; one that ended already is not counted.
    assert [each["passes"] for each in told["rules"]] == [2, 1, 1, 1, 0]
    assert (told["passes"], told["refused"], told["looked_at"]) == (4, 1, 6)
    assert (told["status"], told["is_complete"]) == ("draft", True)
    assert await office.rows(UNTOUCHED) == [before], "it only counts"
    # So many does the version end then, and no other.
    await office.call("POST", f"{shop.template}/publish")
    assert (await shop.count())["status"] == "published"
    await roll_out(office)
    office.clock.advance(timedelta(minutes=6))
    await office.issuer.life.keep_time()
    ended = await office.rows(
        "SELECT pass_id FROM pass_issuer.pass WHERE status <> 'active' AND ends_as IS NOT NULL"
    )
    assert {str(row["pass_id"]) for row in ended} == {
        each["pass_id"] for each in (old, used_up, spent, past)
    }
    assert len(await office.events(PassExpired)) + len(await office.events(PassVoided)) == 5
    assert (await shop.count())["passes"] == 0


async def roll_out(office):
    runner = build_job_runner(
        office.issuer.workbench.transactions,
        office.stores,
        issuer=office.issuer,
        press=office.press,
        directory=office.directory,
        results_kept_days=30,
    )
    runner = replace(runner, backlog=NothingWaits())
    for _ in range(20):
        await runner.once()
        office.clock.advance(timedelta(seconds=1))
    jobs = await office.rows("SELECT state FROM pass_issuer.job")
    assert [row["state"] for row in jobs] == ["done"]


async def test_more_passes_than_are_looked_at_are_told(office, shop, monkeypatch):
    # proves: A26
    monkeypatch.setattr(count_ends, "PAGE_PASSES", 2)
    for _ in range(4):
        await shop()
    office.clock.advance(timedelta(days=40))
    await shop.draft({"days_after_issue": 30})
    for limit, looked_at, is_complete in ((3, 3, False), (2, 2, False), (4, 4, True), (9, 4, True)):
        monkeypatch.setattr(count_ends, "MAX_PASSES", limit)
        told = await shop.count()
        assert (told["looked_at"], told["passes"], told["is_complete"]) == (
            looked_at,
            looked_at,
            is_complete,
        )


async def test_without_rules_nothing_is_looked_at(shop):
    # proves: A26
    await shop()
    told = await shop.count()
    assert (told["rules"], told["passes"], told["looked_at"]) == ([], 0, 0)
    assert told["is_complete"] is True


async def test_a_day_is_over_where_the_program_is(office, shop):
    # proves: A26
    one = await shop()
    # At noon in Auckland, the day before is over; in UTC it is not for twelve hours.
    now = office.clock.now().astimezone(ZoneInfo("Pacific/Auckland"))
    office.clock.advance((now.replace(hour=12, minute=0) - now) % timedelta(days=1))
    now = office.clock.now().astimezone(ZoneInfo("Pacific/Auckland"))
    yesterday = (now - timedelta(days=1)).date().isoformat()
    await office.rows(DATED, UUID(one["pass_id"]), yesterday)
    await shop.draft({"date_field": "until"})
    assert (await shop.count())["passes"] == 1
    await office.rows(DATED, UUID(one["pass_id"]), now.date().isoformat())
    assert (await shop.count())["passes"] == 0


async def test_a_workspace_counts_no_pass_and_sees_no_template_of_another(office, shop):
    # proves: J70
    await shop()
    office.clock.advance(timedelta(days=40))
    await shop.draft({"days_after_issue": 30})
    assert (await shop.count())["passes"] == 1
    foreign = await office.workspace()
    key = await office.key(foreign, "owner")
    refused = await shop.count(key=key, status=404)
    assert refused["code"] == "workspace_not_found"
    template_id = shop.template.rpartition("/")[2]
    path = f"/workspaces/{foreign}/templates/{template_id}/ends"
    refused = await office.call("GET", path, key=key, status=404)
    assert refused["code"] == "template_not_found"
    viewer = await office.key(shop.base.rpartition("/")[2], "viewer")
    assert (await shop.count(key=viewer))["passes"] == 1
