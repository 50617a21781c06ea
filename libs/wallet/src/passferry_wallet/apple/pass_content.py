"""What a pass says, as frozen parts; `pass_json` checks them and writes them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import orjson

from passferry_wallet.barcode import BarcodeFormat

Style = Literal["boardingPass", "coupon", "eventTicket", "generic", "storeCard", "posterGeneric"]
TransitType = Literal["Air", "Boat", "Bus", "Train", "Generic"]
FieldGroup = Literal[
    "header", "primary", "secondary", "auxiliary", "back", "additionalInfo", "footer"
]


@dataclass(frozen=True, slots=True)
class ExactNumber:
    """`unscaled` / 10**`scale`, written digit by digit: 1250 and 2 give 12.50."""

    unscaled: int
    scale: int = 0


@dataclass(frozen=True, slots=True)
class CurrencyAmount:
    """Money in minor units of `currency_code` (ISO 4217), of which `scale` digits make one."""

    amount_minor: int
    currency_code: str
    scale: int = 2


FieldValue = str | int | ExactNumber | CurrencyAmount | datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PassIdentity:
    """Who issues the pass and how devices find its updates.

    `web_service_url` (without `/v1`) and `authentication_token` (16 characters or more) come both
    or not at all. `has_nfc_certificate` says whether the signing certificate allows `nfc`.
    """

    pass_type_identifier: str
    team_identifier: str
    serial_number: str
    organization_name: str
    description: str
    web_service_url: str | None = None
    authentication_token: str | None = field(default=None, repr=False)
    has_nfc_certificate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PassField:
    """One field. `key` is unique in the pass; `change_message` contains `%@`.

    A text under `date_style` or `time_style` is a W3C date with its zone.
    """

    key: str
    value: FieldValue
    label: str | None = None
    change_message: str | None = None
    attributed_value: str | None = None
    text_alignment: Literal["Left", "Center", "Right", "Natural"] | None = None
    date_style: Literal["None", "Short", "Medium", "Long", "Full"] | None = None
    time_style: Literal["None", "Short", "Medium", "Long", "Full"] | None = None
    number_style: Literal["Decimal", "Percent", "Scientific", "SpellOut"] | None = None
    data_detector_types: (
        tuple[Literal["PhoneNumber", "Link", "Address", "CalendarEvent"], ...] | None
    ) = None
    is_relative: bool = False
    ignores_time_zone: bool = False
    row: Literal[0, 1] | None = None
    semantics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class WrittenFields:
    """The fields of one group as JSON, checked: one after another with commas, or their place."""

    body: orjson.Fragment


@dataclass(frozen=True, slots=True, kw_only=True)
class Barcode:
    format: BarcodeFormat
    message: str
    message_encoding: str = "iso-8859-1"
    alternate_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassColours:
    """Each is `rgb(r, g, b)`, `#RGB` or `#RRGGBB`."""

    background: str | None = None
    foreground: str | None = None
    label: str | None = None
    strip: str | None = None
    footer_background: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Degrees and metres, exact."""

    latitude: Decimal
    longitude: Decimal
    altitude: Decimal | None = None
    relevant_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beacon:
    proximity_uuid: str
    major: int | None = None
    minor: int | None = None
    relevant_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelevantDate:
    """A moment, or with `end` an interval of at most 24 hours."""

    start: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nfc:
    """`message` of at most 64 bytes; the key is base64 of a P-256 SubjectPublicKeyInfo."""

    message: str
    encryption_public_key: str
    requires_authentication: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturedAction:
    identifier: str
    type: str
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassContent:
    """A whole pass. A voided one loses its barcodes, so that nobody scans what is spent.

    `document` is pass.json too, with keys that are not modelled here: objects in it are merged with
    what the other parts say, which comes first.
    """

    identity: PassIdentity
    style: Style
    transit_type: TransitType | None = None
    fields: Mapping[FieldGroup, tuple[PassField, ...] | WrittenFields] = field(default_factory=dict)
    colours: PassColours = field(default_factory=PassColours)
    logo_text: str | None = None
    barcodes: tuple[Barcode, ...] = ()
    nfc: Nfc | None = None
    locations: tuple[Location, ...] = ()
    beacons: tuple[Beacon, ...] = ()
    max_distance_m: int | None = None
    relevant_dates: tuple[RelevantDate, ...] = ()
    expires_at: datetime | None = None
    is_voided: bool = False
    is_sharing_prohibited: bool = False
    grouping_identifier: str | None = None
    featured_actions: tuple[FeaturedAction, ...] = ()
    associated_store_identifiers: tuple[int, ...] = ()
    app_launch_url: str | None = None
    auxiliary_store_identifiers: tuple[int, ...] = ()
    preferred_style_schemes: tuple[str, ...] = ()
    semantics: Mapping[str, Any] | None = None
    #: Links of tickets and boarding passes, by Apple's key.
    links: Mapping[str, str] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
