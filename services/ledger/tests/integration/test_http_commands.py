"""Every command by HTTP: what it answers, who may order it, and what a replay is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from passferry_contracts.events import ledger as events
from passferry_contracts.types import Role
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.take_commands import OrderedCommand, TakeCommands
from passferry_ledger.domain.accounts import NewAccount
from passferry_ledger.entrypoints.command_bodies import ACTIONS

MANAGERS_ONLY = {"adjust", "expire", "close"}


@dataclass
class Till:
    """Two passes with 100 each, an open hold of 10 on the first, and the entry of a redemption."""

    first: NewAccount
    second: NewAccount
    hold_id: str
    entry_id: str

    def good(self, action: str) -> dict[str, Any]:
        """A body that the ledger applies."""
        bodies: dict[str, dict[str, Any]] = {
            "load": {"amount_minor": 5},
            "earn": {"amount_minor": 5},
            "redeem": {"amount_minor": 5},
            "adjust": {"amount_minor": -5},
            "transfer": {"amount_minor": 5, "to_pass_id": str(self.second.pass_id)},
            "hold": {"amount_minor": 5, "hold_until": "2026-05-15T12:00:00Z"},
            "capture": {"hold_id": self.hold_id, "amount_minor": 4, "keep_rest": True},
            "release": {"hold_id": self.hold_id},
            "reverse": {"entry_id": self.entry_id, "amount_minor": 3},
            "expire": {"amount_minor": 5},
            "close": {"reason": "lost"},
            "check-in": {},
            "use": {"amount_minor": 5},
        }
        return bodies[action]


@pytest.fixture
async def till(api: Any) -> Till:
    program = api.make.program(uuid4())
    first = await api.open_one(program, opening_balance_minor=117)
    second = await api.open_one(program, opening_balance_minor=100)
    held = await api.send(first, "hold", {"amount_minor": 10}, key="the-hold")
    spent = await api.send(first, "redeem", {"amount_minor": 7, "reference": "b-7"}, key="spent")
    return Till(first, second, held.json()["hold_id"], spent.json()["entry_id"])


async def test_every_command_answers_what_it_changed_and_a_replay_is_the_same_bytes(
    api: Any, till: Till
) -> None:
    changes = {"load": 5, "earn": 5, "redeem": -5, "adjust": -5, "transfer": -5, "capture": -4}
    changes |= {"reverse": 3, "expire": -5, "use": -5}
    for action in ACTIONS:
        if action in ("check-in", "close"):
            continue
        body = till.good(action)
        first = await api.send(till.first, action, body, key=action)
        again = await api.send(till.first, action, body, key=action)
        assert first.status_code == 200, first.text
        answer = first.json()
        assert answer["change_minor"] == changes.get(action, 0), action
        assert answer["kind"] == ("redeem" if action == "use" else action)
        assert again.content == first.content
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers


async def test_the_shortcut_and_the_ordinary_way_answer_alike(api: Any, till: Till) -> None:
    ordinary = {"Content-Type": "application/json; charset=utf-8"}
    for number, action in enumerate(("redeem", "earn", "use", "load")):
        for amount in (5, 10**6):
            key, body = f"k{amount}-{number}", {"amount_minor": amount, "reference": f"{number}ü"}
            short = await api.send(till.first, action, body, key=key)
            long = await api.send(till.first, action, body, key=key, headers=ordinary)
            assert (long.content, long.status_code) == (short.content, short.status_code)
            assert long.headers["Idempotency-Replayed"] == "true"
            assert long.headers["Content-Type"] == short.headers["Content-Type"]


async def test_holds_are_told_and_captured_in_part_and_released(api: Any, till: Till) -> None:
    account, hold_id = till.first, till.hold_id
    part = {"hold_id": hold_id, "amount_minor": 4, "keep_rest": True}
    captured = (await api.send(account, "capture", part, key="c")).json()
    assert (captured["hold_id"], captured["change_minor"]) == (hold_id, -4)
    assert (captured["balance_minor"], captured["held_minor"]) == (106, 6)
    assert captured["available_minor"] == 100
    released = (await api.send(account, "release", {"hold_id": hold_id}, key="r")).json()
    assert (released["hold_id"], released["held_minor"]) == (hold_id, 0)
    ended = await api.send(account, "capture", {"hold_id": hold_id}, key="late")
    assert (ended.status_code, ended.json()["code"]) == (409, "hold_ended")
    unknown = await api.send(account, "release", {"hold_id": str(uuid4())}, key="unknown")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "hold_unknown")
    assert "Retry-After" not in unknown.headers


async def test_a_refusal_tells_what_is_held(api: Any, till: Till) -> None:
    answer = await api.send(till.first, "redeem", {"amount_minor": 101}, key="much")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, "insufficient_balance")
    assert (told["balance_minor"], told["held_minor"], told["available_minor"]) == (110, 10, 100)


async def test_an_entry_is_reversed_by_its_id_or_its_reference(api: Any, till: Till) -> None:
    part = {"entry_reference": "b-7", "amount_minor": 3}
    first = (await api.send(till.first, "reverse", part, key="r1")).json()
    assert (first["kind"], first["reverses"], first["change_minor"]) == (
        "reverse",
        till.entry_id,
        3,
    )
    rest = (await api.send(till.first, "reverse", {"entry_id": till.entry_id}, key="r2")).json()
    assert rest["change_minor"] == 4
    again = await api.send(till.first, "reverse", {"entry_id": till.entry_id}, key="r3")
    assert (again.status_code, again.json()["code"]) == (409, "already_reversed")
    unknown = await api.send(till.first, "reverse", {"entry_reference": "b-8"}, key="r4")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "entry_unknown")


async def test_a_transfer_tells_both_sides_and_without_an_amount_takes_everything(
    api: Any, till: Till
) -> None:
    body = {"to_external_id": till.second.external_id}
    first = await api.send(till.first, "transfer", body, key="t")
    told = first.json()
    assert (told["change_minor"], told["balance_minor"], told["available_minor"]) == (-100, 10, 0)
    assert told["other"] == {
        "pass_id": str(till.second.pass_id),
        "version": 2,
        "balance_minor": 200,
        "available_minor": 200,
    }
    again = await api.send(till.first, "transfer", body, key="t")
    assert again.content == first.content
    late = {"amount_minor": 1, "to_pass_id": str(uuid4())}
    unknown = await api.send(till.first, "transfer", late, key="u")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "other_pass_unknown")
    assert unknown.headers["Retry-After"] == "1"


async def test_crossings_and_tiers_are_in_the_answer_of_the_entry_that_caused_them(
    api: Any,
) -> None:
    rules = {
        "earn": {"points": 1, "per_minor": 100, "purchase_unit": "EUR"},
        "tiers": {"levels": [{"name": "Silver", "from_minor": 20}]},
    }
    thresholds = [{"kind": "low_balance", "below_minor": 10, "name": "few"}]
    program = api.make.program(uuid4(), rules=rules, thresholds=thresholds)
    account = await api.open_one(program)
    bought = {"purchase_minor": 2_599, "purchase_unit": "EUR"}
    first = await api.send(account, "earn", bought, key="e")
    earned = first.json()
    assert (earned["change_minor"], earned["tier"]) == (25, "Silver")
    tier_changed = {"kind": "tier_changed", "threshold_minor": 20, "name": "Silver"}
    assert earned["crossings"] == [tier_changed]
    assert (await api.send(account, "earn", bought, key="e")).content == first.content
    spent = (await api.send(account, "redeem", {"amount_minor": 16}, key="r")).json()
    low = {"kind": "low_balance", "threshold_minor": 10, "name": "few"}
    assert spent["crossings"] == [low]


async def test_a_coupon_is_marked_as_used_by_redeeming_everything(api: Any) -> None:
    # proves: A5
    program = api.make.program(uuid4(), protocol="COUPON", unit="EUR", unit_scale=2)
    coupon = await api.open_one(program, opening_balance_minor=1_250)
    used = await api.send(coupon, "redeem", {"everything": True})
    told = used.json()
    assert (told["change_minor"], told["balance_minor"], told["exhausted"]) == (-1_250, 0, True)
    again = await api.send(coupon, "redeem", {"everything": True})
    assert again.content == used.content
    anew = await api.send(coupon, "redeem", {"everything": True}, key="anew")
    assert (anew.status_code, anew.json()["code"]) == (409, "nothing_to_redeem")


async def test_a_closed_pass_keeps_its_balance_and_spends_nothing(api: Any, till: Till) -> None:
    open_hold = await api.send(till.first, "close", {}, key="c1")
    assert (open_hold.status_code, open_hold.json()["code"]) == (409, "holds_open")
    closed = await api.send(till.second, "close", {"reason": "lost"}, key="c2")
    assert (closed.status_code, closed.json()["balance_minor"]) == (200, 100)
    spend = await api.send(till.second, "redeem", {"amount_minor": 1}, key="c3")
    assert (spend.status_code, spend.json()["code"]) == (409, "account_closed")


async def test_each_action_needs_its_role(api: Any, till: Till) -> None:
    for action in ACTIONS:
        body = till.good(action)
        key = f"as-{action}"
        viewer = await api.send(till.first, action, body, role=Role.VIEWER, key=key)
        assert (viewer.status_code, viewer.json()["code"]) == (403, "forbidden"), action
        member = await api.send(
            till.first, action, body, role=Role.MEMBER, key=key, params={"dry_run": "true"}
        )
        assert (member.status_code == 403) == (action in MANAGERS_ONLY), (action, member.text)


async def test_a_pass_is_named_by_what_its_barcode_holds(api: Any) -> None:
    program = api.make.program(uuid4())
    account = await api.open_one(program, code="PF/7 ü?", opening_balance_minor=5)
    for number, ref in enumerate(("code:PF%2F7%20%C3%BC%3F", str(account.pass_id))):
        answer = await api.send(account, "redeem", {"amount_minor": 1}, pass_ref=ref, key="k")
        assert (answer.status_code, answer.json()["pass_id"]) == (200, str(account.pass_id))
        assert ("Idempotency-Replayed" in answer.headers) == bool(number)
    for bad in ("code:", "code:" + "x" * 201, "code:%01"):
        answer = await api.send(account, "redeem", {"amount_minor": 1}, pass_ref=bad)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "pass_ref")
    unknown = await api.send(account, "redeem", {"amount_minor": 1}, pass_ref="code:x", key="x")
    assert (unknown.status_code, unknown.headers["Retry-After"]) == (404, "1")


async def test_a_code_that_is_not_the_named_passes_own_is_refused(api: Any) -> None:
    program = api.make.program(uuid4())
    account = await api.open_one(program, code="ABC", opening_balance_minor=5)
    other = await api.open_one(program, code="XYZ", opening_balance_minor=5)
    command = api.make.command(account, "redeem", 1, code="XYZ")
    (refused,) = await api.real.apply(command)
    assert refused.code == "pass_mismatch"
    assert await api.real.balance(other) == 5


def _by_kafka(till: Till, common: dict[str, Any]) -> list[tuple[str, dict[str, Any], Any]]:
    """Action, what is said by HTTP, and the same command's event."""
    second = str(till.second.pass_id)
    said: list[tuple[str, dict[str, Any], type[Any]]] = [
        ("load", {"amount_minor": 5}, events.LoadCommand),
        ("earn", {"amount_minor": 5}, events.EarnCommand),
        ("earn", {"purchase_minor": 500, "purchase_unit": "EUR"}, events.PurchaseCommand),
        ("redeem", {"amount_minor": 5, "terminal": "t-1"}, events.RedeemCommand),
        ("redeem", {"everything": True}, events.RedeemEverythingCommand),
        ("adjust", {"amount_minor": -5}, events.AdjustCommand),
        ("transfer", {"amount_minor": 5, "to_pass_id": second}, events.TransferCommand),
        ("transfer", {"to_pass_id": second}, events.TransferCommand),
        (
            "hold",
            {"amount_minor": 5, "hold_until": "2026-05-15T14:00:00+02:00"},
            events.HoldCommand,
        ),
        (
            "capture",
            {"hold_id": till.hold_id, "amount_minor": 2, "keep_rest": True},
            events.CaptureCommand,
        ),
        ("release", {"hold_id": till.hold_id}, events.ReleaseCommand),
        ("reverse", {"entry_id": till.entry_id, "amount_minor": 1}, events.ReverseCommand),
        ("reverse", {"entry_reference": "b-7", "amount_minor": 1}, events.ReverseCommand),
        ("expire", {"amount_minor": 1}, events.ExpireCommand),
        ("check-in", {}, events.CheckInCommand),
        ("use", {"amount_minor": 5}, events.UseCommand),
        ("use", {"purchase_minor": 5}, events.UseCommand),
        ("close", {"reason": "lost"}, events.CloseCommand),
    ]
    orders = []
    for number, (action, body, kind) in enumerate(said):
        given = {name: value for name, value in body.items() if name != "everything"}
        event = kind.model_validate(common | given | {"idempotency_key": f"k{number}"})
        orders.append((action, body, event))
    return orders


async def test_a_command_is_one_command_by_http_and_by_kafka(api: Any, till: Till) -> None:
    account = till.first
    take = TakeCommands(
        apply=ApplyCommands(ledger=api.real.commands, workspaces=api.directory),
        workspaces=api.directory,
    )
    common = {"workspace_id": account.workspace_id, "external_id": account.external_id}
    for number, (action, body, event) in enumerate(_by_kafka(till, common)):
        by_http = await api.send(account, action, body, key=f"k{number}")
        before = await api.rows()
        order = OrderedCommand(data=event, event_id=str(uuid4()), source="/till", traceparent=None)
        assert await take([order]) == [None]
        after = await api.rows()
        # The answer on ledger.results; nothing else.
        assert after == before | {"outbox": before["outbox"] + 1}, action
        again = await api.send(account, action, body, key=f"k{number}")
        assert again.content == by_http.content
        assert again.headers["Idempotency-Replayed"] == "true", (action, body)


@pytest.mark.parametrize("how", ["query", "header"])
async def test_a_dry_run_answers_alike_and_leaves_no_trace(api: Any, till: Till, how: str) -> None:
    options: dict[str, Any] = (
        {"params": {"dry_run": "true"}} if how == "query" else {"headers": {"Dry-Run": "true"}}
    )
    before = await api.rows()
    for action in ACTIONS:
        body = till.good(action)
        tried = await api.send(till.first, action, body, key=None, **options)
        told = tried.json()
        assert told["dry_run"] is True, tried.text
        if action == "check-in":
            assert (tried.status_code, told["code"]) == (422, "action_not_supported")
        elif action == "close":
            assert (tried.status_code, told["code"]) == (409, "holds_open")
        else:
            assert (tried.status_code, told["entry_id"]) == (200, None)
            assert (told["hold_id"] is None) == (action not in ("capture", "release"))
    assert await api.rows() == before
    real = await api.send(till.first, "redeem", {"amount_minor": 5}, key="k")
    assert (real.json()["balance_minor"], real.json()["dry_run"]) == (105, False)
    known = await api.send(till.first, "redeem", {"amount_minor": 5}, key="k", **options)
    assert UUID(known.json()["entry_id"]) == UUID(real.json()["entry_id"])
    assert known.headers["Idempotency-Replayed"] == "true"


async def test_a_dry_run_is_refused_as_the_command_would_be_and_remembers_nothing(
    api: Any, till: Till
) -> None:
    before = await api.rows()
    for _ in range(2):
        tried = await api.send(
            till.first, "redeem", {"amount_minor": 101}, key="k", params={"dry_run": "true"}
        )
        assert (tried.status_code, tried.json()["code"]) == (409, "insufficient_balance")
        assert tried.json()["dry_run"] is True
        assert "Idempotency-Replayed" not in tried.headers
    assert await api.rows() == before
    both = [("dry_run", "true"), ("dry_run", "false")]
    torn = await api.send(till.first, "redeem", {"amount_minor": 1}, key="k", params=both)
    assert (torn.status_code, torn.json()["errors"][0]["field"]) == (422, "dry_run")
    maybe = await api.send(till.first, "redeem", {}, key="k", params={"dry_run": "perhaps"})
    assert maybe.status_code == 422


async def test_what_is_earned_for_a_tier_has_a_bound(api: Any) -> None:
    rules = {"tiers": {"levels": [{"name": "Gold", "from_minor": 1}]}}
    account = await api.open_one(api.make.program(uuid4(), rules=rules))
    for number in range(3):
        earned = await api.send(account, "earn", {"amount_minor": 2**63 - 1}, key=f"e{number}")
        assert earned.status_code == 200, earned.text
        spent = await api.send(account, "redeem", {"everything": True}, key=f"r{number}")
        assert spent.status_code == 200, spent.text


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_any_moment_that_can_be_written_can_be_stored(api: Any, moment: str) -> None:
    account = await api.open_one(opening_balance_minor=10)
    answer = await api.send(account, "redeem", {"amount_minor": 1, "occurred_at": moment})
    assert answer.status_code == 200, answer.text
    far = await api.send(account, "hold", {"amount_minor": 1, "hold_until": moment}, key="h")
    assert (far.status_code, far.json()["code"]) == (422, "hold_until_invalid")
