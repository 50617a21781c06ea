"""Files of passes: taken in as a stream, issued in the background, on real Postgres."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from passferry_contracts.events.directory import OperationReported
from passferry_contracts.events.passes import PassCreated
from passferry_pass_issuer.app import build_job_runner
from passferry_pass_issuer.application.accept_bulk import MAX_CHUNK_ROWS
from passferry_pass_issuer.application.run_jobs import LEASE, RunJobs
from passferry_pass_issuer.domain.jobs import JobKind
from passferry_pass_issuer.entrypoints import bulk_files
from passferry_runtime.clock import SystemClock
from passferry_runtime.outbox import EventTooLarge
from passferry_testing.pki import DemoAuthority

pytestmark = pytest.mark.integration

FAST = "max_per_second=10000"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def office(harness, make, authority):
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


class NothingWaits:
    """Nobody sends the outbox of these tests."""

    async def is_long(self) -> bool:
        return False


@dataclass
class Yard:
    """A workspace whose files are issued step by step."""

    office: Any
    runner: RunJobs
    workspace_id: str
    program_id: str

    @property
    def path(self) -> str:
        return f"/workspaces/{self.workspace_id}/bulk-issues"

    async def send(self, content: Any, *, query: str = FAST, status: int = 202, **more: Any) -> Any:
        headers = {"Content-Type": more.pop("media_type", "text/csv")} | more.pop("headers", {})
        program_id = more.pop("program_id", self.program_id)
        path = f"{more.pop('path', self.path)}?program_id={program_id}&{query}"
        return await self.office.call(
            "POST", path, status=status, content=content, headers=headers, **more
        )

    async def step(self) -> bool:
        self.office.clock.advance(timedelta(seconds=1))
        return await self.runner.once()

    async def finish(self, job: Any) -> Any:
        for _ in range(1_000):
            await self.step()
            shown = await self.read(job)
            if shown["state"] in {"done", "failed", "cancelled"}:
                return shown
        raise AssertionError(shown)

    async def read(self, job: Any, **more: Any) -> Any:
        return await self.office.call("GET", f"{self.path}/{job['bulk_issue_id']}", **more)

    async def lines(self, job: Any, what: str = "errors") -> list[dict[str, str]]:
        answer = await self.download(job, what)
        return list(csv.DictReader(io.StringIO(answer.text)))

    async def download(self, job: Any, what: str, file_format: str = "csv") -> Any:
        return await self.office.client.get(
            f"{job['self']}/{what}?format={file_format}",
            headers={"Authorization": f"Bearer {self.office.administrator_key}"},
        )

    async def count(self, table: str) -> int:
        rows = await self.office.rows(
            f"SELECT count(*) FROM pass_issuer.{table} WHERE workspace_id = $1",
            UUID(self.workspace_id),
        )
        return rows[0]["count"]


def runner_of(office, **changes):
    runner = build_job_runner(
        office.issuer.workbench.transactions,
        office.stores,
        issuer=office.issuer,
        press=office.press,
        directory=office.directory,
        results_kept_days=30,
    )
    return replace(runner, backlog=NothingWaits(), **changes)


def issuing_by(runner, kind_of_issue):
    """Its steps, with what issues wrapped into something else."""
    step = runner.steps[JobKind.BULK_ISSUE]
    apply = replace(step.apply, issue=kind_of_issue(step.apply.issue))
    return {**runner.steps, JobKind.BULK_ISSUE: replace(step, apply=apply)}


@pytest.fixture
async def yard(office):
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    return Yard(office, runner_of(office), workspace_id, program_id)


def table(rows, *, end="\r\n"):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


HEADER = ["external_id", "holder.external_id", "holder.full_name", "code", "opening_balance"]


def members(count, *, bad=()):
    rows = [
        [f"m-{n}", f"h-{n}", f"Guest {n}", "ä" if n in bad else f"C{n}", n % 50]
        for n in range(count)
    ]
    return table([HEADER, *rows])


@pytest.mark.timeout(600)
async def test_ten_thousand_rows_are_issued_in_the_background_and_again_change_nothing(yard):
    # proves: J84, A21
    bad = {7, 4_711, 9_999}
    content = members(10_000, bad=bad)
    job = await yard.send(content)
    assert (job["state"], job["accepted"], job["done"]) == ("waiting", 10_000, 0)
    done = await yard.finish(job)
    assert done | {"created": 9_997, "existed": 0, "refused": 3, "percent": 100} == done
    assert await yard.count("pass") == 9_997
    errors = await yard.lines(done)
    # A spreadsheet numbers the first row behind the header 2.
    assert [line["row"] for line in errors] == ["9", "4713", "10001", "end"]
    assert {line["code"] for line in errors[:-1]} == {"code_not_encodable"}
    assert errors[-1]["field"] == "3"
    assert [each["field"] for each in errors[:-1]] == ["code"] * 3

    again = await yard.finish(await yard.send(content))
    assert (again["created"], again["existed"], again["refused"]) == (0, 9_997, 3)
    assert await yard.count("pass") == 9_997
    assert await yard.count("job_chunk") == 0


async def test_progress_is_told_at_the_start_at_each_tenth_and_at_the_end(yard):
    # proves: J84
    job = await yard.finish(await yard.send(members(4_000)))
    told = await yard.office.events(OperationReported)
    assert {str(each.operation_id) for each in told} == {job["bulk_issue_id"]}
    percents = [each.details["percent"] for each in told]
    assert percents[0] < 10
    assert percents[1:] == list(range(10, 101, 10))
    assert told[-1].details["state"] == "done"
    assert {each.kind for each in told} == {"bulk_issue"}


async def test_a_process_that_dies_between_two_steps_loses_and_repeats_nothing(yard):
    # proves: J84
    job = await yard.send(members(1_000))
    await yard.step()
    await yard.step()
    half = await yard.read(job)
    assert half["done"] == 2 * MAX_CHUNK_ROWS
    other = replace(yard, runner=runner_of(yard.office, replica_id=uuid4()))
    done = await other.finish(job)
    assert done["created"] == 1_000
    assert len(await yard.office.events(PassCreated)) == 1_000


async def test_a_step_that_is_killed_in_the_middle_is_undone_and_taken_over(yard):
    # proves: J84
    job = await yard.send(members(600))
    await yard.step()
    reached, never = asyncio.Event(), asyncio.Event()

    class Dying:
        def __init__(self, issue):
            self.issue = issue

        async def __call__(self, work, workspace_id, requests, **how):
            await self.issue(work, workspace_id, requests, **how)
            reached.set()
            await never.wait()

    steps = issuing_by(yard.runner, Dying)
    dying = replace(yard.runner, steps=steps, replica_id=uuid4())
    yard.office.clock.advance(timedelta(seconds=1))
    task = asyncio.create_task(dying.once())
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # Nobody else takes it before the lease has ended; then somebody does.
    assert not await yard.step()
    assert (await yard.read(job))["done"] == MAX_CHUNK_ROWS
    yard.office.clock.advance(LEASE)
    assert (await yard.finish(job))["created"] == 600
    assert await yard.count("pass") == 600


async def test_two_replicas_at_once_issue_each_row_once(yard):
    # proves: J84
    job = await yard.send(members(2_000))
    others = [runner_of(yard.office, replica_id=uuid4()) for _ in range(3)]
    for _ in range(20):
        yard.office.clock.advance(timedelta(seconds=1))
        await asyncio.gather(*(each.once() for each in others))
    done = await yard.finish(job)
    assert (done["created"], done["existed"]) == (2_000, 0)
    assert await yard.count("job_result") == 2_000


async def test_one_who_lost_the_lease_changes_nothing(yard):
    job = await yard.send(members(400))
    slow, quick = (runner_of(yard.office, replica_id=uuid4()) for _ in range(2))
    transactions, now = yard.office.issuer.workbench.transactions, yard.office.clock.now()
    async with transactions.transaction([]) as transaction:
        claim = slow.jobs.claim
        claimed = await claim(transaction, leased_by=slow.replica_id, now=now, until=now)
    assert str(claimed[1]) == job["bulk_issue_id"]
    assert await quick.once()
    await slow._take_turn(*claimed, slow._next)
    assert (await yard.read(job))["done"] == MAX_CHUNK_ROWS


async def test_rows_come_into_the_database_while_the_file_still_comes_in(yard):
    # proves: J84
    rows = members(6_000).splitlines(keepends=True)
    held = []

    async def body():
        for start in range(0, len(rows), 100):
            yield b"".join(rows[start : start + 100])
            [row] = await yard.office.rows(
                "SELECT coalesce(sum(row_count), 0) AS staged, coalesce(max(row_count), 0) AS most"
                " FROM pass_issuer.job_chunk"
            )
            held.append(start + 100 - row["staged"])
            assert row["most"] <= MAX_CHUNK_ROWS

    job = await yard.send(body())
    assert job["accepted"] == 5_999 + 1
    assert max(held) <= 2 * MAX_CHUNK_ROWS


async def test_staged_rows_are_ciphertext_and_gone_when_the_job_is_done(yard):
    # proves: J72
    job = await yard.send(
        table(
            [["external_id", "holder.full_name", "field.favourite"], ["m-1", "Zoë Secret", "Chai"]]
        )
    )
    [row] = await yard.office.rows("SELECT content_ciphertext FROM pass_issuer.job_chunk")
    assert b"Secret" not in row["content_ciphertext"]
    assert b"Chai" not in row["content_ciphertext"]
    await yard.finish(job)
    assert await yard.count("job_chunk") == 0
    for name in ("job", "job_result", "job_queue"):
        dumped = await yard.office.rows(f"SELECT t::text AS line FROM pass_issuer.{name} t")
        assert "Secret" not in str([each["line"] for each in dumped])


async def test_a_chunk_moved_to_another_row_does_not_open(yard):
    # proves: J72
    job = await yard.send(members(400))
    await yard.office.rows(
        "UPDATE pass_issuer.job_chunk a SET content_ciphertext = b.content_ciphertext"
        " FROM pass_issuer.job_chunk b WHERE b.first_row <> a.first_row"
    )
    await yard.step()
    shown = await yard.read(job)
    assert (shown["done"], shown["state"]) == (0, "waiting")


async def test_results_name_the_pass_and_its_link_and_are_no_formulas(yard):
    content = table([HEADER, ["=cmd()", "h-1", "A", "C1", 1], ["m-2", "h-2", "B", "ä", 1]])
    job = await yard.finish(await yard.send(content))
    created, refused, end = await yard.lines(job, "results")
    assert created["outcome"] == "created"
    assert created["external_id"] == "'=cmd()"
    assert created["link"].startswith(f"https://passes.example/w/{yard.workspace_id}/p/")
    assert (refused["outcome"], refused["code"]) == ("refused", "code_not_encodable")
    assert (end["row"], end["outcome"]) == ("end", "2")
    plain = (await yard.download(job, "results", "ndjson")).text.splitlines()
    assert json.loads(plain[0])["external_id"] == "=cmd()"
    assert json.loads(plain[-1]) == {"lines": 2, "complete": True}
    found = await yard.office.call(
        "GET", f"/workspaces/{yard.workspace_id}/passes/{created['pass_id']}"
    )
    assert found["link"] == created["link"]


async def test_downloads_go_on_from_page_to_page(yard, monkeypatch):
    from passferry_pass_issuer.entrypoints import job_answers

    monkeypatch.setattr(job_answers, "RESULTS_AT_ONCE", 3)
    job = await yard.finish(await yard.send(members(7, bad=range(7))))
    assert [line["row"] for line in await yard.lines(job)] == [*map(str, range(2, 9)), "end"]


async def test_every_column_arrives_in_the_pass(yard):
    header = [*http_header(), "field.favourite"]
    row = ["m-1", "h-1", "Zoë O'Hara", "zoe@example.org", "1990-02-28", "de-DE", "C-1", "12"]
    row += ["2027-01-01T00:00:00Z", 'Flat "white", hot\nor not']
    content = b"\xef\xbb\xbf" + table([header, row])
    done = await yard.finish(await yard.send(content))
    assert done["created"] == 1
    path = f"/workspaces/{yard.workspace_id}/passes/external:m-1"
    shown = await yard.office.call("GET", path)
    assert shown["code"] == "C-1"
    assert shown["balance_minor"] == 12
    assert shown["expires_at"] == "2027-01-01T00:00:00Z"
    assert shown["fields"] == {"favourite": 'Flat "white", hot\nor not'}
    [created] = await yard.office.events(PassCreated)
    assert created.recipient_name == "Zoë O'Hara"


async def test_times_that_a_spreadsheet_made_of_days_are_refused_row_by_row(yard):
    header = ["external_id", "expires_at"]
    ends = ["46388", "20270101", "2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]
    rows = [[f"m-{n}", end] for n, end in enumerate(ends)]
    done = await yard.finish(await yard.send(table([header, *rows])))
    assert (done["created"], done["refused"]) == (1, 3)
    lines = await yard.lines(done)
    assert {line["field"] for line in lines[:3]} == {"expires_at"}
    assert lines[2]["code"] == "expires_at_past"


async def test_a_row_that_no_json_can_hold_stops_no_other(yard):
    deep = "[" * 300 + "]" * 300
    lines = [
        '{"external_id": "m-1"}',
        f'{{"external_id": "m-2", "fields": {{"x": {deep}}}}}',
        '{"external_id": "m-3"}',
    ]
    job = await yard.send("\n".join(lines).encode(), media_type="application/x-ndjson")
    done = await yard.finish(job)
    assert (done["created"], done["refused"]) == (2, 1)
    assert (await yard.lines(done))[0]["row"] == "2"


def http_header():
    return [
        "external_id",
        "holder.external_id",
        "holder.full_name",
        "holder.email",
        "holder.birthday",
        "holder.locale",
        "code",
        "opening_balance",
        "expires_at",
    ]


async def test_an_opening_balance_in_the_unit_is_exact(office, yard):
    # proves: A22
    gift = await office.program(
        yard.workspace_id, protocol="GIFT_CARD", name="Gift", unit="EUR", unit_scale=2
    )
    rows = [["g-1", "12.5"], ["g-2", "7"], ["g-3", "0.01"], ["g-4", "1.005"], ["g-5", "1,5"]]
    job = await yard.finish(
        await yard.send(table([["external_id", "opening_balance"], *rows]), program_id=gift)
    )
    assert (job["created"], job["refused"]) == (3, 2)
    found = await office.rows("SELECT external_id, balance_minor FROM pass_issuer.pass")
    assert dict(found) == {"g-1": 1250, "g-2": 700, "g-3": 1}
    assert [line["field"] for line in await yard.lines(job)] == ["opening_balance"] * 2 + ["2"]


async def test_a_file_of_objects_has_the_members_of_a_single_request(yard):
    good = {"external_id": "m-1", "holder": {"full_name": "Zoë"}, "fields": {"favourite": 3}}
    lines = [
        json.dumps(good),
        "",
        "{",
        "[1]",
        json.dumps({"external_id": "m-2", "colour": "red"}),
        json.dumps({"external_id": "m-3", "program_id": str(uuid4())}),
        '{"external_id": "' + "x" * 70_000 + '"}',
        json.dumps({"external_id": "m-4", "opening_balance_minor": 1.5}),
        json.dumps({"external_id": "\ud800"}),
        "[" * 30_000,
        json.dumps({"external_id": "m-5"}),
    ]
    job = await yard.send("\n".join(lines).encode(), media_type="application/x-ndjson")
    done = await yard.finish(job)
    assert (done["accepted"], done["created"], done["refused"]) == (10, 2, 8)
    found = {line["row"]: (line["field"], line["code"]) for line in await yard.lines(done)}
    found.pop("end")
    assert found == {
        "3": ("row", "not_json"),
        "4": ("row", "invalid"),
        "5": ("colour", "invalid"),
        "6": ("program_id", "invalid"),
        "7": ("row", "line_too_long"),
        "8": ("opening_balance_minor", "invalid"),
        "9": ("row", "not_json"),
        "10": ("row", "not_json"),
    }


async def test_what_is_wrong_with_a_row_is_said_of_that_row(yard):
    # proves: J84
    good = ["m-1", "h-1", "A", "C1", "1"]
    lines = [
        table([HEADER, good]),
        b'm-2,h-2,5" pipe,C2,1\r\n',
        b"m-3,h-3,C3,1\r\n",
        b"m-4,h-4,\xff\xfe,C4,1\r\n",
        b"m-5,h-5," + b"x" * 70_000 + b",C5,1\r\n",
        b"m-6,h-6,a\x00b,C6,1\r\n",
        b"m-7,h-7,A,C7,one\r\n",
        b",,,,\r\n",
        b",,A,C8,1\r\n",
        b'm-9,h-9,"open,C9,1\r\n',
    ]
    done = await yard.finish(await yard.send(b"".join(lines)))
    assert (done["created"], done["refused"]) == (1, 9)
    found = [(each["row"], each["field"], each["code"]) for each in await yard.lines(done)]
    assert found[:-1] == [
        ("3", "row", "quotes_invalid"),
        ("4", "row", "columns_differ"),
        ("5", "row", "not_utf8"),
        ("6", "row", "line_too_long"),
        ("7", "holder.full_name", "invalid"),
        ("8", "opening_balance", "invalid"),
        ("9", "row", "empty"),
        ("10", "external_id", "external_id_required"),
        ("11", "row", "quotes_invalid"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "header_missing"),
        (b"external_id,colour\r\nm-1,red\r\n", "header_invalid"),
        (b"external_id,field.a b\r\nm-1,red\r\n", "header_invalid"),
        (b"external_id,field.<name>\r\nm-1,red\r\n", "header_invalid"),
        (b"external_id,external_id\r\nm-1,m-1\r\n", "header_invalid"),
        (b"opening_balance,opening_balance_minor\r\n1,1\r\n", "header_invalid"),
        (b"external_id,a\x00\r\nm-1,red\r\n", "header_invalid"),
        ("external_id\r\nm-1\r\n".encode("utf-16"), "header_invalid"),
        (b"external_id\r\n", "empty"),
        (b'"external_id\r\nm-1\r\n', "header_invalid"),
    ],
)
async def test_a_file_that_is_none_is_refused_whole(yard, content, code):
    problem = await yard.send(content, status=422)
    assert problem["code"] == code
    [job] = (await yard.office.call("GET", yard.path))["data"]
    assert (job["state"], job["failure_code"]) == ("failed", "upload_incomplete")
    assert await yard.step()
    assert await yard.count("job_chunk") == 0
    assert await yard.count("pass") == 0


async def test_equal_people_and_programs_are_told_apart(office, yard):
    # proves: C12
    header = ["external_id", "holder.email"]
    same = table([header, ["", "zoe@example.org"], ["", "ZOE@example.org"]])
    first = await yard.finish(await yard.send(same))
    assert (first["created"], first["existed"]) == (1, 1)
    other = await office.program(yard.workspace_id, name="Other")
    second = await yard.finish(await yard.send(same, program_id=other))
    assert (second["created"], second["existed"]) == (1, 1)
    assert await yard.count("pass") == 2


async def test_a_changed_row_of_a_file_that_was_sent_before_is_refused(yard):
    await yard.finish(await yard.send(members(2)))
    changed = members(2).replace(b"Guest 1", b"Guest X")
    again = await yard.finish(await yard.send(changed))
    assert (again["existed"], again["refused"]) == (1, 1)
    assert [line["code"] for line in await yard.lines(again)][:-1] == ["external_id_taken"]


async def test_a_dry_run_says_what_would_come_of_it_and_does_nothing(yard):
    # proves: J84
    content = members(500, bad={3})
    tried = await yard.finish(await yard.send(content, query=f"{FAST}&dry_run=true"))
    assert (tried["dry_run"], tried["created"], tried["refused"]) == (True, 499, 1)
    assert await yard.count("pass") == 0
    assert await yard.count("holder") == 0
    assert await yard.office.events(PassCreated) == []
    assert {line["pass_id"] for line in await yard.lines(tried, "results")} == {""}
    done = await yard.finish(await yard.send(content))
    assert done["created"] == 499
    tried = await yard.finish(await yard.send(content, query=f"{FAST}&dry_run=true"))
    assert (tried["created"], tried["existed"]) == (0, 499)


async def test_a_dry_run_names_no_pass_that_it_made_also_for_a_row_that_repeats(yard):
    content = b"external_id\r\nm-1\r\nm-1\r\n"
    tried = await yard.finish(await yard.send(content, query=f"{FAST}&dry_run=true"))
    assert (tried["created"], tried["existed"], tried["refused"]) == (1, 1, 0)
    assert {line["pass_id"] for line in await yard.lines(tried, "results")} == {""}


async def test_the_same_key_is_the_same_job(yard):
    # proves: J84
    headers = {"Idempotency-Key": "march"}
    content = members(300)
    first = await yard.send(content, headers=headers)
    again = await yard.send(content, headers=headers)
    assert again["bulk_issue_id"] == first["bulk_issue_id"]
    problem = await yard.send(members(299), headers=headers, status=422)
    assert problem["code"] == "idempotency_key_reused"
    problem = await yard.send(content, headers=headers, status=422, query="max_per_second=5")
    assert problem["code"] == "idempotency_key_reused"
    assert (await yard.finish(first))["created"] == 300
    assert len((await yard.office.call("GET", yard.path))["data"]) == 1


async def test_a_key_whose_file_did_not_come_in_can_be_used_again(yard):
    headers = {"Idempotency-Key": "march"}
    await yard.send(b"external_id,colour\r\n", headers=headers, status=422)
    job = await yard.send(members(3), headers=headers)
    assert (await yard.finish(job))["created"] == 3


async def test_a_key_is_taken_while_its_file_comes_in(yard):
    headers = {"Idempotency-Key": "march"}
    codes = []

    async def body():
        yield members(3)
        problem = await yard.send(members(3), headers=headers, status=409)
        codes.append(problem["code"])

    await yard.send(body(), headers=headers)
    assert codes == ["bulk_under_way"]


async def test_a_file_that_stops_coming_in_is_given_up(yard):
    async def body():
        yield members(500)
        raise ConnectionResetError

    await yard.send(body(), status=500)
    [job] = (await yard.office.call("GET", yard.path))["data"]
    assert (job["state"], job["failure_code"]) == ("failed", "upload_incomplete")
    await yard.step()
    assert await yard.count("job_chunk") == 0


async def test_a_process_that_died_during_an_upload_leaves_nothing(yard):
    job = await yard.send(members(300))
    await yard.office.rows(
        "UPDATE pass_issuer.job SET state = 'receiving' WHERE workspace_id = $1",
        UUID(yard.workspace_id),
    )
    await yard.step()
    assert (await yard.read(job))["failure_code"] == "upload_incomplete"
    await yard.step()
    assert await yard.count("job_chunk") == 0
    assert await yard.count("pass") == 0


async def test_a_job_can_be_paused_resumed_and_cancelled(yard):
    # proves: J84
    job = await yard.send(members(1_000))
    path = f"{yard.path}/{job['bulk_issue_id']}"
    await yard.step()
    assert (await yard.office.call("POST", f"{path}/pause"))["state"] == "paused"
    for _ in range(3):
        await yard.step()
    assert (await yard.read(job))["done"] == MAX_CHUNK_ROWS
    assert (await yard.office.call("POST", f"{path}/resume"))["state"] == "running"
    await yard.step()
    assert (await yard.read(job))["done"] == 2 * MAX_CHUNK_ROWS
    cancelled = await yard.office.call("POST", f"{path}/cancel")
    assert (cancelled["state"], cancelled["done"]) == ("cancelled", 2 * MAX_CHUNK_ROWS)
    assert (await yard.office.call("POST", f"{path}/resume", status=409))["code"] == "job_cancelled"
    await yard.step()
    assert await yard.count("job_chunk") == 0
    assert await yard.count("pass") == 2 * MAX_CHUNK_ROWS
    [*_, last] = await yard.office.events(OperationReported)
    assert last.details["state"] == "cancelled"
    actions = await yard.office.rows(
        "SELECT action FROM pass_issuer.audit_log WHERE target = $1 ORDER BY id",
        job["bulk_issue_id"],
    )
    assert [row["action"] for row in actions] == [
        "bulk_issue.accepted",
        "bulk_issue.paused",
        "bulk_issue.running",
        "bulk_issue.cancelled",
    ]


async def test_a_job_goes_no_faster_than_it_may(yard):
    job = await yard.send(members(100), query="max_per_second=10")
    began = yard.office.clock.now()
    assert await yard.runner.once()
    assert (await yard.read(job))["done"] == 10
    yard.office.clock.advance(timedelta(milliseconds=900))
    assert not await yard.runner.once()
    yard.office.clock.advance(timedelta(milliseconds=100))
    assert await yard.runner.once()
    done = await yard.finish(job)
    assert done["created"] == 100
    assert yard.office.clock.now() - began >= timedelta(seconds=9)


async def test_a_suspended_workspace_waits_half_way_and_goes_on(office, yard):
    # proves: J84
    job = await yard.send(members(600))
    await yard.step()
    path = f"/workspaces/{yard.workspace_id}"
    await office.call("PATCH", path, json={"suspended": True})
    for _ in range(3):
        await yard.step()
    shown = await yard.read(job)
    assert (shown["done"], shown["waits_for"]) == (MAX_CHUNK_ROWS, "workspace_suspended")
    await office.call("PATCH", path, json={"suspended": False})
    office.clock.advance(timedelta(seconds=30))
    done = await yard.finish(job)
    assert (done["created"], done["waits_for"]) == (600, None)


async def test_the_kill_switch_of_a_program_holds_its_file_up(office, yard):
    job = await yard.send(members(600))
    await yard.step()
    path = f"/workspaces/{yard.workspace_id}/programs/{yard.program_id}"
    await office.call("PATCH", path, json={"status": "suspended"})
    await yard.step()
    assert (await yard.read(job))["waits_for"] == "program_suspended"
    await office.call("PATCH", path, json={"status": "retired"})
    office.clock.advance(timedelta(seconds=30))
    done = await yard.finish(job)
    assert (done["state"], done["failure_code"]) == ("failed", "program_retired")
    assert done["created"] == MAX_CHUNK_ROWS


async def test_files_of_two_workspaces_take_turns(office, yard):
    other_id = await office.workspace()
    other = replace(yard, workspace_id=other_id, program_id=await office.program(other_id))
    large, small = await yard.send(members(2_000)), await other.send(members(300))
    for _ in range(6):
        await yard.step()
    assert (await other.read(small))["done"] == 300
    assert (await yard.read(large))["done"] >= 2 * MAX_CHUNK_ROWS


async def test_a_row_at_fault_is_found_and_its_neighbours_are_issued(yard):
    # proves: J84
    class Choosy:
        def __init__(self, issue):
            self.issue = issue

        async def __call__(self, work, workspace_id, requests, **how):
            results = await self.issue(work, workspace_id, requests, **how)
            if any(request.external_id == "m-77" for request in requests):
                raise EventTooLarge("pass.rendered does not fit")
            return results

    steps = issuing_by(yard.runner, Choosy)
    picky = replace(yard, runner=replace(yard.runner, steps=steps))
    done = await picky.finish(await picky.send(members(300)))
    assert (done["created"], done["refused"]) == (299, 1)
    [refused, _] = await yard.lines(done)
    assert (refused["row"], refused["code"]) == ("79", "too_large")
    assert len(await yard.office.events(PassCreated)) == 299


async def test_a_passing_fault_is_tried_again_and_blames_no_row(yard):
    failures = iter([asyncpg.DeadlockDetectedError("x"), TimeoutError()])

    class Shaky:
        def __init__(self, issue):
            self.issue = issue

        async def __call__(self, work, workspace_id, requests, **how):
            for failure in failures:
                raise failure
            return await self.issue(work, workspace_id, requests, **how)

    steps = issuing_by(yard.runner, Shaky)
    shaky = replace(yard, runner=replace(yard.runner, steps=steps))
    done = await shaky.finish(await shaky.send(members(300)))
    assert (done["created"], done["refused"]) == (300, 0)


async def test_a_long_outbox_goes_first(yard):
    class MuchWaits:
        async def is_long(self) -> bool:
            return True

    job = await yard.send(members(10))
    assert not await replace(yard.runner, backlog=MuchWaits()).once()
    assert (await yard.read(job))["state"] == "waiting"


async def test_plans_are_made_anew_while_a_file_fills_the_tables(yard):
    # Without it a fresh installation looks for each row among all of them.
    job = await yard.send(members(600))
    query = "SELECT reltuples FROM pg_class WHERE oid = 'pass_issuer.pass'::regclass"
    assert [tuple(row) for row in await yard.office.rows(query)] == [(-1.0,)]
    await yard.finish(job)
    assert [tuple(row) for row in await yard.office.rows(query)] == [(500.0,)]


async def test_statistics_that_cannot_be_refreshed_hold_nothing_up(yard):
    class Busy:
        async def refresh(self):
            raise asyncpg.LockNotAvailableError("x")

    busy = replace(yard, runner=replace(yard.runner, statistics=Busy()))
    assert (await busy.finish(await busy.send(members(600))))["created"] == 600


async def test_results_are_kept_for_their_time_and_then_forgotten(yard):
    job = await yard.finish(await yard.send(members(3, bad={1})))
    await yard.step()
    yard.office.clock.advance(timedelta(days=29))
    assert not await yard.step()
    assert len(await yard.lines(job)) == 2
    yard.office.clock.advance(timedelta(days=1))
    for _ in range(3):
        await yard.step()
    await yard.read(job, status=404)
    for name in ("job", "job_result", "job_chunk"):
        assert await yard.count(name) == 0
    assert await yard.office.rows("SELECT 1 FROM pass_issuer.job_queue") == []
    assert await yard.count("pass") == 2


async def test_a_foreign_program_and_a_foreign_job_are_unknown(office, yard):
    # proves: J70
    other_id = await office.workspace()
    foreign = await office.program(other_id)
    problem = await yard.send(members(1), program_id=foreign, status=422)
    assert problem["code"] == "program_unknown"
    assert await yard.count("job") == 0
    job = await yard.finish(await yard.send(members(2)))
    key = await office.key(other_id, "owner")
    stranger = f"/workspaces/{other_id}/bulk-issues/{job['bulk_issue_id']}"
    for path in (stranger, f"{stranger}/errors", f"{stranger}/results"):
        await office.call("GET", path, key=key, status=404)
    await office.call("POST", f"{stranger}/cancel", key=key, status=404)
    await yard.read(job, key=key, status=404)
    assert (await office.call("GET", f"/workspaces/{other_id}/bulk-issues", key=key))["data"] == []


async def test_roles_are_asked_for(office, yard):
    member, viewer = [await office.key(yard.workspace_id, role) for role in ("member", "viewer")]
    headers = {"Content-Type": "text/csv"}
    path = f"{yard.path}?program_id={yard.program_id}"
    for key in (member, viewer):
        await office.call("POST", path, key=key, status=403, content=members(1), headers=headers)
    job = await yard.finish(await yard.send(members(1)))
    await yard.read(job, key=viewer)
    own = f"{yard.path}/{job['bulk_issue_id']}"
    # Who has the links has the passes.
    await office.call("GET", f"{own}/results", key=member, status=403)
    await office.call("POST", f"{own}/cancel", key=member, status=403)


async def test_another_media_type_and_compressed_bodies_are_refused(yard):
    await yard.send(b"{}", media_type="application/json", status=415)
    await yard.send(b"x", headers={"Content-Encoding": "gzip"}, status=415)


async def test_too_many_rows_or_uploads_are_refused(yard, monkeypatch):
    monkeypatch.setattr(bulk_files, "MAX_ROWS", 250)
    assert (await yard.send(members(251), status=422))["code"] == "too_many_rows"
    [job] = (await yard.office.call("GET", yard.path))["data"]
    assert job["state"] == "failed"


async def test_one_workspace_keeps_no_other_from_sending_files(office, yard):
    other_id = await office.workspace()
    other = replace(yard, workspace_id=other_id, program_id=await office.program(other_id))
    uploads = office.issuer.jobs.uploads

    async def body():
        yield members(1)
        if uploads.taken[UUID(yard.workspace_id)] < 2:
            await yard.send(body())
            return
        assert (await yard.send(members(1), status=429))["code"] == "too_many_uploads"
        await other.send(members(1))

    await yard.send(body())
    assert not uploads.taken


async def test_so_many_files_of_a_workspace_wait_and_no_more(yard):
    sent = [await yard.send(members(1)) for _ in range(10)]
    assert (await yard.send(members(1), status=409))["code"] == "too_many_files"
    await yard.office.call("POST", f"{yard.path}/{sent[0]['bulk_issue_id']}/cancel")
    await yard.send(members(1))


async def test_files_are_listed_newest_first_in_pages(yard):
    sent = []
    for _ in range(3):
        sent.append((await yard.send(members(1)))["bulk_issue_id"])
        yard.office.clock.advance(timedelta(seconds=1))
    page = await yard.office.call("GET", f"{yard.path}?limit=2")
    more = await yard.office.call("GET", f"{yard.path}?limit=2&cursor={page['next_cursor']}")
    assert [each["bulk_issue_id"] for each in page["data"] + more["data"]] == sent[::-1]


async def test_the_error_of_a_row_never_repeats_what_was_sent(yard):
    # proves: J72
    secret = "zoe.secret@"
    content = table([["external_id", "holder.email"], ["m-1", secret], ["m-2\x07", "a@b"]])
    done = await yard.finish(await yard.send(content))
    assert done["refused"] == 2
    assert "secret" not in (await yard.download(done, "errors")).text


async def test_the_worker_of_the_service_finds_its_work(yard):
    from passferry_pass_issuer.entrypoints.worker_jobs import JobWorker

    worker = JobWorker()
    workbench = replace(yard.runner.workbench, clock=SystemClock())
    worker.give(replace(yard.runner, workbench=workbench).once)
    task = asyncio.create_task(worker.run())
    job = await yard.send(members(500))
    worker.wake()
    async with asyncio.timeout(60):
        while (await yard.read(job))["state"] != "done":  # noqa: ASYNC110  # it tells nobody here
            await asyncio.sleep(0.05)
    worker.stop()
    await asyncio.wait_for(task, 10)
    outcomes = await yard.office.rows("SELECT outcome FROM pass_issuer.job_result")
    assert Counter(row["outcome"] for row in outcomes) == {"changed": 500}


async def test_who_repeats_an_order_after_a_transfer_is_not_given_the_next_holders_link(
    office, yard
):
    # proves: J93, J71
    file = table([HEADER[:3], ["card-1", "ana", "Ana"]])
    first = await yard.send(file)
    await yard.finish(first)
    base = f"/workspaces/{yard.workspace_id}"
    shown, _ = await yard.lines(first, "results")
    assert shown["link"]
    await office.call("PUT", f"{base}/holders/external:bo", status=201, json={"full_name": "Bo"})
    office.clock.advance(timedelta(seconds=1))
    transfer = f"{base}/passes/external:card-1/transfer"
    moved = await office.call("POST", transfer, json={"holder": "external:bo"})
    second = await yard.send(file)
    await yard.finish(second)
    for job in (first, second):
        for what in ("results", "errors"):
            assert moved["link"] not in (await yard.download(job, what)).text
    refused, _ = await yard.lines(second)
    assert refused["code"] == "external_id_taken"
    body = {"program_id": yard.program_id, "external_id": "card-1"}
    body |= {"holder": {"external_id": "ana", "full_name": "Ana"}}
    problem = await office.call("POST", f"{base}/passes", status=409, json=body)
    assert problem["code"] == "external_id_taken"


async def test_a_file_under_way_does_not_show_the_next_holders_link(office, yard):
    # proves: J93, J71
    base = f"/workspaces/{yard.workspace_id}"
    job = await yard.send(members(100), query="max_per_second=10")
    await yard.step()
    first = (await yard.lines(job, "results"))[0]
    assert first["link"]
    await office.call("PUT", f"{base}/holders/external:bo", status=201, json={"full_name": "Bo"})
    office.clock.advance(timedelta(seconds=1))
    transfer = f"{base}/passes/{first['pass_id']}/transfer"
    moved = await office.call("POST", transfer, json={"holder": "external:bo"})
    assert (await yard.read(job))["finished_at"] is None
    assert not (await yard.lines(job, "results"))[0]["link"]
    assert moved["link"] not in (await yard.download(job, "results")).text


@pytest.mark.parametrize("held", ["paused", "suspended"])
async def test_a_file_that_does_not_go_on_is_not_kept_for_ever(office, yard, held):
    # proves: J71, J84
    job = await yard.send(table([HEADER[:3], ["card-1", "ana", "Ana Planted"]]))
    path = f"{yard.path}/{job['bulk_issue_id']}"
    if held == "paused":
        await office.call("POST", f"{path}/pause")
    else:
        program = f"/workspaces/{yard.workspace_id}/programs/{yard.program_id}"
        await office.call("PATCH", program, json={"status": "suspended"})
    for _ in range(29):
        await yard.step()
        office.clock.advance(timedelta(days=1))
    await yard.step()
    assert await yard.count("job_chunk") == 1
    for _ in range(3):
        office.clock.advance(timedelta(days=1))
        await yard.step()
    shown = await yard.read(job)
    assert (shown["state"], shown["failure_code"]) == ("failed", "abandoned")
    assert await yard.count("job_chunk") == 0
    assert (await office.call("POST", f"{path}/resume", status=409))["code"] == "job_failed"
