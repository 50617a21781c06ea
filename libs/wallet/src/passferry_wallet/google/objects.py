"""Bodies of Google Wallet classes and objects, from a small typed input."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from passferry_contracts.types import PassStatus, Protocol
from passferry_wallet.rejections import PassContentRejected

INT32_MAX = 2**31 - 1
MICROS = 1_000_000
_SUFFIX = re.compile(r"^[A-Za-z0-9._-]{1,100}$")
_ISSUER = re.compile(r"^\d{1,24}$")

VERTICAL_OF = {
    Protocol.MEMBERSHIP: "loyalty",
    Protocol.COUPON: "offer",
    Protocol.EVENT_TICKET: "eventTicket",
    Protocol.GIFT_CARD: "giftCard",
}
BARCODE_TYPES = {
    "qr": "QR_CODE",
    "pdf417": "PDF_417",
    "aztec": "AZTEC",
    "code128": "CODE_128",
}
_PLURALS = {
    "loyalty": "loyalty",
    "giftCard": "giftCard",
    "offer": "offer",
    "eventTicket": "eventTicket",
    "generic": "generic",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassContent:
    issuer_id: str
    class_id: str
    vertical: str
    issuer_name: str
    #: Name of the loyalty program, title of the offer, name of the event.
    title: str
    logo_url: str | None = None
    hero_image_url: str | None = None
    hex_background_color: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModule:
    key: str
    header: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectContent:
    object_id: str
    class_id: str
    vertical: str
    state: str
    #: In minor units; shown where the vertical has a balance.
    balance_minor: int | None = None
    unit_scale: int = 0
    #: ISO 4217 when the balance is money.
    currency: str | None = None
    balance_label: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    card_number: str | None = None
    ticket_holder_name: str | None = None
    #: Of a generic object.
    title: str | None = None
    header: str | None = None
    barcode_kind: str | None = None
    barcode_value: str | None = None
    barcode_text: str | None = None
    text_modules: tuple[TextModule, ...] = ()
    expires_at: datetime | None = None


def resource_names(vertical: str) -> tuple[str, str]:
    """Path segments of the class and the object: `("loyaltyClass", "loyaltyObject")`."""
    return f"{vertical}Class", f"{vertical}Object"


def payload_names(vertical: str) -> tuple[str, str]:
    """Keys in a save link: `("loyaltyClasses", "loyaltyObjects")`."""
    return f"{_PLURALS[vertical]}Classes", f"{_PLURALS[vertical]}Objects"


def resource_id(issuer_id: str, suffix: str) -> str:
    if not _ISSUER.match(issuer_id) or not _SUFFIX.match(suffix):
        raise PassContentRejected(
            "google_id_invalid", "id", "an issuer id is digits; a suffix letters, digits and ._-"
        )
    return f"{issuer_id}.{suffix}"


def state_of(status: PassStatus, *, reason: str | None = None) -> str:
    """Used up is COMPLETED, past its date EXPIRED, anything else that ended INACTIVE."""
    if status is PassStatus.ACTIVE:
        return "ACTIVE"
    if status is PassStatus.EXPIRED:
        return "EXPIRED"
    return "COMPLETED" if reason in {"exhausted", "used"} else "INACTIVE"


def build_class(content: ClassContent) -> dict[str, Any]:
    body: dict[str, Any] = {"id": content.class_id}
    if content.vertical != "generic":
        body |= {"issuerName": content.issuer_name, "reviewStatus": "UNDER_REVIEW"}
    if content.vertical == "loyalty":
        if content.logo_url is None:
            raise PassContentRejected(
                "google_logo_missing", "google.logo_url", "a loyalty class needs a public logo"
            )
        body |= {"programName": content.title, "programLogo": _image(content.logo_url)}
    elif content.vertical == "offer":
        body |= {
            "title": content.title,
            "provider": content.issuer_name,
            "redemptionChannel": "BOTH",
            "multipleDevicesAndHoldersAllowedStatus": "ONE_USER_ALL_DEVICES",
        }
        _add(body, "titleImage", content.logo_url and _image(content.logo_url))
    elif content.vertical == "eventTicket":
        body["eventName"] = _localized(content.title)
        _add(body, "logo", content.logo_url and _image(content.logo_url))
    elif content.vertical == "giftCard":
        body["merchantName"] = content.title
        _add(body, "programLogo", content.logo_url and _image(content.logo_url))
    if content.vertical != "generic":
        _add(body, "heroImage", content.hero_image_url and _image(content.hero_image_url))
        _add(body, "hexBackgroundColor", content.hex_background_color)
    if content.callback_url is not None:
        body["callbackOptions"] = {"url": content.callback_url}
    return body


def build_object(content: ObjectContent) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": content.object_id,
        "classId": content.class_id,
        "state": content.state,
    }
    if content.vertical == "loyalty":
        _add(body, "accountId", content.account_id)
        _add(body, "accountName", content.account_name)
        if content.balance_minor is not None:
            body["loyaltyPoints"] = {
                "label": content.balance_label or "Points",
                "balance": _balance(content),
            }
    elif content.vertical == "giftCard":
        body["cardNumber"] = content.card_number or content.barcode_value or content.object_id
        if content.balance_minor is not None and content.currency is not None:
            body["balance"] = money(content.balance_minor, content.unit_scale, content.currency)
    elif content.vertical == "eventTicket":
        _add(body, "ticketHolderName", content.ticket_holder_name)
    elif content.vertical == "generic":
        body["cardTitle"] = _localized(content.title or "Pass")
        body["header"] = _localized(content.header or content.title or "Pass")
    if content.barcode_value is not None and content.state == "ACTIVE":
        body["barcode"] = _barcode(content)
    modules = list(content.text_modules)
    if content.vertical == "offer" and content.balance_minor is not None:
        modules.insert(0, _remaining(content))
    if modules:
        body["textModulesData"] = [
            {"id": each.key, "header": each.header, "body": each.body} for each in modules[:10]
        ]
    if content.expires_at is not None:
        body["validTimeInterval"] = {"end": {"date": _date(content.expires_at)}}
    return body


def money(amount_minor: int, scale: int, currency: str) -> dict[str, str]:
    """`micros` is an integer in a string: 12.50 EUR is "12500000"."""
    if not 0 <= scale <= 6:
        raise PassContentRejected("scale_invalid", "unit_scale", "0 to 6 decimal places")
    micros = amount_minor * MICROS // 10**scale
    return {"micros": str(micros), "currencyCode": currency}


def _balance(content: ObjectContent) -> dict[str, Any]:
    amount = content.balance_minor or 0
    if content.currency is not None:
        return {"money": money(amount, content.unit_scale, content.currency)}
    if content.unit_scale == 0 and abs(amount) <= INT32_MAX:
        return {"int": amount}
    return {"string": format(Decimal(amount).scaleb(-content.unit_scale), "f")}


def _remaining(content: ObjectContent) -> TextModule:
    amount = Decimal(content.balance_minor or 0).scaleb(-content.unit_scale)
    text = f"{amount:f} {content.currency}" if content.currency else f"{amount:f}"
    return TextModule(key="remaining", header=content.balance_label or "Remaining", body=text)


def _barcode(content: ObjectContent) -> dict[str, Any]:
    kind = BARCODE_TYPES.get(content.barcode_kind or "qr", "QR_CODE")
    body: dict[str, Any] = {"type": kind, "value": content.barcode_value}
    _add(body, "alternateText", content.barcode_text)
    return body


def _add(body: dict[str, Any], name: str, value: object) -> None:
    if value:
        body[name] = value


def _image(url: str) -> dict[str, Any]:
    return {"sourceUri": {"uri": url}}


def _localized(text: str) -> dict[str, Any]:
    return {"defaultValue": {"language": "en", "value": text}}


def _date(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
