"""Reading what a template says for Google Wallet."""

from __future__ import annotations

import re

from passferry_pass_issuer.domain.google_template import (
    VERTICALS,
    GoogleContent,
    GoogleVertical,
    TierContent,
    TiersContent,
    Words,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.example_values import example_values
from passferry_pass_issuer.domain.template_parsing.google_members import (
    MAX_LOCATIONS,
    app_link,
    barcode,
    class_message,
    grouping,
    image_module,
    link,
    location,
    notifications,
    pass_constraints,
    rotating_barcode,
    secondary_balance,
    smart_tap,
    text_module,
)
from passferry_pass_issuer.domain.template_parsing.google_piece import class_piece, object_piece
from passferry_pass_issuer.domain.template_parsing.google_words import (
    LANGUAGE,
    optional_told,
    optional_words,
    words,
)
from passferry_pass_issuer.domain.template_parsing.node import MAX_TEXT, Node
from passferry_pass_issuer.domain.template_parsing.values import CURRENCY, optional_value, value
from passferry_pass_issuer.domain.value_expression import FORMATS

MAX_TEXT_MODULES = 10
MAX_LINKS = 20
MAX_IMAGE_MODULES = 10
MAX_MESSAGES = 10
MAX_TIERS = 16

HEX_COLOUR = re.compile(r"^#[0-9A-Fa-f]{6}\Z")
_URL = re.compile(r"^https?://[^\s\"<>]{1,1900}\Z")
_COUNTRY = re.compile(r"^[A-Z]{2}\Z")
_TIER_KEY = re.compile(r"^[A-Za-z0-9_.-]{1,32}\Z")
REDEMPTION_CHANNELS = ("INSTORE", "ONLINE", "BOTH", "TEMPORARY_PRICE_REDUCTION")
HOLDERS_ALLOWED = ("MULTIPLE_HOLDERS", "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE")


def google_content(node: Node) -> GoogleContent:
    format_ = node.optional_choice("balance_format", ("integer", "decimal", "currency"))
    constraints = node.optional_child("pass_constraints", pass_constraints)
    return GoogleContent(
        vertical=_vertical(node),
        language=node.optional_text("language", pattern=LANGUAGE) or "en",
        issuer_name=_issuer_name(node),
        title=words(node, "title"),
        header=optional_told(node, "header"),
        subheader=optional_told(node, "subheader"),
        logo_url=address(node, "logo_url"),
        wide_logo_url=address(node, "wide_logo_url"),
        hero_image_url=address(node, "hero_image_url"),
        hex_background_color=node.optional_text("hex_background_color", pattern=HEX_COLOUR),
        homepage_url=address(node, "homepage_url"),
        country_code=node.optional_text("country_code", pattern=_COUNTRY),
        redemption_channel=node.optional_choice("redemption_channel", REDEMPTION_CHANNELS)
        or "BOTH",
        holders_allowed=node.optional_choice("holders_allowed", HOLDERS_ALLOWED),
        balance_label=optional_words(node, "balance_label"),
        balance_format=next((known for known in FORMATS if known == format_), "integer"),
        currency=node.optional_text("currency", pattern=CURRENCY),
        secondary_balance=node.optional_child("secondary_balance", secondary_balance),
        rewards_tier=optional_words(node, "rewards_tier"),
        rewards_tier_label=optional_words(node, "rewards_tier_label"),
        tiers=node.optional_child("tiers", _tiers),
        account_name=optional_value(node, "account_name"),
        account_id=optional_value(node, "account_id"),
        barcode=node.optional_child("barcode", barcode),
        rotating_barcode=node.optional_child("rotating_barcode", rotating_barcode),
        text_modules=node.children("text_modules", text_module, most=MAX_TEXT_MODULES),
        links=node.children("links", link, most=MAX_LINKS),
        image_modules=node.children("image_modules", image_module, most=MAX_IMAGE_MODULES),
        messages=node.children("messages", class_message, most=MAX_MESSAGES),
        locations=node.children("locations", location, most=MAX_LOCATIONS),
        app_link=node.optional_child("app_link", app_link),
        smart_tap=node.optional_child("smart_tap", smart_tap),
        valid_from=optional_value(node, "valid_from"),
        valid_until=optional_value(node, "valid_until"),
        grouping=node.optional_child("grouping", grouping),
        notifications=node.optional_child("notifications", notifications),
        are_screenshots_allowed=constraints.are_screenshots_allowed if constraints else None,
        nfc_constraint=constraints.nfc if constraints else (),
        example_values=node.optional_child("example_values", example_values) or {},
        class_piece=class_piece(node, "class"),
        object_piece=object_piece(node, "object"),
    )


def _issuer_name(node: Node) -> Words:
    """Empty where it is left to the brand; asked for when the template is published."""
    return words(node, "issuer_name") if node.get("issuer_name") is not None else Words("")


def _vertical(node: Node) -> GoogleVertical | None:
    given = node.optional_choice("vertical", VERTICALS)
    return next((known for known in VERTICALS if known == given), None)


def address(node: Node, name: str) -> str | None:
    return node.optional_text(name, most=MAX_TEXT, pattern=_URL)


def _tiers(node: Node) -> TiersContent:
    levels = node.children("levels", _tier, most=MAX_TIERS)
    if not levels:
        raise ContentRejected("required", node.at("levels"), "must have at least one tier")
    for name, given in (
        ("key", [level.key.lower() for level in levels]),
        ("value", [level.value for level in levels]),
    ):
        if len(set(given)) != len(given):
            raise ContentRejected("duplicate", node.at("levels"), f"a {name} is used twice")
    return TiersContent(source=value(node, "source"), levels=levels)


def _tier(node: Node) -> TierContent:
    key = node.text("key")
    if not _TIER_KEY.match(key):
        raise ContentRejected("invalid", node.at("key"), "must be letters, digits, '_', '.', '-'")
    named = node.text("value")
    return TierContent(
        key=key,
        value=named,
        rewards_tier=optional_words(node, "rewards_tier") or words(node, "value"),
        hex_background_color=node.optional_text("hex_background_color", pattern=HEX_COLOUR),
        hero_image_url=address(node, "hero_image_url"),
        logo_url=address(node, "logo_url"),
        class_piece=class_piece(node, "class"),
    )
