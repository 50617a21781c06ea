"""When the end of a certificate is told. proves: J78"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.credential_expiry import THRESHOLDS_DAYS, notice_due
from passferry_pass_issuer.domain.credentials import SigningIdentityRecord

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)


def identity(left: timedelta) -> SigningIdentityRecord:
    return SigningIdentityRecord(
        workspace_id=UUID(int=1),
        signing_identity_id=UUID(int=2),
        pass_type_identifier="pass.com.example.cafe",
        team_identifier="CAFE123456",
        fingerprint_sha256="0" * 64,
        has_nfc=False,
        not_after=NOW + left,
        is_active=True,
        created_at=NOW,
    )


@pytest.mark.parametrize(
    ("left", "threshold"),
    [
        (timedelta(days=30, seconds=1), None),
        (timedelta(days=30), 30),
        (timedelta(days=14, seconds=1), 30),
        (timedelta(days=14), 14),
        (timedelta(days=7), 7),
        (timedelta(days=1), 1),
        (timedelta(seconds=1), 1),
        (timedelta(0), 0),
        (timedelta(days=-400), 0),
    ],
)
def test_the_narrowest_threshold_that_is_reached_is_told(left, threshold):
    notice = notice_due(identity(left), (), NOW)
    assert (notice.threshold_days if notice else None) == threshold


def test_an_end_and_a_day_before_it_are_errors_and_named_in_a_sentence():
    ended, soon, later = (
        notice_due(identity(timedelta(days=days)), (), NOW) for days in (0, 1, 20)
    )
    assert (ended.severity, soon.severity, later.severity) == ("error", "error", "warning")
    assert ended.kind == "signing_identity_expired"
    assert soon.message == (
        "The certificate of pass.com.example.cafe ends in 1 day: upload its successor."
    )


@given(st.lists(st.integers(0, 60 * 24), min_size=1, max_size=50))
def test_however_often_one_looks_each_threshold_is_told_at_most_once_and_in_order(hours):
    told: list[int] = []
    settled: set[int] = set()
    for left in sorted(hours, reverse=True):
        notice = notice_due(identity(timedelta(hours=left)), settled, NOW)
        if notice is not None:
            told.append(notice.threshold_days)
            settled |= set(notice.settles)
    assert told == sorted(set(told), reverse=True)
    assert set(told) <= set(THRESHOLDS_DAYS)
    reached = [days for days in THRESHOLDS_DAYS if min(hours) <= days * 24]
    assert (told[-1] if told else None) == (min(reached) if reached else None)
