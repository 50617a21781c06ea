"""When a pass ends by itself, as its template says: the earliest of the rules decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.value_expression import Scalar
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed

Kind = Literal["balance_spent", "uses", "date_field", "days_after_issue", "days_after_last_use"]
#: What Google shows follows: COMPLETED, EXPIRED, INACTIVE.
EndReason = Literal["redeemed", "expired", "inactive"]
REASONS: tuple[EndReason, ...] = ("redeemed", "expired", "inactive")

#: A spent card may be topped up again at the till, or a redemption be taken back: what the ledger says
#: of that comes a moment later, and an end would close the account over it.
SPENT_RESTS = timedelta(minutes=5)

# As people write them: a week, a day without dashes or the year 1 is not what anybody means.
_DAY = re.compile(r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    _DAY.pattern + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
#: What is written for an end that never comes: 9999-12-31.
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRule:
    kind: Kind
    reason: EndReason
    #: Uses, or days.
    count: int = 0
    #: Of `date_field`: name of the value that says the day or the moment.
    field_name: str = ""


class Endable(Protocol):
    """What the rules look at: a pass, or as much of one as was read for them."""

    @property
    def is_usable(self) -> bool: ...
    @property
    def balance_minor(self) -> int: ...
    @property
    def redeemed_version(self) -> int: ...
    @property
    def uses(self) -> int: ...
    @property
    def last_used_at(self) -> datetime | None: ...
    @property
    def first_issued_at(self) -> datetime | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...
    @property
    def ends_at(self) -> datetime | None: ...
    @property
    def ends_as(self) -> str | None: ...
    @property
    def field_values(self) -> Mapping[str, Scalar]: ...


@dataclass(frozen=True, slots=True)
class End:
    at: datetime
    reason: str


def with_end(
    row: WalletPass, rules: Sequence[EndRule], *, time_zone: str | None, now: datetime
) -> WalletPass:
    """The pass with the moment at which its rules end it, if they do. Raises `ContentRejected` for
    a value that is no date and should be one."""
    if not row.is_usable and row.status_reason == row.ends_as:
        # It ended so: when that was stays true.
        return row
    if not rules or not row.is_usable:
        return _ending(row, None)
    ends = [end for rule in rules if (end := _end(row, rule, time_zone, now)) is not None]
    return _ending(row, min(ends, key=lambda end: end.at, default=None))


def expiry_of(row: WalletPass) -> datetime | None:
    """What wallets are told: a phone without a network must not show it as good after that."""
    if row.ends_as != "expired" or row.ends_at is None:
        return row.expires_at
    return row.ends_at if row.expires_at is None else min(row.expires_at, row.ends_at)


def check_not_over(
    row: WalletPass, rules: Sequence[EndRule], *, time_zone: str | None, now: datetime
) -> None:
    """Raises `ContentRejected` for a new pass that one of the rules ends at once: its date is a
    mistake, or it takes the place of one that is used up."""
    for number, rule in enumerate(rules):
        end = _end(row, rule, time_zone, now)
        if end is None or end.at > now:
            continue
        if rule.kind == "date_field":
            detail = "is past, and ends the pass: give a later date, or none"
            raise ContentRejected("over_already", f"fields.{rule.field_name}", detail)
        detail = "of the template ends this pass at once: its uses or days are over"
        raise ContentRejected("over_already", f"ends_when.{number}", detail)


def rules_over(
    row: Endable, rules: Sequence[EndRule], *, time_zone: str | None, now: datetime
) -> list[int]:
    """Places of the rules that would end the pass as it is now: at once, or when its spent balance
    has rested. Raises `ContentRejected` where `with_end` does."""
    if not row.is_usable:
        return []
    ends = [_end(row, rule, time_zone, now) for rule in rules]
    return [
        place
        for place, (rule, end) in enumerate(zip(rules, ends, strict=True))
        if end is not None and (end.at <= now or rule.kind == "balance_spent")
    ]


def last_use(row: Endable) -> datetime | None:
    if row.last_used_at is None and row.redeemed_version > 0:
        # Used before it was written down when: no later than the pass was changed last.
        return row.updated_at
    return row.last_used_at


def check_not_spent(row: WalletPass, rules: Sequence[EndRule]) -> None:
    """Raises `ContentRejected` for a lost pass that only rests before it ends."""
    for number, rule in enumerate(rules):
        if rule.kind == "balance_spent" and _is_spent(row):
            detail = "of the template ends this pass: its balance is spent, top it up first"
            raise ContentRejected("over_already", f"ends_when.{number}", detail)


def ended_by_rule(row: WalletPass) -> WalletPass:
    """Of a pass whose `ends_at` is over."""
    status = PassStatus.EXPIRED if row.ends_as == "expired" else PassStatus.VOIDED
    return changed(row, status=status, status_reason=row.ends_as)


def rule_fields(rules: Iterable[EndRule]) -> frozenset[str]:
    return frozenset(rule.field_name for rule in rules if rule.kind == "date_field")


def moment_of(value: object, time_zone: str | None) -> datetime | None:
    """A day is over when it ends where the program is; None for what is neither day nor moment,
    and at most `NEVER`."""
    if not isinstance(value, str):
        return None
    zone = _zone(time_zone)
    try:
        if _DAY.fullmatch(value):
            next_day = date.fromisoformat(value) + timedelta(days=1)
            return datetime.combine(next_day, time(), zone).astimezone(UTC)
        if not _MOMENT.fullmatch(value):
            return None
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        return NEVER
    except ValueError:
        return None


def _end(row: Endable, rule: EndRule, time_zone: str | None, now: datetime) -> End | None:
    match rule.kind:
        case "balance_spent":
            at = _rested(row, rule, now)
        case "uses":
            at = now if row.uses >= rule.count else None
        case "date_field":
            at = _field_moment(row, rule.field_name, time_zone)
        case "days_after_issue":
            at = _later(_issued_at(row), rule.count)
        case "days_after_last_use":
            at = _later(last_use(row) or _issued_at(row), rule.count)
    return None if at is None else End(at, rule.reason)


def _issued_at(row: Endable) -> datetime:
    return row.first_issued_at or row.created_at


def _rested(row: Endable, rule: EndRule, now: datetime) -> datetime | None:
    if not _is_spent(row):
        return None
    at = now + SPENT_RESTS
    if row.ends_at is not None and row.ends_as == rule.reason:
        # Whoever draws it again meanwhile does not put its end off.
        return min(row.ends_at, at)
    return at


def _is_spent(row: Endable) -> bool:
    # A pass that begins with nothing is not spent, however often the one before was used.
    return row.redeemed_version > 0 and row.balance_minor <= 0


def _later(moment: datetime, days: int) -> datetime | None:
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        # An upstream says when a pass was used: nothing is due behind the last day.
        return None


def _field_moment(row: Endable, name: str, time_zone: str | None) -> datetime | None:
    value = row.field_values.get(name)
    if value is None or value == "":
        return None
    moment = moment_of(value, time_zone)
    if moment is None:
        detail = "must be a day such as 2027-01-31 or a moment such as 2027-01-31T18:00:00+01:00"
        raise ContentRejected("date_invalid", f"fields.{name}", detail)
    return None if moment.year == NEVER.year else moment


def _ending(row: WalletPass, end: End | None) -> WalletPass:
    at, reason = (None, None) if end is None else (end.at, end.reason)
    if (row.ends_at, row.ends_as) == (at, reason):
        return row
    return changed(row, ends_at=at, ends_as=reason)


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
