"""What a piece of JSON of a template becomes for one pass."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from passferry_pass_issuer.domain.field_mapping import Scaled, Shown, evaluate
from passferry_pass_issuer.domain.json_pattern import (
    Computed,
    Constant,
    Items,
    JsonPattern,
    Members,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import ValueExpression

_CURRENCY = re.compile(r"[A-Z]{3}")
_NUMBERS = frozenset({"integer", "decimal", "currency"})


#: Makes of a value, at its path in the template, what is written down; it may refuse it.
Write = Callable[[Shown, str], Any]


class Absent:
    """There is nothing to show."""


ABSENT: Final = Absent()


def draw(pattern: JsonPattern, subject: RenderSubject, path: str, write: Write) -> Any:
    """JSON with what `write` made of the pass's values, or `ABSENT`.

    A member without a value is left out, and so is an object all of whose values were to come
    from the pass and did not: a seat of nobody is no seat.
    """
    match pattern:
        case Constant(value):
            return value
        case Computed(expression):
            return _computed(expression, subject, path, write)
        case Members(items, path):
            return _members(items, subject, path, write)
        case Items(items, path):
            drawn = [draw(each, subject, f"{path}.{at}", write) for at, each in enumerate(items)]
            return [value for value in drawn if value is not ABSENT]


def _members(
    items: tuple[tuple[str, JsonPattern], ...], subject: RenderSubject, path: str, write: Write
) -> dict[str, Any] | Absent:
    found: dict[str, Any] = {}
    is_computed = has_value = False
    for name, member in items:
        value = draw(member, subject, f"{path}.{name}", write)
        if isinstance(member, Computed):
            is_computed = True
            has_value = has_value or value is not ABSENT
        if value is not ABSENT:
            found[name] = value
    return ABSENT if is_computed and not has_value else found


def _computed(expression: ValueExpression, subject: RenderSubject, path: str, write: Write) -> Any:
    shown = evaluate(expression, subject)
    if shown is None:
        return ABSENT
    if isinstance(shown, str) and (expression.format in _NUMBERS or expression.format == "date"):
        # A field may show words instead of a number; here a device would refuse the pass.
        wanted = "a date" if expression.format == "date" else "a number"
        raise ContentRejected("value_invalid", path, f"is {wanted}, and the pass has a text there")
    if expression.format == "currency":
        if not _CURRENCY.fullmatch(subject.unit):
            # Points are no money, and devices would refuse the whole pass for them.
            return ABSENT
        # Apple's meaning of an amount: text, so that no digit is lost.
        amount = str(shown) if isinstance(shown, Scaled | int) else ""
        return {"amount": amount, "currencyCode": subject.unit}
    return write(shown, path)
