"""What makes two orders the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from passferry_ledger.domain.outcomes import REFUSALS
from passferry_ledger.entrypoints.http_commands import STATUSES

OTHERS: list[dict[str, Any]] = [
    {"amount_minor": 6},
    {"unit": "points"},
    {"reference": "r"},
    {"reason": "birthday"},
    {"merchant_id": "m"},
    {"merchant_name": "m"},
    {"location": "l"},
    {"terminal": "t"},
    {"occurred_at": datetime(2026, 5, 14, tzinfo=UTC)},
]


@pytest.fixture
def command(make: Any) -> Any:
    return make.command(make.account(make.program(uuid4())), "earn", 5)


@pytest.mark.parametrize("change", OTHERS, ids=lambda change: next(iter(change)))
def test_whatever_an_order_says_is_part_of_its_fingerprint(
    command: Any, change: dict[str, Any]
) -> None:
    assert replace(command, **change).fingerprint() != command.fingerprint()


def test_who_gave_the_order_and_how_the_pass_is_named_is_not(command: Any) -> None:
    same = replace(command, recorded_by="kafka:/till", pass_id=None, external_id="card-1")
    assert same.fingerprint() == command.fingerprint()


def test_one_moment_is_one_moment_in_every_zone(command: Any) -> None:
    noon = datetime(2026, 5, 14, 12, tzinfo=UTC)
    there = noon.astimezone(timezone(timedelta(hours=9)))
    assert (
        replace(command, occurred_at=noon).fingerprint()
        == replace(command, occurred_at=there).fingerprint()
    )


def test_earning_is_not_adjusting_by_as_much(make: Any) -> None:
    account = make.account(make.program(uuid4()))
    earn, adjust = make.command(account, "earn", 5), make.command(account, "adjust", 5)
    assert earn.fingerprint() != adjust.fingerprint()


def test_every_refusal_has_a_status(make: Any) -> None:
    assert set(STATUSES) == set(REFUSALS)
