"""What statuses mean, and how long to wait. proves: J45"""

from __future__ import annotations

import pytest

from passferry_event_bridge.domain.answers import Answer, Verdict, answer_of, retry_delay_s
from passferry_event_bridge.domain.profiles import PROFILES

RETRY = Answer(Verdict.RETRY)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 202, 204), Verdict.ACCEPTED),
        ((400,), Verdict.BAD_EVENT),
        ((401, 403), Verdict.STOP),
        ((413,), Verdict.TOO_LARGE),
        ((408, 410, 429, 460, 500, 502, 503, 504, 599), Verdict.RETRY),
        ((301, 302, 307, 404, 405, 415, 422, 501, 505), Verdict.STOP),
    ],
)
def test_each_status_has_its_verdict(statuses: tuple[int, ...], verdict: Verdict) -> None:
    assert {answer_of(status).verdict for status in statuses} == {verdict}


def test_the_first_retry_comes_at_once_and_the_rest_ever_later_up_to_a_minute() -> None:
    delays = [retry_delay_s(failures, answer=RETRY, jitter=1) for failures in range(1, 12)]
    assert delays == [0, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert retry_delay_s(9, answer=RETRY, jitter=0) == 30
    assert retry_delay_s(10_000, answer=RETRY, jitter=1) == 60


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("300", 300),
        ("301", 300),
        ("99999999999999", 300),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("-5", 0),
        ("٣", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_retry_after_is_honoured_up_to_five_minutes(header: str | None, seconds: float) -> None:
    assert retry_delay_s(1, answer=answer_of(429, header), jitter=0) == seconds


def test_credentials_have_the_form_of_their_profile() -> None:
    dittofeed, segment = PROFILES["dittofeed"], PROFILES["segment"]
    assert dittofeed.accepts("id:value")
    assert segment.accepts("key")
    assert not any(dittofeed.accepts(each) for each in ("", "id", ":v", "id:", "i d:v", "ï:v"))
    assert not any(segment.accepts(each) for each in ("", "a:b", "a\nb"))
    assert segment.authorization("key") == "Basic a2V5Og=="
