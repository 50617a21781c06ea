"""What lists are asked for, and the pages that they are read in.

A page begins behind a place: the sorting key of an item, which never changes, so that what others
write meanwhile moves nothing. Filters look at a bounded number of rows per page; a page may thus
have few items, or none, and yet be followed by another.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

Item = TypeVar("Item")
Place = TypeVar("Place")

#: Items of a page.
MAX_PAGE = 200
#: Rows that the filters of one page look at.
MAX_SCANNED = 5_000

#: recorded_at and entry id.
TimePlace = tuple[datetime, UUID]
#: recorded_at and idempotency key.
KeyPlace = tuple[datetime, str]


class Order(StrEnum):
    NEWEST_FIRST = "newest"
    OLDEST_FIRST = "oldest"


@dataclass(frozen=True, slots=True)
class Page(Generic[Item, Place]):
    """`following` is the place behind which the next page begins; None on the last."""

    items: list[Item]
    following: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LotPlace:
    """None stands for lots that never lapse, or that began long ago."""

    expires_at: datetime | None
    starts_at: datetime | None
    lot_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `since`, before `until`, by the time of recording; None: unbounded."""

    since: datetime | None = None
    until: datetime | None = None


ALWAYS = Period()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSearch:
    after: UUID | None = None
    program_id: UUID | None = None
    status: str | None = None
    tier: str | None = None
    limit: int = MAX_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementSearch:
    """`after` is the version of the last entry that was read, in either order."""

    order: Order = Order.NEWEST_FIRST
    after: int | None = None
    period: Period = ALWAYS
    kinds: Collection[str] = ()
    limit: int = MAX_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySearch:
    order: Order = Order.NEWEST_FIRST
    after: TimePlace | None = None
    period: Period = ALWAYS
    kinds: Collection[str] = ()
    program_id: UUID | None = None
    limit: int = MAX_PAGE

    @property
    def is_filtered(self) -> bool:
        return bool(self.kinds) or self.program_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSearch:
    after: KeyPlace | None = None
    period: Period = ALWAYS
    recorded_by: str | None = None
    code: str | None = None
    limit: int = MAX_PAGE

    @property
    def is_filtered(self) -> bool:
        return self.recorded_by is not None or self.code is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSelection:
    period: Period = ALWAYS
    program_id: UUID | None = None
