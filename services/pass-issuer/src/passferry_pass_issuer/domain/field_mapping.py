"""What a template's value expression shows for one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import FIELD_PREFIX, Scalar, ValueExpression


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
    "pass.expires_at": lambda subject: subject.expires_at,
    "pass.tier": lambda subject: subject.tier,
    "pass.created_at": lambda subject: subject.created_at,
}


def _integer(raw: Scalar | date, expression: ValueExpression, subject: RenderSubject) -> int | str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        # A balance counts in minor units; whole ones are shown, rounded towards zero.
        scale = subject.unit_scale if expression.source == "balance" else 0
        whole = abs(raw) // int(10**scale)
        return -whole if raw < 0 else whole
    try:
        return int(str(raw))
    except ValueError:
        return _text(raw)


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
        return datetime.combine(raw, time(), UTC)
    try:
        moment = datetime.fromisoformat(str(raw))
    except ValueError:
        return _text(raw)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _text(value: Shown | Scalar | date) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d")
    return str(value)
