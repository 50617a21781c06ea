"""Whatever is wrong with a command: the right status, the right code, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from passferry_contracts.types import Role
from passferry_ledger.entrypoints.command_bodies import ACTIONS

LARGEST = 2**63 - 1
SOME_ID = "018f7f0e-0000-7000-8000-000000000001"
GOOD: dict[str, dict[str, Any]] = {
    "load": {"amount_minor": 5},
    "earn": {"amount_minor": 5},
    "redeem": {"amount_minor": 5},
    "adjust": {"amount_minor": 5},
    "transfer": {"amount_minor": 5, "to_pass_id": SOME_ID},
    "hold": {"amount_minor": 5},
    "capture": {"hold_id": SOME_ID, "amount_minor": 5},
    "release": {"hold_id": SOME_ID},
    "reverse": {"entry_id": SOME_ID, "amount_minor": 5},
    "expire": {"amount_minor": 5},
    "close": {},
    "check-in": {},
    "use": {"amount_minor": 5},
}
NO_AMOUNTS = [1.5, 5.0, "5", True, 0, LARGEST + 1, -LARGEST - 1, 2**70, [5], {"minor": 5}]
NO_TEXTS = ["x" * 201, "a\u0000b", "a\u0007b", 7, ["x"], {"x": 1}, True]
NO_IDS = ["", "no-id", 7, SOME_ID + "0", [SOME_ID], True]
NO_TIMES = [
    "yesterday",
    "2026-05-14T07:00:00",
    1_778_745_600,
    "",
    [2026],
    "0001-01-01T00:00:00+09:00",
]
NO_FLAGS = ["true", 1, 0, None, "yes"]
TEXTS = ("reference", "merchant_id", "merchant_name", "location", "terminal")
#: Fields between which one must choose, and what choosing none or several is told as.
CHOICES: list[tuple[str, dict[str, Any], str]] = [
    ("load", {}, "amount_minor"),
    ("load", {"amount_minor": None}, "amount_minor"),
    ("earn", {}, "amount_minor"),
    ("earn", {"amount_minor": None}, "amount_minor"),
    ("earn", {"amount_minor": 5, "purchase_minor": 5}, "purchase_minor"),
    ("earn", {"amount_minor": 5, "purchase_unit": "EUR"}, "purchase_unit"),
    ("earn", {"purchase_unit": "EUR"}, "amount_minor"),
    ("redeem", {}, "amount_minor"),
    ("redeem", {"everything": False}, "amount_minor"),
    ("redeem", {"amount_minor": 5, "everything": True}, "everything"),
    ("adjust", {}, "amount_minor"),
    ("transfer", {"amount_minor": 5}, "to_pass_id"),
    ("transfer", {"to_pass_id": SOME_ID, "to_external_id": "x"}, "to_external_id"),
    ("hold", {}, "amount_minor"),
    ("capture", {"amount_minor": 5}, "hold_id"),
    ("release", {}, "hold_id"),
    ("reverse", {}, "entry_id"),
    ("reverse", {"entry_id": SOME_ID, "entry_reference": "x"}, "entry_reference"),
    ("use", {"amount_minor": 5, "purchase_minor": 5}, "purchase_minor"),
    ("use", {"purchase_unit": "EUR"}, "purchase_unit"),
]


def bad_bodies(action: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Each a good body but for one field, and that field."""
    good, fields = GOOD[action], ACTIONS[action].body.model_fields
    for name in fields.keys() & {"amount_minor", "purchase_minor"}:
        others = {} if name == "purchase_minor" else good
        amounts = NO_AMOUNTS if action == "adjust" else [*NO_AMOUNTS, -5]
        yield from ((others | {name: value}, name) for value in amounts)
    for name in TEXTS:
        yield from ((good | {name: value}, name) for value in NO_TEXTS)
    for name in fields.keys() & {"to_pass_id", "hold_id", "entry_id"}:
        yield from ((good | {name: value}, name) for value in NO_IDS)
    for name in fields.keys() & {"to_external_id", "entry_reference"}:
        others = {
            key: value for key, value in good.items() if key not in ("to_pass_id", "entry_id")
        }
        yield from ((others | {name: value}, name) for value in NO_TEXTS)
    for name in fields.keys() & {"occurred_at", "hold_until"}:
        yield from ((good | {name: value}, name) for value in NO_TIMES)
    for name in fields.keys() & {"everything", "keep_rest"}:
        yield from ((good | {name: value}, name) for value in NO_FLAGS)
    for name in fields.keys() & {"unit", "purchase_unit"}:
        for unit in ("", "1EUR", "EUR ", "no unit", "x" * 17, 978):
            yield good | {name: unit}, name
    for reason in ("", "Not A Code", "x" * 65, 7):
        yield good | {"reason": reason}, "reason"
    for name in ("amount", "pass_id", "idempotency_key", "kind", "recorded_by", "Unit"):
        yield good | {name: "x"}, name
    yield from ((body, name) for each, body, name in CHOICES if each == action)


def fields_of(problem: dict[str, Any]) -> set[str]:
    return {error["field"].split(".")[0] for error in problem["errors"]}


@pytest.mark.parametrize("action", sorted(ACTIONS))
async def test_each_invalid_field_is_named_and_nothing_is_written(api: Any, action: str) -> None:
    # proves: A22
    account = await api.open_one(opening_balance_minor=100)
    before = await api.rows()
    cases = list(bad_bodies(action))
    assert len(cases) > 50
    for body, name in cases:
        answer: httpx.Response = await api.send(account, action, body)
        problem = answer.json()
        assert (answer.status_code, problem.get("code")) == (422, "validation_failed"), body
        assert name in fields_of(problem), (body, problem)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await api.rows() == before


@pytest.mark.parametrize("action", sorted(ACTIONS))
async def test_a_body_that_is_no_object_or_no_json_is_refused(api: Any, action: str) -> None:
    account = await api.open_one(opening_balance_minor=100)
    before = await api.rows()
    bodies: list[Any] = [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"amount_minor": 5', b"NaN"]
    bodies += [b"[" * 100_000, b'{"amount_minor": ' + b"9" * 5_000 + b"}"]
    for body in bodies:
        answer = await api.send(account, action, body)
        assert 400 <= answer.status_code < 500, (body[:20], answer.text)
        assert answer.json()["code"] in ("validation_failed", "bad_request"), answer.text
    large = await api.send(account, action, b'{"terminal": "' + b"x" * 2_100_000 + b'"}')
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert await api.rows() == before


@pytest.mark.parametrize("action", sorted(ACTIONS))
async def test_each_command_needs_a_proper_idempotency_key(api: Any, action: str) -> None:
    account = await api.open_one(opening_balance_minor=100)
    before = await api.rows()
    for key, code in (
        (None, "idempotency_key_missing"),
        ("", "idempotency_key_missing"),
        ("  ", "idempotency_key_missing"),
        ('""', "idempotency_key_invalid"),
        ("k" * 256, "idempotency_key_invalid"),
        ("k\tk", "idempotency_key_invalid"),
    ):
        answer = await api.send(account, action, GOOD[action], key=key)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert await api.rows() == before


@pytest.mark.parametrize("action", sorted(ACTIONS))
async def test_what_is_not_there_or_not_ones_own_is_never_touched(api: Any, action: str) -> None:
    # proves: J70
    mine, theirs = await api.open_one(), await api.open_one(opening_balance_minor=77, code="c")
    before = await api.rows()
    path = f"/api/v1/workspaces/{theirs.workspace_id}/passes/{theirs.pass_id}/{action}"
    presented = api.keys[(mine.workspace_id, Role.MANAGER)]
    headers = {"Authorization": f"Bearer {presented}", "Idempotency-Key": "k"}
    foreign = await api.client.post(path, json=GOOD[action], headers=headers)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "workspace_not_found")
    nobody = await api.client.post(path, json=GOOD[action], headers={"Idempotency-Key": "k"})
    assert nobody.status_code == 401
    refs = [str(uuid4()), str(theirs.pass_id), f"external:{theirs.external_id}", "code:c"]
    for ref in refs:
        answer = await api.send(mine, action, GOOD[action], pass_ref=ref)
        assert (answer.status_code, answer.json()["code"]) == (404, "pass_unknown")
        assert answer.headers["Retry-After"] == "1"
    assert await api.rows() == before


@pytest.mark.parametrize("action", sorted(ACTIONS))
async def test_another_unit_than_the_passes_own_is_refused_and_remembered(
    api: Any, action: str
) -> None:
    account = await api.open_one(opening_balance_minor=100)
    before = await api.rows()
    for _ in range(2):
        answer = await api.send(account, action, GOOD[action] | {"unit": "EUR"})
        assert (answer.status_code, answer.json()["code"]) == (422, "unit_mismatch")
    assert await api.rows() == before | {"idempotency_result": before["idempotency_result"] + 1}


async def test_nothing_leaves_the_range_of_64_bits(api: Any) -> None:
    # proves: A22
    rules = {"earn": {"points": 1_000, "per_minor": 1, "purchase_unit": "EUR"}}
    program = api.make.program(uuid4(), rules=rules)
    full = await api.open_one(program, opening_balance_minor=LARGEST - 2)
    giver = await api.open_one(program, opening_balance_minor=10)
    debtor = await api.open_one(api.make.program(program.workspace_id, floor_minor=-LARGEST))
    await api.send(debtor, "redeem", {"amount_minor": LARGEST}, key="d")
    before = await api.rows()
    refused = [
        await api.send(full, "load", {"amount_minor": 3}, key="1"),
        await api.send(full, "earn", {"amount_minor": LARGEST}, key="2"),
        await api.send(full, "adjust", {"amount_minor": 3}, key="3"),
        await api.send(giver, "earn", {"purchase_minor": LARGEST}, key="4"),
        await api.send(
            giver, "transfer", {"amount_minor": 3, "to_pass_id": str(full.pass_id)}, key="5"
        ),
        await api.send(debtor, "adjust", {"amount_minor": -1}, key="6"),
        await api.send(debtor, "redeem", {"amount_minor": LARGEST}, key="7"),
    ]
    told = [(answer.status_code, answer.json()["code"]) for answer in refused]
    assert told == [(422, "amount_out_of_range")] * 7
    after = await api.rows()
    assert after == before | {"idempotency_result": before["idempotency_result"] + 7}
    last = await api.send(full, "load", {"amount_minor": 2}, key="8")
    assert last.json()["balance_minor"] == LARGEST


async def test_a_program_that_rests_and_a_balance_kept_elsewhere_are_conflicts(api: Any) -> None:
    for changes, options, code in (
        ({"status": "suspended"}, {}, "program_suspended"),
        ({"status": "retired"}, {}, "program_retired"),
        ({}, {"is_kept_upstream": True}, "balance_kept_upstream"),
    ):
        account = await api.open_one(api.make.program(uuid4(), **changes), **options)
        before = await api.rows()
        for action, body in GOOD.items():
            answer = await api.send(account, action, body, key=action)
            assert (answer.status_code, answer.json()["code"]) == (409, code), action
        after = await api.rows()
        assert after == before | {"idempotency_result": before["idempotency_result"] + len(GOOD)}
