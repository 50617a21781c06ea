"""When a pass ends by itself, as its template says: the earliest of the rules decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.wallet_pass import WalletPass

Kind = Literal["balance_spent", "uses", "date_field", "days_after_issue", "days_after_last_use"]
#: What Google shows follows: COMPLETED, EXPIRED, INACTIVE.
EndReason = Literal["redeemed", "expired", "inactive"]
REASONS: tuple[EndReason, ...] = ("redeemed", "expired", "inactive")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRule:
    kind: Kind
    reason: EndReason
    #: Uses, or days.
    count: int = 0
    #: Of `date_field`: name of the value that says the day or the moment.
    field_name: str = ""


@dataclass(frozen=True, slots=True)
class End:
    at: datetime
    reason: str


def with_end(
    row: WalletPass, rules: Sequence[EndRule], *, time_zone: str | None, now: datetime
) -> WalletPass:
    """The pass with the moment at which its rules end it, if they do. Raises `ContentRejected` for
    a value that is no date and should be one."""
    if not rules or not row.is_usable:
        return _ending(row, None)
    ends = [end for rule in rules if (end := _end(row, rule, time_zone, now)) is not None]
    return _ending(row, min(ends, key=lambda end: end.at, default=None))


def check_days(
    values: Mapping[str, object], rules: Iterable[EndRule], *, time_zone: str | None, now: datetime
) -> None:
    """Raises `ContentRejected` for a day that is over: its pass would end before it is there."""
    for name in sorted(rule_fields(rules)):
        moment = _field_moment(values, name, time_zone)
        if moment is not None and moment <= now:
            raise ContentRejected(
                "ends_at_past", f"fields.{name}", "is past: give a later day, or none"
            )


def ended_by_rule(row: WalletPass) -> WalletPass:
    """Of a pass whose `ends_at` is over."""
    status = PassStatus.EXPIRED if row.ends_as == "expired" else PassStatus.VOIDED
    return replace(row, status=status, status_reason=row.ends_as)


def rule_fields(rules: Iterable[EndRule]) -> frozenset[str]:
    return frozenset(rule.field_name for rule in rules if rule.kind == "date_field")


def moment_of(value: object, time_zone: str | None) -> datetime | None:
    """A day is over when it ends where the program is; None for what is neither day nor moment."""
    if not isinstance(value, str) or _DIGITS.fullmatch(value):
        # Spreadsheets write days as numbers; nobody can say which.
        return None
    zone = _zone(time_zone)
    try:
        if _DAY.fullmatch(value):
            next_day = date.fromisoformat(value) + timedelta(days=1)
            return datetime.combine(next_day, time(), zone).astimezone(UTC)
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _end(row: WalletPass, rule: EndRule, time_zone: str | None, now: datetime) -> End | None:
    match rule.kind:
        case "balance_spent":
            # A pass that begins with nothing is not spent.
            was_used = row.uses > 0 or row.redeemed_version > 0
            at = now if was_used and row.balance_minor <= 0 else None
        case "uses":
            at = now if row.uses >= rule.count else None
        case "date_field":
            at = _field_moment(row.field_values, rule.field_name, time_zone)
        case "days_after_issue":
            at = _later(row.created_at, rule.count)
        case "days_after_last_use":
            at = _later(_last_used(row), rule.count)
    return None if at is None else End(at, rule.reason)


def _last_used(row: WalletPass) -> datetime:
    if row.last_used_at is None and row.redeemed_version > 0:
        # Used before it was written down when: no later than the pass was changed last.
        return row.updated_at
    return row.last_used_at or row.created_at


def _later(moment: datetime, days: int) -> datetime | None:
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        # An upstream says when a pass was used: nothing is due behind the last day.
        return None


def _field_moment(
    values: Mapping[str, object], name: str, time_zone: str | None
) -> datetime | None:
    value = values.get(name)
    if value is None or value == "":
        return None
    moment = moment_of(value, time_zone)
    if moment is None:
        detail = "is a day such as 2027-01-31 or a moment such as 2027-01-31T18:00:00+01:00"
        raise ContentRejected("date_invalid", f"fields.{name}", detail)
    return moment


def _ending(row: WalletPass, end: End | None) -> WalletPass:
    at, reason = (None, None) if end is None else (end.at, end.reason)
    if (row.ends_at, row.ends_as) == (at, reason):
        return row
    return replace(row, ends_at=at, ends_as=reason)


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
