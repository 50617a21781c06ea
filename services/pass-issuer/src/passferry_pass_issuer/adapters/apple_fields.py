"""What a template's fields and pieces of JSON show of a pass in Apple Wallet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import orjson

from passferry_pass_issuer.domain.apple_template import FieldContent
from passferry_pass_issuer.domain.field_mapping import (
    PlainDay,
    Scaled,
    Shown,
    evaluate,
    evaluate_text,
    reading,
    reading_text,
)
from passferry_pass_issuer.domain.json_pattern import (
    Constant,
    Items,
    JsonPattern,
    Members,
    pattern_expressions,
)
from passferry_pass_issuer.domain.pattern_drawing import ABSENT, Drawing, Money, Write, drawing
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_wallet.apple.document import Place, semantics_place
from passferry_wallet.apple.pass_content import CurrencyAmount, ExactNumber, FieldGroup, PassField
from passferry_wallet.apple.pass_fields import FieldFrame, attributed_text
from passferry_wallet.apple.pass_json import json_of
from passferry_wallet.apple.pass_values import clean_text, exact_number, url, w3c_date


class DrawnField:
    """A field of a template, ready to be drawn for one pass after the other."""

    def __init__(self, group: FieldGroup, item: FieldContent) -> None:
        self._group, self._item = group, item
        self._where = f"fields.{item.key}"
        self._read = reading(item.value)
        self._is_currency = item.value.format == "currency"
        beside = item.attributed_value
        self._attributed = None if beside is None else reading_text(beside)
        meaning = item.semantics
        self._meaning = None if meaning is None else _meaning(written_constants(meaning), item.key)
        #: For each kind of value, and what stands beside it.
        self._frames: dict[tuple[type, bool, bool], FieldFrame] = {}
        self._is_constant = _is_constant(item)
        self._constant: bytes | None = None

    def draw(self, subject: RenderSubject) -> bytes | None:
        """As JSON; None when there is nothing to show."""
        if self._constant is not None:
            return self._constant
        shown = self._read(subject)
        if shown is None:
            return None
        attributed = None if self._attributed is None else self._attributed(subject)
        meaning = ABSENT if self._meaning is None else self._meaning(subject)
        beside = []
        if attributed is not None:
            beside.append(orjson.dumps(attributed_text(attributed, self._where)))
        if meaning is not ABSENT:
            beside.append(json_of(meaning))
        shape = type(shown), attributed is not None, meaning is not ABSENT
        frame = self._frames.get(shape)
        if frame is None:
            frame = self._frames[shape] = self._frame(subject)
        drawn = self._filled(frame, shown, subject, beside)
        if self._is_constant:
            self._constant = drawn
        return drawn

    def _frame(self, subject: RenderSubject) -> FieldFrame:
        drawn = pass_field(self._item, subject)
        if drawn is None:
            raise TypeError("a field that has a value is drawn")
        return FieldFrame(self._group, drawn)

    def _filled(
        self, frame: FieldFrame, shown: Shown, subject: RenderSubject, beside: list[bytes]
    ) -> bytes:
        if isinstance(shown, str):
            return frame.text(shown, *beside)
        if isinstance(shown, int):
            return frame.number(shown, 0, *beside)
        if isinstance(shown, datetime):
            return frame.date(shown, *beside)
        if not self._is_currency:
            return frame.number(shown.unscaled, shown.scale, *beside)
        currency = self._item.currency or subject.unit
        return frame.money(CurrencyAmount(shown.unscaled, currency, shown.scale), *beside)


def _is_constant(item: FieldContent) -> bool:
    words = (item.value, item.attributed_value)
    return all(each is None or each.is_constant for each in words) and not any(
        pattern_expressions(item.semantics)
    )


def pass_field(item: FieldContent, subject: RenderSubject) -> PassField | None:
    """None when there is nothing to show."""
    shown = evaluate(item.value, subject)
    if shown is None:
        return None
    value: Any = shown
    if isinstance(shown, Scaled):
        if item.value.format == "currency":
            currency = item.currency or subject.unit
            value = CurrencyAmount(shown.unscaled, currency, shown.scale)
        else:
            value = ExactNumber(shown.unscaled, shown.scale)
    is_date = item.value.format == "date" and not isinstance(shown, str)
    # A value that is words for this one pass has no style of numbers.
    is_number = isinstance(value, int | ExactNumber)
    return PassField(
        key=item.key,
        value=value,
        label=item.label,
        change_message=item.change_message,
        attributed_value=evaluate_text(item.attributed_value, subject),
        text_alignment=cast("Any", item.text_alignment),
        date_style=cast("Any", (item.date_style or "Medium") if is_date else None),
        time_style=cast("Any", item.time_style if is_date else None),
        number_style=cast("Any", item.number_style if is_number else None),
        data_detector_types=cast("Any", item.data_detectors),
        is_relative=item.is_relative and is_date,
        ignores_time_zone=is_date and _ignores_time_zone(item, shown),
        row=cast("Any", item.row),
        semantics=_semantics(item.semantics, subject, item.key),
    )


def _ignores_time_zone(item: FieldContent, shown: Shown) -> bool:
    """Midnight of a birthday in UTC is the evening before in New York."""
    said = item.ignores_time_zone
    return isinstance(shown, PlainDay) if said is None else said


def _semantics(pattern: JsonPattern | None, subject: RenderSubject, key: str) -> Any:
    found = ABSENT if pattern is None else _meaning(pattern, key)(subject)
    return None if found is ABSENT else found


def _meaning(pattern: JsonPattern, key: str) -> Drawing:
    path = f"apple.fields.{key}.semantics"
    return drawing(pattern, path, semantics_place(), pattern_writer)


def written_constants(pattern: JsonPattern) -> JsonPattern:
    """The same, with what does not change encoded once. Raises PassContentRejected."""
    match pattern:
        case Constant(value) if isinstance(value, dict | list):
            return Constant(orjson.Fragment(json_of(value)))
        case Members(items, path):
            return Members(tuple((name, written_constants(each)) for name, each in items), path)
        case Items(items, path):
            return Items(tuple(written_constants(each) for each in items), path)
        case _:
            return pattern


def pattern_writer(path: str, place: Place) -> Write:
    """Writes values of passes inside a piece of JSON, as safe as in a field, and of the type that
    devices want there."""
    write_text = _text_writer(path)

    def write(shown: Shown | Money) -> Any:
        value: Any
        if isinstance(shown, datetime):
            value = w3c_date(shown, path)
            if place.is_date:
                return value
        elif isinstance(shown, Money):
            value = {"amount": shown.amount, "currencyCode": shown.unit}
        elif isinstance(shown, str) or place.is_text:
            value = write_text(str(shown), path)
        elif isinstance(shown, Scaled):
            place.check(Decimal(str(shown)), path)
            return exact_number(shown.unscaled, shown.scale, path)
        else:
            value = shown if isinstance(shown, bool) else exact_number(shown, 0, path)
        place.check(value, path)
        return value

    return write


def _text_writer(path: str) -> Callable[[str, str], str]:
    if path.endswith(".attributedValue"):
        return attributed_text
    return url if path.endswith("URL") else clean_text
