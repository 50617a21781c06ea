"""A template's named members in Google's own names: the class of a template, and its objects.

What the named members say wins over the pieces `class` and `object`; lists are joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from passferry_pass_issuer.domain.google_modules import (
    app_link,
    barcode,
    class_messages,
    grouping,
    image_modules,
    links,
    locations,
    notifications,
    pass_constraints,
    rotating_barcode,
    smart_tap_value,
    text_modules,
)
from passferry_pass_issuer.domain.google_template import (
    FirstOf,
    GoogleContent,
    GoogleVertical,
    Piece,
    TierContent,
    Told,
    Words,
)
from passferry_pass_issuer.domain.google_words import localised, say
from passferry_pass_issuer.domain.value_expression import ValueExpression

#: Key of the module that shows a balance where the vertical has no field for it.
BALANCE_MODULE = "balance"
#: Verticals that always show a balance; the others show it when the template names it.
_WITH_BALANCE = frozenset({"loyalty", "giftCard", "offer", "eventTicket"})

_LOGOS: Mapping[str, str] = {
    "loyalty": "programLogo",
    "giftCard": "programLogo",
    "offer": "titleImage",
    "eventTicket": "logo",
    "transit": "logo",
}
_WIDE_LOGOS: Mapping[str, str] = {
    "loyalty": "wideProgramLogo",
    "giftCard": "wideProgramLogo",
    "offer": "wideTitleImage",
    "eventTicket": "wideLogo",
    "transit": "wideLogo",
}

Tree = dict[str, Any]


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """Objects member by member, lists joined with those of `over` first."""
    result: Tree = dict(under)
    for name, value in over.items():
        present = result.get(name)
        if isinstance(present, Mapping) and isinstance(value, Mapping):
            result[name] = merged(present, value)
        elif isinstance(present, list | tuple) and isinstance(value, list | tuple):
            result[name] = [*value, *present]
        else:
            result[name] = value
    return result


def class_tree(
    google: GoogleContent, vertical: GoogleVertical, tier: TierContent | None = None
) -> Tree:
    """All of a class but its id and what we tell Google about ourselves."""
    tree = merged(google.class_piece, _class_parts(google, vertical))
    if tier is None:
        return tree
    return merged(merged(tree, tier.class_piece), _tier_parts(google, vertical, tier))


def object_tree(google: GoogleContent, vertical: GoogleVertical) -> Tree:
    """All of an object but its id, its class and its state."""
    return merged(google.object_piece, _object_parts(google, vertical))


def _class_parts(google: GoogleContent, vertical: GoogleVertical) -> Tree:
    tree: Tree = {}
    if vertical != "generic":
        # The platform approves at once; every update asks again.
        tree["reviewStatus"] = "UNDER_REVIEW"
        say(tree, "issuerName", google.issuer_name, google.language)
        _name(tree, google, vertical)
        _looks(
            tree,
            vertical,
            {
                "logo": google.logo_url,
                "wide": google.wide_logo_url,
                "hero": google.hero_image_url,
                "colour": google.hex_background_color,
            },
        )
        if google.homepage_url is not None:
            tree["homepageUri"] = {"uri": google.homepage_url}
        if google.country_code is not None:
            tree["countryCode"] = google.country_code
    if google.rewards_tier is not None:
        say(tree, "rewardsTier", google.rewards_tier, google.language)
    if google.rewards_tier_label is not None:
        say(tree, "rewardsTierLabel", google.rewards_tier_label, google.language)
    _holders(tree, google, vertical)
    if google.smart_tap is not None:
        tree["enableSmartTap"] = True
        tree["redemptionIssuers"] = list(google.smart_tap.redemption_issuers)
    links(tree, google, of_class=True)
    image_modules(tree, google, of_class=True)
    class_messages(tree, google)
    return tree


def _name(tree: Tree, google: GoogleContent, vertical: GoogleVertical) -> None:
    title, language = google.title, google.language
    match vertical:
        case "loyalty":
            say(tree, "programName", title, language)
        case "giftCard":
            say(tree, "merchantName", title, language)
        case "offer":
            say(tree, "title", title, language)
            say(tree, "provider", google.issuer_name, language)
            tree["redemptionChannel"] = google.redemption_channel
        case "eventTicket":
            tree["eventName"] = localised(title, language)
        case "transit":
            tree["transitOperatorName"] = localised(title, language)


def _looks(tree: Tree, vertical: GoogleVertical, looks: Mapping[str, str | None]) -> None:
    if looks["hero"] is not None:
        tree["heroImage"] = _image(looks["hero"])
    if looks["colour"] is not None:
        tree["hexBackgroundColor"] = looks["colour"]
    for name, known, of_carrier in (
        ("logo", _LOGOS, "airlineLogo"),
        ("wide", _WIDE_LOGOS, "wideAirlineLogo"),
    ):
        address = looks.get(name)
        if address is None:
            continue
        if vertical == "flight":
            carrier = tree.setdefault("flightHeader", {}).setdefault("carrier", {})
            carrier[of_carrier] = _image(address)
        elif vertical in known:
            tree[known[vertical]] = _image(address)


def _holders(tree: Tree, google: GoogleContent, vertical: GoogleVertical) -> None:
    allowed = google.holders_allowed
    if allowed is None and vertical == "offer":
        # What can be used once must not be handed on to be used twice.
        allowed = "ONE_USER_ALL_DEVICES"
    if allowed is not None:
        tree["multipleDevicesAndHoldersAllowedStatus"] = allowed


def _tier_parts(google: GoogleContent, vertical: GoogleVertical, tier: TierContent) -> Tree:
    tree: Tree = {}
    if vertical == "loyalty":
        say(tree, "rewardsTier", tier.rewards_tier, google.language)
    looks = {
        "logo": tier.logo_url,
        "hero": tier.hero_image_url,
        "colour": tier.hex_background_color,
    }
    if vertical != "generic":
        _looks(tree, vertical, looks)
    return tree


def _object_parts(google: GoogleContent, vertical: GoogleVertical) -> Tree:
    tree: Tree = {}
    _person(tree, google, vertical)
    _balance(tree, google, vertical)
    if vertical == "generic":
        _generic(tree, google)
    if google.secondary_balance is not None:
        secondary = google.secondary_balance
        points: Tree = {"balance": secondary.value}
        say(points, "label", secondary.label, google.language)
        tree["secondaryLoyaltyPoints"] = points
    barcode(tree, google)
    rotating_barcode(tree, google)
    text_modules(tree, google)
    links(tree, google, of_class=False)
    image_modules(tree, google, of_class=False)
    locations(tree, google)
    app_link(tree, google)
    smart_tap_value(tree, google)
    grouping(tree, google)
    notifications(tree, google)
    pass_constraints(tree, google)
    ends = google.valid_until or ValueExpression(source="pass.expires_at", format="date")
    tree["validTimeInterval"] = {"end": ends}
    if google.valid_from is not None:
        tree["validTimeInterval"]["start"] = google.valid_from
    return tree


def _person(tree: Tree, google: GoogleContent, vertical: GoogleVertical) -> None:
    number = _first(google.account_id, "pass.external_id")
    name = _first(google.account_name, "holder.full_name")
    match vertical:
        case "loyalty":
            tree["accountId"], tree["accountName"] = number, name
        case "giftCard":
            tree["cardNumber"] = number
        case "eventTicket":
            tree["ticketNumber"], tree["ticketHolderName"] = number, name
        case "flight":
            tree["passengerName"] = name
            tree["reservationInfo"] = {"confirmationCode": number}
        case "transit":
            tree["ticketNumber"], tree["passengerNames"] = number, name


def _first(expression: ValueExpression | None, otherwise: str) -> FirstOf:
    last = ValueExpression(source=otherwise)
    return FirstOf((last,) if expression is None else (expression, last))


def _balance(tree: Tree, google: GoogleContent, vertical: GoogleVertical) -> None:
    is_money = google.balance_format == "currency"
    # Decimals are kept; points without any become a number.
    value = ValueExpression(source="balance", format="currency" if is_money else "decimal")
    label = google.balance_label or Words("Balance")
    if vertical == "loyalty":
        points: Tree = {"balance": value}
        say(points, "label", label, google.language)
        tree["loyaltyPoints"] = points
    elif vertical == "giftCard" and is_money:
        tree["balance"] = value
    elif vertical in _WITH_BALANCE or google.balance_label is not None:
        module: Tree = {"id": BALANCE_MODULE, "body": value}
        say(module, "header", label, google.language)
        tree["textModulesData"] = [module]


def _generic(tree: Tree, google: GoogleContent) -> None:
    """A generic class shows nothing: its objects carry the names and the looks."""
    tree["cardTitle"] = localised(google.title, google.language)
    tree["header"] = (
        _told(google.header, google.language)
        if google.header is not None
        else FirstOf(
            (
                *((google.account_name,) if google.account_name else ()),
                ValueExpression(source="holder.full_name"),
                ValueExpression(source="program.name"),
            )
        )
    )
    if google.subheader is not None:
        tree["subheader"] = _told(google.subheader, google.language)
    looks = {
        "logo": google.logo_url,
        "wideLogo": google.wide_logo_url,
        "heroImage": google.hero_image_url,
    }
    for name, address in looks.items():
        if address is not None:
            tree[name] = _image(address)
    if google.hex_background_color is not None:
        tree["hexBackgroundColor"] = google.hex_background_color


def _told(told: Told, language: str) -> Piece | ValueExpression:
    return localised(told, language) if isinstance(told, Words) else told


def _image(address: str | None) -> Piece:
    return {"sourceUri": {"uri": address}}
