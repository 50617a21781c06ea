"""What a template's fields and pieces of JSON show of a pass in Apple Wallet."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from passferry_pass_issuer.domain.apple_template import FieldContent
from passferry_pass_issuer.domain.field_mapping import (
    PlainDay,
    Scaled,
    Shown,
    evaluate,
    evaluate_text,
    reading,
)
from passferry_pass_issuer.domain.json_pattern import JsonPattern
from passferry_pass_issuer.domain.pattern_drawing import ABSENT, Money, draw
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_wallet.apple.document import Place, semantics_place
from passferry_wallet.apple.pass_content import CurrencyAmount, ExactNumber, FieldGroup, PassField
from passferry_wallet.apple.pass_fields import FieldFrame, attributed_text, field_json
from passferry_wallet.apple.pass_values import clean_text, exact_number, url, w3c_date


class DrawnField:
    """A field of a template, ready to be drawn for one pass after the other."""

    def __init__(self, group: FieldGroup, item: FieldContent) -> None:
        self._group, self._item = group, item
        self._read = reading(item.value)
        self._is_currency = item.value.format == "currency"
        # What has values beside its own is written anew each time.
        is_framed = item.attributed_value is None and item.semantics is None
        self._frame = FieldFrame(group, _around(item)) if is_framed else None
        is_constant = item.value.source == "text" and item.value.format == "text"
        self._constant = (
            self._frame.text(item.value.text)
            if self._frame is not None and is_constant and item.value.text
            else None
        )

    def draw(self, subject: RenderSubject) -> bytes | None:
        """As JSON; None when there is nothing to show."""
        if self._constant is not None:
            return self._constant
        shown = self._read(subject)
        frame = self._frame
        if shown is None:
            return None
        if frame is not None:
            if isinstance(shown, str):
                return frame.text(shown)
            if isinstance(shown, int) and not isinstance(shown, bool):
                return frame.number(shown)
            if isinstance(shown, Scaled):
                if not self._is_currency:
                    return frame.number(shown.unscaled, shown.scale)
                currency = self._item.currency or subject.unit
                return frame.money(CurrencyAmount(shown.unscaled, currency, shown.scale))
        drawn = pass_field(self._item, subject)
        return None if drawn is None else field_json(self._group, drawn)


def _around(item: FieldContent) -> PassField:
    """All of a field but what comes from a pass, dates and their styles among it."""
    return PassField(
        key=item.key,
        value="",
        label=item.label,
        change_message=item.change_message,
        text_alignment=cast("Any", item.text_alignment),
        number_style=cast("Any", item.number_style),
        data_detector_types=cast("Any", item.data_detectors),
        row=cast("Any", item.row),
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
    if pattern is None:
        return None
    found = draw(
        pattern, subject, f"apple.fields.{key}.semantics", semantics_place(), pattern_value
    )
    return None if found is ABSENT else found


def pattern_value(shown: Shown | Money, path: str, place: Place) -> Any:
    """A value of the pass inside a piece of JSON, as safe as in a field, and of the type that
    devices want there."""
    if place.is_text and not isinstance(shown, datetime | Money):
        shown = str(shown)
    if isinstance(shown, Scaled):
        place.check(Decimal(str(shown)), path)
        return exact_number(shown.unscaled, shown.scale, path)
    value = _written(shown, path)
    place.check(value, path)
    return value


def _written(shown: str | int | datetime | Money, path: str) -> Any:
    if isinstance(shown, str):
        if path.endswith(".attributedValue"):
            return attributed_text(shown, path)
        return url(shown, path) if path.endswith("URL") else clean_text(shown, path)
    if isinstance(shown, datetime):
        return w3c_date(shown, path)
    if isinstance(shown, Money):
        return {"amount": shown.amount, "currencyCode": shown.unit}
    return shown if isinstance(shown, bool) else exact_number(shown, 0, path)
