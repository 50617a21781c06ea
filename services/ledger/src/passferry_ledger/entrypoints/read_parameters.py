"""Query parameters that the reads share."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from passferry_contracts.fields import Instant
from passferry_contracts.text import is_storable
from passferry_contracts.types import Role
from passferry_ledger.application.searches import MAX_PAGE, Order, Period
from passferry_ledger.domain.commands import EntryKind
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import FieldError, Invalid, RetryLater, Unavailable

_TIME_TEXT = re.compile(r"[0-9]{4}-[0-9][0-9]-[0-9][0-9]T")


class AccountStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class HoldState(StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


def _time_text(value: object) -> object:
    """A bare number could be seconds or milliseconds; it is neither."""
    if not isinstance(value, str) or not _TIME_TEXT.match(value):
        raise PydanticCustomError("time_text", "a time is text, such as 2026-05-14T07:31:05Z")
    return value


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("control characters are not allowed")
    return text


def _recorded_kinds(kinds: list[EntryKind]) -> list[EntryKind]:
    if EntryKind.USE in kinds:
        raise ValueError("a use is recorded as what the protocol makes of it")
    return kinds


Time = Annotated[Instant, BeforeValidator(_time_text)]
ReadScope = Annotated[Scope, Depends(require(Role.VIEWER))]
ManagerScope = Annotated[Scope, Depends(require(Role.MANAGER))]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
OrderParameter = Annotated[Order, Query(description="Newest or oldest first.")]
Kinds = Annotated[
    list[EntryKind],
    Query(alias="kind", max_length=len(EntryKind), description="May be given several times."),
    AfterValidator(_recorded_kinds),
]
ShortFilter = Annotated[
    str | None, StringConstraints(min_length=1, max_length=200), Query(), AfterValidator(_storable)
]


async def _period(
    since: Annotated[
        Time | None, Query(alias="from", description="Recorded at this time or later.")
    ] = None,
    until: Annotated[
        Time | None, Query(alias="to", description="Recorded before this time.")
    ] = None,
) -> Period:
    if since is not None and until is not None and since >= until:
        raise parameter_invalid("to", "must be later than from")
    return Period(since=since, until=until)


PeriodParameters = Annotated[Period, Depends(_period)]


def past_time(at: datetime, now: datetime) -> datetime:
    """Raises `Invalid` for a time that is still to come."""
    if at > now:
        raise parameter_invalid("at", "lies in the future")
    return at


def parameter_invalid(field: str, message: str) -> Invalid:
    return Invalid("validation_failed", f"not valid: {field}", errors=[FieldError(field, message)])


@asynccontextmanager
async def unavailable_when_passing() -> AsyncIterator[None]:
    try:
        yield
    except RetryLater as error:
        raise Unavailable(error.code, error.detail, retry_after_s=1) from error
