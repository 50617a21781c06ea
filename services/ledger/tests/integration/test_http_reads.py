"""Reads over HTTP: balances, statements, entries, holds, lots, the audit."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from passferry_contracts.types import Role

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


async def get(api: Any, account: Any, path: str, **options: Any) -> dict[str, Any]:
    answer = await api.read(account.workspace_id, path, **options)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def audit(api: Any, account: Any, query: str = "") -> httpx.Response:
    presented = api.keys[(account.workspace_id, Role.MANAGER)]
    answer: httpx.Response = await api.client.get(
        f"/api/v1/workspaces/{account.workspace_id}/audit{query}",
        headers={"X-Api-Key": presented},
    )
    return answer


async def pages(api: Any, account: Any, path: str, limit: int) -> list[list[dict[str, Any]]]:
    read, cursor = [], ""
    while cursor is not None:
        sign = "&" if "?" in path else "?"
        query = f"{sign}limit={limit}" + (cursor and f"&cursor={cursor}")
        page = await get(api, account, path + query)
        read.append(page["data"])
        cursor = page["next_cursor"]
        assert len(read) < 100
    return read


async def apply(api: Any, *commands: Any) -> list[Any]:
    outcomes: list[Any] = await api.real.apply(*commands)
    assert [outcome.code for outcome in outcomes] == ["applied"] * len(commands)
    return outcomes


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def points_program(make: Any) -> Any:
    rules = {
        "expiry": {"kind": "after_days", "days": 30},
        "pending_days": 2,
        "tiers": {"valid_days": 90, "levels": [{"name": "silver", "from_minor": 50}]},
    }
    return make.program(uuid4(), rules=rules)


async def test_a_balance_tells_what_is_held_pending_lapsed_and_available(
    api: Any, make: Any
) -> None:
    program = points_program(make)
    account = await api.open_one(program, opening_balance_minor=100)
    api.real.clock.advance(3 * DAY)
    await apply(api, make.command(account, "earn", 60), make.command(account, "hold", 15))
    path = f"/passes/{account.pass_id}/balance"
    read = await get(api, account, path)
    assert {name: read[name] for name in read if name.endswith("_minor")} == {
        "balance_minor": 160,
        "held_minor": 15,
        "pending_minor": 60,
        "lapsed_minor": 0,
        "available_minor": 85,
    }
    assert (read["tier"], read["version"], read["status"]) == ("silver", 3, "open")
    assert datetime.fromisoformat(read["tier_until"]) > api.real.clock.now()
    api.real.clock.advance(28 * DAY)
    later = await get(api, account, path)
    # What is held rests on lapsed points first.
    assert (later["pending_minor"], later["lapsed_minor"], later["available_minor"]) == (0, 100, 60)


async def test_a_balance_is_told_as_it_was_at_any_time(api: Any, make: Any) -> None:
    account = await api.open_one()
    clock = api.real.clock
    start, expected = clock.now(), []
    for number in range(1, 12):
        clock.advance(MINUTE)
        kind = "hold" if number % 4 == 0 else "earn"
        outcome = (await apply(api, make.command(account, kind, number)))[0]
        expected.append((clock.now(), outcome.balance_minor, outcome.held_minor, outcome.version))
    path = f"/passes/{account.pass_id}/balance?at="
    for moment, balance, held, version in expected:
        for at in (moment, moment + MINUTE - timedelta(microseconds=1)):
            if at <= clock.now():
                read = await get(api, account, path + iso(at))
                told = (read["balance_minor"], read["held_minor"], read["version"])
                assert told == (balance, held, version)
    before = await get(api, account, path + iso(start))
    assert (before["balance_minor"], before["held_minor"], before["version"]) == (0, 0, 0)
    assert datetime.fromisoformat(before["at"]) == start


@pytest.mark.parametrize(
    "at", ["2026-05-14T12:00:01Z", "1770000000", "2026-05-14T11:00:00", "yesterday", ""]
)
async def test_a_time_that_is_to_come_or_none_is_refused(api: Any, at: str) -> None:
    account = await api.open_one()
    answer = await api.read(account.workspace_id, f"/passes/{account.pass_id}/balance?at={at}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "at")


async def test_a_statement_is_read_in_both_orders_by_kind_and_by_time(api: Any, make: Any) -> None:
    account = await api.open_one()
    for number in range(1, 10):
        api.real.clock.advance(MINUTE)
        kind = "redeem" if number % 3 == 0 else "earn"
        await apply(api, make.command(account, kind, 1 if kind == "redeem" else 10))
    path = f"/passes/{account.pass_id}/entries"

    async def versions(query: str) -> list[list[int]]:
        read = await pages(api, account, path + query, 4)
        return [[entry["version"] for entry in page] for page in read]

    assert await versions("?order=newest") == [[9, 8, 7, 6], [5, 4, 3, 2], [1]]
    assert await versions("?order=oldest") == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert await versions("?kind=redeem") == [[9, 6, 3]]
    assert await versions("?kind=redeem&kind=earn&order=oldest") == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9],
    ]
    noon = api.real.clock.now() - 9 * MINUTE
    period = f"from={iso(noon + 2 * MINUTE)}&to={iso(noon + 5 * MINUTE)}"
    assert await versions(f"?{period}") == [[4, 3, 2]]
    assert await versions(f"?{period}&order=oldest&kind=earn") == [[2, 4]]
    assert await versions(f"?to={iso(noon)}") == [[]]
    assert await versions(f"?from={iso(noon + DAY)}") == [[]]


async def test_a_statement_says_what_was_held_reversed_and_by_whom(api: Any, make: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    redeemed, held = await apply(
        api,
        make.command(account, "redeem", 40, reference="b-1", recorded_by="key:till"),
        make.command(account, "hold", 20),
    )
    await apply(
        api,
        make.command(account, "reverse", 15, reverses=redeemed.entry_id),
        make.command(account, "reverse", 5, reverses_reference="b-1"),
        make.command(account, "capture", 8, hold_id=held.entry_id),
    )
    read = (await get(api, account, f"/passes/{account.pass_id}/entries"))["data"]
    assert [
        (entry["kind"], entry["change_minor"], entry["held_change_minor"], entry["reversed_minor"])
        for entry in read
    ] == [
        ("capture", -8, -20, 0),
        ("reverse", 5, 0, 0),
        ("reverse", 15, 0, 0),
        ("hold", 0, 20, 0),
        ("redeem", -40, 0, 20),
        ("opening", 100, 0, 0),
    ]
    assert read[0]["hold_id"] == read[3]["hold_id"] == str(held.entry_id)
    assert read[1]["reverses"] == read[4]["entry_id"] == str(redeemed.entry_id)
    assert (read[4]["recorded_by"], read[3]["held_after_minor"]) == ("key:till", 20)


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_pages_stay_in_place_while_others_write(api: Any, make: Any, order: str) -> None:
    account = await api.open_one()
    await apply(api, *(make.command(account, "earn", 1) for _ in range(10)))
    for path in (f"/passes/{account.pass_id}/entries", "/entries"):
        seen, cursor = [], ""
        while cursor is not None:
            query = f"?limit=3&order={order}" + (cursor and f"&cursor={cursor}")
            page = await get(api, account, path + query)
            seen += [entry["entry_id"] for entry in page["data"]]
            cursor = page["next_cursor"]
            if len(seen) < 12:
                api.real.clock.advance(MINUTE)
                await apply(api, *(make.command(account, "earn", 1) for _ in range(2)))
        assert max(Counter(seen).values()) == 1
        assert len(seen) >= 10


async def test_a_period_that_ends_before_it_begins_is_refused(api: Any) -> None:
    account = await api.open_one()
    period = "from=2026-05-14T12:00:00Z&to=2026-05-14T12:00:00Z"
    for path in (f"/passes/{account.pass_id}/entries", "/entries"):
        answer = await api.read(account.workspace_id, f"{path}?{period}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "to")


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


NO_CURSORS = [
    "7",
    "v1",
    "%00",
    "a" * 2_049,
    forged("statement:newest", 5),
    forged("statement:newest", "-1"),
    forged("statement:newest", "9" * 19),
    forged("statement:newest", "٣"),
    forged("entries:newest", "2026-05-14T12:00:00", str(UUID(int=1))),
    forged("entries:newest", "0001-01-01T00:00:00+14:00", str(UUID(int=1))),
    forged("entries:newest", "now", str(UUID(int=1))),
    forged("audit", "2026-05-14T12:00:00+00:00", "nul\x00"),
    forged("audit", "2026-05-14T12:00:00+00:00", ""),
    forged("balances", "x"),
    forged("balances"),
    forged(),
    base64.urlsafe_b64encode(b"[" * 1_500).decode().rstrip("="),
]


@pytest.mark.parametrize("cursor", NO_CURSORS)
async def test_what_is_no_cursor_of_the_list_is_refused(api: Any, cursor: str) -> None:
    account = await api.open_one()
    own = f"/passes/{account.pass_id}"
    for path in (f"{own}/entries", f"{own}/holds", f"{own}/lots", "/entries", "/balances"):
        answer = await api.read(account.workspace_id, f"{path}?cursor={cursor}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor"), path
    answer = await audit(api, account, f"?cursor={cursor}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_a_cursor_belongs_to_its_list_and_order(api: Any, make: Any) -> None:
    account = await api.open_one()
    await apply(api, *(make.command(account, "earn", 1) for _ in range(3)))
    path = f"/passes/{account.pass_id}/entries"
    cursor = (await get(api, account, f"{path}?limit=1"))["next_cursor"]
    for other in (f"{path}?order=oldest&", "/entries?", "/balances?"):
        answer = await api.read(account.workspace_id, f"{other}cursor={cursor}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


LISTS = ("/entries", "/balances", "/passes/{}/entries", "/passes/{}/holds", "/passes/{}/lots")


@pytest.mark.parametrize("limit", ["0", "201", "-1", "many", "1.5", ""])
async def test_a_limit_is_one_to_two_hundred(api: Any, limit: str) -> None:
    account = await api.open_one()
    for path in LISTS:
        answer = await api.read(
            account.workspace_id, f"{path.format(account.pass_id)}?limit={limit}"
        )
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limit"), path


async def test_an_entry_is_found_by_its_id_and_by_its_reference(api: Any, make: Any) -> None:
    # proves: A19
    program = points_program(make)
    account = await api.open_one(program, opening_balance_minor=10)
    api.real.clock.advance(DAY)
    await apply(api, make.command(account, "earn", 30))
    api.real.clock.advance(3 * DAY)
    spent = (await apply(api, make.command(account, "redeem", 35, reference="till 7/42")))[0]
    found = (await get(api, account, "/entries?reference=till%207/42"))["data"]
    assert [entry["entry_id"] for entry in found] == [str(spent.entry_id)]
    assert (await get(api, account, "/entries?reference=none"))["data"] == []
    entry = await get(api, account, f"/entries/{spent.entry_id}")
    [side], [counter] = entry["passes"], entry["counters"]
    assert (side["pass_id"], side["change_minor"], side["version"]) == (
        str(account.pass_id),
        -35,
        spent.version,
    )
    assert (counter["account"], counter["change_minor"]) == ("redeemed", 35)
    # Soonest to lapse first: those of the opening, and of the others the rest.
    assert [lot["change_minor"] for lot in side["lots"]] == [-10, -25]
    assert side["lots"][0]["expires_at"] < side["lots"][1]["expires_at"]
    answer = await api.read(account.workspace_id, "/entries?reference=a&kind=earn")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reference")


async def test_a_transfer_is_one_entry_with_two_passes(api: Any, make: Any) -> None:
    program = make.program(uuid4())
    giver = await api.open_one(program, opening_balance_minor=50)
    taker = await api.open_one(program)
    moved = (await apply(api, make.command(giver, "transfer", 20, to_pass_id=taker.pass_id)))[0]
    await apply(api, make.command(giver, "reverse", 5, reverses=moved.entry_id))
    entry = await get(api, giver, f"/entries/{moved.entry_id}")
    assert [(side["pass_id"], side["change_minor"]) for side in entry["passes"]] == [
        (str(giver.pass_id), -20),
        (str(taker.pass_id), 20),
    ]
    assert (entry["counters"], entry["reversed_minor"]) == ([], 5)
    for account in (giver, taker):
        read = (await get(api, account, f"/passes/{account.pass_id}/entries"))["data"]
        assert [each["reversed_minor"] for each in read if each["kind"] == "transfer"] == [5]


async def test_entries_of_the_workspace_are_read_by_program_kind_and_time(
    api: Any, make: Any
) -> None:
    workspace_id = uuid4()
    cafe, shop = make.program(workspace_id), make.program(workspace_id)
    one, two = await api.open_one(cafe), await api.open_one(shop)
    for number in range(1, 7):
        api.real.clock.advance(MINUTE)
        account = one if number % 2 else two
        await apply(api, make.command(account, "adjust" if number == 5 else "earn", number))

    async def changes(query: str) -> list[int]:
        read = await pages(api, one, f"/entries{query}", 2)
        return [entry["passes"][0]["change_minor"] for page in read for entry in page]

    assert await changes("") == [6, 5, 4, 3, 2, 1]
    assert await changes("?order=oldest") == [1, 2, 3, 4, 5, 6]
    assert await changes(f"?program_id={cafe.program_id}") == [5, 3, 1]
    assert await changes(f"?program_id={cafe.program_id}&kind=earn&order=oldest") == [1, 3]
    noon = api.real.clock.now() - 6 * MINUTE
    assert await changes(f"?from={iso(noon + 3 * MINUTE)}&to={iso(noon + 5 * MINUTE)}") == [4, 3]


async def test_entries_of_one_moment_are_neither_lost_nor_repeated(api: Any, make: Any) -> None:
    account = await api.open_one()
    await apply(api, *(make.command(account, "earn", number) for number in range(1, 24)))
    for order in ("newest", "oldest"):
        read = await pages(api, account, f"/entries?order={order}", 5)
        changes = [entry["passes"][0]["change_minor"] for page in read for entry in page]
        assert sorted(changes) == list(range(1, 24))


async def test_balances_are_listed_by_program_status_and_tier(api: Any, make: Any) -> None:
    program = points_program(make)
    other = make.program(program.workspace_id)
    opened = [await api.open_one(program, opening_balance_minor=n) for n in range(1, 6)]
    elsewhere = await api.open_one(other)
    await api.open_one(program, is_kept_upstream=True)
    await apply(api, make.command(opened[0], "earn", 50), make.command(opened[1], "close", None))

    async def listed(query: str) -> set[str]:
        read = await pages(api, elsewhere, f"/balances{query}", 2)
        found = [balance["pass_id"] for page in read for balance in page]
        assert found == sorted(found)
        return set(found)

    ours = {str(account.pass_id) for account in opened}
    assert await listed("") == {*ours, str(elsewhere.pass_id)}
    assert await listed(f"?program_id={program.program_id}") == ours
    assert await listed("?status=closed") == {str(opened[1].pass_id)}
    assert await listed("?tier=silver&status=open") == {str(opened[0].pass_id)}
    assert await listed("?tier=gold") == set()


async def test_balances_of_many_are_asked_for_by_their_names(api: Any, make: Any) -> None:
    program = make.program(uuid4())
    first = await api.open_one(program, opening_balance_minor=1, external_id="card 1")
    second = await api.open_one(program, opening_balance_minor=2)
    upstream = await api.open_one(program, is_kept_upstream=True)
    foreign = await api.open_one(external_id="card 9")
    stranger = uuid4()
    body = {
        "pass_ids": [str(each) for each in (second.pass_id, stranger, foreign.pass_id)]
        + [str(upstream.pass_id)],
        "external_ids": ["card 1", "card 9", second.external_id, "card 9"],
    }
    answer = await api.post(
        program.workspace_id, "/balances/query", body, key=None, role=Role.VIEWER
    )
    assert answer.status_code == 200
    read = answer.json()
    assert [(each["pass_id"], each["balance_minor"]) for each in read.pop("data")] == [
        (str(second.pass_id), 2),
        (str(first.pass_id), 1),
    ]
    assert read == {
        "kept_upstream": [str(upstream.pass_id)],
        "unknown_pass_ids": [str(stranger), str(foreign.pass_id)],
        "unknown_external_ids": ["card 9"],
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pass_ids": []},
        {"pass_ids": ["x"]},
        {"pass_ids": None},
        {"external_ids": [""]},
        {"external_ids": ["a" * 129]},
        {"external_ids": ["nul\x00"]},
        {"external_ids": [7]},
        {"pass_ids": [str(UUID(int=n)) for n in range(1_001)]},
        {"pass_ids": [str(UUID(int=n)) for n in range(600)], "external_ids": ["a"] * 401},
        {"passes": [str(uuid4())]},
        [],
    ],
)
async def test_a_bad_query_for_balances_is_refused(api: Any, body: Any) -> None:
    account = await api.open_one()
    answer = await api.post(account.workspace_id, "/balances/query", body, key=None)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_thousand_balances_come_in_one_answer(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=3)
    names = [str(UUID(int=number)) for number in range(1, 1_000)]
    body = {"pass_ids": [*names, str(account.pass_id)]}
    read = (await api.post(account.workspace_id, "/balances/query", body, key=None)).json()
    assert ([each["balance_minor"] for each in read["data"]], read["unknown_pass_ids"]) == (
        [3],
        names,
    )


async def test_holds_are_listed_newest_first_and_by_state(api: Any, make: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    placed = await apply(
        api,
        *(make.command(account, "hold", amount, reference=f"r{amount}") for amount in (1, 2, 3)),
    )
    ids = [outcome.entry_id for outcome in placed]
    await apply(
        api,
        make.command(account, "capture", 1, hold_id=ids[1], keep_rest=True),
        make.command(account, "release", None, hold_id=ids[2]),
    )
    path = f"/passes/{account.pass_id}/holds"
    read = [hold for page in await pages(api, account, path, 2) for hold in page]
    assert [(hold["state"], hold["amount_minor"], hold["left_minor"]) for hold in read] == [
        ("released", 3, 0),
        ("open", 2, 1),
        ("open", 1, 1),
    ]
    assert (read[1]["captured_minor"], read[1]["reference"]) == (1, "r2")
    still = await get(api, account, f"{path}?state=open")
    assert ([hold["hold_id"] for hold in still["data"]], still["held_minor"]) == (
        [str(ids[1]), str(ids[0])],
        2,
    )
    answer = await api.read(account.workspace_id, f"{path}?state=lost")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "state")


async def test_lots_are_listed_soonest_first_with_what_lapses_next(api: Any, make: Any) -> None:
    program = points_program(make)
    account = await api.open_one(program)
    await apply(api, make.command(account, "load", 7))
    clock = api.real.clock
    for amount in (10, 20, 30):
        await apply(api, make.command(account, "earn", amount))
        clock.advance(DAY)
    path = f"/passes/{account.pass_id}/lots"
    lots = [lot for page in await pages(api, account, path, 2) for lot in page]
    assert [(lot["remaining_minor"], lot["is_pending"], lot["is_lapsed"]) for lot in lots] == [
        (10, False, False),
        (20, False, False),
        (30, True, False),
    ]
    read = await get(api, account, path)
    assert (read["undated_minor"], read["undated_expires_at"]) == (7, None)
    assert read["next_expiry"] == {"at": lots[0]["expires_at"], "amount_minor": 10}
    clock.advance(28 * DAY)
    read = await get(api, account, path)
    assert [lot["is_lapsed"] for lot in read["data"]] == [True, False, False]
    assert read["next_expiry"]["amount_minor"] == 20
    clock.advance(60 * DAY)
    assert (await get(api, account, path))["next_expiry"] is None


async def test_points_that_lapse_by_inactivity_are_the_next_to_lapse(api: Any, make: Any) -> None:
    program = make.program(uuid4(), rules={"expiry": {"kind": "rolling", "days": 10}})
    account = await api.open_one(program)
    await apply(api, make.command(account, "earn", 9))
    read = await get(api, account, f"/passes/{account.pass_id}/lots")
    assert read["data"] == []
    assert read["next_expiry"] == {"at": read["undated_expires_at"], "amount_minor": 9}


async def test_lots_without_an_end_come_last_page_by_page(api: Any, make: Any) -> None:
    program = make.program(uuid4(), rules={"pending_days": 3})
    account = await api.open_one(program)
    for amount in (1, 2, 3):
        await apply(api, make.command(account, "earn", amount))
        api.real.clock.advance(DAY)
    read = await pages(api, account, f"/passes/{account.pass_id}/lots", 1)
    assert [[lot["remaining_minor"] for lot in page] for page in read] == [[1], [2], [3]]
    assert {lot["expires_at"] for page in read for lot in page} == {None}


async def test_the_audit_has_every_command_refused_ones_included(api: Any, make: Any) -> None:
    account = await api.open_one(opening_balance_minor=5)
    for key, amount in (("a", 3), ("b", 9), ("c", 2)):
        api.real.clock.advance(MINUTE)
        await api.send(account, "redeem", {"amount_minor": amount}, key=key, role=Role.MEMBER)
    api.real.clock.advance(MINUTE)
    await apply(api, make.command(account, "earn", 1, recorded_by="kafka:crm"))
    read = (await audit(api, account)).json()["data"]
    assert [(each["command"], each["code"]) for each in read] == [
        ("earn", "applied"),
        ("redeem", "applied"),
        ("redeem", "insufficient_balance"),
        ("redeem", "applied"),
    ]
    refused = read[2]
    assert (refused["idempotency_key"], refused["entry_id"], refused["available_minor"]) == (
        "b",
        None,
        2,
    )
    assert refused["pass_id"] == str(account.pass_id)
    till = refused["recorded_by"]
    assert till.startswith("key:")
    assert await keys(api, account, f"?recorded_by={till}&limit=1") == ["c", "b", "a"]
    assert await keys(api, account, "?code=insufficient_balance") == ["b"]
    noon = api.real.clock.now() - 4 * MINUTE
    period = f"?from={iso(noon + MINUTE)}&to={iso(noon + 3 * MINUTE)}"
    assert await keys(api, account, period) == ["b", "a"]
    answer = await api.read(account.workspace_id, "/audit")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def keys(api: Any, account: Any, query: str) -> list[str]:
    found, cursor = [], ""
    while cursor is not None:
        page = (await audit(api, account, query + (cursor and f"&cursor={cursor}"))).json()
        found += [each["idempotency_key"] for each in page["data"]]
        cursor = page["next_cursor"]
    return found


async def test_commands_of_one_moment_are_all_in_the_audit(api: Any, make: Any) -> None:
    account = await api.open_one()
    commands = [make.command(account, "earn", 1) for _ in range(11)]
    await apply(api, *commands)
    found = await keys(api, account, "?limit=3")
    assert sorted(found) == sorted(str(command.idempotency_key) for command in commands)


PASS_READS = ("balance", "balance?at=2026-05-14T00:00:00Z", "entries", "holds", "lots")


async def test_no_read_shows_anything_of_another_workspace(api: Any, make: Any) -> None:
    # proves: J70
    mine = await api.open_one(opening_balance_minor=1)
    theirs = await api.open_one(opening_balance_minor=77)
    spent = (await apply(api, make.command(theirs, "redeem", 7, reference="theirs")))[0]
    for path in PASS_READS:
        own = await api.read(mine.workspace_id, f"/passes/{theirs.pass_id}/{path}")
        assert (own.status_code, own.json()["code"]) == (404, "pass_unknown"), path
    paths = [f"/passes/{theirs.pass_id}/{path}" for path in PASS_READS]
    for path in (*paths, "/entries", f"/entries/{spent.entry_id}", "/balances"):
        foreign = await api.read(theirs.workspace_id, path, key_of=mine.workspace_id)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "workspace_not_found"), path
    own = await api.read(mine.workspace_id, f"/entries/{spent.entry_id}")
    assert (own.status_code, own.json()["code"]) == (404, "entry_unknown")
    assert (await get(api, mine, "/entries?reference=theirs"))["data"] == []
    assert [
        entry["passes"][0]["pass_id"] for entry in (await get(api, mine, "/entries"))["data"]
    ] == [str(mine.pass_id)]
    assert (await get(api, mine, f"/entries?program_id={theirs.program_id}"))["data"] == []
    assert await keys(api, mine, "") == []


async def test_reads_of_a_pass_kept_upstream_are_refused(api: Any) -> None:
    account = await api.open_one(is_kept_upstream=True)
    for path in PASS_READS:
        answer = await api.read(account.workspace_id, f"/passes/{account.pass_id}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "balance_kept_upstream"), path


async def test_the_documented_api_names_every_read(api: Any) -> None:
    paths = (await api.client.get("/openapi.json")).json()["paths"]
    described = {path.removeprefix("/api/v1/workspaces/{workspace_id}") for path in paths}
    assert described >= {
        "/balances",
        "/balances/query",
        "/entries",
        "/entries/{entry_id}",
        "/audit",
        "/export",
        "/passes/{pass_ref}/balance",
        "/passes/{pass_ref}/entries",
        "/passes/{pass_ref}/holds",
        "/passes/{pass_ref}/lots",
    }
