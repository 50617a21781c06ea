"""What Google Wallet's answers mean."""

from __future__ import annotations

from passferry_notifier.domain.deliveries import Action, Verdict

#: Also of our own requests that got no answer.
_PASSING = frozenset({0, 408, 500, 502, 503, 504})


def is_quota_of_notifications(status: int, message: str, reason: str) -> bool:
    """This object was notified of too often; the change itself would be taken."""
    return status in (403, 429) and "quotaexceeded" in _plain(message + reason)


def is_rate_limit(status: int, message: str, reason: str) -> bool:
    text = _plain(message + reason)
    return status == 429 or (status == 403 and ("ratelimit" in text or "quota" in text))


def is_class_missing(status: int, message: str, reason: str) -> bool:
    text = _plain(message + reason)
    return status == 404 and ("class" in text and "object" not in text.replace("objectclass", ""))


def google_refusal(
    status: int, message: str, reason: str, retry_after_s: float | None = None
) -> Verdict:
    """The verdict on an answer that is neither a success nor a step on the way to one."""
    if is_rate_limit(status, message, reason):
        return Verdict(
            action=Action.RETRY, reason="rate_limited", retry_after_s=max(1.0, retry_after_s or 0.0)
        )
    if status in _PASSING or status > 500:
        code = "unknown" if status == 0 else f"status_{status}"
        return Verdict(action=Action.RETRY, reason=code, retry_after_s=retry_after_s)
    if status == 401:
        return Verdict(action=Action.CREDENTIAL_FAULT, reason="token_refused")
    if status == 403:
        return Verdict(action=Action.CREDENTIAL_FAULT, reason="permission_denied")
    if status == 404:
        return Verdict(action=Action.RETRY, reason="not_found")
    return Verdict(action=Action.FAILED, reason=f"status_{status}")


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())
