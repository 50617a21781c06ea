"""Bodies of Google Wallet's classes and objects, of fields that an issuer may set.

Fields that only the platform sets (such as `hasUsers`) never appear here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from passferry_wallet.barcode import BarcodeFormat, BarcodeRejected, check_message
from passferry_wallet.google.content import (
    Balance,
    GoogleBarcode,
    GoogleClassContent,
    GoogleContentRejected,
    GoogleMessage,
    GoogleObjectContent,
    HoldersAllowed,
    MerchantLocation,
    ObjectState,
    TextModule,
    Vertical,
)
from passferry_wallet.google.values import (
    balance_text,
    date,
    degrees,
    hex_colour,
    image,
    interval,
    localized,
    money,
    points,
    resource_id,
    text,
    url,
)

__all__ = [
    "Balance",
    "GoogleBarcode",
    "GoogleClassContent",
    "GoogleContentRejected",
    "GoogleMessage",
    "GoogleObjectContent",
    "HoldersAllowed",
    "MerchantLocation",
    "ObjectState",
    "TextModule",
    "Vertical",
    "build_class",
    "build_message",
    "build_object",
    "can_notify_on_update",
    "payload_key",
    "resource_id",
    "resource_names",
    "vertical_of",
]

MAX_MESSAGES = 10
MAX_LOCATIONS = 10
MAX_TEXT_MODULES = 10
#: Key of the module that shows a balance where the vertical has no field for it.
BALANCE_MODULE = "balance"

VERTICALS: frozenset[Vertical] = frozenset(
    {"loyalty", "giftCard", "offer", "eventTicket", "flight", "transit", "generic"}
)
_VERTICAL_OF_PROTOCOL: dict[str, Vertical] = {
    "MEMBERSHIP": "loyalty",
    "COUPON": "offer",
    "EVENT_TICKET": "eventTicket",
    "GIFT_CARD": "giftCard",
}
_BARCODE_TYPES: dict[BarcodeFormat, str] = {
    "qr": "QR_CODE",
    "pdf417": "PDF_417",
    "aztec": "AZTEC",
    "code128": "CODE_128",
    "ean13": "EAN_13",
    "code39": "CODE_39",
    "codabar": "CODABAR",
    "i2of5": "ITF_14",
}
_ITF_14_DIGITS = 14

Body = dict[str, Any]


def vertical_of(protocol: str) -> Vertical:
    """MEMBERSHIP is loyalty, COUPON offer, EVENT_TICKET eventTicket, GIFT_CARD giftCard."""
    return _VERTICAL_OF_PROTOCOL[protocol]


def resource_names(vertical: Vertical) -> tuple[str, str]:
    """Path segments of the class and of the object."""
    return f"{vertical}Class", f"{vertical}Object"


def payload_key(vertical: Vertical, kind: Literal["Class", "Object"]) -> str:
    """The plural under which a save link carries a resource."""
    return f"{vertical}Classes" if kind == "Class" else f"{vertical}Objects"


def can_notify_on_update(vertical: Vertical) -> bool:
    """Whether `notifyPreference` may be sent; generic passes refuse it."""
    return vertical != "generic"


def build_class(content: GoogleClassContent) -> Body:
    """The body that inserts or replaces a class. Raises GoogleContentRejected."""
    body: Body = {"id": resource_id(content.issuer_id, content.class_suffix)}
    _CLASS_PARTS[content.vertical](body, content)
    if content.vertical != "generic":
        # The platform approves at once; every update asks again.
        body["reviewStatus"] = "UNDER_REVIEW"
        body["issuerName"] = text(content.issuer_name, "issuer_name")
        _add_class_looks(body, content)
    if content.holders_allowed is not None:
        body["multipleDevicesAndHoldersAllowedStatus"] = content.holders_allowed.value
    if content.callback_url is not None:
        body["callbackOptions"] = {"url": url(content.callback_url, "callback_url")}
    _add_text_modules(body, content.text_modules)
    return body


def build_object(content: GoogleObjectContent) -> Body:
    """The body that inserts or patches an object. Raises GoogleContentRejected."""
    body: Body = {
        "id": resource_id(content.issuer_id, content.object_suffix),
        "classId": resource_id(content.issuer_id, content.class_suffix),
        "state": content.state.value,
    }
    _OBJECT_PARTS[content.vertical](body, content)
    modules = content.text_modules
    if content.balance is not None and not _has_balance_field(content):
        shown = balance_text(content.balance)
        modules = (TextModule(BALANCE_MODULE, content.balance.label, shown), *modules)
    if content.barcode is not None:
        body["barcode"] = _barcode(content.barcode)
    _add_text_modules(body, modules)
    if content.messages:
        # The platform refuses an eleventh; the newest are worth most.
        body["messages"] = [build_message(item) for item in content.messages[-MAX_MESSAGES:]]
    if content.valid_from is not None or content.valid_until is not None:
        body["validTimeInterval"] = interval(content.valid_from, content.valid_until, "valid_until")
    if content.locations:
        body["merchantLocations"] = _locations(content.locations)
    return body


def build_message(message: GoogleMessage) -> Body:
    """One message, for `addMessage` or inside a body."""
    body: Body = {
        "id": text(message.message_id, "message.id"),
        "header": text(message.header, "message.header"),
        "body": text(message.body, "message.body"),
        "messageType": "TEXT_AND_NOTIFY" if message.is_notifying else "TEXT",
    }
    if message.start is not None or message.end is not None:
        body["displayInterval"] = interval(message.start, message.end, "message.end")
    return body


def _add_class_looks(body: Body, content: GoogleClassContent) -> None:
    if content.hero_image_url is not None:
        body["heroImage"] = image(content.hero_image_url, "hero_image_url")
    if content.hex_background_color is not None:
        body["hexBackgroundColor"] = hex_colour(
            content.hex_background_color, "hex_background_color"
        )
    if content.country_code is not None:
        body["countryCode"] = text(content.country_code, "country_code")


def _loyalty_class(body: Body, content: GoogleClassContent) -> None:
    if content.logo_url is None:
        raise GoogleContentRejected("required", "logo_url", "a loyalty program has a logo")
    body["programName"] = text(content.title, "title")
    body["programLogo"] = image(content.logo_url, "logo_url")
    if content.rewards_tier is not None:
        body["rewardsTier"] = text(content.rewards_tier, "rewards_tier")


def _gift_card_class(body: Body, content: GoogleClassContent) -> None:
    body["merchantName"] = text(content.title, "title")
    if content.logo_url is not None:
        body["programLogo"] = image(content.logo_url, "logo_url")


def _offer_class(body: Body, content: GoogleClassContent) -> None:
    body["title"] = text(content.title, "title")
    body["provider"] = text(content.issuer_name, "issuer_name")
    body["redemptionChannel"] = content.redemption_channel
    # What can be used once must not be handed on to be used twice.
    body["multipleDevicesAndHoldersAllowedStatus"] = HoldersAllowed.ONE_USER_ALL_DEVICES.value
    if content.logo_url is not None:
        body["titleImage"] = image(content.logo_url, "logo_url")


def _event_ticket_class(body: Body, content: GoogleClassContent) -> None:
    body["eventName"] = localized(content.title, "en", "title")
    if content.logo_url is not None:
        body["logo"] = image(content.logo_url, "logo_url")


def _generic_class(body: Body, content: GoogleClassContent) -> None:
    """Its objects carry the names and looks."""


def _loyalty_object(body: Body, content: GoogleObjectContent) -> None:
    _add_text(body, "accountId", content.account_id)
    _add_text(body, "accountName", content.account_name)
    if content.balance is not None:
        body["loyaltyPoints"] = {
            "label": text(content.balance.label, "balance.label"),
            "balance": _points_or_money(content.balance),
        }


def _gift_card_object(body: Body, content: GoogleObjectContent) -> None:
    number = content.account_id or (content.barcode.message if content.barcode else None)
    if number is None:
        raise GoogleContentRejected("required", "account_id", "a gift card has a number")
    body["cardNumber"] = text(number, "account_id")
    balance = content.balance
    if balance is not None and balance.currency_code is not None:
        body["balance"] = money(balance.amount_minor, balance.scale, balance.currency_code)
        if balance.updated_at is not None:
            body["balanceUpdateTime"] = date(balance.updated_at, "balance.updated_at")


def _offer_object(body: Body, content: GoogleObjectContent) -> None:
    """All that is special about an offer is in its class."""


def _event_ticket_object(body: Body, content: GoogleObjectContent) -> None:
    _add_text(body, "ticketNumber", content.account_id)
    _add_text(body, "ticketHolderName", content.account_name)


def _generic_object(body: Body, content: GoogleObjectContent) -> None:
    if content.title is None or content.header is None:
        raise GoogleContentRejected("required", "title", "a generic pass has a title and a header")
    body["cardTitle"] = localized(content.title, content.language, "title")
    body["header"] = localized(content.header, content.language, "header")
    if content.hex_background_color is not None:
        body["hexBackgroundColor"] = hex_colour(
            content.hex_background_color, "hex_background_color"
        )
    if content.logo_url is not None:
        body["logo"] = image(content.logo_url, "logo_url")
    if content.hero_image_url is not None:
        body["heroImage"] = image(content.hero_image_url, "hero_image_url")


_CLASS_PARTS: dict[Vertical, Callable[[Body, GoogleClassContent], None]] = {
    "loyalty": _loyalty_class,
    "giftCard": _gift_card_class,
    "offer": _offer_class,
    "eventTicket": _event_ticket_class,
    "generic": _generic_class,
}
_OBJECT_PARTS: dict[Vertical, Callable[[Body, GoogleObjectContent], None]] = {
    "loyalty": _loyalty_object,
    "giftCard": _gift_card_object,
    "offer": _offer_object,
    "eventTicket": _event_ticket_object,
    "generic": _generic_object,
}


def _has_balance_field(content: GoogleObjectContent) -> bool:
    is_money = content.balance is not None and content.balance.currency_code is not None
    return content.vertical == "loyalty" or (content.vertical == "giftCard" and is_money)


def _points_or_money(balance: Balance) -> Body:
    if balance.currency_code is None:
        return points(balance.amount_minor, balance.scale)
    return {"money": money(balance.amount_minor, balance.scale, balance.currency_code)}


def _add_text(body: Body, key: str, value: str | None) -> None:
    if value is not None:
        body[key] = text(value, key)


def _add_text_modules(body: Body, modules: Sequence[TextModule]) -> None:
    if len(modules) > MAX_TEXT_MODULES:
        raise GoogleContentRejected("too_many", "text_modules", f"at most {MAX_TEXT_MODULES}")
    if len({module.key for module in modules}) != len(modules):
        raise GoogleContentRejected("duplicate", "text_modules", "a key is used twice")
    if modules:
        body["textModulesData"] = [
            {
                "id": text(module.key, "text_modules"),
                "header": text(module.header, "text_modules"),
                "body": text(module.body, "text_modules"),
            }
            for module in modules
        ]


def _barcode(barcode: GoogleBarcode) -> Body:
    kind = _BARCODE_TYPES.get(barcode.format)
    if kind is None:
        raise GoogleContentRejected("barcode_unknown", "barcode.format", "is not known")
    try:
        check_message(barcode.format, barcode.message)
    except BarcodeRejected as refusal:
        raise GoogleContentRejected(refusal.code, "barcode.message", refusal.detail) from refusal
    if barcode.format == "i2of5" and len(barcode.message) != _ITF_14_DIGITS:
        raise GoogleContentRejected("barcode_not_encodable", "barcode.message", "is 14 digits")
    body: Body = {
        "type": kind,
        "value": barcode.message,
        "renderEncoding": "UTF_8",
    }
    if barcode.alternate_text is not None:
        body["alternateText"] = text(barcode.alternate_text, "barcode.alternate_text")
    return body


def _locations(locations: Sequence[MerchantLocation]) -> list[Body]:
    if len(locations) > MAX_LOCATIONS:
        raise GoogleContentRejected("too_many", "locations", f"at most {MAX_LOCATIONS}")
    return [
        {
            "latitude": degrees(location.latitude, 90, "locations.latitude"),
            "longitude": degrees(location.longitude, 180, "locations.longitude"),
        }
        for location in locations
    ]
