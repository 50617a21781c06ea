"""What APNs' answers mean: one table from (status, reason) to what is done."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from passferry_notifier.domain.deliveries import DELIVERED, Action, Verdict

#: Statuses of our own: the request never reached APNs, or nobody knows whether it did.
NOT_SENT = 0
NOT_CONNECTED = "NotConnected"
UNKNOWN = "Unknown"
CREDENTIAL_REFUSED = "CertificateRefused"

_OUR_FAULTS = (
    (400, "BadCollapseId"),
    (400, "BadExpirationDate"),
    (400, "BadMessageId"),
    (400, "BadPriority"),
    (400, "BadTopic"),
    (400, "DeviceTokenNotForTopic"),
    (400, "DuplicateHeaders"),
    (400, "InvalidPushType"),
    (400, "MissingDeviceToken"),
    (400, "MissingTopic"),
    (400, "PayloadEmpty"),
    (400, "TopicDisallowed"),
    (404, "BadPath"),
    (405, "MethodNotAllowed"),
    (413, "PayloadTooLarge"),
)
_CREDENTIAL_FAULTS = (
    (NOT_SENT, CREDENTIAL_REFUSED),
    (403, "BadCertificate"),
    (403, "BadCertificateEnvironment"),
    (403, "BadEnvironmentKeyIdInToken"),
    (403, "BadEnvironmentKeyInToken"),
    (403, "Forbidden"),
    (403, "InvalidProviderToken"),
    (403, "MissingProviderToken"),
    (403, "UnrelatedKeyIdInToken"),
)
_PASSING = (
    (NOT_SENT, NOT_CONNECTED),
    (NOT_SENT, UNKNOWN),
    (400, "IdleTimeout"),
    # The gateway has tried once more with a new token before it says so.
    (403, "ExpiredProviderToken"),
    (429, "TooManyProviderTokenUpdates"),
    (429, "TooManyRequests"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
    (503, "Shutdown"),
)

ACTIONS: dict[tuple[int, str], Action] = {
    (400, "BadDeviceToken"): Action.TOKEN_SUSPECT,
    (410, "Unregistered"): Action.TOKEN_GONE,
    (410, "ExpiredToken"): Action.TOKEN_GONE,
    **dict.fromkeys(_OUR_FAULTS, Action.FAILED),
    **dict.fromkeys(_CREDENTIAL_FAULTS, Action.CREDENTIAL_FAULT),
    **dict.fromkeys(_PASSING, Action.RETRY),
}

#: Apple may add reasons: what an unknown one most probably means.
_BY_STATUS = {
    403: Action.CREDENTIAL_FAULT,
    408: Action.RETRY,
    410: Action.TOKEN_GONE,
    429: Action.RETRY,
}

#: Replacing tokens too often is answered by waiting until the present one may be replaced.
TOKEN_UPDATE_WAIT_S = 60.0


def apns_verdict(
    status: int,
    reason: str | None,
    *,
    sent_at: datetime,
    timestamp_ms: int | None = None,
    retry_after_s: float | None = None,
) -> Verdict:
    """`timestamp_ms` is of a 410: since when the token is gone; without it, since `sent_at`."""
    if status == 200:
        return DELIVERED
    action = ACTIONS.get((status, reason or "")) or _unknown(status)
    if reason == "TooManyProviderTokenUpdates":
        retry_after_s = max(retry_after_s or 0.0, TOKEN_UPDATE_WAIT_S)
    gone_since = None
    if action is Action.TOKEN_GONE:
        gone_since = _moment(timestamp_ms) or sent_at
    elif action is Action.TOKEN_SUSPECT:
        gone_since = sent_at
    return Verdict(
        action=action,
        reason=_code(reason) if reason else f"status_{status}",
        retry_after_s=retry_after_s,
        gone_since=gone_since,
        slows_target=reason == "TooManyRequests",
    )


def is_known(status: int, reason: str) -> bool:
    """Whether metrics may name it."""
    return (status, reason) in ACTIONS


def _unknown(status: int) -> Action:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Action.RETRY if status >= 500 or status == NOT_SENT else Action.FAILED


def _moment(timestamp_ms: int | None) -> datetime | None:
    try:
        return None if timestamp_ms is None else datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _code(reason: str) -> str:
    """`BadDeviceToken` as `bad_device_token`."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", reason).lower()
    return re.sub(r"[^a-z0-9_]", "", words)[:64] or "unknown"
