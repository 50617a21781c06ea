"""A code at the till: what it stands for, and what the program's protocol does with it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from passferry_contracts.types import Role

EARN = {"earn": {"points": 1, "per_minor": 100, "purchase_unit": "EUR"}}
PROTOCOLS: list[tuple[dict[str, Any], dict[str, Any], str, int]] = [
    ({"protocol": "MEMBERSHIP", "rules": EARN}, {"purchase_minor": 1_999}, "earn", 19),
    ({"protocol": "MEMBERSHIP", "rules": EARN}, {"amount_minor": 2}, "redeem", -2),
    ({"protocol": "MEMBERSHIP", "unit": "stamps"}, {}, "earn", 1),
    ({"protocol": "COUPON", "unit": "uses"}, {}, "redeem", -1),
    ({"protocol": "EVENT_TICKET", "unit": "entries"}, {}, "check_in", -1),
    ({"protocol": "GIFT_CARD", "unit": "EUR", "unit_scale": 2}, {"amount_minor": 5}, "redeem", -5),
]


@pytest.mark.parametrize(("program", "said", "kind", "change"), PROTOCOLS)
async def test_the_protocol_says_what_a_scan_does(
    api: Any, program: dict[str, Any], said: dict[str, Any], kind: str, change: int
) -> None:
    # proves: C9
    account = await api.open_one(
        api.make.program(uuid4(), **program), opening_balance_minor=5, code="4006381333931"
    )
    body = {"code": "4006381333931", "terminal": "till-3", **said}
    scanned = await api.post(account.workspace_id, "/scans", body, role=Role.MEMBER)
    assert scanned.status_code == 200, scanned.text
    told = scanned.json()
    assert (told["pass_id"], told["kind"]) == (str(account.pass_id), kind)
    assert (told["change_minor"], told["balance_minor"]) == (change, 5 + change)
    again = await api.post(account.workspace_id, "/scans", body, role=Role.MEMBER)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (scanned.content, "true")
    by_pass = {name: value for name, value in body.items() if name != "code"}
    used = await api.send(account, "use", by_pass)
    assert used.content == scanned.content


async def actions_of(api: Any, account: Any) -> dict[str, str | None]:
    """What is offered, or why not."""
    before = await api.rows()
    scan = await api.read(account.workspace_id, f"/scans?code={account.code}")
    assert scan.status_code == 200, scan.text
    assert await api.rows() == before
    told = scan.json()
    assert (told["pass_id"], told["program_id"]) == (
        str(account.pass_id),
        str(account.program_id),
    )
    assert all(each["offered"] == (each["code"] is None) for each in told["actions"])
    return {each["action"]: each["code"] for each in told["actions"]}


async def test_a_scan_tells_what_the_pass_is_and_changes_nothing(api: Any) -> None:
    program = api.make.program(uuid4(), protocol="GIFT_CARD", unit="EUR", unit_scale=2)
    card = await api.open_one(program, opening_balance_minor=900, code="gift-1")
    await api.send(card, "hold", {"amount_minor": 100})
    told = (await api.read(card.workspace_id, "/scans?code=gift-1")).json()
    assert (told["protocol"], told["unit"], told["unit_scale"]) == ("GIFT_CARD", "EUR", 2)
    assert (told["balance_minor"], told["held_minor"], told["available_minor"]) == (900, 100, 800)
    assert (told["status"], told["tier"], told["version"]) == ("open", None, 2)
    assert await actions_of(api, card) == {"redeem": None, "load": None}


async def test_only_what_the_ledger_would_do_now_is_offered(api: Any) -> None:
    # proves: C9
    workspace_id = uuid4()
    ticket = await api.open_one(
        api.make.program(workspace_id, protocol="EVENT_TICKET", unit="entries"),
        opening_balance_minor=1,
        code="ticket-1",
    )
    assert await actions_of(api, ticket) == {"check-in": None}
    await api.send(ticket, "check-in", {})
    assert await actions_of(api, ticket) == {"check-in": "already_checked_in"}
    coupon = await api.open_one(
        api.make.program(workspace_id, protocol="COUPON", unit="uses"), code="coupon-1"
    )
    assert await actions_of(api, coupon) == {"redeem": "nothing_to_redeem"}
    member = await api.open_one(
        api.make.program(workspace_id, max_balance_minor=50, max_entry_minor=20),
        opening_balance_minor=50,
        code="member-1",
    )
    assert await actions_of(api, member) == {"earn": "balance_limit_exceeded", "redeem": None}
    await api.send(member, "close", {}, key="c")
    closed = {"earn": "account_closed", "redeem": "account_closed"}
    assert await actions_of(api, member) == closed


async def test_a_code_that_is_not_known_or_cannot_be_is_refused(api: Any) -> None:
    account = await api.open_one(code="known")
    foreign = await api.open_one(code="theirs")
    for code in ("nobody", "theirs"):
        read = await api.read(account.workspace_id, f"/scans?code={code}")
        used = await api.post(account.workspace_id, "/scans", {"code": code}, key=code)
        for answer in (read, used):
            assert (answer.status_code, answer.json()["code"]) == (404, "pass_unknown")
            assert answer.headers["Retry-After"] == "1"
    for query in ("", "?code=", f"?code={'x' * 201}", "?code=%00"):
        answer = await api.read(account.workspace_id, f"/scans{query}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "code")
    for body in ({}, {"code": ""}, {"code": 7}, {"code": "x" * 201}, {"code": "a\u0007b"}):
        answer = await api.post(account.workspace_id, "/scans", body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "code")
    assert await api.real.balance(foreign) == 0


async def test_a_scan_needs_a_member_to_act_and_a_key_to_be_remembered_by(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=5, code="c")
    body = {"code": "c", "amount_minor": 1}
    as_viewer = await api.post(account.workspace_id, "/scans", body, role=Role.VIEWER)
    assert as_viewer.status_code == 403
    without = await api.post(account.workspace_id, "/scans", body, key=None)
    assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_missing")
    tried = await api.post(
        account.workspace_id, "/scans", body, key=None, params={"dry_run": "true"}
    )
    assert (tried.json()["balance_minor"], tried.json()["dry_run"]) == (4, True)
    assert await api.real.balance(account) == 5
