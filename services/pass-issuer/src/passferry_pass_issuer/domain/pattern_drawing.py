"""What a piece of JSON of a template becomes for one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar

from passferry_pass_issuer.domain.field_mapping import Shown, evaluate
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

_NUMBERS = frozenset({"integer", "decimal", "currency"})


class Place(Protocol):
    """Where a value stands in a wallet's format."""

    @property
    def required(self) -> frozenset[str]:
        """Members without which devices refuse the object."""

    def member(self, name: str) -> Self: ...

    def item(self) -> Self: ...


@dataclass(frozen=True, slots=True)
class Money:
    """An amount as text, so that no digit is lost, and what it is counted in."""

    amount: str
    unit: str


_P = TypeVar("_P", bound=Place)
#: Makes of a value, at its path in the template, what is written at the place; it may refuse it.
Write = Callable[[Shown | Money, str, _P], Any]


class Absent:
    """There is nothing to show."""


ABSENT: Final = Absent()


def draw(
    pattern: JsonPattern, subject: RenderSubject, path: str, place: _P, write: Write[_P]
) -> Any:
    """JSON with what `write` made of the pass's values, or `ABSENT`.

    A member without a value is left out, and so is an object all of whose values were to come
    from the pass and did not: a seat of nobody is no seat.
    """
    match pattern:
        case Constant(value):
            return value
        case Computed(expression):
            return _computed(expression, subject, path, place, write)
        case Members(items, path):
            return _members(items, subject, path, place, write)
        case Items(items, path):
            inner = place.item()
            drawn = [
                draw(each, subject, f"{path}.{at}", inner, write) for at, each in enumerate(items)
            ]
            return [value for value in drawn if value is not ABSENT]


def _members(
    items: tuple[tuple[str, JsonPattern], ...],
    subject: RenderSubject,
    path: str,
    place: _P,
    write: Write[_P],
) -> dict[str, Any] | Absent:
    found: dict[str, Any] = {}
    is_computed = has_value = False
    for name, member in items:
        value = draw(member, subject, f"{path}.{name}", place.member(name), write)
        if isinstance(member, Computed):
            is_computed = True
            has_value = has_value or value is not ABSENT
        if value is not ABSENT:
            found[name] = value
    if is_computed and not has_value:
        return ABSENT
    for name in sorted(place.required - found.keys()):
        raise ContentRejected("required", f"{path}.{name}", "is required beside what the pass has")
    return found


def _computed(
    expression: ValueExpression, subject: RenderSubject, path: str, place: _P, write: Write[_P]
) -> Any:
    shown = evaluate(expression, subject)
    if shown is None:
        return ABSENT
    if isinstance(shown, str) and (expression.format in _NUMBERS or expression.format == "date"):
        # A field may show words instead of a number; here a device would refuse the pass.
        wanted = "a date" if expression.format == "date" else "a number"
        raise ContentRejected("value_invalid", path, f"is {wanted}, and the pass has a text there")
    if expression.format == "currency":
        return write(Money(str(shown), subject.unit), path, place)
    return write(shown, path, place)
