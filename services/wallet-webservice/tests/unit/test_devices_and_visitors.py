"""Tags, log lines and user agents: what strangers send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_contracts.types import Platform
from passferry_wallet_webservice.domain.device_log import (
    MAX_LINE_CHARACTERS,
    MAX_LINES,
    LogAllowance,
    clean_lines,
)
from passferry_wallet_webservice.domain.update_tags import format_tag, parse_tag
from passferry_wallet_webservice.domain.visitors import platform_of


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_a_tag_comes_back_as_it_was_given(value):
    assert parse_tag(format_tag(value)) == value


@given(st.none() | st.text())
def test_any_tag_is_a_number_that_the_database_holds(text):
    """proves: W7"""
    assert 0 <= parse_tag(text) < 2**63


@given(st.lists(st.text(max_size=3_000) | st.integers() | st.none(), max_size=100))
def test_log_lines_are_few_short_and_printable(lines):
    """proves: W12, A12"""
    cleaned = clean_lines(lines)
    assert len(cleaned) <= MAX_LINES
    assert all(0 < len(line) <= MAX_LINE_CHARACTERS and line.isprintable() for line in cleaned)


def test_a_source_that_reports_too_much_is_held_back_alone():
    """proves: A12"""
    allowance = LogAllowance(burst=3, per_second=1)
    assert [allowance.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.take("b", 0.0)
    assert [allowance.take("a", 1.5), allowance.take("a", 1.5)] == [True, False]
    assert [allowance.take("a", 1_000.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("agent", "platform"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Safari/604.1", Platform.APPLE),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5) CriOS/130 Safari/604.1", Platform.APPLE),
        ("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Safari/604.1", Platform.APPLE),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15", Platform.APPLE),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/130 Safari/537", Platform.OTHER),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:130.0) Firefox/130.0", Platform.OTHER),
        ("passd/1.0 CFNetwork/3826 Darwin/24.5.0", Platform.APPLE),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/130 Safari/537", Platform.GOOGLE),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/130 Safari/537 Edg/130", Platform.OTHER),
        ("curl/8", Platform.OTHER),
        ("", Platform.OTHER),
    ],
)
def test_the_user_agent_tells_the_platform(agent, platform):
    assert platform_of(agent) is platform
