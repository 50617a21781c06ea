"""What a template's value expression shows for one pass."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import FIELD_PREFIX, Scalar, ValueExpression

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class PlainDay(datetime):
    """A day without a time, which is the same day wherever it is read."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """`unscaled` / 10**`scale`, exactly."""

    unscaled: int
    scale: int

    def __str__(self) -> str:
        return format(Decimal(self.unscaled).scaleb(-self.scale), "f")


#: Numbers stay exact; a datetime has its zone.
Shown = str | int | Scaled | datetime


def evaluate(expression: ValueExpression, subject: RenderSubject) -> Shown | None:
    """The value in the form that its format asks for; None when there is nothing to show."""
    raw = _raw(expression, subject)
    if raw is None or raw == "":
        raw = expression.default
    if raw is None:
        return None
    match expression.format:
        case "integer":
            return _integer(raw, expression, subject)
        case "decimal" | "currency":
            return _decimal(raw, subject)
        case "date":
            return _moment(raw)
        case "plain":
            return _plain(raw, expression, subject)
        case _ if expression.source == "balance":
            # In words too, 10,000 cents are 100.00.
            return _text(_decimal(raw, subject))
        case _:
            return _text(raw)


def evaluate_text(expression: ValueExpression | None, subject: RenderSubject) -> str | None:
    """The value as words."""
    if expression is None:
        return None
    shown = evaluate(expression, subject)
    return None if shown is None else _text(shown)


def _raw(expression: ValueExpression, subject: RenderSubject) -> Scalar | date:
    source = expression.source
    if source == "text":
        return expression.text
    known = _KNOWN.get(source)
    if known is not None:
        return known(subject)
    if source.startswith(FIELD_PREFIX):
        return subject.field_values.get(source.removeprefix(FIELD_PREFIX))
    return None


#: What each source of `SOURCES` stands for.
_KNOWN: Mapping[str, Callable[[RenderSubject], Scalar | date]] = {
    "balance": lambda subject: subject.balance_minor,
    "unit": lambda subject: subject.unit,
    "program.name": lambda subject: subject.program.name,
    "holder.full_name": lambda subject: subject.holder.full_name,
    "holder.email": lambda subject: subject.holder.email,
    "holder.external_id": lambda subject: subject.holder.external_id,
    "holder.birthday": lambda subject: subject.holder.birthday,
    "holder.phone": lambda subject: subject.holder.phone,
    "message.latest": lambda subject: subject.latest_message,
    "pass.external_id": lambda subject: subject.external_id,
    "pass.serial_number": lambda subject: subject.serial_number,
    "pass.code": lambda subject: subject.code,
    "pass.status": lambda subject: subject.status.value,
    "pass.status_reason": lambda subject: subject.status_reason,
    "pass.expires_at": lambda subject: _where_it_is_read(subject.expires_at, subject),
    "pass.tier": lambda subject: subject.tier,
    "pass.created_at": lambda subject: _where_it_is_read(subject.created_at, subject),
}


def _where_it_is_read(moment: datetime | None, subject: RenderSubject) -> datetime | None:
    """In the holder's time zone, or else in the one whose days the program counts."""
    name = subject.holder.time_zone or subject.program.time_zone
    if moment is None or name is None or name == "UTC":
        return moment
    try:
        return moment.astimezone(_time_zone(name))
    except OverflowError:
        # The last or first hours of the calendar.
        return moment


@functools.lru_cache(maxsize=1_000)
def _time_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        # It was known where it was stored.
        return UTC


def _integer(raw: Scalar | date, expression: ValueExpression, subject: RenderSubject) -> int | str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        # A balance counts in minor units; whole ones are shown, rounded towards zero.
        scale = subject.unit_scale if expression.source == "balance" else 0
        whole = abs(raw) // int(10**scale)
        return -whole if raw < 0 else whole
    text = str(raw)
    return int(text) if _WHOLE.fullmatch(text) else _text(raw)


def _plain(raw: Scalar | date, expression: ValueExpression, subject: RenderSubject) -> Shown:
    if expression.source == "balance":
        return _decimal(raw, subject)
    if isinstance(raw, str | int | datetime):
        return raw
    return _text(raw)


def _decimal(raw: Scalar | date, subject: RenderSubject) -> Scaled | str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return Scaled(raw, subject.unit_scale)
    return _text(raw)


def _moment(raw: Scalar | date) -> datetime | str:
    if isinstance(raw, datetime):
        return raw
    if isinstance(raw, date):
        return PlainDay.combine(raw, time(), UTC)
    text = str(raw)
    try:
        if _DAY.fullmatch(text):
            return PlainDay.combine(date.fromisoformat(text), time(), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _text(raw)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _text(value: Shown | Scalar | date) -> str:
    # The day that its own zone has then.
    return value.date().isoformat() if isinstance(value, datetime) else str(value)
