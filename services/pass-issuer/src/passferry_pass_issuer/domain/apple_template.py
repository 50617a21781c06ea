"""What a template says for Apple Wallet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from passferry_pass_issuer.domain.value_expression import BarcodeContent, ValueExpression

GROUPS = ("header", "primary", "secondary", "auxiliary", "back")
STYLES = ("storeCard", "coupon", "eventTicket", "generic")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldContent:
    key: str
    value: ValueExpression
    label: str | None = None
    #: What the lock screen says when the value changed; `%@` stands for the new value.
    change_message: str | None = None
    #: ISO 4217, with the format `currency`; absent: the pass's unit.
    currency: str | None = None
    date_style: str | None = None
    time_style: str | None = None
    is_relative: bool = False
    text_alignment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationContent:
    """Degrees as the decimal text they were given in, so that rendering is exact."""

    latitude: str
    longitude: str
    relevant_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppleContent:
    style: str
    organization_name: str
    description: str
    logo_text: str | None = None
    background_color: str | None = None
    foreground_color: str | None = None
    label_color: str | None = None
    #: Group (one of `GROUPS`) to its fields, in order.
    fields: Mapping[str, tuple[FieldContent, ...]] = field(default_factory=dict)
    barcode: BarcodeContent | None = None
    locations: tuple[LocationContent, ...] = ()
    is_sharing_prohibited: bool = False
