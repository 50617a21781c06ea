"""Reading when and where a pass is of use, and what contactless readers read."""

from __future__ import annotations

import re
from dataclasses import replace

from passferry_pass_issuer.domain.apple_template import (
    BeaconContent,
    LocationContent,
    NfcContent,
    RelevantDateContent,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import Node
from passferry_pass_issuer.domain.template_parsing.values import optional_value, value
from passferry_pass_issuer.domain.value_expression import ValueExpression

MAX_UINT16 = 65_535
MAX_ALTITUDE_M = 100_000
MAX_KEY_CHARACTERS = 500

_DECIMAL = re.compile(r"^-?[0-9]{1,6}(\.[0-9]{1,10})?\Z")
_UUID = re.compile(r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_BASE64 = re.compile(r"^[A-Za-z0-9+/]+={0,2}\Z")


def location(node: Node) -> LocationContent:
    return LocationContent(
        latitude=_needed_decimal(node, "latitude", 90),
        longitude=_needed_decimal(node, "longitude", 180),
        altitude=_decimal(node, "altitude", MAX_ALTITUDE_M),
        relevant_text=node.optional_text("relevant_text"),
    )


def _needed_decimal(node: Node, name: str, most: int) -> str:
    found = _decimal(node, name, most)
    if found is None:
        raise ContentRejected("invalid", node.at(name), f"must be a number from -{most} to {most}")
    return found


def _decimal(node: Node, name: str, most: int) -> str | None:
    given = node.get(name)
    if given is None:
        return None
    text = str(given) if isinstance(given, int | float | str) else ""
    if not _DECIMAL.match(text) or abs(float(text)) > most:
        raise ContentRejected("invalid", node.at(name), f"must be a number from -{most} to {most}")
    return text


def beacon(node: Node) -> BeaconContent:
    uuid = node.optional_text("proximity_uuid", pattern=_UUID)
    if uuid is None:
        raise ContentRejected("required", node.at("proximity_uuid"), "is required")
    return BeaconContent(
        proximity_uuid=uuid,
        major=node.optional_integer("major", least=0, most=MAX_UINT16),
        minor=node.optional_integer("minor", least=0, most=MAX_UINT16),
        relevant_text=node.optional_text("relevant_text"),
    )


def relevant_date(node: Node) -> RelevantDateContent:
    """`{"date": …}`, or `{"start": …, "end": …}`."""
    moment = optional_value(node, "date")
    if moment is not None:
        return RelevantDateContent(start=_as_date(moment))
    return RelevantDateContent(
        start=_as_date(value(node, "start")), end=_as_date(value(node, "end"))
    )


def _as_date(expression: ValueExpression) -> ValueExpression:
    return replace(expression, format="date")


def nfc(node: Node) -> NfcContent:
    key = node.optional_text("encryption_public_key", most=MAX_KEY_CHARACTERS, pattern=_BASE64)
    if key is None:
        raise ContentRejected("required", node.at("encryption_public_key"), "is required")
    return NfcContent(
        message=value(node, "message"),
        encryption_public_key=key,
        is_authentication_required=node.flag("requires_authentication"),
    )
