"""Reads of a ledger with 50,000 entries: by index, in bounded memory, ended when nobody listens."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import uvicorn

from passferry_contracts.types import Role
from passferry_ledger.adapters import (
    postgres_decisions,
    postgres_entries,
    postgres_export,
    postgres_holdings,
    postgres_reads,
)
from passferry_ledger.adapters.postgres_reading import BY_INDEX_ONLY, reading
from passferry_ledger.app import READ_ROUTERS, read_side
from passferry_ledger.application.read_balances import ReadBalances
from passferry_ledger.application.searches import MAX_SCANNED
from passferry_runtime.auth import Authenticator
from passferry_runtime.http import create_app

ENTRIES = 50_000
PASSES = 500
START = datetime(2026, 5, 1, tzinfo=UTC)

SEED_ACCOUNTS = """
INSERT INTO ledger.account (
    workspace_id, kind, program_id, unit, unit_scale, pass_id, external_id, balance_minor, version,
    opened_at)
SELECT $1::uuid, 'pass', $2, 'points', 0, gen_random_uuid(), 'card ' || number, $4::bigint, $4::bigint,
       $5::timestamptz
FROM generate_series(1, $3::integer) AS number
"""

# Entry n is the next of pass n modulo the passes, a second later than the one before.
SEED_ENTRIES = """
INSERT INTO ledger.entry (
    workspace_id, entry_id, kind, reference, merchant_name, location, recorded_by, occurred_at,
    recorded_at)
SELECT $1::uuid, md5($1::uuid::text || number)::uuid, CASE number WHEN 1 THEN 'load' ELSE 'earn' END,
       'receipt ' || number, repeat('m', 80), repeat('l', 80), 'key:seed',
       $3::timestamptz + number * interval '1 second', $3::timestamptz + number * interval '1 second'
FROM generate_series(1, $2::integer) AS number
"""

SEED_POSTINGS = """
WITH pass AS (
    SELECT account_id, row_number() OVER (ORDER BY account_id) - 1 AS place
    FROM ledger.account WHERE workspace_id = $1 AND kind = 'pass'
), counter AS (
    SELECT account_id FROM ledger.account WHERE workspace_id = $1 AND kind = 'issuance'
), number AS (SELECT generate_series(1, $2::integer) AS n)
INSERT INTO ledger.posting (
    workspace_id, entry_id, account_id, amount_minor, unit, version, balance_after_minor)
SELECT $1::uuid, md5($1::uuid::text || n)::uuid, pass.account_id, 1, 'points', (n - 1) / $3::bigint + 1,
       (n - 1) / $3::bigint + 1
FROM number JOIN pass ON pass.place = (n - 1) % $3::bigint
UNION ALL
SELECT $1::uuid, md5($1::uuid::text || n)::uuid, counter.account_id, -1, 'points', NULL, NULL
FROM number, counter
"""

SEED_RESULTS = """
INSERT INTO ledger.idempotency_result (
    workspace_id, idempotency_key, fingerprint, account_id, code, entry_id, version,
    previous_balance_minor, balance_minor, available_minor, is_exhausted, recorded_at, recorded_by)
SELECT entry.workspace_id, entry.reference, '', posting.account_id, 'applied', entry.entry_id,
       posting.version, posting.version - 1, posting.version, posting.version, false,
       entry.recorded_at, entry.recorded_by
FROM ledger.entry JOIN ledger.posting ON posting.entry_id = entry.entry_id
WHERE entry.workspace_id = $1 AND posting.version IS NOT NULL
"""


@asynccontextmanager
async def as_owner(real: Any) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(real.harness.admin_url)
    try:
        yield connection
    finally:
        await connection.close()


async def seed(api: Any, entries: int = ENTRIES, passes: int = PASSES) -> UUID:
    program = api.make.program(uuid4())
    workspace_id: UUID = program.workspace_id
    api.add_workspace(workspace_id)
    await api.real.accounts.store_programs([program])
    async with as_owner(api.real) as owner:
        each = entries // passes
        await owner.execute(SEED_ACCOUNTS, workspace_id, program.program_id, passes, each, START)
        await owner.execute(SEED_ENTRIES, workspace_id, entries, START)
        await owner.execute(SEED_POSTINGS, workspace_id, entries, passes)
        await owner.execute(SEED_RESULTS, workspace_id)
        for table in ("account", "entry", "posting", "idempotency_result", "hold", "lot"):
            await owner.execute(f"ANALYZE ledger.{table}")
    api.real.clock.advance(timedelta(days=30))
    return workspace_id


@asynccontextmanager
async def served(api: Any, **changes: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """The reads over a socket, and how many exports are running."""
    real = api.real
    state = read_side(real.database, real.clock, ReadBalances(reader=real.reads))
    state.update(changes)
    app = create_app(
        title="ledger",
        version="0",
        auth=Authenticator(api.directory),
        state=state,
        routers=READ_ROUTERS,
    )
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client, state["export_entries"]
    server.should_exit = True
    await asyncio.wait_for(serving, 10)


async def until(holds: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)


def export_request(
    api: Any, client: httpx.AsyncClient, workspace_id: UUID, query: str = "format=ndjson"
) -> httpx.Request:
    presented = api.keys[(workspace_id, Role.MANAGER)]
    path = f"/api/v1/workspaces/{workspace_id}/export?{query}"
    return client.build_request("GET", path, headers={"X-Api-Key": presented})


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_fifty_thousand_entries_leave_in_bounded_memory_as_of_one_moment(
    api: Any, make: Any
) -> None:
    workspace_id = await seed(api)
    other = await api.open_one(api.make.program(workspace_id), opening_balance_minor=1)
    async with served(api) as (client, _):
        request = export_request(api, client, workspace_id)
        answer = await client.send(request, stream=True)
        size, lines, last, baseline, peak = 0, 0, "", 0, 0
        async for line in answer.aiter_lines():
            lines, last, size = lines + 1, line, size + len(line)
            if lines == 5_000:
                baseline = resident_bytes()
                # A reader that is slow holds the writer back.
                await asyncio.sleep(0.5)
                await api.real.apply(make.command(other, "earn", 1))
            if lines % 500 == 0:
                peak = max(peak, resident_bytes())
    assert json.loads(last) == {"entries": ENTRIES + 1, "lines": ENTRIES + 1, "complete": True}
    assert lines == ENTRIES + 2
    assert size > 30_000_000
    assert peak - baseline < 8_000_000, f"{(peak - baseline) / 1e6:.1f} MB more"


async def test_a_reader_that_goes_away_ends_the_export(api: Any) -> None:
    workspace_id = await seed(api, 20_000)
    async with served(api) as (client, exports):
        for file_format in ("csv", "ndjson", "csv"):
            request = export_request(api, client, workspace_id, f"format={file_format}")
            answer = await client.send(request, stream=True)
            parts = answer.aiter_bytes()
            first = await anext(parts)
            assert exports.running == 1
            await answer.aclose()
            await until(lambda: exports.running == 0)
            assert b"complete" not in first
            assert b"end," not in first
        async with as_owner(api.real) as owner:
            open_transactions = await owner.fetchval(
                """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
                   AND backend_type = 'client backend'"""
            )
        assert open_transactions == 0


async def test_a_third_export_at_once_is_asked_to_come_back(api: Any) -> None:
    workspace_id = await seed(api, 20_000)
    async with served(api) as (client, exports):
        request = export_request(api, client, workspace_id)
        open_ones = [await client.send(request, stream=True) for _ in range(2)]
        assert exports.running == 2
        third = await client.send(request)
        assert (third.status_code, third.json()["code"]) == (503, "exports_busy")
        assert third.headers["Retry-After"] == "30"
        for answer in open_ones:
            await answer.aclose()
        await until(lambda: exports.running == 0)
        assert (await client.send(request)).status_code == 200


async def test_an_export_that_takes_too_long_is_cut_and_shows_it(api: Any) -> None:
    workspace_id = await seed(api, 20_000)
    async with served(api) as (client, exports):
        exports.limit_s = 0.5
        answer = await client.send(export_request(api, client, workspace_id), stream=True)
        read = b""
        with pytest.raises(httpx.RemoteProtocolError):
            async for part in answer.aiter_raw():
                read += part
                await until(lambda: exports.running == 0)
        assert b'"complete"' not in read


async def test_an_export_holds_what_was_recorded_in_the_period_for_the_program(
    api: Any, make: Any
) -> None:
    program = make.program(uuid4())
    other = make.program(program.workspace_id)
    one = await api.open_one(program, opening_balance_minor=50)
    two = await api.open_one(other)
    foreign = await api.open_one(opening_balance_minor=5)
    start = api.real.clock.now()
    api.real.clock.advance(timedelta(minutes=1))
    await api.real.apply(
        make.command(one, "transfer", 20, to_pass_id=two.pass_id, reference="=1+1"),
    )
    api.real.clock.advance(timedelta(minutes=1))
    await api.real.apply(make.command(two, "redeem", 4))
    after = (start + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    async with served(api) as (client, _):

        async def rows(query: str) -> list[dict[str, str]]:
            request = export_request(api, client, program.workspace_id, f"format=csv{query}")
            answer = await client.send(request)
            assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
            assert 'filename="entries.csv"' in answer.headers["Content-Disposition"]
            read = list(csv.DictReader(io.StringIO(answer.text, newline="")))
            end = read.pop()
            assert (end["line"], end["number"]) == ("end", str(len(read)))
            return read

        def changes(read: list[dict[str, str]]) -> list[tuple[str, str]]:
            return [(row["pass_id"], row["change_minor"]) for row in read]

        given, taken = (str(one.pass_id), "-20"), (str(two.pass_id), "20")
        opened, spent = (str(one.pass_id), "50"), (str(two.pass_id), "-4")
        everything = await rows("")
        assert changes(everything) == [opened, given, taken, spent]
        assert everything[1]["reference"] == "'=1+1"
        assert str(foreign.pass_id) not in str(everything)
        assert changes(await rows(f"&from={after}")) == [given, taken, spent]
        assert changes(await rows(f"&to={after}")) == [opened]
        assert changes(await rows(f"&program_id={other.program_id}")) == [taken, spent]
        assert changes(await rows(f"&program_id={uuid4()}")) == []


@pytest.mark.parametrize(
    "query", ["", "format=xlsx", "format=csv&from=5", "format=csv&program_id=x"]
)
async def test_an_export_that_cannot_be_is_refused(api: Any, query: str) -> None:
    account = await api.open_one()
    answer = await api.client.send(export_request(api, api.client, account.workspace_id, query))
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_an_export_needs_a_manager_of_the_workspace(api: Any) -> None:
    # proves: J70
    mine, theirs = await api.open_one(), await api.open_one()
    answer = await api.read(mine.workspace_id, "/export?format=csv")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    answer = await api.read(theirs.workspace_id, "/export?format=csv", key_of=mine.workspace_id)
    assert (answer.status_code, answer.json()["code"]) == (404, "workspace_not_found")


BIG = ("account", "entry", "posting", "idempotency_result")


def statements(
    workspace_id: UUID, program_id: UUID, account: Any, entry_id: UUID
) -> dict[str, Any]:
    now = START + timedelta(days=20)
    low, high = (START, UUID(int=0)), (now, UUID(int=2**128 - 1))
    # What a filter looks at: one entry a second.
    scan_end = (START + timedelta(seconds=MAX_SCANNED), UUID(int=0))
    keys = (START, "", now, "")
    own = (workspace_id, account["account_id"])
    entries: dict[str, Any] = {
        "STATEMENT_NEWEST_FIRST": (*own, 0, 100, None, 51),
        "STATEMENT_OLDEST_FIRST": (*own, 20, 100, ["earn"], 51),
        "VERSIONS_IN_PERIOD": (*own, START, now),
        "ENTRIES_NEWEST_FIRST": (workspace_id, *low, *high, None, None, 51),
        "ENTRIES_OLDEST_FIRST": (workspace_id, *low, *scan_end, ["load"], program_id, 51),
        "SCANNED_NEWEST_FIRST": (workspace_id, *low, *high, 4_999),
        "SCANNED_OLDEST_FIRST": (workspace_id, *low, *high, 4_999),
        "ONE_ENTRY": (workspace_id, entry_id),
        "ENTRY_BY_REFERENCE": (workspace_id, "receipt 7"),
        "POSTINGS": (workspace_id, [entry_id]),
        "REVERSED": (workspace_id, [entry_id]),
        "LOT_CHANGES": (workspace_id, entry_id),
    }
    reads: dict[str, Any] = {
        "BY_ID": (now, workspace_id, account["pass_id"]),
        "BY_EXTERNAL_ID": (now, workspace_id, "card 7"),
        "BY_CODE": (now, workspace_id, "7"),
        "BY_IDS": (now, workspace_id, [account["pass_id"]]),
        "BY_EXTERNAL_IDS": (now, workspace_id, ["card 7"]),
        "PAGE_OF_BALANCES": (now, workspace_id, low[1], high[1], program_id, "open", None, 51),
        "SCANNED_BALANCES": (workspace_id, low[1], 4_999),
        "BALANCE_AT": (*own, now),
    }
    holdings: dict[str, Any] = {
        "PAGE_OF_HOLDS": (*own, high[1], low[1], "open", 51),
        "SCANNED_HOLDS": (*own, high[1], 4_999),
        "PAGE_OF_LOTS": (*own, now, None, None, None, 51),
        "LOT_SUMMARY": (*own, now),
    }
    decisions: dict[str, Any] = {
        "PAGE_OF_DECISIONS": (workspace_id, START, "", scan_end[0], "", None, "refused", 51),
        "SCANNED_DECISIONS": (workspace_id, *keys, 4_999),
    }
    export = {"PAGE_OF_EXPORT": (workspace_id, *low, *high, program_id, 500)}
    by_module = {
        postgres_entries: entries,
        postgres_reads: reads,
        postgres_holdings: holdings,
        postgres_decisions: decisions,
        postgres_export: export,
    }
    return {
        getattr(module, name): arguments
        for module, named in by_module.items()
        for name, arguments in named.items()
    }


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_read(node: dict[str, Any]) -> int:
    """By a scan, with those that it read for nothing."""
    if "Relation Name" not in node:
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
async def test_no_read_goes_through_a_whole_table(api: Any, plans: str) -> None:
    workspace_id = await seed(api)
    await seed(api, 5_000)
    async with as_owner(api.real) as owner:
        account = await owner.fetchrow(
            """SELECT account_id, pass_id, program_id FROM ledger.account
               WHERE workspace_id = $1 AND kind = 'pass' LIMIT 1""",
            workspace_id,
        )
        entry_id = await owner.fetchval(
            "SELECT entry_id FROM ledger.entry WHERE workspace_id = $1 LIMIT 1", workspace_id
        )
    assert account is not None
    every = statements(workspace_id, account["program_id"], account, entry_id)
    async with api.real.database.transaction([workspace_id]) as transaction:
        await transaction.execute(f"SET LOCAL plan_cache_mode = {plans}")
        for sql, arguments in every.items():
            # A page of accounts may be all that this workspace has: then a scan is no fault.
            if sql is postgres_reads.SCANNED_BALANCES:
                await transaction.execute(BY_INDEX_ONLY)
            told = await transaction.fetchval(
                f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", *arguments
            )
            await transaction.execute("SET LOCAL enable_seqscan = on")
            for node in nodes(json.loads(told)[0]["Plan"]):
                is_whole = node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG
                assert not is_whole, sql
                # Sorts that follow an index read to the end of a moment.
                assert rows_read(node) <= MAX_SCANNED + 10, sql


READ_SO_FAR = """
SELECT sum(seq_scan)::bigint AS scans, sum(idx_tup_fetch)::bigint AS rows
FROM pg_stat_xact_user_tables WHERE relname IN ('account', 'entry', 'posting')
"""


async def test_what_functions_read_is_found_by_index_too(api: Any) -> None:
    workspace_id = await seed(api, 20_000, passes=2)
    async with as_owner(api.real) as owner:
        account = await owner.fetchrow(
            "SELECT account_id FROM ledger.account WHERE workspace_id = $1 AND kind = 'pass'",
            workspace_id,
        )
    assert account is not None
    at = START + timedelta(seconds=10_000)
    async with reading(api.real.database, workspace_id) as transaction:
        # Of the connection: what earlier transactions read may be among it.
        before = await transaction.fetchrow(READ_SO_FAR)
        row = await transaction.fetchrow(
            postgres_reads.BALANCE_AT, workspace_id, account["account_id"], at
        )
        read = await transaction.fetchrow(READ_SO_FAR)
    assert row is not None
    assert (row["version"], read["scans"] - before["scans"]) == (5_000, 0)
    # A few for each halving of 10,000 versions.
    assert read["rows"] - before["rows"] < 80


async def test_a_filter_that_finds_little_looks_at_a_bounded_part_per_page(api: Any) -> None:
    workspace_id = await seed(api, 20_000)
    found, pages, cursor = [], 0, ""
    while cursor is not None:
        query = "/entries?kind=load" + (cursor and f"&cursor={cursor}")
        page = (await api.read(workspace_id, query)).json()
        found += [entry["reference"] for entry in page["data"]]
        cursor, pages = page["next_cursor"], pages + 1
    # The one is the oldest of all.
    assert (found, pages) == (["receipt 1"], 4)


async def test_a_long_statement_is_filtered_a_bounded_part_per_page(api: Any) -> None:
    workspace_id = await seed(api, 12_000, passes=1)
    for order in ("newest", "oldest"):
        found, pages, cursor = [], 0, ""
        while cursor is not None:
            query = f"/passes/external:card%201/entries?kind=load&order={order}"
            page = (await api.read(workspace_id, query + (cursor and f"&cursor={cursor}"))).json()
            found += [entry["reference"] for entry in page["data"]]
            cursor, pages = page["next_cursor"], pages + 1
        assert (found, pages) == (["receipt 1"], 3)
