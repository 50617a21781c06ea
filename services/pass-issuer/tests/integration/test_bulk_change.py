"""Files of changes: passes updated, voided or written to in the background, on real Postgres."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from passferry_contracts.events.deliveries import MessageIssued
from passferry_contracts.events.passes import PassUpdated, PassVoided
from passferry_pass_issuer.app import build_job_runner
from passferry_pass_issuer.application.run_jobs import RunJobs
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
class Desk:
    """A workspace with passes, and files that change them."""

    office: Any
    runner: RunJobs
    workspace_id: str
    program_id: str

    @property
    def base(self) -> str:
        return f"/workspaces/{self.workspace_id}"

    async def issue(self, count: int, **more: Any) -> list[str]:
        passes = [
            {"program_id": self.program_id, "external_id": f"m-{n}", **more} for n in range(count)
        ]
        answer = await self.office.call("POST", f"{self.base}/passes/bulk", json={"passes": passes})
        return [each["pass"]["pass_id"] for each in answer["results"]]

    async def send(self, action: str, content: bytes, *, status: int = 202, **more: Any) -> Any:
        path = f"{self.base}/bulk-changes?action={action}&max_per_second=10000"
        headers = {"Content-Type": more.pop("media_type", "text/csv")} | more.pop("headers", {})
        path += more.pop("query", "")
        return await self.office.call(
            "POST", path, status=status, content=content, headers=headers, **more
        )

    async def finish(self, job: Any) -> Any:
        for _ in range(100):
            self.office.clock.advance(timedelta(seconds=1))
            await self.runner.once()
            path = f"{self.base}/bulk-changes/{job['bulk_change_id']}"
            shown = await self.office.call("GET", path)
            if shown["state"] in {"done", "failed", "cancelled"}:
                return shown
        raise AssertionError(shown)

    async def do(self, action: str, *rows: Any, **more: Any) -> Any:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        return await self.finish(await self.send(action, text.getvalue().encode(), **more))

    async def lines(self, job: Any, what: str = "errors") -> list[dict[str, str]]:
        answer = await self.office.client.get(
            f"{job['self']}/{what}",
            headers={"Authorization": f"Bearer {self.office.administrator_key}"},
        )
        return list(csv.DictReader(io.StringIO(answer.text)))[:-1]

    async def read(self, external_id: str) -> Any:
        return await self.office.call("GET", f"{self.base}/passes/external:{external_id}")


@pytest.fixture
async def desk(office):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    runner = build_job_runner(
        office.issuer.workbench.transactions,
        office.stores,
        issuer=office.issuer,
        press=office.press,
        directory=office.directory,
        results_kept_days=30,
    )
    return Desk(office, replace(runner, backlog=NothingWaits()), workspace_id, program_id)


async def test_a_file_voids_passes_and_again_changes_nothing(desk):
    # proves: J84
    ids = await desk.issue(150)
    rows = [["external_id", "reason"], *([f"m-{n}", "season_over"] for n in range(149))]
    done = await desk.do("void", *rows, ["nobody", ""])
    assert (done["action"], done["changed"], done["unchanged"], done["refused"]) == (
        "void",
        149,
        0,
        1,
    )
    [refused] = await desk.lines(done)
    assert (refused["row"], refused["code"]) == ("151", "pass_not_found")
    voided = await desk.office.events(PassVoided)
    assert {str(each.pass_id) for each in voided} == set(ids[:149])
    assert {each.reason for each in voided} == {"season_over"}
    again = await desk.do("void", *rows)
    assert (again["changed"], again["unchanged"]) == (0, 149)
    assert len(await desk.office.events(PassVoided)) == 149
    assert (await desk.read("m-149"))["status"] == "active"


async def test_a_file_updates_fields_and_expiry(desk):
    await desk.issue(3, fields={"favourite": "Tea", "seat": "1"})
    header = ["external_id", "expires_at", "field.favourite"]
    rows = [["m-0", "2030-01-01T00:00:00Z", "Chai"], ["m-1", "", "Tea"], ["m-2", "", ""]]
    done = await desk.do("update", header, *rows)
    assert (done["changed"], done["unchanged"], done["refused"]) == (1, 1, 1)
    assert [line["code"] for line in await desk.lines(done)] == ["empty"]
    shown = await desk.read("m-0")
    assert shown["fields"] == {"favourite": "Chai", "seat": "1"}
    assert shown["expires_at"] == "2030-01-01T00:00:00Z"
    [updated] = await desk.office.events(PassUpdated)
    assert updated.changed_fields == ["expires_at", "favourite"]


async def test_a_file_of_objects_takes_things_away(desk):
    [pass_id] = await desk.issue(1, fields={"seat": "1"}, expires_at="2030-01-01T00:00:00Z")
    line = {"pass_id": pass_id, "fields": {"seat": None}, "expires_at": None}
    job = await desk.send("update", json.dumps(line).encode(), media_type="application/x-ndjson")
    assert (await desk.finish(job))["changed"] == 1
    shown = await desk.read("m-0")
    assert (shown["fields"], shown["expires_at"]) == ({}, None)


async def test_the_same_words_are_told_to_a_pass_once(desk):
    # proves: J84
    await desk.issue(2)
    rows = [["external_id", "header", "body"], ["m-0", "Hi", "News"], ["m-1", "Hi", "News"]]
    assert (await desk.do("message", *rows))["changed"] == 2
    again = await desk.do("message", *rows)
    assert (again["changed"], again["unchanged"]) == (0, 2)
    other = await desk.do("message", rows[0], ["m-0", "Hi", "Other news"])
    assert other["changed"] == 1
    told = await desk.office.events(MessageIssued)
    assert [(each.header, each.body) for each in told].count(("Hi", "News")) == 2
    assert len(told) == 3
    dumped = await desk.office.rows("SELECT t::text AS line FROM pass_issuer.job_result t")
    assert "News" not in str([row["line"] for row in dumped])


async def test_passes_that_ended_are_refused_one_by_one(desk):
    ids = await desk.issue(3)
    await desk.office.call("POST", f"{desk.base}/passes/{ids[1]}/void")
    rows = [["external_id", "field.favourite"], *([f"m-{n}", "Chai"] for n in range(3))]
    done = await desk.do("update", *rows)
    assert (done["changed"], done["refused"]) == (2, 1)
    [refused] = await desk.lines(done)
    assert (refused["row"], refused["code"]) == ("3", "pass_voided")


async def test_a_dry_run_of_changes_changes_nothing(desk):
    await desk.issue(2)
    rows = [["external_id", "reason"], ["m-0", ""], ["m-1", ""], ["nobody", ""]]
    tried = await desk.do("void", *rows, query="&dry_run=true")
    assert (tried["changed"], tried["refused"]) == (2, 1)
    assert (await desk.read("m-0"))["status"] == "active"
    assert await desk.office.events(PassVoided) == []


async def test_columns_of_another_action_are_refused(desk):
    content = b"external_id,field.favourite\r\nm-0,Chai\r\n"
    assert (await desk.send("void", content, status=422))["code"] == "header_invalid"
    content = b"external_id,body\r\nm-0,\r\n,Hello\r\n"
    done = await desk.finish(await desk.send("message", content))
    assert done["refused"] == 2
    assert [line["field"] for line in await desk.lines(done)] == ["body", "external_id"]


async def test_a_file_reaches_no_pass_of_another_workspace(office, desk):
    # proves: J70
    [pass_id] = await desk.issue(1)
    other = replace(desk, workspace_id=await office.workspace(), program_id="")
    content = f"pass_id\r\n{pass_id}\r\n".encode()
    done = await other.finish(await other.send("void", content))
    assert (done["changed"], done["refused"]) == (0, 1)
    assert (await desk.read("m-0"))["status"] == "active"
    # Neither is a job of changes one of issuing, nor the other workspace's its own.
    path = f"{other.base}/bulk-issues/{done['bulk_change_id']}"
    await office.call("GET", path, status=404)
    await office.call("GET", f"{desk.base}/bulk-changes/{done['bulk_change_id']}", status=404)
    member = await office.key(desk.workspace_id, "member")
    await desk.send("void", content, key=member, status=403)


async def test_the_same_pass_in_two_rows_is_changed_by_both(desk):
    [pass_id] = await desk.issue(1)
    header = ["external_id", "pass_id", "field.favourite"]
    done = await desk.do("update", header, ["m-0", "", "Chai"], ["", pass_id, "Mocha"])
    assert done["changed"] == 2
    assert (await desk.read("m-0"))["fields"] == {"favourite": "Mocha"}
    both = await desk.do("update", header, ["m-0", pass_id, "Tea"])
    assert both["refused"] == 1
    rows = await desk.office.rows(
        "SELECT revision FROM pass_issuer.pass WHERE pass_id = $1", UUID(pass_id)
    )
    assert rows[0]["revision"] == 3


@pytest.mark.parametrize(
    ("action", "header", "row"),
    [("update", "field.favourite", "tea"), ("message", "body", "We are closed")],
)
async def test_a_suspended_program_holds_a_file_of_changes_up(office, desk, action, header, row):
    # proves: J84, C3
    await desk.issue(1)
    program = f"{desk.base}/programs/{desk.program_id}"
    await office.call("PATCH", program, json={"status": "suspended"})
    content = f"external_id,{header}\r\nm-0,{row}\r\n".encode()
    job = await desk.send(action, content)
    path = f"{desk.base}/bulk-changes/{job['bulk_change_id']}"
    for _ in range(3):
        office.clock.advance(timedelta(seconds=1))
        await desk.runner.once()
    shown = await office.call("GET", path)
    assert (shown["done"], shown["waits_for"]) == (0, "program_suspended")
    assert await office.events(PassUpdated) == []
    assert await office.events(MessageIssued) == []
    await office.call("PATCH", program, json={"status": "active"})
    assert (await desk.finish(job))["changed"] == 1


async def test_passes_of_a_suspended_program_can_be_voided_with_a_file(office, desk):
    # proves: J84, A5
    await desk.issue(2)
    program = f"{desk.base}/programs/{desk.program_id}"
    await office.call("PATCH", program, json={"status": "suspended"})
    done = await desk.do("void", ["external_id", "reason"], ["m-0", "fraud"], ["m-1", "fraud"])
    assert (done["changed"], done["waits_for"]) == (2, None)
    assert len(await office.events(PassVoided)) == 2
