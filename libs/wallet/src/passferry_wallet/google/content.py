"""What Google Wallet shows of a template and of a pass, as frozen parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from passferry_wallet.barcode import BarcodeFormat

Vertical = Literal[
    "loyalty", "giftCard", "offer", "eventTicket", "flight", "transit", "generic"
]


class GoogleContentRejected(Exception):
    """The content breaks a rule of the API; `code` is stable, `field` a dotted path."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail} ({code})")
        self.code = code
        self.field = field
        self.detail = detail


class ObjectState(StrEnum):
    """ACTIVE until used (COMPLETED), ended (EXPIRED) or voided (INACTIVE)."""

    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"
    INACTIVE = "INACTIVE"


class HoldersAllowed(StrEnum):
    MULTIPLE_HOLDERS = "MULTIPLE_HOLDERS"
    ONE_USER_ALL_DEVICES = "ONE_USER_ALL_DEVICES"
    ONE_USER_ONE_DEVICE = "ONE_USER_ONE_DEVICE"


@dataclass(frozen=True, slots=True)
class TextModule:
    key: str
    header: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """`amount_minor` / 10**`scale`. With `currency_code` (ISO 4217) it is money, else points."""

    amount_minor: int
    label: str = "Balance"
    scale: int = 0
    currency_code: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleBarcode:
    format: BarcodeFormat
    message: str
    alternate_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleMessage:
    """`is_notifying` asks for a notification; Google allows three in 24 hours."""

    message_id: str
    header: str
    body: str
    is_notifying: bool = False
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class MerchantLocation:
    """Degrees."""

    latitude: Decimal
    longitude: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleClassContent:
    """What all passes of a template share.

    `title` is the loyalty program's, the offer's, the event's or the gift card's name. Colours are
    `#RRGGBB`, images and `callback_url` are addresses that Google can reach.
    """

    vertical: Vertical
    issuer_id: str
    class_suffix: str
    issuer_name: str
    title: str
    logo_url: str | None = None
    hero_image_url: str | None = None
    hex_background_color: str | None = None
    callback_url: str | None = None
    rewards_tier: str | None = None
    redemption_channel: Literal["INSTORE", "ONLINE", "BOTH"] = "BOTH"
    holders_allowed: HoldersAllowed | None = None
    country_code: str | None = None
    text_modules: tuple[TextModule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleObjectContent:
    """One pass. `account_id` is the number people know it by, `account_name` its holder.

    The fields from `title` on are of generic passes, which have no class that could tell them.
    """

    vertical: Vertical
    issuer_id: str
    class_suffix: str
    object_suffix: str
    state: ObjectState = ObjectState.ACTIVE
    account_id: str | None = None
    account_name: str | None = None
    balance: Balance | None = None
    barcode: GoogleBarcode | None = None
    text_modules: tuple[TextModule, ...] = ()
    messages: tuple[GoogleMessage, ...] = ()
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    locations: tuple[MerchantLocation, ...] = ()
    title: str | None = None
    header: str | None = None
    hex_background_color: str | None = None
    logo_url: str | None = None
    hero_image_url: str | None = None
    language: str = "en"
