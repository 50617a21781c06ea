"""How the Google Wallet API says no: an exception per answer, and the envelope it travels in."""

from __future__ import annotations

from typing import Any

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class ApiRefusal(Exception):
    """An answer other than 2xx: HTTP `status`, opaque `reason`, human `message`."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def envelope(self) -> dict[str, Any]:
        """The body as googleapis writes it, with the wallet's own `errors` list."""
        detail = {"message": self.message, "domain": "walletobjects", "reason": self.reason}
        return {
            "error": {
                "code": self.status,
                "message": self.message,
                "status": _STATUS_NAMES.get(self.status, "UNKNOWN"),
                "errors": [detail],
            }
        }


class BadRequest(ApiRefusal):
    def __init__(self, message: str, reason: str = "badRequest") -> None:
        super().__init__(400, reason, message)


class SchemaViolated(BadRequest):
    """The request does not match the discovery document: never the platform's mood, always a bug."""


class Unauthenticated(ApiRefusal):
    def __init__(self, message: str) -> None:
        super().__init__(401, "authError", message)


class IssuerForbidden(ApiRefusal):
    def __init__(self, issuer_id: str) -> None:
        message = (
            f"Permission denied: the service account is not a user of issuer {issuer_id} "
            "or the issuer does not exist."
        )
        super().__init__(403, "forbidden", message)


class ResourceNotFound(ApiRefusal):
    def __init__(self, message: str, reason: str = "resourceNotFound") -> None:
        super().__init__(404, reason, message)


class AlreadyExists(ApiRefusal):
    def __init__(self, message: str) -> None:
        super().__init__(409, "existingResource", message)


class RateLimited(ApiRefusal):
    def __init__(self, status: int) -> None:
        super().__init__(status, "rateLimitExceeded", "Quota exceeded: rateLimitExceeded")


class NotificationQuotaExceeded(ApiRefusal):
    def __init__(self, status: int) -> None:
        message = "QuotaExceededException: too many notifications for this pass in 24 hours"
        super().__init__(status, "QuotaExceededException", message)


class SaveLinkRefused(Exception):
    """The save page shows an error instead of a pass; `reason` says which check failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
