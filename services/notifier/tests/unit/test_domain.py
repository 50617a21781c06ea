"""Retries, the breaker, Google's refusals, and the order of changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from passferry_contracts.types import Channel
from passferry_notifier.application.follow_newsstand import Change, rounds
from passferry_notifier.application.ports import Publication, Removal
from passferry_notifier.domain.deliveries import Action, cause_for_google, notification_type_of
from passferry_notifier.domain.google_verdicts import (
    google_refusal,
    is_class_missing,
    is_quota_of_notifications,
)
from passferry_notifier.domain.retry_policy import RetryPolicy
from passferry_notifier.domain.token_breaker import TokenBreaker

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
SHOP = uuid4()


def test_waits_grow_and_are_bounded_and_obey_the_provider() -> None:
    policy = RetryPolicy(first_s=1, longest_s=60)
    assert [policy.delay_s(attempts, 0.999) for attempts in (1, 2, 3)] == pytest.approx(
        [1, 2, 4], rel=0.01
    )
    assert policy.delay_s(1_000, 0.5) <= 60
    assert policy.delay_s(1, 0.5, retry_after_s=30) >= 30
    assert policy.delay_s(1, 0.5, retry_after_s=10**9) <= 3_601


def test_a_delivery_ends_by_attempts_or_by_age() -> None:
    policy = RetryPolicy(max_attempts=3, max_age_s=60)
    assert not policy.is_exhausted(2, NOON, NOON)
    assert policy.is_exhausted(3, NOON, NOON)
    assert policy.is_exhausted(1, NOON, NOON + timedelta(seconds=60))


def test_strikes_count_only_while_others_are_accepted() -> None:
    """proves: N3"""
    breaker = TokenBreaker()
    for _ in range(50):
        breaker.observe(SHOP, is_bad=True)
        assert not breaker.may_strike(SHOP)
    healthy = uuid4()
    for number in range(20):
        breaker.observe(healthy, is_bad=number % 10 == 0)
    assert breaker.may_strike(healthy)
    for _ in range(20):
        breaker.observe(healthy, is_bad=True)
    assert not breaker.may_strike(healthy)


@pytest.mark.parametrize(
    ("status", "message", "action"),
    [
        (400, "Invalid resource ID", Action.FAILED),
        (401, "", Action.CREDENTIAL_FAULT),
        (403, "Permission denied", Action.CREDENTIAL_FAULT),
        (403, "rateLimitExceeded", Action.RETRY),
        (429, "", Action.RETRY),
        (404, "Wallet Object Class 1.x not found", Action.RETRY),
        (500, "", Action.RETRY),
        (503, "", Action.RETRY),
        (0, "", Action.RETRY),
    ],
)
def test_googles_refusals(status: int, message: str, action: Action) -> None:
    """proves: J15"""
    assert google_refusal(status, message, "").action is action


def test_a_spent_budget_is_not_a_rate_limit() -> None:
    assert is_quota_of_notifications(403, "QuotaExceededException: too many", "")
    assert not is_quota_of_notifications(429, "rateLimitExceeded", "")


def test_a_missing_class_is_told_from_a_missing_object() -> None:
    assert is_class_missing(404, "Wallet Object Class 1.x not found", "")
    assert not is_class_missing(404, "Wallet Object 1.x not found", "")


@pytest.mark.parametrize("channel", Channel)
def test_causes_have_a_kind(channel: Channel) -> None:
    assert notification_type_of("pass.redeemed", channel) == "redemption_notification"
    assert notification_type_of("template.published", channel) == "general_update"


def test_google_tells_of_a_message_by_itself_and_apple_by_the_pass_that_shows_it() -> None:
    """proves: J71"""
    assert notification_type_of("message.issued", Channel.APPLE_WALLET) == "message"
    assert notification_type_of("message.issued", Channel.GOOGLE_WALLET) == "general_update"


def test_a_message_hides_no_other_cause_of_the_same_revision() -> None:
    assert cause_for_google(["message.issued", "pass.redeemed"]) == "pass.redeemed"
    assert cause_for_google(["message.issued"]) == "message.issued"
    assert cause_for_google([]) == "pass.updated"


def publication(pass_id: UUID, revision: int) -> Publication:
    return Publication(
        workspace_id=SHOP,
        pass_id=pass_id,
        pass_type_identifier="pass.example",
        revision=revision,
        cause_type="pass.updated",
        caused_at=NOON,
        published_at=NOON,
    )


def removal(pass_id: UUID) -> Removal:
    return Removal(
        workspace_id=SHOP,
        pass_id=pass_id,
        device_library_identifier="device",
        push_token_sha256="0" * 64,
        unregistered_at=NOON,
    )


def test_the_newest_of_publications_in_a_row_stands_for_all_and_order_holds() -> None:
    """proves: N5"""
    one, two = uuid4(), uuid4()
    last, leaves = publication(one, 3), removal(one)
    given: list[Change] = [
        publication(one, 1),
        publication(two, 1),
        publication(one, 2),
        leaves,
        last,
    ]
    assert rounds(given) == [[publication(one, 2), publication(two, 1)], [leaves], [last]]
