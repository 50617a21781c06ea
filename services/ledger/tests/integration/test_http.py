"""The HTTP API over a real ledger: answers, replays, roles, bad input."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.types import Role
from passferry_runtime.errors import RetryLater


async def test_an_applied_command_tells_entry_version_and_balance(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    answer = await api.send(
        account, "redeem", {"amount_minor": 30, "reference": "b-1", "merchant_name": "Café Zürich"}
    )
    assert answer.status_code == 200
    body = answer.json()
    assert UUID(body.pop("entry_id")).version == 7
    assert body == {
        "pass_id": str(account.pass_id),
        "kind": "redeem",
        "change_minor": -30,
        "previous_balance_minor": 100,
        "balance_minor": 70,
        "held_minor": 0,
        "available_minor": 70,
        "unit": "points",
        "unit_scale": 0,
        "version": 2,
        "exhausted": False,
        "reference": "b-1",
        "hold_id": None,
        "reverses": None,
        "tier": None,
        "crossings": [],
        "other": None,
        "dry_run": False,
        "recorded_at": "2026-05-14T12:00:00Z",
    }


async def test_a_replay_is_the_same_byte_for_byte_and_says_so(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    for key, amount, status in (("k1", 30, 200), ("k2", 500, 409)):
        first = await api.send(account, "redeem", {"amount_minor": amount}, key=key)
        again = await api.send(account, "redeem", {"amount_minor": amount}, key=f'"{key}"')
        assert first.status_code == again.status_code == status
        assert first.content == again.content
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
    assert await api.real.balance(account) == 70


async def test_an_overdraft_is_a_conflict_that_tells_what_is_available(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    answer = await api.send(account, "redeem", {"amount_minor": 101})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["code"], body["available_minor"], body["status"]) == (
        "insufficient_balance",
        100,
        409,
    )


async def test_a_key_reused_for_another_body_is_refused(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    await api.send(account, "earn", {"amount_minor": 1})
    answer = await api.send(account, "earn", {"amount_minor": 2})
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")


async def test_one_key_sent_twice_at_once_is_in_flight_or_replayed(api: Any) -> None:
    account = await api.open_one()
    answers = await asyncio.gather(
        *(api.send(account, "earn", {"amount_minor": 5}) for _ in range(8))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses) <= {200, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "command_in_flight"
            assert answer.headers["Retry-After"] == "1"
    assert await api.real.balance(account) == 5


async def test_an_unknown_pass_is_to_be_asked_again_and_is_not_remembered(api: Any) -> None:
    known = await api.open_one()
    program = api.make.program(known.workspace_id)
    await api.real.accounts.store_programs([program])
    late = api.make.account(program)
    answer = await api.send(late, "earn", {"amount_minor": 5})
    assert (answer.status_code, answer.json()["code"]) == (404, "pass_unknown")
    assert answer.headers["Retry-After"] == "1"
    await api.real.accounts.open_accounts([late])
    answer = await api.send(late, "earn", {"amount_minor": 5})
    assert (answer.status_code, answer.json()["balance_minor"]) == (200, 5)
    assert "Idempotency-Replayed" not in answer.headers


async def test_a_pass_is_addressed_by_its_external_id_whatever_is_in_it(api: Any) -> None:
    program = api.make.program(uuid4())
    for number, external_id in enumerate(["карта 7", "till/7/../earn", "a?b#c%2F", "x:y"]):
        account = await api.open_one(program, external_id=external_id)
        quoted = "".join(f"%{byte:02X}" for byte in external_id.encode())
        answer = await api.send(
            account, "earn", {"amount_minor": 5}, pass_ref=f"external:{quoted}", key=f"k{number}"
        )
        assert (answer.status_code, answer.json()["pass_id"]) == (200, str(account.pass_id))
        read = await api.read(account.workspace_id, f"/passes/external:{quoted}/balance")
        assert (read.json()["external_id"], read.json()["balance_minor"]) == (external_id, 5)


GOOD = {"amount_minor": 5}
LONG = "x" * 201
BAD_INPUT: list[tuple[str, Any, int, str, str | None]] = [
    ("earn", {}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": 0}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": -1}, 422, "validation_failed", "amount_minor"),
    ("redeem", {"amount_minor": -1}, 422, "validation_failed", "amount_minor"),
    ("adjust", {"amount_minor": 0}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": 1.5}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": 5.0}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": "5"}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": True}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": None}, 422, "validation_failed", "amount_minor"),
    ("earn", {"amount_minor": 2**63}, 422, "validation_failed", "amount_minor"),
    ("adjust", {"amount_minor": -(2**63)}, 422, "validation_failed", "amount_minor"),
    ("earn", GOOD | {"unit": "no unit!"}, 422, "validation_failed", "unit"),
    ("earn", GOOD | {"unit": "EUR"}, 422, "unit_mismatch", None),
    ("earn", GOOD | {"reference": LONG}, 422, "validation_failed", "reference"),
    ("earn", GOOD | {"reference": "a\u0000b"}, 422, "validation_failed", "reference"),
    ("earn", GOOD | {"reason": "Not A Code"}, 422, "validation_failed", "reason"),
    ("earn", GOOD | {"merchant_id": LONG}, 422, "validation_failed", "merchant_id"),
    ("earn", GOOD | {"merchant_name": LONG}, 422, "validation_failed", "merchant_name"),
    ("earn", GOOD | {"location": LONG}, 422, "validation_failed", "location"),
    ("earn", GOOD | {"terminal": 7}, 422, "validation_failed", "terminal"),
    ("earn", GOOD | {"occurred_at": "yesterday"}, 422, "validation_failed", "occurred_at"),
    (
        "earn",
        GOOD | {"occurred_at": "2026-05-14T07:00:00"},
        422,
        "validation_failed",
        "occurred_at",
    ),
    ("earn", GOOD | {"amount": 5}, 422, "validation_failed", "amount"),
    ("earn", [GOOD], 422, "validation_failed", "body"),
    ("earn", b"{", 422, "validation_failed", None),
    ("earn", b"", 422, "validation_failed", "body"),
    ("earn", b'{"amount_minor": 1e400}', 422, "validation_failed", "amount_minor"),
    ("earn", b'{"amount_minor": ' + b"9" * 4000 + b"}", 422, "validation_failed", "amount_minor"),
    (
        "earn",
        b'{"amount_minor": 5, "terminal": "' + b"x" * 2_100_000 + b'"}',
        413,
        "body_too_large",
        None,
    ),
    ("earn", {"amount_minor": 2**63 - 1}, 422, "amount_out_of_range", None),
]


@pytest.mark.parametrize(("action", "body", "status", "code", "field_name"), BAD_INPUT)
async def test_bad_input_is_refused_with_its_field_and_writes_nothing(
    api: Any, action: str, body: Any, status: int, code: str, field_name: str | None
) -> None:
    # proves: A22
    account = await api.open_one(opening_balance_minor=100)
    answer = await api.send(account, action, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code, problem
    if field_name is not None:
        assert field_name in [error["field"].split(".")[0] for error in problem["errors"]]
    assert await api.real.balance(account) == 100
    assert await api.real.findings() == []


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "idempotency_key_missing"),
        ("", "idempotency_key_missing"),
        ('""', "idempotency_key_invalid"),
        ("k" * 256, "idempotency_key_invalid"),
        ("k\tk", "idempotency_key_invalid"),
    ],
)
async def test_a_command_needs_a_proper_idempotency_key(
    api: Any, key: str | None, code: str
) -> None:
    account = await api.open_one()
    answer = await api.send(account, "earn", GOOD, key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert await api.real.balance(account) == 0


@pytest.mark.parametrize("pass_ref", ["not-an-id", "external:", "external:%00", "x" * 300])
async def test_a_pass_that_cannot_be_named_so_is_refused(api: Any, pass_ref: str) -> None:
    account = await api.open_one()
    answer = await api.send(account, "earn", GOOD, pass_ref=pass_ref)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "pass_ref"


async def test_what_a_role_may_do(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    allowed = {
        Role.VIEWER: set(),
        Role.MEMBER: {"earn", "redeem"},
        Role.MANAGER: {"earn", "redeem", "adjust"},
    }
    for role, actions in allowed.items():
        for action in ("earn", "redeem", "adjust"):
            answer = await api.send(account, action, GOOD, role=role, key=f"{role}-{action}")
            assert answer.status_code == (200 if action in actions else 403), (role, action)


async def test_nothing_of_one_workspace_is_shown_to_another(api: Any) -> None:
    # proves: J70
    mine, theirs = await api.open_one(), await api.open_one(opening_balance_minor=77)
    foreign_path = await api.read(
        theirs.workspace_id, f"/passes/{theirs.pass_id}/balance", key_of=mine.workspace_id
    )
    assert (foreign_path.status_code, foreign_path.json()["code"]) == (404, "workspace_not_found")
    for path in ("balance", "entries"):
        own_path = await api.read(mine.workspace_id, f"/passes/{theirs.pass_id}/{path}")
        assert (own_path.status_code, own_path.json()["code"]) == (404, "pass_unknown")
    for action in ("earn", "redeem", "adjust"):
        answer = await api.send(mine, action, GOOD, pass_ref=str(theirs.pass_id), key=action)
        assert (answer.status_code, answer.json()["code"]) == (404, "pass_unknown")
    page = (await api.read(mine.workspace_id, "/balances")).json()
    assert [each["pass_id"] for each in page["data"]] == [str(mine.pass_id)]
    assert await api.real.balance(theirs) == 77


async def test_a_suspended_workspace_may_read_and_not_change(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=5)
    api.add_workspace(account.workspace_id, suspended=True, revision=2)
    answer = await api.send(account, "earn", GOOD)
    assert (answer.status_code, answer.json()["code"]) == (403, "workspace_suspended")
    read = await api.read(account.workspace_id, f"/passes/{account.pass_id}/balance")
    assert (read.status_code, read.json()["balance_minor"]) == (200, 5)


async def test_reads_go_page_by_page(api: Any) -> None:
    account = await api.open_one()
    for number in range(5):
        await api.send(account, "earn", {"amount_minor": number + 1}, key=f"k{number}")
    changes: list[int] = []
    cursor = ""
    while cursor is not None:
        path = f"/passes/{account.pass_id}/entries?limit=2" + (cursor and f"&cursor={cursor}")
        page = (await api.read(account.workspace_id, path)).json()
        changes += [entry["change_minor"] for entry in page["data"]]
        cursor = page["next_cursor"]
    assert changes == [5, 4, 3, 2, 1]
    balance = (await api.read(account.workspace_id, f"/passes/{account.pass_id}/balance")).json()
    assert (balance["balance_minor"], balance["version"], balance["status"]) == (15, 5, "open")


@pytest.mark.parametrize(
    ("query", "field_name"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("cursor=7", "cursor"),
        ("cursor=v-1", "cursor"),
        ("cursor=v" + "9" * 19, "cursor"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(api: Any, query: str, field_name: str) -> None:
    account = await api.open_one()
    answer = await api.read(account.workspace_id, f"/passes/{account.pass_id}/entries?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field_name


async def test_a_balance_kept_upstream_is_not_read_here(api: Any) -> None:
    account = await api.open_one(is_kept_upstream=True)
    read = await api.read(account.workspace_id, f"/passes/{account.pass_id}/balance")
    assert (read.status_code, read.json()["code"]) == (409, "balance_kept_upstream")
    answer = await api.send(account, "earn", GOOD)
    assert (answer.status_code, answer.json()["code"]) == (409, "balance_kept_upstream")


async def test_storage_that_is_away_is_not_an_answer(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await api.open_one()

    async def away(*arguments: Any, **options: Any) -> Any:
        raise RetryLater("storage_unavailable", "gone")

    monkeypatch.setattr(api.real.commands, "apply", away)
    monkeypatch.setattr(api.real.reads, "find_account", away)
    for answer in (
        await api.send(account, "earn", GOOD),
        await api.read(account.workspace_id, f"/passes/{account.pass_id}/balance"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert answer.headers["Retry-After"] == "1"
