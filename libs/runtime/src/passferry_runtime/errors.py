"""Errors as nouns: what is wrong, its code, and what becomes of the request or record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request; never holds the value that was sent."""

    field: str
    message: str


class Problem(Exception):
    """Becomes an `application/problem+json` answer."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.title = title
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s


class _ProblemOfOneStatus(Problem):
    fixed_status = 500

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(
            self.fixed_status,
            code,
            detail,
            title=title,
            errors=errors,
            retry_after_s=retry_after_s,
        )


class Unauthorized(_ProblemOfOneStatus):
    fixed_status = 401


class Forbidden(_ProblemOfOneStatus):
    fixed_status = 403


class NotFound(_ProblemOfOneStatus):
    fixed_status = 404


class Conflict(_ProblemOfOneStatus):
    fixed_status = 409


class TooLarge(_ProblemOfOneStatus):
    fixed_status = 413


class Invalid(_ProblemOfOneStatus):
    fixed_status = 422


class TooMany(_ProblemOfOneStatus):
    fixed_status = 429


class Unavailable(_ProblemOfOneStatus):
    fixed_status = 503


class RetryLater(Exception):
    """A passing reason: the record is parked and tried again, in order, within a bound."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Rejected(Exception):
    """It will never work: the record goes to the dead letters with this reason."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
