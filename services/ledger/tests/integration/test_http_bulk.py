"""Many commands in one request: each for itself, or all or none."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from passferry_contracts.types import Role
from passferry_ledger.application.ports import Mode
from passferry_ledger.domain.accounts import NewAccount
from passferry_ledger.entrypoints import bulk_bodies
from passferry_runtime.errors import RetryLater


def redeem(account: NewAccount, amount: Any = 5, **said: Any) -> dict[str, Any]:
    named = {} if {"external_id", "code"} & said.keys() else {"pass_id": str(account.pass_id)}
    if not {"idempotency_key", "reference"} & said.keys():
        said["idempotency_key"] = str(uuid4())
    return {"action": "redeem", "amount_minor": amount} | named | said


def codes(answer: Any) -> list[str]:
    return [result["code"] for result in answer.json()["results"]]


async def as_lines(api: Any, account: NewAccount, lines: list[Any], **options: Any) -> Any:
    content = b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )
    headers = {"Content-Type": "application/x-ndjson"}
    return await api.post(
        account.workspace_id, "/commands/bulk", content, key=None, headers=headers, **options
    )


async def test_each_command_of_a_bulk_has_the_result_that_it_has_alone(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100, code="c-1")
    first = redeem(account, 30, idempotency_key="k1", merchant_name="Café")
    second = redeem(account, 500, idempotency_key="k2")
    third = redeem(account, 20, code="c-1", idempotency_key="k3")
    answer = await api.bulk(account.workspace_id, first, second, third, role=Role.MEMBER)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["applied"], told["refused"], told["dry_run"]) == (2, 1, False)
    assert [result["status"] for result in told["results"]] == [200, 409, 200]
    assert codes(answer) == ["applied", "insufficient_balance", "applied"]
    assert [result["replayed"] for result in told["results"]] == [False, False, False]
    for number, item in enumerate((first, second, third)):
        body = {name: item[name] for name in ("amount_minor", "merchant_name") if name in item}
        alone = await api.send(account, "redeem", body, key=f"k{number + 1}")
        assert alone.headers["Idempotency-Replayed"] == "true"
        assert told["results"][number]["body"] == alone.json()
    again = await api.bulk(account.workspace_id, first, second, third)
    assert [result["body"] for result in again.json()["results"]] == [
        result["body"] for result in told["results"]
    ]
    assert all(result["replayed"] for result in again.json()["results"])
    assert await api.real.balance(account) == 50


async def test_an_item_that_is_not_valid_does_not_hurt_the_others(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    good = redeem(account, 1)
    unkeyed = {name: value for name, value in redeem(account).items() if name != "idempotency_key"}
    faulty: list[tuple[Any, int, str, str | None]] = [
        (redeem(account, 1.5), 422, "validation_failed", "amount_minor"),
        (redeem(account, 2**63), 422, "validation_failed", "amount_minor"),
        (redeem(account) | {"everything": True}, 422, "validation_failed", "everything"),
        (redeem(account) | {"surprise": 1}, 422, "validation_failed", "surprise"),
        (redeem(account) | {"action": "rob"}, 422, "validation_failed", "action"),
        (redeem(account) | {"action": ["redeem"]}, 422, "validation_failed", "action"),
        ({"amount_minor": 5}, 422, "validation_failed", "action"),
        (redeem(account) | {"pass_id": None}, 422, "validation_failed", "pass_id"),
        (redeem(account) | {"external_id": "x"}, 422, "validation_failed", "external_id"),
        (redeem(account, idempotency_key="k" * 256), 422, "validation_failed", "idempotency_key"),
        (redeem(account, reference="r\u0000"), 422, "validation_failed", "reference"),
        (["redeem"], 422, "validation_failed", "body"),
        (None, 422, "validation_failed", "body"),
        (unkeyed, 400, "idempotency_key_missing", None),
        (unkeyed | {"reference": ""}, 400, "idempotency_key_missing", None),
        (redeem(account) | {"pass_id": str(uuid4())}, 404, "pass_unknown", None),
    ]
    commands = [each for item, *_ in faulty for each in (item, redeem(account, 1))]
    answer = await api.bulk(account.workspace_id, good, *commands)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert (answer.json()["applied"], answer.json()["refused"]) == (1 + len(faulty), len(faulty))
    for (item, status, code, name), result in zip(faulty, results[1::2], strict=True):
        assert (result["status"], result["code"]) == (status, code), (item, result)
        assert (result["body"]["code"], result["body"]["status"]) == (code, status)
        if name is not None:
            assert name in [error["field"] for error in result["body"]["errors"]], result
    assert await api.real.balance(account) == 99 - len(faulty)


async def test_an_atomic_bulk_is_applied_whole_or_not_at_all(api: Any) -> None:
    program = api.make.program(uuid4())
    one = await api.open_one(program, opening_balance_minor=100)
    two = await api.open_one(program, opening_balance_minor=10)
    bulk = [redeem(one, 60, idempotency_key="a"), redeem(two, 11, idempotency_key="b")]
    before = await api.rows()
    refused = await api.bulk(one.workspace_id, *bulk, redeem(one, 1), atomic=True)
    assert refused.status_code == 200
    assert codes(refused) == ["bulk_aborted", "insufficient_balance", "bulk_aborted"]
    told = refused.json()["results"][0]
    assert (told["status"], told["body"].get("balance_minor")) == (424, None)
    assert await api.rows() == before
    bulk[1]["amount_minor"] = 10
    applied = await api.bulk(one.workspace_id, *bulk, atomic=True)
    assert codes(applied) == ["applied", "applied"]
    again = await api.bulk(one.workspace_id, *bulk, redeem(one, 500), atomic=True)
    assert codes(again) == ["applied", "applied", "insufficient_balance"]
    assert [result["replayed"] for result in again.json()["results"]] == [True, True, False]
    assert (await api.real.balance(one), await api.real.balance(two)) == (40, 0)


@pytest.mark.parametrize("fault", [{"amount_minor": 0}, {"action": "adjust"}, {"action": "?"}])
async def test_one_invalid_item_aborts_an_atomic_bulk(api: Any, fault: dict[str, Any]) -> None:
    account = await api.open_one(opening_balance_minor=100)
    before = await api.rows()
    twice = redeem(account, 5)
    answer = await api.bulk(
        account.workspace_id,
        twice,
        redeem(account) | fault,
        twice,
        atomic=True,
        role=Role.MEMBER,
    )
    assert [result["status"] for result in answer.json()["results"]][::2] == [424, 424]
    assert answer.json()["results"][1]["status"] in (403, 422)
    assert answer.json()["applied"] == 0
    assert await api.rows() == before


async def test_a_key_twice_in_a_bulk_that_is_aborted_was_never_applied(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    twice = redeem(account, 5)
    answer = await api.bulk(account.workspace_id, twice, twice, redeem(account, 101), atomic=True)
    assert codes(answer) == ["bulk_aborted", "bulk_aborted", "insufficient_balance"]
    each = await api.bulk(account.workspace_id, twice, twice)
    assert [result["replayed"] for result in each.json()["results"]] == [False, True]
    assert await api.real.balance(account) == 95


async def test_an_atomic_bulk_is_one_call_to_the_store_and_the_others_are_batches(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await api.open_one(opening_balance_minor=10_000)
    calls: list[tuple[int, Mode]] = []
    apply = api.real.commands.apply

    async def counted(submissions: Any, *, suspended: Any, mode: Mode = Mode.EACH) -> Any:
        calls.append((len(submissions), mode))
        return await apply(submissions, suspended=suspended, mode=mode)

    monkeypatch.setattr(api.real.commands, "apply", counted)
    many = [redeem(account, 1) for _ in range(1_000)]
    answer = await api.bulk(account.workspace_id, *many)
    assert answer.json()["applied"] == 1_000
    assert calls == [(128, Mode.EACH)] * 7 + [(104, Mode.EACH)]
    calls.clear()
    many = [redeem(account, 1) for _ in range(1_000)]
    answer = await api.bulk(account.workspace_id, *many, atomic=True)
    assert (answer.json()["applied"], calls) == (1_000, [(1_000, Mode.ALL_OR_NONE)])
    assert await api.real.balance(account) == 8_000


async def test_a_bulk_of_nothing_or_of_too_much_is_refused_whole(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    before = await api.rows()
    bodies: list[Any] = [
        {"commands": []},
        {"commands": [redeem(account, 1) for _ in range(1_001)]},
        {"commands": redeem(account)},
        {"commands": None},
        {},
    ]
    for body in bodies:
        answer = await api.post(account.workspace_id, "/commands/bulk", body, key=None)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert answer.json()["errors"][0]["field"] == "commands", answer.text
    whole: list[tuple[Any, str]] = [
        ({"commands": [redeem(account)], "atomic": "yes"}, "atomic"),
        ({"commands": [redeem(account)], "surprise": 1}, "surprise"),
        (b"[]", "body"),
        (b"{", "body"),
        (b"", "body"),
        (b"[" * 100_000, "body"),
    ]
    for body, name in whole:
        answer = await api.post(account.workspace_id, "/commands/bulk", body, key=None)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert answer.json()["errors"][0]["field"] == name, answer.text
    large = await api.post(account.workspace_id, "/commands/bulk", b" " * 2_097_153, key=None)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    xml = {"Content-Type": "text/xml"}
    other = await api.post(account.workspace_id, "/commands/bulk", b"<a/>", key=None, headers=xml)
    assert (other.status_code, other.json()["code"]) == (415, "media_type_unsupported")
    assert await api.rows() == before


async def test_roles_are_checked_for_each_action(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    named = {"pass_id": str(account.pass_id)}
    commands = [
        {"action": "adjust", "amount_minor": 1, "idempotency_key": "k1"} | named,
        {"action": "expire", "amount_minor": 1, "idempotency_key": "k2"} | named,
        {"action": "earn", "amount_minor": 1, "idempotency_key": "k3"} | named,
        {"action": "close", "idempotency_key": "k4"} | named,
    ]
    viewer = await api.bulk(account.workspace_id, *commands, role=Role.VIEWER)
    assert viewer.status_code == 403
    member = await api.bulk(account.workspace_id, *commands, role=Role.MEMBER)
    assert codes(member) == ["forbidden", "forbidden", "applied", "forbidden"]
    manager = await api.bulk(account.workspace_id, *commands, role=Role.MANAGER)
    assert codes(manager) == ["applied"] * 4


async def test_every_action_is_known_to_bulks(api: Any) -> None:
    program = api.make.program(uuid4())
    one = await api.open_one(program, opening_balance_minor=100)
    two = await api.open_one(program, opening_balance_minor=100)
    ticket = await api.open_one(
        api.make.program(program.workspace_id, protocol="EVENT_TICKET", unit="entries"),
        opening_balance_minor=2,
        code="t-1",
    )
    named = {"pass_id": str(one.pass_id)}
    first = await api.bulk(
        one.workspace_id,
        named | {"action": "hold", "amount_minor": 9, "reference": "h-1"},
        redeem(one, 7, reference="b-1"),
    )
    hold_id = first.json()["results"][0]["body"]["hold_id"]
    held = named | {"hold_id": hold_id}
    said: list[tuple[dict[str, Any], int]] = [
        (named | {"action": "load", "amount_minor": 5}, 5),
        (named | {"action": "earn", "amount_minor": 5}, 5),
        (named | {"action": "adjust", "amount_minor": -5}, -5),
        (named | {"action": "use", "amount_minor": 5}, -5),
        (held | {"action": "capture", "amount_minor": 4, "keep_rest": True}, -4),
        (held | {"action": "release"}, 0),
        (named | {"action": "reverse", "entry_reference": "b-1"}, 7),
        (named | {"action": "expire", "amount_minor": 3}, -3),
        (named | {"action": "transfer", "to_pass_id": str(two.pass_id), "amount_minor": 50}, -50),
        (named | {"action": "transfer", "to_external_id": two.external_id}, -43),
        (named | {"action": "close"}, 0),
        ({"action": "check-in", "code": "t-1"}, -1),
        ({"action": "redeem", "everything": True, "external_id": ticket.external_id}, -1),
    ]
    answer = await api.bulk(
        one.workspace_id,
        *(item | {"idempotency_key": f"k{number}"} for number, (item, _) in enumerate(said)),
    )
    for (item, change), result in zip(said, answer.json()["results"], strict=True):
        assert result["status"] == 200, (item, result)
        assert result["body"]["change_minor"] == change, (item, result)


async def test_usage_of_an_outside_system_counts_once_per_reference(api: Any) -> None:
    # proves: A19
    program = api.make.program(uuid4(), protocol="COUPON", unit="uses")
    coupon = await api.open_one(program, opening_balance_minor=3, code="SAVE-3")
    used = [
        {
            "action": "use",
            "code": "SAVE-3",
            "reference": f"pos-{number}",
            "merchant_id": "m-1",
            "occurred_at": f"2026-05-14T0{number}:00:00Z",
        }
        for number in range(4)
    ]
    lines: list[Any] = [used[0], b"", used[1], b"{no json", b'"text"', used[0], b"\r"]
    first = await as_lines(api, coupon, lines, role=Role.MEMBER)
    assert first.status_code == 200, first.text
    assert codes(first) == [
        "applied",
        "applied",
        "validation_failed",
        "validation_failed",
        "applied",
    ]
    assert [result["replayed"] for result in first.json()["results"]][::4] == [False, True]
    rest = await as_lines(api, coupon, list(used), role=Role.MEMBER)
    assert codes(rest) == ["applied", "applied", "applied", "insufficient_balance"]
    last = rest.json()["results"][2]["body"]
    assert (last["kind"], last["balance_minor"], last["exhausted"]) == ("redeem", 0, True)
    assert last["reference"] == "pos-2"
    other = await as_lines(api, coupon, [used[0] | {"merchant_id": "m-2"}])
    assert codes(other) == ["key_reused"]
    another_way = await api.send(coupon, "use", {"reference": "pos-0"}, key="my-own")
    assert (another_way.status_code, another_way.json()["code"]) == (409, "reference_used")
    assert await api.real.balance(coupon) == 0


async def test_lines_are_bounded_and_may_be_atomic(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=5_000)
    before = await api.rows()
    for lines in ([], [b"", b" "], [redeem(account, 1) for _ in range(1_001)]):
        answer = await as_lines(api, account, lines)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "commands")
    large = await as_lines(api, account, [b'"' + b"x" * 2_100_000 + b'"'])
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    aborted = await as_lines(api, account, [redeem(account), b"?"], params={"atomic": "true"})
    assert codes(aborted) == ["bulk_aborted", "validation_failed"]
    assert await api.rows() == before
    most = await as_lines(api, account, [redeem(account, 1) for _ in range(1_000)])
    assert most.json()["applied"] == 1_000


async def test_lines_are_read_as_they_come(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    content = b"".join(json.dumps(redeem(account, 1)).encode() + b"\n" for _ in range(20))

    async def pieces() -> Any:
        for start in range(0, len(content), 7):
            yield content[start : start + 7]

    presented = api.keys[(account.workspace_id, Role.MEMBER)]
    answer = await api.client.post(
        f"/api/v1/workspaces/{account.workspace_id}/commands/bulk",
        content=pieces(),
        headers={
            "Authorization": f"Bearer {presented}",
            "Content-Type": "application/x-ndjson; charset=utf-8",
        },
    )
    assert answer.json()["applied"] == 20


async def test_a_body_that_takes_its_time_is_given_up(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_bodies, "BODY_TIMEOUT_S", 0.01)
    account = await api.open_one(opening_balance_minor=100)

    async def slow() -> Any:
        yield b'{"commands": ['
        await asyncio.sleep(5)

    presented = api.keys[(account.workspace_id, Role.MEMBER)]
    answer = await api.client.post(
        f"/api/v1/workspaces/{account.workspace_id}/commands/bulk",
        content=slow(),
        headers={"Authorization": f"Bearer {presented}", "Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_dry_run_of_a_bulk_sees_one_command_after_the_other(
    api: Any, *, atomic: bool
) -> None:
    account = await api.open_one(opening_balance_minor=100)
    before = await api.rows()
    bulk = [{**redeem(account, amount), "idempotency_key": None} for amount in (60, 60, 40)]
    answer = await api.bulk(account.workspace_id, *bulk, atomic=atomic, params={"dry_run": "true"})
    told = answer.json()
    assert told["dry_run"] is True
    assert all(result["body"]["dry_run"] for result in told["results"])
    if atomic:
        assert codes(answer) == ["bulk_aborted", "insufficient_balance", "bulk_aborted"]
    else:
        assert codes(answer) == ["applied", "insufficient_balance", "applied"]
        assert told["results"][2]["body"]["balance_minor"] == 0
    assert await api.rows() == before


async def test_a_key_that_is_in_flight_elsewhere_waits_for_its_first_answer(api: Any) -> None:
    account = await api.open_one(opening_balance_minor=100)
    shared = redeem(account, 5, idempotency_key="shared")
    answers = await asyncio.gather(
        api.send(account, "redeem", {"amount_minor": 5}, key="shared"),
        *(api.bulk(account.workspace_id, shared, redeem(account, 1)) for _ in range(6)),
    )
    for answer in answers[1:]:
        result, other = answer.json()["results"]
        assert other["code"] == "applied"
        assert (result["status"], result["code"]) in ((409, "command_in_flight"), (200, "applied"))
    assert await api.real.balance(account) == 100 - 5 - 6


async def test_a_bulk_whose_outcome_is_not_known_is_asked_again(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await api.open_one(opening_balance_minor=300)
    apply, calls = api.real.commands.apply, 0

    async def fails_after_one(submissions: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RetryLater("storage_unavailable", "gone")
        return await apply(submissions, **options)

    many = [redeem(account, 1) for _ in range(200)]
    with monkeypatch.context() as patched:
        patched.setattr(api.real.commands, "apply", fails_after_one)
        answer = await api.bulk(account.workspace_id, *many)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"] == "1"
    again = await api.bulk(account.workspace_id, *many)
    assert again.json()["applied"] == 200
    replayed = [result["replayed"] for result in again.json()["results"]]
    assert replayed == [True] * 128 + [False] * 72
    assert await api.real.balance(account) == 100
