"""Every row of the table of APNs' answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from passferry_notifier.domain.apns_verdicts import ACTIONS, apns_verdict
from passferry_notifier.domain.deliveries import Action

SENT_AT = datetime(2026, 5, 14, 12, tzinfo=UTC)

ROWS = [
    (200, None, Action.DELIVERED),
    (400, "BadDeviceToken", Action.TOKEN_SUSPECT),
    (400, "DeviceTokenNotForTopic", Action.FAILED),
    (400, "BadTopic", Action.FAILED),
    (400, "MissingTopic", Action.FAILED),
    (400, "TopicDisallowed", Action.FAILED),
    (400, "BadPriority", Action.FAILED),
    (400, "InvalidPushType", Action.FAILED),
    (400, "BadCollapseId", Action.FAILED),
    (400, "BadExpirationDate", Action.FAILED),
    (400, "BadMessageId", Action.FAILED),
    (400, "DuplicateHeaders", Action.FAILED),
    (400, "PayloadEmpty", Action.FAILED),
    (400, "MissingDeviceToken", Action.FAILED),
    (400, "IdleTimeout", Action.RETRY),
    (403, "BadCertificate", Action.CREDENTIAL_FAULT),
    (403, "BadCertificateEnvironment", Action.CREDENTIAL_FAULT),
    (403, "Forbidden", Action.CREDENTIAL_FAULT),
    (403, "MissingProviderToken", Action.CREDENTIAL_FAULT),
    (403, "InvalidProviderToken", Action.CREDENTIAL_FAULT),
    (403, "UnrelatedKeyIdInToken", Action.CREDENTIAL_FAULT),
    (403, "BadEnvironmentKeyIdInToken", Action.CREDENTIAL_FAULT),
    (403, "BadEnvironmentKeyInToken", Action.CREDENTIAL_FAULT),
    (403, "ExpiredProviderToken", Action.RETRY),
    (404, "BadPath", Action.FAILED),
    (405, "MethodNotAllowed", Action.FAILED),
    (413, "PayloadTooLarge", Action.FAILED),
    (410, "Unregistered", Action.TOKEN_GONE),
    (410, "ExpiredToken", Action.TOKEN_GONE),
    (429, "TooManyRequests", Action.RETRY),
    (429, "TooManyProviderTokenUpdates", Action.RETRY),
    (500, "InternalServerError", Action.RETRY),
    (503, "ServiceUnavailable", Action.RETRY),
    (503, "Shutdown", Action.RETRY),
    (0, "Unknown", Action.RETRY),
    (0, "NotConnected", Action.RETRY),
    (0, "CertificateRefused", Action.CREDENTIAL_FAULT),
    # Not of the table: what the status says.
    (400, "BrandNew", Action.FAILED),
    (403, "BrandNew", Action.CREDENTIAL_FAULT),
    (502, None, Action.RETRY),
]


@pytest.mark.parametrize(("status", "reason", "action"), ROWS)
def test_each_answer_has_its_consequence(status: int, reason: str | None, action: Action) -> None:
    """proves: N1, J15"""
    assert apns_verdict(status, reason, sent_at=SENT_AT).action is action


def test_no_row_of_the_table_is_left_out_here() -> None:
    assert set(ACTIONS) <= {(status, reason) for status, reason, _ in ROWS}


def test_a_gone_token_is_gone_since_apples_timestamp() -> None:
    """proves: N2"""
    verdict = apns_verdict(410, "Unregistered", sent_at=SENT_AT, timestamp_ms=1_700_000_000_500)
    assert verdict.gone_since == datetime.fromtimestamp(1_700_000_000.5, UTC)
    assert apns_verdict(410, None, sent_at=SENT_AT, timestamp_ms=10**18).gone_since == SENT_AT


def test_too_many_requests_slows_that_device_only() -> None:
    verdict = apns_verdict(429, "TooManyRequests", sent_at=SENT_AT, retry_after_s=7)
    assert (verdict.slows_target, verdict.retry_after_s) == (True, 7)
    assert verdict.reason == "too_many_requests"
