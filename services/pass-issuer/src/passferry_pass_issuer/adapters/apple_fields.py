"""What a template's fields and pieces of JSON show of a pass in Apple Wallet."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from passferry_pass_issuer.domain.apple_template import FieldContent
from passferry_pass_issuer.domain.field_mapping import Scaled, Shown, evaluate, evaluate_text
from passferry_pass_issuer.domain.json_pattern import JsonPattern
from passferry_pass_issuer.domain.pattern_drawing import ABSENT, draw
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_wallet.apple.pass_content import CurrencyAmount, ExactNumber, PassField
from passferry_wallet.apple.pass_fields import attributed_text
from passferry_wallet.apple.pass_values import clean_text, exact_number, url, w3c_date


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
        ignores_time_zone=item.ignores_time_zone and is_date,
        row=cast("Any", item.row),
        semantics=_semantics(item.semantics, subject, item.key),
    )


def _semantics(pattern: JsonPattern | None, subject: RenderSubject, key: str) -> Any:
    if pattern is None:
        return None
    found = draw(pattern, subject, f"apple.fields.{key}.semantics", pattern_value)
    return None if found is ABSENT else found


def pattern_value(shown: Shown, path: str) -> Any:
    """A value of the pass inside a piece of JSON, as safe as in a field."""
    if isinstance(shown, str):
        if path.endswith(".attributedValue"):
            return attributed_text(shown, path)
        return url(shown, path) if path.endswith("URL") else clean_text(shown, path)
    if isinstance(shown, datetime):
        return w3c_date(shown, path)
    if isinstance(shown, Scaled):
        return exact_number(shown.unscaled, shown.scale, path)
    return shown if isinstance(shown, bool) else exact_number(shown, 0, path)
