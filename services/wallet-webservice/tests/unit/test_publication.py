"""Which revision becomes what devices are given, and under which date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_wallet_webservice.domain.publication import (
    KEPT_CONTENTS,
    Candidate,
    Current,
    Decision,
    RecentContents,
    decide,
    next_last_modified,
)

NOON = datetime(2026, 5, 14, 12, 0, tzinfo=UTC)


def candidate(revision=2, *, signed=False, save_link=False, complete=True):
    return Candidate(revision, signed, save_link, complete)


def current(revision=1, *, signed=False, devices=False):
    return Current(revision, signed, devices)


@pytest.mark.parametrize(
    ("new", "known", "decision"),
    [
        (candidate(1), None, Decision.PUBLISH),
        (candidate(1, complete=False), None, Decision.WAIT_FOR_TEMPLATE),
        (candidate(1, signed=True), current(2), Decision.IGNORE),
        (candidate(1, complete=False), current(2), Decision.IGNORE),
        (candidate(2), current(1), Decision.PUBLISH),
        (candidate(2), current(1, signed=True), Decision.WAIT_FOR_SIGNATURE),
        (candidate(2), current(1, devices=True), Decision.WAIT_FOR_SIGNATURE),
        (candidate(2, signed=True), current(1, signed=True, devices=True), Decision.PUBLISH),
        (candidate(2, signed=True, complete=False), current(1), Decision.WAIT_FOR_TEMPLATE),
        (candidate(2), current(2), Decision.IGNORE),
        (candidate(2, signed=True), current(2), Decision.ENRICH),
        (candidate(2, save_link=True), current(2, signed=True), Decision.ENRICH),
        (candidate(2, signed=True), current(2, devices=True), Decision.PUBLISH),
        (candidate(2, signed=True), current(2, signed=True, devices=True), Decision.ENRICH),
        (candidate(2, save_link=True), current(2, devices=True), Decision.ENRICH),
    ],
)
def test_a_revision_is_published_when_devices_can_fetch_it(new, known, decision):
    assert decide(new, known) is decision


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)))
def test_dates_have_whole_seconds_and_rise(now):
    """proves: A11, W8"""
    now = now.replace(tzinfo=UTC)
    first = next_last_modified(now, None)
    second = next_last_modified(now, first)
    back = next_last_modified(now - timedelta(days=1), second)
    assert first.microsecond == second.microsecond == 0
    assert first < second < back


def test_recent_contents_know_what_is_current_again():
    recent = RecentContents()
    for index, content in enumerate(("a", "b", "a")):
        recent = recent.with_newest(NOON + timedelta(seconds=index), content)
    assert recent.is_current(NOON)
    assert not recent.is_current(NOON + timedelta(seconds=1))
    assert RecentContents.from_json(recent.to_json()) == recent


def test_recent_contents_are_few():
    recent = RecentContents()
    for index in range(50):
        recent = recent.with_newest(NOON + timedelta(seconds=index), str(index))
    assert len(recent.entries) == KEPT_CONTENTS
    assert not recent.is_current(NOON)
    assert not RecentContents().is_current(NOON)
