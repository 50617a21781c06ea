"""A program's new name reaches the passes that show it, on real Postgres. proves: C10, J84"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events.directory import OperationReported
from passferry_contracts.events.rendered import PassRendered
from passferry_pass_issuer.app import build_job_runner
from passferry_pass_issuer.application.run_jobs import RunJobs
from passferry_pass_issuer.domain.jobs import JobKind
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


class NothingWaits:
    async def is_long(self) -> bool:
        return False


@dataclass
class Shop:
    """A workspace with a template and programs, and whoever draws their passes again."""

    office: Any
    runner: RunJobs
    workspace_id: str
    template_id: str

    @property
    def base(self) -> str:
        return f"/workspaces/{self.workspace_id}"

    def program(self, program_id: str) -> str:
        return f"{self.base}/programs/{program_id}"

    async def open_program(self, **body: Any) -> str:
        given = {"template_id": self.template_id, "name": "Points", **body}
        return str(await self.office.program(self.workspace_id, **given))

    async def issue(self, program_id: str, count: int = 1, **more: Any) -> list[UUID]:
        passes = [
            {
                "program_id": program_id,
                "external_id": f"{program_id}-{n}",
                "holder": {"external_id": f"{program_id}-{n}"},
                **more,
            }
            for n in range(count)
        ]
        path = f"{self.base}/passes/bulk"
        answer = await self.office.call("POST", path, json={"passes": passes})
        return [UUID(each["pass"]["pass_id"]) for each in answer["results"]]

    async def change(self, program_id: str, **change: Any) -> None:
        await self.office.call("PATCH", self.program(program_id), json=change)

    async def redraws(self, program_id: str) -> list[Any]:
        path = f"{self.program(program_id)}/redraws"
        return list((await self.office.call("GET", path))["data"])

    async def work(self) -> None:
        """Until nothing is left to be done."""
        for _ in range(100):
            self.office.clock.advance(timedelta(seconds=1))
            if not await self.runner.once():
                return
        raise AssertionError("there is no end to it")

    async def told(self) -> list[PassRendered]:
        return list(await self.office.events(PassRendered))


def shown_name(told: PassRendered) -> str:
    [field] = [
        each
        for each in json.loads(told.apple.pass_json)["storeCard"]["secondaryFields"]
        if each["key"] == "club"
    ]
    return str(field["value"])


@pytest.fixture
async def shop(office, make):
    workspace_id = await office.workspace()
    body = make.template_json()
    body["apple"]["fields"]["secondary"] = [{"key": "club", "value": {"source": "program.name"}}]
    template_id = await office.template(workspace_id, apple=body["apple"])
    runner = build_job_runner(
        office.issuer.workbench.transactions,
        office.stores,
        issuer=office.issuer,
        press=office.press,
        directory=office.directory,
        results_kept_days=30,
    )
    return Shop(office, replace(runner, backlog=NothingWaits()), workspace_id, template_id)


async def test_a_new_name_is_drawn_on_every_active_pass_of_the_program_and_on_no_other(shop):
    mine, other = await shop.open_program(), await shop.open_program(name="Other")
    ids = await shop.issue(mine, 130)
    await shop.issue(other, 3)
    path = f"{shop.base}/passes/{ids[0]}/void"
    await shop.office.call("POST", path, json={"reason": "lost"})
    before = len(await shop.told())
    await shop.change(mine, name="Harbour points")
    await shop.work()
    told = (await shop.told())[before:]
    assert {each.pass_id for each in told} == set(ids[1:])
    assert len(told) == len(ids) - 1
    assert {shown_name(each) for each in told} == {"Harbour points"}
    assert {each.causes[0].event_type for each in told} == {"program.changed"}
    [done] = await shop.redraws(mine)
    assert (done["state"], done["accepted"], done["changed"]) == ("done", 129, 129)
    assert await shop.redraws(other) == []
    reports = await shop.office.events(OperationReported)
    assert {each.kind for each in reports} == {"redraw"}


async def test_passes_that_do_not_show_the_name_are_told_to_nobody(shop, office):
    plain = await office.template(shop.workspace_id)
    program_id = await shop.open_program(template_id=plain)
    await shop.issue(program_id, 5)
    before = len(await shop.told())
    await shop.change(program_id, name="Nobody sees it")
    await shop.work()
    [done] = await shop.redraws(program_id)
    assert (done["state"], done["changed"], done["unchanged"]) == ("done", 0, 5)
    assert len(await shop.told()) == before


async def test_a_change_that_no_pass_shows_draws_nothing(shop):
    program_id = await shop.open_program()
    await shop.change(program_id, status="suspended")
    await shop.change(program_id, name="Points", opening_maximum_minor=9)
    assert await shop.redraws(program_id) == []


async def test_passes_of_a_suspended_program_are_drawn_when_it_goes_on(shop):
    # proves: J84, C3
    program_id = await shop.open_program()
    await shop.issue(program_id, 2)
    before = len(await shop.told())
    await shop.change(program_id, name="Closed", status="suspended")
    await shop.work()
    [waiting] = await shop.redraws(program_id)
    assert (waiting["waits_for"], waiting["started_at"]) == ("program_suspended", None)
    assert len(await shop.told()) == before
    await shop.change(program_id, status="active")
    shop.office.clock.advance(timedelta(minutes=1))
    await shop.work()
    [done] = await shop.redraws(program_id)
    assert (done["state"], done["accepted"], done["changed"]) == ("done", 2, 2)


async def test_a_redraw_whose_first_page_fails_knows_all_the_same_how_many_there_are(shop):
    program_id = await shop.open_program()
    bad = (await shop.issue(program_id, 5))[0]
    await shop.change(program_id, name="New")
    step = shop.runner.steps[JobKind.REDRAW]

    class Picky:
        async def store_showable(self, transaction, changes):
            if any(change.before.pass_id == bad for change in changes):
                raise ValueError("a fault of ours")
            return await step.revisions.store_showable(transaction, changes)

    steps = {**shop.runner.steps, JobKind.REDRAW: replace(step, revisions=Picky())}
    await replace(shop, runner=replace(shop.runner, steps=steps)).work()
    [done] = await shop.redraws(program_id)
    assert (done["state"], done["accepted"]) == ("done", 5)
    assert (done["changed"], done["refused"]) == (4, 1)


async def test_a_second_new_name_takes_the_place_of_the_first(shop):
    program_id = await shop.open_program()
    await shop.issue(program_id, 150)
    await shop.change(program_id, name="First")
    await shop.runner.once()
    await shop.change(program_id, name="Second")
    await shop.work()
    newer, older = await shop.redraws(program_id)
    assert (newer["state"], older["state"]) == ("done", "cancelled")
    assert older["failure_code"] == "superseded"
    last = {each.pass_id: shown_name(each) for each in await shop.told()}
    assert set(last.values()) == {"Second"}
    assert len(last) == 150


async def test_a_redraw_can_be_paused_and_belongs_to_its_program_and_workspace(shop, office):
    mine, other = await shop.open_program(), await shop.open_program(name="Other")
    await shop.issue(mine, 2)
    await shop.change(mine, name="New")
    [redraw] = await shop.redraws(mine)
    path = f"{shop.program(mine)}/redraws/{redraw['redraw_id']}"
    await office.call("POST", f"{path}/pause")
    await shop.work()
    assert (await office.call("GET", path))["done"] == 0
    stranger = await office.workspace()
    for wrong in (
        f"{shop.program(other)}/redraws/{redraw['redraw_id']}",
        f"{shop.program(str(uuid4()))}/redraws/{redraw['redraw_id']}",
        f"/workspaces/{stranger}/programs/{mine}/redraws/{redraw['redraw_id']}",
    ):
        await office.call("GET", wrong, status=404)
        await office.call("POST", f"{wrong}/cancel", status=404)
        await office.call("GET", f"{wrong}/errors", status=404)
    await office.call("POST", f"{path}/resume")
    await shop.work()
    assert (await office.call("GET", path))["changed"] == 2


async def test_another_time_zone_moves_the_day_on_which_a_pass_ends(shop, office):
    rule = [{"date_field": "until"}]
    template_id = await office.template(shop.workspace_id, ends_when=rule)
    program_id = await shop.open_program(template_id=template_id)
    [pass_id] = await shop.issue(program_id, fields={"until": "2030-05-20"})
    ends = "SELECT ends_at::text AS at FROM pass_issuer.pass WHERE pass_id = $1"
    [before] = await office.rows(ends, pass_id)
    await shop.change(program_id, rules={"time_zone": "Europe/Berlin"})
    await shop.work()
    [after] = await office.rows(ends, pass_id)
    assert (before["at"], after["at"]) == ("2030-05-21 00:00:00+00", "2030-05-20 22:00:00+00")
