"""Reading what a template says for Google Wallet."""

from __future__ import annotations

import re

from passferry_pass_issuer.domain.google_template import GoogleContent, TextModuleContent
from passferry_pass_issuer.domain.template_parsing.node import MAX_TEXT, Node
from passferry_pass_issuer.domain.template_parsing.values import (
    CURRENCY,
    barcode,
    optional_value,
    value,
)
from passferry_pass_issuer.domain.value_expression import FORMATS

MAX_TEXT_MODULES = 10

_HEX_COLOUR = re.compile(r"^#[0-9A-Fa-f]{6}$")
_URL = re.compile(r"^https?://[^\s\"<>]{1,1900}$")


def google_content(node: Node) -> GoogleContent:
    format_ = node.optional_choice("balance_format", ("integer", "decimal", "currency"))
    return GoogleContent(
        issuer_name=node.text("issuer_name"),
        title=node.text("title"),
        logo_url=node.optional_text("logo_url", most=MAX_TEXT, pattern=_URL),
        hero_image_url=node.optional_text("hero_image_url", most=MAX_TEXT, pattern=_URL),
        hex_background_color=node.optional_text("hex_background_color", pattern=_HEX_COLOUR),
        balance_label=node.optional_text("balance_label"),
        balance_format=next((known for known in FORMATS if known == format_), "integer"),
        currency=node.optional_text("currency", pattern=CURRENCY),
        account_name=optional_value(node, "account_name"),
        account_id=optional_value(node, "account_id"),
        barcode=node.optional_child("barcode", barcode),
        text_modules=node.children("text_modules", _text_module, most=MAX_TEXT_MODULES),
    )


def _text_module(node: Node) -> TextModuleContent:
    return TextModuleContent(
        key=node.text("key", most=64), header=node.text("header"), body=value(node, "body")
    )
