"""Reading the parts of a template's `google` member."""

from __future__ import annotations

import re
from dataclasses import dataclass

from passferry_pass_issuer.domain.google_modules import BARCODE_TYPES
from passferry_pass_issuer.domain.google_template import (
    AppLinkContent,
    ClassMessageContent,
    GoogleBarcodeContent,
    GroupingContent,
    ImageModuleContent,
    LinkContent,
    NotificationsContent,
    RotatingBarcodeContent,
    SecondaryBalanceContent,
    SmartTapContent,
    TextModuleContent,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.google_words import (
    optional_told,
    optional_words,
    told,
    words,
)
from passferry_pass_issuer.domain.template_parsing.node import Node
from passferry_pass_issuer.domain.template_parsing.values import optional_value, value
from passferry_pass_issuer.domain.value_expression import ValueExpression

#: More are refused by Google, with the whole object.
MAX_LOCATIONS = 10
MAX_REDEMPTION_ISSUERS = 20
MAX_TOTP_KEYS = 4
MAX_VALUE_LENGTH = 16
MIN_PERIOD_MS, MAX_PERIOD_MS = 1_000, 3_600_000
#: Only these are drawn anew while they are shown.
ROTATING_FORMATS = ("qr", "pdf417", "aztec", "data_matrix")
NFC_CONSTRAINTS = ("BLOCK_PAYMENT", "BLOCK_CLOSED_LOOP_TRANSIT")

_DEGREES = re.compile(r"^-?[0-9]{1,3}(\.[0-9]{1,10})?\Z")
_ISSUER = re.compile(r"^[0-9]{1,32}\Z")
_PACKAGE = re.compile(r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){1,15}\Z")
_ISO_DATE = re.compile(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?\Z"
)


@dataclass(frozen=True, slots=True)
class PassConstraints:
    are_screenshots_allowed: bool | None
    nfc: tuple[str, ...]


def barcode(node: Node) -> GoogleBarcodeContent:
    return GoogleBarcodeContent(
        format=node.choice("format", tuple(BARCODE_TYPES)),
        message=optional_value(node, "message") or ValueExpression(source="pass.code"),
        alternate_text=optional_value(node, "alternate_text"),
        show_code_text=optional_told(node, "show_code_text"),
    )


def rotating_barcode(node: Node) -> RotatingBarcodeContent:
    pattern = value(node, "value_pattern")
    if pattern.source == "text" and "{totp_" not in pattern.text:
        raise ContentRejected(
            "invalid", node.at("value_pattern"), "needs {totp_value_0}: else nothing rotates"
        )
    keys = node.children("keys", lambda inner: value(inner, "value"), most=MAX_TOTP_KEYS)
    if not keys:
        raise ContentRejected("required", node.at("keys"), "must have at least one key")
    if any(key.source == "text" for key in keys):
        # Templates are shown to whoever may view them, and a key is a secret of one pass.
        raise ContentRejected("invalid", node.at("keys"), "come from fields of the pass")
    return RotatingBarcodeContent(
        format=node.choice("format", ROTATING_FORMATS),
        value_pattern=pattern,
        period_ms=node.whole_number("period_ms", MIN_PERIOD_MS, MAX_PERIOD_MS),
        keys=keys,
        value_length=node.whole_number("value_length", 1, MAX_VALUE_LENGTH),
        alternate_text=optional_value(node, "alternate_text"),
    )


def text_module(node: Node) -> TextModuleContent:
    return TextModuleContent(
        key=node.text("key", most=64), header=words(node, "header"), body=told(node, "body")
    )


def link(node: Node) -> LinkContent:
    return LinkContent(
        key=node.text("key", most=64),
        address=value(node, "address"),
        description=words(node, "description"),
    )


def image_module(node: Node) -> ImageModuleContent:
    return ImageModuleContent(
        key=node.text("key", most=64),
        address=value(node, "address"),
        description=optional_words(node, "description"),
    )


def class_message(node: Node) -> ClassMessageContent:
    return ClassMessageContent(
        key=node.text("key", most=64),
        header=words(node, "header"),
        body=words(node, "body"),
        start=node.optional_text("start", pattern=_ISO_DATE),
        end=node.optional_text("end", pattern=_ISO_DATE),
    )


def secondary_balance(node: Node) -> SecondaryBalanceContent:
    return SecondaryBalanceContent(label=words(node, "label"), value=value(node, "value"))


def location(node: Node) -> tuple[str, str]:
    return _degrees(node, "latitude", 90), _degrees(node, "longitude", 180)


def _degrees(node: Node, name: str, most: int) -> str:
    given = node.get(name)
    text = str(given) if isinstance(given, int | float | str) else ""
    if not _DEGREES.match(text) or abs(float(text)) > most:
        raise ContentRejected("invalid", node.at(name), f"must be degrees from -{most} to {most}")
    return text


def app_link(node: Node) -> AppLinkContent:
    content = AppLinkContent(
        display_text=optional_words(node, "display_text"),
        android_uri=optional_value(node, "android_uri"),
        android_package=node.optional_text("android_package", pattern=_PACKAGE),
        web_uri=optional_value(node, "web_uri"),
    )
    if not (content.android_uri or content.android_package or content.web_uri):
        raise ContentRejected(
            "required", node.at("web_uri"), "or android_uri or android_package is required"
        )
    return content


def smart_tap(node: Node) -> SmartTapContent:
    given = node.get("redemption_issuers")
    issuers = given if isinstance(given, list) else []
    if not 1 <= len(issuers) <= MAX_REDEMPTION_ISSUERS:
        raise ContentRejected(
            "invalid",
            node.at("redemption_issuers"),
            f"must be a list of 1 to {MAX_REDEMPTION_ISSUERS}",
        )
    for each in issuers:
        if not isinstance(each, str) or not _ISSUER.match(each):
            raise ContentRejected("invalid", node.at("redemption_issuers"), "must be ids of digits")
    return SmartTapContent(
        redemption_issuers=tuple(issuers),
        value=optional_value(node, "value") or ValueExpression(source="pass.code"),
    )


def grouping(node: Node) -> GroupingContent:
    return GroupingContent(
        group=value(node, "group"), sort_index=optional_value(node, "sort_index")
    )


def notifications(node: Node) -> NotificationsContent:
    return NotificationsContent(expiry=node.flag("expiry"), upcoming=node.flag("upcoming"))


def pass_constraints(node: Node) -> PassConstraints:
    given = node.get("screenshots_allowed")
    if given is not None and not isinstance(given, bool):
        raise ContentRejected("invalid", node.at("screenshots_allowed"), "must be true or false")
    nfc = node.get("nfc")
    blocked = nfc if isinstance(nfc, list) else []
    if nfc is not None and (
        not isinstance(nfc, list) or any(each not in NFC_CONSTRAINTS for each in blocked)
    ):
        known = ", ".join(NFC_CONSTRAINTS)
        raise ContentRejected("invalid", node.at("nfc"), f"must be a list of {known}")
    return PassConstraints(given, tuple(dict.fromkeys(blocked)))
