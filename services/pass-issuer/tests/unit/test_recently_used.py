"""What is kept in memory, and what goes first."""

from __future__ import annotations

import pytest

from passferry_pass_issuer.adapters.recently_used import RecentlyUsed

pytestmark = pytest.mark.unit


def test_what_was_not_used_for_longest_goes_first():
    kept = RecentlyUsed(most=2, most_bytes=100)
    kept.keep("a", 1, size=1)
    kept.keep("b", 2, size=1)
    assert kept.get("a") == 1
    kept.keep("c", 3, size=1)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)


def test_bytes_are_bounded_and_what_has_grown_counts_as_it_is_now():
    kept = RecentlyUsed(most=10, most_bytes=100)
    for name in "abc":
        kept.keep(name, name, size=30)
    assert kept.size == 90
    kept.keep("a", "a", size=50)
    assert (kept.size, kept.get("b"), len(kept)) == (80, None, 2)


def test_the_newest_stays_though_it_is_too_large_alone():
    kept = RecentlyUsed(most=10, most_bytes=100)
    kept.keep("a", 1, size=10)
    kept.keep("b", 2, size=500)
    assert (kept.get("a"), kept.get("b"), kept.size) == (None, 2, 500)
    kept.keep("c", 3, size=10)
    assert (kept.get("b"), kept.size) == (None, 10)
