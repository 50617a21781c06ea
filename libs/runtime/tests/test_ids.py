"""Identifiers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from passferry_runtime.clock import FixedClock, SystemClock
from passferry_runtime.ids import derived_id, uuid7


def test_ids_rise_strictly_however_fast_they_are_made():
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_made_by_several_threads_are_all_different():
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: uuid7(), range(5_000)))
    assert len(set(made)) == 5_000


def test_an_id_holds_its_version_variant_and_time():
    made = uuid7()
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert abs((made.int >> 80) - time.time() * 1000) < 5_000


def test_a_derived_id_depends_on_every_part_and_its_place():
    assert derived_id("a", "b") == derived_id("a", "b")
    assert len({derived_id("a", "b"), derived_id("b", "a"), derived_id("ab")}) == 3


def test_a_fixed_clock_goes_on_only_when_told():
    clock = FixedClock(datetime(2026, 5, 14, tzinfo=UTC))
    clock.advance(timedelta(seconds=5))
    assert clock.now() == datetime(2026, 5, 14, 0, 0, 5, tzinfo=UTC)
    assert SystemClock().now().tzinfo is UTC
