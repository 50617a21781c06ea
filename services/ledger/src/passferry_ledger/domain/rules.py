"""A program's rules, as the ledger needs them: what an amount earns, when points lapse, and which
changes are worth telling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

WHOLE_PERCENT = 100
SECONDS_OF_WEEK = 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnRule:
    """`points` for every `per_minor` of a purchase in `purchase_unit`, rounded down."""

    points: int
    per_minor: int
    purchase_unit: str
    minimum_purchase_minor: int = 0

    def points_for(self, purchase_minor: int, *, percent: int = WHOLE_PERCENT) -> int:
        if purchase_minor < self.minimum_purchase_minor:
            return 0
        return purchase_minor * self.points * percent // (self.per_minor * WHOLE_PERCENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemRule:
    minimum_minor: int | None = None
    maximum_minor: int | None = None


class ExpiryKind(StrEnum):
    AFTER_DAYS = "after_days"
    END_OF_MONTH = "end_of_month"
    END_OF_YEAR = "end_of_year"
    #: All points lapse together, so long after the last activity.
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryRule:
    """`number` counts days, months or years, by `kind`."""

    kind: ExpiryKind
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TierLevel:
    name: str
    from_minor: int
    earn_percent: int = WHOLE_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """Levels in ascending order; what was earned in a period of `valid_days` keeps one."""

    valid_days: int
    levels: tuple[TierLevel, ...]

    def level_for(self, earned_minor: int) -> TierLevel | None:
        reached = [level for level in self.levels if level.from_minor <= earned_minor]
        return reached[-1] if reached else None

    def rank(self, name: str | None) -> int:
        """0 without a tier; a tier that the program no longer has counts as none."""
        for place, level in enumerate(self.levels, start=1):
            if level.name == name:
                return place
        return 0

    def earn_percent(self, name: str | None) -> int:
        rank = self.rank(name)
        return self.levels[rank - 1].earn_percent if rank else WHOLE_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class LowBalance:
    """Crossed when the balance falls below; a percentage is of the balance after the last credit."""

    below_minor: int | None = None
    below_percent: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdReached:
    """Crossed when the balance rises to it; with `every`, to any multiple of it."""

    at_minor: int
    name: str
    every: bool = False


Threshold = LowBalance | ThresholdReached


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """`kind` is low_balance, threshold_reached or tier_changed."""

    kind: str
    threshold_minor: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LotDates:
    """Spendable from `starts_at` until `expires_at`; None: at once, for ever."""

    starts_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def is_dated(self) -> bool:
        return self.starts_at is not None or self.expires_at is not None


UNDATED = LotDates()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    time_zone: str = "UTC"
    earn: EarnRule | None = None
    redeem: RedeemRule = RedeemRule()
    expiry: ExpiryRule | None = None
    pending_days: int = 0
    #: 0: nothing is announced.
    announce_expiry_days: int = 0
    hold_expires_after_s: int = SECONDS_OF_WEEK
    allows_re_entry: bool = False
    tiers: TierRule | None = None
    thresholds: tuple[Threshold, ...] = ()

    def lot_dates(self, now: datetime) -> LotDates:
        """Dates of what is earned now. Days begin and end at midnight of the program's zone, so
        that what is earned on one day shares a lot."""
        if self.pending_days == 0 and (
            self.expiry is None or self.expiry.kind is ExpiryKind.ROLLING
        ):
            return UNDATED
        zone = ZoneInfo(self.time_zone)
        today = now.astimezone(zone).date()
        expires_at = self._expires_at(today, zone)
        if not self.pending_days:
            return LotDates(expires_at=expires_at)
        first_day = today + timedelta(days=self.pending_days)
        starts_at = _midnight(first_day, zone)
        if expires_at is not None and expires_at <= starts_at:
            # The month they were earned in ends before they begin: the one they begin in counts.
            expires_at = self._expires_at(first_day, zone)
        return LotDates(starts_at=starts_at, expires_at=expires_at)

    def _expires_at(self, today: date, zone: ZoneInfo) -> datetime | None:
        if self.expiry is None:
            return None
        number = self.expiry.number
        match self.expiry.kind:
            case ExpiryKind.AFTER_DAYS:
                return _midnight(today + timedelta(days=number + 1), zone)
            case ExpiryKind.END_OF_MONTH:
                months = today.year * 12 + today.month + number
                return _midnight(date(months // 12, months % 12 + 1, 1), zone)
            case ExpiryKind.END_OF_YEAR:
                return _midnight(date(today.year + number + 1, 1, 1), zone)
            case ExpiryKind.ROLLING:
                return None

    def expires_without_activity_at(self, now: datetime) -> datetime | None:
        """When undated points lapse if nothing happens after `now`; None: never."""
        if self.expiry is None or self.expiry.kind is not ExpiryKind.ROLLING:
            return None
        zone = ZoneInfo(self.time_zone)
        today = now.astimezone(zone).date()
        return _midnight(today + timedelta(days=self.expiry.number + 1), zone)

    def crossings(self, *, before: int, after: int, full: int) -> list[Crossing]:
        """Thresholds between two balances; `full` is the balance after the last credit."""
        return [
            crossing
            for threshold in self.thresholds
            if (crossing := _crossing(threshold, before, after, full)) is not None
        ]


NO_RULES = Rules()


def _crossing(threshold: Threshold, before: int, after: int, full: int) -> Crossing | None:
    if isinstance(threshold, ThresholdReached):
        at = threshold.at_minor
        is_crossed = before // at < after // at if threshold.every else before < at <= after
        return (
            Crossing(kind="threshold_reached", threshold_minor=at, name=threshold.name)
            if is_crossed
            else None
        )
    # Compared in hundredths, so that a percentage needs no rounding.
    if threshold.below_percent is not None:
        line = threshold.below_percent * full
    else:
        line = (threshold.below_minor or 0) * WHOLE_PERCENT
    if before * WHOLE_PERCENT >= line > after * WHOLE_PERCENT:
        return Crossing(
            kind="low_balance", threshold_minor=-(-line // WHOLE_PERCENT), name=threshold.name
        )
    return None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
