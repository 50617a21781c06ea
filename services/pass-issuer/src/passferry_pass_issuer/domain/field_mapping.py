"""What a template's value expression shows for one pass."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from operator import attrgetter
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


#: Reads one expression of one pass after the other.
Reading = Callable[[RenderSubject], Shown | None]


def reading(expression: ValueExpression) -> Reading:
    """Gives the value in the form that its format asks for; None when there is nothing to show.

    All that the expression decides is decided here, once for all passes of a template.
    """
    raw, form, default = (
        _source(expression.source, expression.text),
        _form(expression),
        expression.default,
    )

    def read(subject: RenderSubject) -> Shown | None:
        found = raw(subject)
        if found is None or found == "":
            found = default
        return None if found is None else form(found, subject)

    return read


def evaluate(expression: ValueExpression, subject: RenderSubject) -> Shown | None:
    """What `reading` gives, for one pass."""
    return reading(expression)(subject)


def evaluate_text(expression: ValueExpression | None, subject: RenderSubject) -> str | None:
    """The value as words."""
    return None if expression is None else reading_text(expression)(subject)


def reading_text(expression: ValueExpression) -> Callable[[RenderSubject], str | None]:
    """Gives the value as words."""
    read = reading(expression)

    def read_text(subject: RenderSubject) -> str | None:
        shown = read(subject)
        return shown if shown is None or isinstance(shown, str) else _text(shown)

    return read_text


def _source(source: str, text: str) -> Callable[[RenderSubject], Scalar | date]:
    if source == "text":
        return lambda subject: text
    if source.startswith(FIELD_PREFIX):
        name = source.removeprefix(FIELD_PREFIX)
        return lambda subject: subject.field_values.get(name)
    return _KNOWN.get(source, _nothing)


def _nothing(_: RenderSubject) -> None:
    return None


#: What each source of `SOURCES` stands for.
_KNOWN: Mapping[str, Callable[[RenderSubject], Scalar | date]] = {
    "balance": attrgetter("balance_minor"),
    "unit": attrgetter("unit"),
    "program.name": attrgetter("program.name"),
    "holder.full_name": attrgetter("holder.full_name"),
    "holder.email": attrgetter("holder.email"),
    "holder.external_id": attrgetter("holder.external_id"),
    "holder.birthday": attrgetter("holder.birthday"),
    "holder.phone": attrgetter("holder.phone"),
    "message.latest": attrgetter("latest_message"),
    "pass.external_id": attrgetter("external_id"),
    "pass.serial_number": attrgetter("serial_number"),
    "pass.code": attrgetter("code"),
    "pass.status": attrgetter("status.value"),
    "pass.status_reason": attrgetter("status_reason"),
    "pass.expires_at": lambda subject: _where_it_is_read(subject.expires_at, subject),
    "pass.tier": attrgetter("tier"),
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


def _form(expression: ValueExpression) -> Callable[[Scalar | date, RenderSubject], Shown]:
    is_balance = expression.source == "balance"
    match expression.format:
        case "integer":
            return _whole_units if is_balance else _integer
        case "decimal" | "currency":
            return _decimal
        case "date":
            return _moment
        case "plain":
            return _decimal if is_balance else _plain
        case _:
            # In words too, 10,000 cents are 100.00.
            return _decimal_text if is_balance else _text


def _whole_units(raw: Scalar | date, subject: RenderSubject) -> int | str:
    """A balance counts in minor units; whole ones are shown, rounded towards zero."""
    if not isinstance(raw, int) or isinstance(raw, bool):
        return _integer(raw, subject)
    whole = abs(raw) // int(10**subject.unit_scale)
    return -whole if raw < 0 else whole


def _integer(raw: Scalar | date, _: RenderSubject) -> int | str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    text = str(raw)
    return int(text) if _WHOLE.fullmatch(text) else _text(raw)


def _plain(raw: Scalar | date, _: RenderSubject) -> Shown:
    return raw if isinstance(raw, str | int | datetime) else _text(raw)


def _decimal(raw: Scalar | date, subject: RenderSubject) -> Scaled | str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return Scaled(raw, subject.unit_scale)
    return _text(raw)


def _decimal_text(raw: Scalar | date, subject: RenderSubject) -> str:
    return _text(_decimal(raw, subject))


def _moment(raw: Scalar | date, _: RenderSubject) -> datetime | str:
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


def _text(value: Shown | Scalar | date, _: RenderSubject | None = None) -> str:
    # The day that its own zone has then.
    return value.date().isoformat() if isinstance(value, datetime) else str(value)
