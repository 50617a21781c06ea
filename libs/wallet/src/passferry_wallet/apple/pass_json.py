"""Writes pass.json: checked, canonical, byte-identical for equal content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from passferry_wallet.apple.json_frame import encoded
from passferry_wallet.apple.pass_barcodes import add_barcodes, add_nfc
from passferry_wallet.apple.pass_content import (
    PassContent,
    PassIdentity,
)
from passferry_wallet.apple.pass_extras import add_extras
from passferry_wallet.apple.pass_fields import GROUP_KEYS, field_groups
from passferry_wallet.apple.pass_relevance import add_relevance
from passferry_wallet.apple.pass_values import (
    clean_text,
    colour,
    matching,
    required_text,
    url,
    w3c_date,
)
from passferry_wallet.apple.rejections import PassContentRejected

__all__ = ["MAX_PASS_JSON_BYTES", "PassContentRejected", "build_pass_json", "constant_parts"]

#: What travels in one event beside its manifest.
MAX_PASS_JSON_BYTES = 200_000
MIN_TOKEN_CHARACTERS = 16

_PASS_TYPE = re.compile(r"pass\.[A-Za-z0-9][A-Za-z0-9.-]{0,200}")
_TEAM = re.compile(r"[A-Z0-9]{10}")
# Whoever issues makes them unguessable; those of passes that were imported are what they are.
_SERIAL = re.compile(r"[\x21-\x7e]{1,128}")
_TOKEN = re.compile(r"[\x21-\x7e]{16,256}")

#: What a document cannot say: it is of each pass, or more hangs on it than a key.
_RESERVED = frozenset(
    {
        "formatVersion",
        "passTypeIdentifier",
        "teamIdentifier",
        "serialNumber",
        "webServiceURL",
        "authenticationToken",
        "voided",
        "expirationDate",
        "barcode",
        "barcodes",
        "nfc",
    }
)
NOTHING: Mapping[str, Any] = {}
_STYLES = frozenset(
    {"boardingPass", "coupon", "eventTicket", "generic", "storeCard", "posterGeneric"}
)
GROUPED_STYLES = frozenset({"boardingPass", "eventTicket"})
_TRANSIT_TYPES = frozenset({"Air", "Boat", "Bus", "Train", "Generic"})
#: What a poster pass shows; its twin for older systems shows the rest.
_POSTER_GROUPS = frozenset({"headerFields", "primaryFields", "footerFields"})


def build_pass_json(content: PassContent, *, constant: Mapping[str, Any] = NOTHING) -> bytes:
    """pass.json as UTF-8 with sorted keys and no spaces. Raises PassContentRejected.

    `constant` is what `constant_parts` made of the parts that many passes share.
    """
    return within_limit(json_of(pass_members(content, constant=constant)))


def pass_members(
    content: PassContent, *, constant: Mapping[str, Any], own: Mapping[str, Any] = NOTHING
) -> dict[str, Any]:
    """The members of pass.json; those of `own` are written already, or come later."""
    written: dict[str, Any] = {"formatVersion": 1, **constant}
    _add_identity(written, content.identity)
    _add_style(written, content)
    _add_looks(written, content)
    if not content.is_voided:
        # No reader takes what is spent.
        add_barcodes(written, content.barcodes)
    _add_life(written, content)
    if not content.is_voided:
        add_nfc(written, content)
    add_relevance(written, content)
    _add_grouping(written, content)
    add_extras(written, content)
    written |= own
    if content.document:
        _refuse_reserved(content.document)
        return merged(content.document, written)
    return written


def constant_parts(content: PassContent) -> Mapping[str, Any]:
    """The members that are the same in every pass of a template, checked and written once.

    Of `content`, colours, places, store ids, links, schemes and actions are read; identity,
    style, fields, barcodes and the state are of each pass.
    """
    written: dict[str, Any] = {}
    _add_looks(written, content)
    add_relevance(written, content)
    add_extras(written, content)
    return {name: _frozen(value) for name, value in written.items()}


def _frozen(value: Any) -> Any:
    # Objects stay objects: a document may have more members for them.
    if isinstance(value, dict):
        return value
    return orjson.Fragment(encoded(value))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both say something, `over`, and objects member by member."""
    result = {**under, **over}
    for name in under.keys() & over.keys():
        below, above = under[name], over[name]
        if isinstance(below, Mapping) and isinstance(above, Mapping):
            result[name] = merged(below, above)
    return result


def _refuse_reserved(document: Mapping[str, Any]) -> None:
    for name in sorted(_RESERVED & document.keys()):
        raise PassContentRejected("duplicate", f"document.{name}", "is told by the pass itself")


def json_of(value: Any) -> bytes:
    """A part of pass.json. Raises PassContentRejected."""
    try:
        return encoded(value)
    except TypeError as error:
        raise PassContentRejected(
            "not_json", "pass", "holds a value that JSON cannot tell"
        ) from error


def within_limit(pass_json: bytes) -> bytes:
    if len(pass_json) > MAX_PASS_JSON_BYTES:
        raise PassContentRejected(
            "too_large", "pass", f"is larger than {MAX_PASS_JSON_BYTES} bytes"
        )
    return pass_json


def _add_identity(written: dict[str, Any], identity: PassIdentity) -> None:
    address, token = identity.web_service_url, identity.authentication_token
    if (address is None) != (token is None):
        raise PassContentRejected(
            "web_service_incomplete",
            "web_service_url",
            "the address and the authentication token come both or not at all",
        )
    written |= _issuer(
        identity.pass_type_identifier,
        identity.team_identifier,
        identity.organization_name,
        identity.description,
        address,
    )
    written["serialNumber"] = checked_serial(identity.serial_number)
    if token is not None:
        written["authenticationToken"] = checked_token(token)


def checked_serial(text: str) -> str:
    return matching(_SERIAL, text, "serial_number", "must be 1 to 128 characters without spaces")


def checked_token(text: str) -> str:
    rule = f"must have {MIN_TOKEN_CHARACTERS} characters or more"
    return matching(_TOKEN, text, "authentication_token", rule)


@lru_cache(maxsize=1_000)
def _issuer(
    pass_type_identifier: str,
    team_identifier: str,
    organization_name: str,
    description: str,
    web_service_url: str | None,
) -> Mapping[str, str]:
    """What says the same in all passes of a template."""
    found = {
        "passTypeIdentifier": matching(
            _PASS_TYPE, pass_type_identifier, "pass_type_identifier", "must start with pass."
        ),
        "teamIdentifier": matching(
            _TEAM, team_identifier, "team_identifier", "must be 10 capital letters and digits"
        ),
        "organizationName": required_text(organization_name, "organization_name"),
        "description": required_text(description, "description"),
    }
    if web_service_url is not None:
        if web_service_url.rstrip("/").endswith("/v1"):
            raise PassContentRejected(
                "url_invalid", "web_service_url", "devices append /v1 themselves"
            )
        found["webServiceURL"] = url(web_service_url, "web_service_url")
    return found


def _add_style(written: dict[str, Any], content: PassContent) -> None:
    if content.style not in _STYLES:
        raise PassContentRejected("style_invalid", "style", "must be one of the styles of Wallet")
    groups: dict[str, Any] = dict(field_groups(content.fields))
    is_boarding_pass = content.style == "boardingPass"
    if (content.transit_type in _TRANSIT_TYPES) != is_boarding_pass:
        raise PassContentRejected(
            "transit_type_invalid", "transit_type", "a boarding pass has one, others have none"
        )
    if is_boarding_pass:
        groups["transitType"] = f"PKTransitType{content.transit_type}"
    if content.style == "posterGeneric":
        # Systems before posters need the same pass in the style that they know.
        written["posterGeneric"] = {k: v for k, v in groups.items() if k in _POSTER_GROUPS}
        written["generic"] = {k: v for k, v in groups.items() if k != GROUP_KEYS["footer"]}
        return
    if GROUP_KEYS["footer"] in groups:
        raise PassContentRejected("style_invalid", "fields.footer", "only posters have a footer")
    written[content.style] = groups


def _add_looks(written: dict[str, Any], content: PassContent) -> None:
    colours = content.colours
    for key, value in (
        ("backgroundColor", colours.background),
        ("foregroundColor", colours.foreground),
        ("labelColor", colours.label),
        ("stripColor", colours.strip),
        ("footerBackgroundColor", colours.footer_background),
    ):
        if value is not None:
            written[key] = colour(value, f"colours.{key}")
    if content.logo_text is not None:
        written["logoText"] = clean_text(content.logo_text, "logo_text")
    if content.preferred_style_schemes:
        written["preferredStyleSchemes"] = list(content.preferred_style_schemes)


def _add_life(written: dict[str, Any], content: PassContent) -> None:
    if content.expires_at is not None:
        written["expirationDate"] = w3c_date(content.expires_at, "expires_at")
    if content.is_voided:
        written["voided"] = True
    if content.is_sharing_prohibited:
        written["sharingProhibited"] = True


def _add_grouping(written: dict[str, Any], content: PassContent) -> None:
    if content.grouping_identifier is not None:
        if content.style not in GROUPED_STYLES:
            raise PassContentRejected(
                "grouping_invalid", "grouping_identifier", "only tickets and boarding passes group"
            )
        written["groupingIdentifier"] = checked_group(content.grouping_identifier)


def checked_group(text: str) -> str:
    """What passes that are shown together have in common."""
    return required_text(text, "grouping_identifier")
