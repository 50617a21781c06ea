"""What an event becomes: golden JSON, byte for byte. proves: J42, J43, J46"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from passferry_contracts.envelope import Envelope
from passferry_contracts.event import PassEvent
from passferry_contracts.events.balances import Crossing, PointsExpiring
from passferry_contracts.events.passes import (
    PassBirthday,
    PassDeleted,
    PassErased,
    PassExpired,
    PassUpdated,
    PassVoided,
)
from passferry_contracts.events.wallet import (
    DeviceRegistered,
    DeviceUnregistered,
    PassInstalled,
    PassUninstalled,
)
from passferry_contracts.types import PassStatus, Platform
from passferry_event_bridge.domain import known_pass
from passferry_event_bridge.domain.json_text import json_text, major_units
from passferry_event_bridge.domain.known_pass import Fact, KnownPass
from passferry_event_bridge.domain.mapping import ReservedName, items_of, message_id
from passferry_event_bridge.entrypoints.kafka_routes import fact_of
from passferry_runtime.kafka.records import Incoming, IncomingRecord

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
WORKSPACE = UUID("01900000-0000-7000-8000-000000000001")
PASS = UUID("01900000-0000-7000-8000-000000000002")
EVENT = "01900000-0000-7000-8000-000000000003"


def fact(data: PassEvent, *, sent_at: datetime = NOW) -> Fact:
    value = data.model_dump_json().encode()
    envelope = Envelope(id=EVENT, source="/test", type=data.event_type, time=sent_at, data=data)
    record = IncomingRecord("topic", 0, 7, 1_778_760_300_500, b"key", value, ())
    return fact_of(Incoming(record, envelope))


def opened(make: SimpleNamespace, **changes: Any) -> KnownPass:
    event = make.created(WORKSPACE, PASS, expires_at=NOW + timedelta(days=365), **changes)
    return known_pass.created(fact(event))


def change(kind: Any, **fields: Any) -> Any:
    common = {
        "workspace_id": WORKSPACE,
        "pass_id": PASS,
        "external_id": "x-1",
        "program_id": UUID("01900000-0000-7000-8000-0000000000b1"),
        "revision": 2,
        "status": PassStatus.ACTIVE,
        "changed_at": NOW,
    }
    return kind(**{**common, **fields})


def installation(kind: Any) -> Any:
    return kind(workspace_id=WORKSPACE, pass_id=PASS, platform=Platform.GOOGLE, occurred_at=NOW)


def golden_events(make: SimpleNamespace) -> dict[str, PassEvent]:
    low = Crossing(kind="low_balance", threshold_minor=1000)
    tier = Crossing(kind="tier_changed", name="gold")
    return {
        "pass.created": make.created(WORKSPACE, PASS, expires_at=NOW + timedelta(days=365)),
        "pass.balance_changed": make.balance_changed(
            WORKSPACE,
            PASS,
            3,
            previous_balance_minor=2500,
            new_balance_minor=905,
            change_minor=-1595,
            reason="redeem",
            crossings=[low, tier],
        ),
        "pass.redeemed": make.redeemed(WORKSPACE, PASS, 3),
        "points.expiring": PointsExpiring(
            workspace_id=WORKSPACE,
            pass_id=PASS,
            external_id="x-1",
            program_id=make.holder,
            version=3,
            amount_minor=150,
            unit="EUR",
            expires_at=NOW + timedelta(days=7),
        ),
        "pass.updated": change(PassUpdated, changed_fields=["name"]),
        "pass.voided": change(PassVoided, status=PassStatus.VOIDED, reason="exhausted"),
        "pass.expired": change(PassExpired, status=PassStatus.EXPIRED),
        "pass.deleted": change(PassDeleted, status=PassStatus.DELETED),
        "pass.erased": change(PassErased, status=PassStatus.DELETED),
        "pass.birthday": change(PassBirthday, birthday=NOW.date(), bonus_minor=500),
        "pass.installed": installation(PassInstalled),
        "pass.uninstalled": installation(PassUninstalled),
    }


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_an_event_becomes_exactly_its_golden_items(path: Path, make: SimpleNamespace) -> None:
    happened = fact(golden_events(make)[path.stem])
    known = known_pass.after(opened(make), happened)
    items = items_of(happened, known, version="0.1.0")
    assert "[\n" + ",\n".join(items) + "\n]\n" == path.read_text()
    assert all(json.loads(item) for item in items)


def test_every_mapping_has_its_golden_file(make: SimpleNamespace) -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(golden_events(make))


def test_a_hold_changes_no_balance_and_starts_no_journey(make: SimpleNamespace) -> None:
    known = opened(make)
    held = make.balance_changed(WORKSPACE, PASS, 2, change_minor=0, reason="hold")
    items = [json.loads(item) for item in items_of(fact(held), known, version="1")]
    assert [item["type"] for item in items] == ["identify"]


def test_message_ids_are_equal_on_a_retry_and_differ_by_kind_and_event() -> None:
    # proves: J45
    assert message_id("e", "track") == message_id("e", "track")
    assert len({message_id(e, k) for e in ("e", "f") for k in ("track", "identify")}) == 4


@pytest.mark.parametrize(
    ("amount", "scale", "text"),
    [
        (1250, 2, "12.50"),
        (-5, 2, "-0.05"),
        (0, 2, "0.00"),
        (7, 0, "7"),
        (2**63 - 1, 6, "9223372036854.775807"),
        (-(2**63 - 1), 2, "-92233720368547758.07"),
    ],
)
def test_minor_units_become_exact_decimals(amount: int, scale: int, text: str) -> None:
    assert json_text(major_units(amount, scale)) == text
    assert json.loads(json_text({"a": [major_units(amount, scale)]}), parse_float=Decimal) == {
        "a": [Decimal(text)]
    }


def test_a_pass_without_a_holder_is_named_by_itself(make: SimpleNamespace) -> None:
    happened = fact(change(PassErased, status=PassStatus.DELETED))
    known = known_pass.after(opened(make), happened)
    assert json.loads(items_of(happened, known, version="1")[0])["userId"] == f"pass_{PASS}"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ([], [("track", "holder.erased"), ("identify", None)]),
        (
            ["favourite"],
            [("track", "holder.erased"), ("track", "pass.updated"), ("identify", None)],
        ),
    ],
)
def test_who_had_a_pass_before_is_told_as_erased_and_who_has_it_hears_nothing_of_them(
    make: SimpleNamespace, changed: list[str], told: list[tuple[str, str | None]]
) -> None:
    # proves: J71, J93
    former = UUID("01900000-0000-7000-8000-0000000000f6")
    happened = fact(change(PassUpdated, changed_fields=changed, erased_holder_id=former))
    known = known_pass.after(opened(make), happened)
    assert known.holder_id == make.holder
    items = [json.loads(item) for item in items_of(happened, known, version="1")]
    assert [(item["type"], item.get("event")) for item in items] == told
    erased, *others = items
    assert (erased["userId"], erased["properties"]["passId"]) == (str(former), str(PASS))
    assert not any(str(former) in json.dumps(item) for item in others)
    assert {item["userId"] for item in others} == {str(make.holder)}
    assert len({item["messageId"] for item in items}) == len(items)


def test_a_pass_that_changed_hands_is_the_new_holders_and_an_erased_one_nobodys(
    make: SimpleNamespace,
) -> None:
    # proves: J93
    known = opened(make)
    next_holder = UUID("01900000-0000-7000-8000-0000000000f7")
    moved = fact(change(PassUpdated, revision=5, holder_id=next_holder))
    known = known_pass.after(known, moved)
    assert known.holder_id == next_holder
    older = fact(change(PassUpdated, revision=4, holder_id=make.holder))
    assert known_pass.after(known, older).holder_id == next_holder
    known = known_pass.after(known, fact(change(PassUpdated, revision=6)))
    assert known.holder_id == next_holder
    known = known_pass.after(known, fact(change(PassErased, revision=7, status="deleted")))
    assert known_pass.after(known, moved).holder_id is None
    later = fact(change(PassUpdated, revision=8, holder_id=next_holder))
    assert known_pass.after(known, later).holder_id is None


def test_the_time_is_the_events_own_then_the_envelopes_then_the_records(
    make: SimpleNamespace,
) -> None:
    later = NOW + timedelta(hours=1)
    assert fact(make.created(WORKSPACE, PASS), sent_at=later).occurred_at == NOW
    expiring = golden_events(make)["points.expiring"]
    assert fact(expiring, sent_at=later).occurred_at == later
    unsaid = datetime.fromtimestamp(0, UTC)
    recorded = datetime.fromtimestamp(1_778_760_300.5, UTC)
    assert fact(expiring, sent_at=unsaid).occurred_at == recorded


def test_a_name_that_starts_with_df_is_refused(make: SimpleNamespace) -> None:
    happened = fact(make.created(WORKSPACE, PASS))
    with pytest.raises(ReservedName):
        items_of(happened, opened(make), created_name="DFPass", version="1")
    named = items_of(happened, opened(make), created_name="Pass Created", version="1")
    assert json.loads(named[0])["event"] == "Pass Created"


def test_devices_are_counted_and_told_as_traits_only(make: SimpleNamespace) -> None:
    known = opened(make)
    new = {"is_new": True, "registered_at": NOW, "push_token_ciphertext": "AAAA"}
    device: dict[str, Any] = {
        "workspace_id": WORKSPACE,
        "pass_id": PASS,
        "pass_type_identifier": "pass.example",
        "serial_number": "s",
        "push_token_sha256": "0" * 64,
    }
    counts = []
    for name, kind, extra in [
        ("a", DeviceRegistered, new),
        ("b", DeviceRegistered, new),
        ("b", DeviceRegistered, {**new, "is_new": False}),
        ("a", DeviceUnregistered, {"reason": "requested", "unregistered_at": NOW}),
    ]:
        happened = fact(kind(**device, device_library_identifier=name, **extra))
        known = known_pass.after(known, happened)
        (item,) = items_of(happened, known, version="1")
        counts.append(json.loads(item)["traits"]["pass_device_count"])
    assert counts == [1, 2, 2, 1]


def test_what_comes_late_does_not_turn_back_what_is_known(make: SimpleNamespace) -> None:
    known = replace(opened(make), ledger_version=9, revision=9, balance_minor=100)
    late_balance = known_pass.after(known, fact(make.balance_changed(WORKSPACE, PASS, 8)))
    late_use = known_pass.after(known, fact(make.redeemed(WORKSPACE, PASS, 8)))
    late_void = known_pass.after(known, fact(change(PassVoided, status=PassStatus.VOIDED)))
    assert (late_balance, late_void) == (known, known)
    assert (late_use.balance_minor, late_use.last_used_at) == (100, NOW)
