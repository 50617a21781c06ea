"""Reading the groups of fields of an Apple pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from passferry_pass_issuer.domain.apple_template import GROUPS, FieldContent
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.json_pattern import json_pattern
from passferry_pass_issuer.domain.template_parsing.node import Node
from passferry_pass_issuer.domain.template_parsing.values import (
    CURRENCY,
    FIELD_NAME,
    optional_value,
    value,
)

#: More is never shown, or tires who has to read it; what fits a style is the linter's matter.
GROUP_LIMITS = {
    "header": 3,
    "primary": 2,
    "secondary": 4,
    "auxiliary": 5,
    "back": 50,
    "additional_info": 50,
    "footer": 5,
}

_DATE_STYLES = ("None", "Short", "Medium", "Long", "Full")
_NUMBER_STYLES = ("Decimal", "Percent", "Scientific", "SpellOut")
_ALIGNMENTS = ("Left", "Center", "Right", "Natural")
_DETECTORS = ("PhoneNumber", "Link", "Address", "CalendarEvent")


def field_groups(node: Node) -> dict[str, tuple[FieldContent, ...]]:
    found = {}
    for group in GROUPS:
        items = node.children(group, _field, most=GROUP_LIMITS[group])
        if items:
            found[group] = items
    _refuse_equal_keys(item.key for group in found.values() for item in group)
    return found


def _refuse_equal_keys(keys: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise ContentRejected("duplicate", "apple.fields", f"the key {key} is used twice")
        seen.add(key)


def _field(node: Node) -> FieldContent:
    key = node.text("key", most=64)
    if not FIELD_NAME.match(key):
        raise ContentRejected("invalid", node.at("key"), "must be letters, digits, '_', '.', '-'")
    change_message = node.optional_text("change_message")
    if change_message is not None and "%@" not in change_message:
        raise ContentRejected("invalid", node.at("change_message"), "needs %@ for the new value")
    detectors = node.strings("data_detectors", _DETECTORS, most=len(_DETECTORS))
    return FieldContent(
        key=key,
        value=value(node, "value"),
        label=node.optional_text("label"),
        change_message=change_message,
        attributed_value=optional_value(node, "attributed_value"),
        currency=node.optional_text("currency", pattern=CURRENCY),
        date_style=_style(node, "date_style", "PKDateStyle", _DATE_STYLES),
        time_style=_style(node, "time_style", "PKDateStyle", _DATE_STYLES),
        is_relative=node.flag("is_relative"),
        ignores_time_zone=node.optional_flag("ignores_time_zone"),
        number_style=_style(node, "number_style", "PKNumberStyle", _NUMBER_STYLES),
        text_alignment=_style(node, "text_alignment", "PKTextAlignment", _ALIGNMENTS),
        data_detectors=detectors,
        row=node.optional_integer("row", least=0, most=1),
        semantics=json_pattern(node, "semantics"),
    )


def _style(node: Node, name: str, prefix: str, words: Sequence[str]) -> str | None:
    """`Short` or, as Apple says it, `PKDateStyleShort`."""
    word = node.optional_choice(name, [*words, *(prefix + word for word in words)])
    return None if word is None else word.removeprefix(prefix)
