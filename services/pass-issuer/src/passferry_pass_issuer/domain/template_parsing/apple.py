"""Reading what a template says for Apple Wallet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from passferry_pass_issuer.domain.apple_template import (
    BARCODE_FORMATS,
    LINKS,
    STYLE_SCHEMES,
    STYLES,
    TRANSIT_TYPES,
    AppleContent,
    FeaturedActionContent,
)
from passferry_pass_issuer.domain.json_pattern import Members
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.apple_fields import field_groups
from passferry_pass_issuer.domain.template_parsing.apple_relevance import (
    beacon,
    location,
    nfc,
    relevant_date,
)
from passferry_pass_issuer.domain.template_parsing.example_values import example_values
from passferry_pass_issuer.domain.template_parsing.json_pattern import json_members, json_pattern
from passferry_pass_issuer.domain.template_parsing.node import MAX_TEXT, Node
from passferry_pass_issuer.domain.template_parsing.values import barcode, optional_value, value
from passferry_pass_issuer.domain.value_expression import BarcodeContent, ValueExpression
from passferry_pass_issuer.domain.zoned_moment import zoned_moment

MAX_BARCODES = 4
MAX_LOCATIONS = 10
MAX_BEACONS = 10
MAX_RELEVANT_DATES = 10
MAX_FEATURED_ACTIONS = 2
MAX_STORE_IDENTIFIERS = 20
MAX_DISTANCE_M = 100_000
MAX_EXPIRY_DAYS = 3_650
MAX_LANGUAGES = 30
MAX_STRINGS = 500

#: What the pass itself says, or a member of ours that does more than write it down.
_NOT_IN_DOCUMENT = {
    "formatVersion": "is always 1",
    "passTypeIdentifier": "is said by pass_type_identifier",
    "teamIdentifier": "is said by team_identifier",
    "serialNumber": "is given to each pass",
    "webServiceURL": "is given to each pass",
    "authenticationToken": "is given to each pass",
    "voided": "follows from the state of the pass",
    "expirationDate": "follows from the state of the pass",
    "barcode": "is said by apple.barcodes",
    "barcodes": "is said by apple.barcodes",
    "nfc": "is said by apple.nfc",
}
COLOUR = re.compile(
    r"^(rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)|#[0-9A-Fa-f]{3}|#[0-9A-Fa-f]{6})\Z"
)
_LANGUAGE = re.compile(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}\Z")


def apple_content(node: Node) -> AppleContent:
    style = node.choice("style", STYLES)
    transit_type = node.optional_choice("transit_type", TRANSIT_TYPES)
    if (transit_type is not None) != (style == "boardingPass"):
        raise ContentRejected(
            "invalid", "apple.transit_type", "a boardingPass has one, other styles have none"
        )
    after_days = node.optional_integer("expires_after_days", least=1, most=MAX_EXPIRY_DAYS)
    expires_at = _moment(node, "expires_at")
    if after_days is not None and expires_at is not None:
        raise ContentRejected("invalid", "apple.expires_at", "goes not with expires_after_days")
    return AppleContent(
        style=style,
        transit_type=transit_type,
        organization_name=_organization_name(node),
        description=node.text("description"),
        preferred_style_schemes=(
            node.strings("preferred_style_schemes", STYLE_SCHEMES, most=len(STYLE_SCHEMES)) or ()
        ),
        logo_text=node.optional_text("logo_text"),
        background_color=node.optional_text("background_color", pattern=COLOUR),
        foreground_color=node.optional_text("foreground_color", pattern=COLOUR),
        label_color=node.optional_text("label_color", pattern=COLOUR),
        strip_color=node.optional_text("strip_color", pattern=COLOUR),
        footer_background_color=node.optional_text("footer_background_color", pattern=COLOUR),
        fields=node.optional_child("fields", field_groups) or {},
        barcodes=_barcodes(node),
        nfc=node.optional_child("nfc", nfc),
        locations=node.children("locations", location, most=MAX_LOCATIONS),
        beacons=node.children("beacons", beacon, most=MAX_BEACONS),
        max_distance_m=node.optional_integer("max_distance_m", least=1, most=MAX_DISTANCE_M),
        relevant_dates=node.children("relevant_dates", relevant_date, most=MAX_RELEVANT_DATES),
        semantics=json_pattern(node, "semantics"),
        featured_actions=node.children(
            "featured_actions", _featured_action, most=MAX_FEATURED_ACTIONS
        ),
        links=node.optional_child("links", _links) or {},
        grouping_identifier=optional_value(node, "grouping_identifier"),
        associated_store_identifiers=_store_identifiers(node, "associated_store_identifiers"),
        auxiliary_store_identifiers=_store_identifiers(node, "auxiliary_store_identifiers"),
        app_launch_url=optional_value(node, "app_launch_url"),
        is_sharing_prohibited=node.flag("sharing_prohibited"),
        expires_after_days=after_days,
        expires_at=expires_at,
        example_values=node.optional_child("example_values", example_values) or {},
        strings=node.optional_child("strings", _strings) or {},
        document=_document(node),
    )


def _organization_name(node: Node) -> str:
    """Empty where it is left to the brand; asked for when the template is published."""
    is_said = node.get("organization_name") is not None
    return node.text("organization_name") if is_said else ""


def _barcodes(node: Node) -> tuple[BarcodeContent, ...]:
    one = node.optional_child("barcode", _barcode)
    several = node.children("barcodes", _barcode, most=MAX_BARCODES)
    if one is not None and several:
        raise ContentRejected("invalid", node.at("barcode"), "goes not with barcodes")
    return several if one is None else (one,)


def _barcode(node: Node) -> BarcodeContent:
    return barcode(node, BARCODE_FORMATS)


def _featured_action(node: Node) -> FeaturedActionContent:
    return FeaturedActionContent(
        identifier=node.text("identifier", most=64),
        type=node.text("type", most=64),
        url=optional_value(node, "url"),
    )


def _links(node: Node) -> Mapping[str, ValueExpression]:
    return {name: value(node, name) for name in LINKS if node.get(name) is not None}


def _store_identifiers(node: Node, name: str) -> tuple[int, ...]:
    numbers = node.get(name)
    if numbers is None:
        return ()
    is_list = isinstance(numbers, list) and len(numbers) <= MAX_STORE_IDENTIFIERS
    if not is_list or not all(type(each) is int and 0 < each < 2**53 for each in numbers):
        raise ContentRejected(
            "invalid",
            node.at(name),
            f"must be a list of at most {MAX_STORE_IDENTIFIERS} App Store ids",
        )
    return tuple(numbers)


def _moment(node: Node, name: str) -> datetime | None:
    text = node.optional_text(name, most=40)
    if text is None:
        return None
    moment = zoned_moment(text)
    if moment is None:
        raise ContentRejected(
            "invalid", node.at(name), "must be a moment with its zone, such as 2030-01-31T12:00:00Z"
        )
    return moment


def _strings(node: Node) -> Mapping[str, Mapping[str, str]]:
    languages = node.members()
    if len(languages) > MAX_LANGUAGES:
        raise ContentRejected("too_many", node.path, f"has more than {MAX_LANGUAGES} languages")
    found = {}
    for language in languages:
        if not _LANGUAGE.match(language):
            raise ContentRejected(
                "invalid", node.path, "must name languages as de, pt-BR or zh-Hans"
            )
        found[language] = node.optional_child(language, _translations) or {}
    return found


def _translations(node: Node) -> Mapping[str, str]:
    texts = node.members()
    if len(texts) > MAX_STRINGS or not all(0 < len(text) <= MAX_TEXT for text in texts):
        raise ContentRejected(
            "too_many", node.path, f"must have at most {MAX_STRINGS} texts of {MAX_TEXT} characters"
        )
    return {text: node.optional_text(text, most=MAX_TEXT) or "" for text in texts}


def _document(node: Node) -> Members | None:
    document = json_members(node, "document")
    for name in _names(document):
        if name in _NOT_IN_DOCUMENT:
            raise ContentRejected(
                "invalid", f"{node.at('document')}.{name}", _NOT_IN_DOCUMENT[name]
            )
        if name in STYLES and name not in _styles_drawn(node.get("style")):
            raise ContentRejected(
                "invalid", f"{node.at('document')}.{name}", "is another style than apple.style"
            )
    return document


def _names(document: Members | None) -> Iterable[str]:
    return () if document is None else [name for name, _ in document.items]


def _styles_drawn(style: object) -> tuple[object, ...]:
    return (style, "generic") if style == "posterGeneric" else (style,)
