"""What a piece of JSON of a template becomes for one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar

from passferry_pass_issuer.domain.field_mapping import Shown, reading
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

#: What else than words a format promises.
_WANTED: Mapping[str, str] = {
    "integer": "a number",
    "decimal": "a number",
    "currency": "a number",
    "date": "a date",
}


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
#: What values of passes become at one place; it may refuse them.
Write = Callable[[Shown | Money], Any]
#: Gives the writer for a path in the template and the place where that stands.
WriterOf = Callable[[str, _P], Write]


class Absent:
    """There is nothing to show."""


ABSENT: Final = Absent()

#: JSON with the values of one pass, or `ABSENT`.
Drawing = Callable[[RenderSubject], Any]


def drawing(pattern: JsonPattern, path: str, place: _P, writer_of: WriterOf[_P]) -> Drawing:
    """Draws one pass after the other; all that places decide is decided here.

    A member without a value is left out, and so is an object all of whose values were to come
    from the pass and did not: a seat of nobody is no seat.
    """
    match pattern:
        case Constant(value):
            return lambda _: value
        case Computed(expression):
            return _computed(expression, path, writer_of(path, place))
        case Members(items, path):
            return _members(items, path, place, writer_of)
        case Items(items, path):
            inner = place.item()
            steps = [
                drawing(each, f"{path}.{at}", inner, writer_of) for at, each in enumerate(items)
            ]
            return lambda subject: [
                value for step in steps if (value := step(subject)) is not ABSENT
            ]


def _members(
    items: tuple[tuple[str, JsonPattern], ...], path: str, place: _P, writer_of: WriterOf[_P]
) -> Drawing:
    required = sorted(place.required)
    is_computed = any(isinstance(member, Computed) for _, member in items)
    steps = [
        (
            name,
            isinstance(member, Computed),
            drawing(member, f"{path}.{name}", place.member(name), writer_of),
        )
        for name, member in items
    ]

    def draw_members(subject: RenderSubject) -> Any:
        found: dict[str, Any] = {}
        is_empty = is_computed
        for name, is_value, step in steps:
            value = step(subject)
            if value is not ABSENT:
                found[name] = value
                if is_value:
                    is_empty = False
        if is_empty:
            return ABSENT
        for name in required:
            if name not in found:
                raise ContentRejected(
                    "required", f"{path}.{name}", "is required beside what the pass has"
                )
        return found

    return draw_members


def _computed(expression: ValueExpression, path: str, write: Write) -> Drawing:
    read, is_money = reading(expression), expression.format == "currency"
    # A field may show words instead of a number; here a device would refuse the pass.
    wanted = _WANTED.get(expression.format)

    def draw_value(subject: RenderSubject) -> Any:
        shown = read(subject)
        if shown is None:
            return ABSENT
        if wanted is not None and isinstance(shown, str):
            raise ContentRejected(
                "value_invalid", path, f"is {wanted}, and the pass has a text there"
            )
        return write(Money(str(shown), subject.unit) if is_money else shown)

    return draw_value
