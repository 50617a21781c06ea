"""What is surely right at its place, seen without the typed model.

Nearly every value of a pass is. A quick check that says no leaves the answer, and the words for a
refusal, to the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import StringConstraints
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from passferry_wallet.apple.document.parts import (
    Colour,
    Currency,
    NeededText,
    Number,
    Part,
    Text,
    WebAddress,
    ZonedDate,
)
from passferry_wallet.apple.pass_values import MAX_TEXT_CHARACTERS

#: Whether the model surely takes the value.
QuickCheck = Callable[[Any], bool]


def quick_check(annotation: Any) -> QuickCheck:
    """For what a model says of a member; it says no to all where nothing quick is known."""
    if annotation is Any:
        return _anything
    if annotation == Number:
        return _number
    if annotation in _BY_TYPE:
        return _BY_TYPE[annotation]
    if annotation in {Colour, Currency, NeededText, WebAddress, ZonedDate}:
        return _by_the_writer(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return _one_of(get_args(annotation))
    if origin is Annotated:
        return _constrained(*get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return _part(annotation)
    return _unknown


def annotation_of(field: FieldInfo) -> Any:
    """As the model says it: pydantic keeps the outermost rules of a type beside it."""
    given = _given(field.annotation)
    return Annotated[(given, *field.metadata)] if field.metadata else given


def _given(annotation: Any) -> Any:
    """Without None: a value that is absent is never written."""
    if get_origin(annotation) not in {Union, UnionType}:
        return annotation
    return Union[tuple(each for each in get_args(annotation) if each is not type(None))]  # noqa: UP007  # made of a list


def _anything(_: Any) -> bool:
    return True


def _unknown(_: Any) -> bool:
    return False


def _text(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_TEXT_CHARACTERS and value.isprintable()


def _number(value: Any) -> bool:
    return type(value) is int or (type(value) is Decimal and value.is_finite())


_BY_TYPE: Mapping[Any, QuickCheck] = {
    Text: _text,
    # A flag is a number to Python, and none to devices.
    int: lambda value: type(value) is int,
    bool: lambda value: type(value) is bool,
    str: lambda value: type(value) is str and value.isprintable(),
}


def _by_the_writer(annotation: Any) -> QuickCheck:
    """Texts whose only rule is one of the writer's own checks."""
    [rule] = annotation.__metadata__
    validate = rule.func

    def is_surely(value: Any) -> bool:
        # What cannot be printed may have half a character.
        if type(value) is not str or not value.isprintable():
            return False
        try:
            validate(value)
        except PydanticCustomError:
            return False
        return True

    return is_surely


def _one_of(words: tuple[Any, ...]) -> QuickCheck:
    known = frozenset(word for word in words if isinstance(word, str))
    return lambda value: type(value) is str and value in known


def _constrained(inner: Any, *rules: Any) -> QuickCheck:
    match [part for rule in rules for part in _parts_of(rule)]:
        case [StringConstraints() as rule] if inner is str:
            return _shaped_text(rule)
        case [Ge(ge=least), Le(le=most)] if inner == Number:
            return lambda value: _number(value) and bool(least <= value <= most)
        case _:
            return _unknown


def _parts_of(rule: Any) -> list[Any]:
    return list(rule.metadata) if isinstance(rule, FieldInfo) else [rule]


def _shaped_text(rule: StringConstraints) -> QuickCheck:
    least, most = rule.min_length or 0, rule.max_length
    if rule != StringConstraints(
        min_length=rule.min_length, max_length=most, pattern=rule.pattern
    ) or not isinstance(rule.pattern, str):
        return _unknown
    # Its end is the end of the text: what is matched whole has no line behind it.
    shape = re.compile(rule.pattern, re.ASCII)
    return lambda value: (
        type(value) is str
        and least <= len(value)
        and (most is None or len(value) <= most)
        and shape.fullmatch(value) is not None
    )


def _part(model: type[Part]) -> QuickCheck:
    """An object without rules between its members."""
    fields = model.model_fields.items()
    decorators = model.__pydantic_decorators__
    if (
        any(field.is_required() for _, field in fields)
        or decorators.model_validators
        or decorators.field_validators
    ):
        return _unknown
    members = {field.alias or name: annotation_of(field) for name, field in fields}
    checks: dict[str, QuickCheck] = {}

    def is_surely(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name, each in value.items():
            if name not in members:
                return False
            check = checks.get(name)
            if check is None:
                check = checks[name] = quick_check(members[name])
            if not check(each):
                return False
        return True

    return is_surely
