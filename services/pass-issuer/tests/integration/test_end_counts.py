"""What the end rules of a draft would do, told before anybody publishes it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from passferry_contracts.events.ledger import CommandCompleted, TransferCommand
from passferry_contracts.events.passes import PassExpired, PassVoided
from passferry_pass_issuer.adapters.postgres_template_passes import PostgresTemplatePasses
from passferry_pass_issuer.app import build_job_runner
from passferry_pass_issuer.application import count_ends
from passferry_pass_issuer.application.life_ports import NO_PASS
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


async def move(office, shop, issued):
    path = f"{shop.base}/passes/{issued['pass_id']}/reissue"
    new = await office.call("POST", path, status=201)
    [command] = await office.events(TransferCommand)

    async def hear(**said):
        told = {
            "workspace_id": command.workspace_id,
            "command_event_id": "e-1",
            "command_type": "ledger.transfer",
            "idempotency_key": command.idempotency_key,
            "pass_id": command.pass_id,
            "balance_minor": 0,
            "completed_at": "2026-05-14T12:00:00Z",
        }
        await office.hear(CommandCompleted(**told, **said))

    return new["pass"], hear


async def test_a_pass_whose_balance_is_moving_is_not_counted_and_its_follower_neither(office, shop):
    # proves: A26
    lost, other = await shop(), await shop()
    office.clock.advance(timedelta(days=40))
    await shop.draft({"days_after_issue": 30})
    follower, hear = await move(office, shop, lost)
    told = await shop.count()
    assert (told["passes"], told["looked_at"]) == (1, 1)
    await office.call("POST", f"{shop.template}/publish")
    await roll_out(office)
    await office.issuer.life.keep_time()
    assert await ended_by_rule(office) == {other["pass_id"]}, "so many does it end"
    # The lost one is void by then; who takes its place has its days.
    await hear(outcome="applied")
    assert (await shop.count())["passes"] == 1
    await office.issuer.life.keep_time()
    assert await ended_by_rule(office) == {other["pass_id"], follower["pass_id"]}


async def test_a_lost_pass_that_stays_good_is_counted_because_it_ends_like_others(office, shop):
    # proves: A26
    lost = await shop()
    office.clock.advance(timedelta(days=40))
    await shop.draft({"days_after_issue": 30})
    follower, hear = await move(office, shop, lost)
    assert (await shop.count())["looked_at"] == 0
    await hear(outcome="refused", code="day_limit_exceeded")
    assert (await shop.count())["passes"] == 2
    await office.call("POST", f"{shop.template}/publish")
    await roll_out(office)
    await office.issuer.life.keep_time()
    assert await ended_by_rule(office) == {lost["pass_id"], follower["pass_id"]}


async def ended_by_rule(office):
    rows = await office.rows(
        "SELECT pass_id FROM pass_issuer.pass WHERE status = 'expired' AND ends_as IS NOT NULL"
    )
    return {str(row["pass_id"]) for row in rows}


async def test_of_a_pass_only_what_rules_look_at_is_read(office, shop):
    # proves: J93
    one = await shop(fields={"until": "2027-01-31", "level": "Planted"})
    workspace_id, template_id = (
        UUID(path.rpartition("/")[2]) for path in (shop.base, shop.template)
    )
    for names, values in (({"until", "absent"}, {"until": "2027-01-31"}), (set(), {})):
        async with office.issuer.workbench.open([workspace_id], actor="test") as work:
            [row] = await PostgresTemplatePasses().page(
                work.transaction,
                workspace_id,
                template_id,
                field_names=names,
                after=NO_PASS,
                limit=9,
            )
        assert (str(row.pass_id), row.field_values) == (one["pass_id"], values)
        assert not hasattr(row, "authentication_token_ciphertext")
        assert not hasattr(row, "pass_json")


#: For what would stand still for ever.
PATIENCE_S = 30


class Gate:
    """Counts stand still in front of their first page until it opens."""

    def __init__(self, monkeypatch):
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        self.inside, self.most, self.limits = 0, 0, set()
        monkeypatch.setattr(
            PostgresTemplatePasses, "page", self.passing(PostgresTemplatePasses.page)
        )

    def passing(self, page):
        async def held(*given, limit, **more):
            self.limits.add(limit)
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.reached.set()
            await self.opened.wait()
            try:
                return await page(*given, limit=limit, **more)
            finally:
                self.inside -= 1

        return held


async def path_of_another(office):
    workspace_id = await office.workspace()
    template_id = await office.template(workspace_id, ends_when=[{"days_after_issue": 30}])
    return f"/workspaces/{workspace_id}/templates/{template_id}/ends"


async def test_one_count_is_made_at_a_time_and_one_of_each_workspace(office, shop, monkeypatch):
    # proves: J93, J70
    others = [await path_of_another(office) for _ in range(2)]
    await shop()
    await shop.draft({"days_after_issue": 30})
    gate = Gate(monkeypatch)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(shop.count())
        await gate.reached.wait()
        waiting = [tasks.create_task(office.call("GET", path)) for path in others]
        # Others do what they do meanwhile; only this workspace's own second count is refused.
        await office.call("GET", shop.template)
        headers = {"Authorization": f"Bearer {office.administrator_key}"}
        refused = await office.client.get(f"/api/v1{shop.template}/ends", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_counts")
        assert int(refused.headers["Retry-After"]) > 0
        assert not any(each.done() for each in (first, *waiting))
        gate.opened.set()
    assert [each.result()["looked_at"] for each in (first, *waiting)] == [1, 0, 0]
    assert gate.most == 1
    assert max(gate.limits) <= 100
    assert (await shop.count())["looked_at"] == 1, "its turn was given back"


async def test_a_count_is_waited_for_within_a_bound(office, shop, monkeypatch):
    # proves: J93
    other = await path_of_another(office)
    await shop.draft({"days_after_issue": 30})
    gate = Gate(monkeypatch)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(shop.count())
        await gate.reached.wait()
        with monkeypatch.context() as briefly:
            briefly.setattr(count_ends, "TURN_TIMEOUT_S", 0)
            assert (await office.call("GET", other, status=429))["code"] == "too_many_counts"
            briefly.setattr(count_ends, "MAX_WAITING", 0)
            briefly.setattr(count_ends, "TURN_TIMEOUT_S", 60)
            assert (await office.call("GET", other, status=429))["code"] == "too_many_counts"
        gate.opened.set()
    assert (await office.call("GET", other))["looked_at"] == 0
    # A count that fails gives its turn back too.
    for _ in range(2):
        await office.call("GET", f"{shop.base}/templates/{uuid4()}/ends", status=404)
    await shop.count()


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
