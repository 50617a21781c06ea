"""What a template says: layout, colours and which value each field shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Scalar = str | int | bool | None

Format = Literal["text", "integer", "decimal", "currency", "date"]
FORMATS: tuple[Format, ...] = ("text", "integer", "decimal", "currency", "date")

GROUPS = ("header", "primary", "secondary", "auxiliary", "back")
STYLES = ("storeCard", "coupon", "eventTicket", "generic")
BARCODE_FORMATS = ("qr", "pdf417", "aztec", "code128")

#: What a value may come from, besides `text` and `field.<name>`.
SOURCES = frozenset(
    {
        "balance",
        "unit",
        "holder.full_name",
        "holder.email",
        "holder.external_id",
        "holder.birthday",
        "pass.external_id",
        "pass.serial_number",
        "pass.code",
        "pass.status",
        "pass.status_reason",
        "pass.expires_at",
        "pass.created_at",
        "program.name",
    }
)
FIELD_PREFIX = "field."


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueExpression:
    """Where a value comes from. `source` is `text` (the constant `text`), one of `SOURCES` or
    `field.<name>` (what the pass was given under that name). An absent value shows `default`;
    with no default either, the field is left out.

    `decimal` and `currency` divide integers of minor units by the unit's scale, exactly.
    """

    source: str
    text: str = ""
    default: str | int | None = None
    format: Format = "text"


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
class BarcodeContent:
    """`format` is one of `BARCODE_FORMATS`."""

    format: str = "qr"
    message: ValueExpression = field(default_factory=lambda: ValueExpression(source="pass.code"))
    alternate_text: ValueExpression | None = None
    encoding: str = "utf-8"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModuleContent:
    key: str
    header: str
    body: ValueExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleContent:
    """The vertical follows from the program's protocol."""

    issuer_name: str
    #: Name of the loyalty program, title of the offer, name of the event.
    title: str
    logo_url: str | None = None
    hero_image_url: str | None = None
    hex_background_color: str | None = None
    balance_label: str | None = None
    balance_format: Format = "integer"
    #: ISO 4217, when the balance is money; absent: the pass's unit.
    currency: str | None = None
    account_name: ValueExpression | None = None
    account_id: ValueExpression | None = None
    barcode: BarcodeContent | None = None
    text_modules: tuple[TextModuleContent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateContent:
    apple: AppleContent | None = None
    google: GoogleContent | None = None

    def field_names(self) -> frozenset[str]:
        """The names of the values that passes of this template can be given."""
        found = {
            expression.source.removeprefix(FIELD_PREFIX)
            for expression in self.expressions()
            if expression.source.startswith(FIELD_PREFIX)
        }
        return frozenset(found)

    def expressions(self) -> list[ValueExpression]:
        found: list[ValueExpression | None] = []
        barcodes: list[BarcodeContent | None] = []
        if self.apple is not None:
            found += [item.value for group in self.apple.fields.values() for item in group]
            barcodes.append(self.apple.barcode)
        if self.google is not None:
            found += [self.google.account_name, self.google.account_id]
            found += [module.body for module in self.google.text_modules]
            barcodes.append(self.google.barcode)
        for barcode in barcodes:
            if barcode is not None:
                found += [barcode.message, barcode.alternate_text]
        return [expression for expression in found if expression is not None]
