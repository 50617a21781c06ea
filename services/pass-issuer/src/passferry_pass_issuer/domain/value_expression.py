"""Where a value of a template comes from, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Scalar = str | int | bool | None

#: `plain` leaves numbers numbers and flags flags: it is what pieces of JSON want by default.
Format = Literal["text", "integer", "decimal", "currency", "date", "plain"]
#: Those that a template may name.
FORMATS: tuple[Format, ...] = ("text", "integer", "decimal", "currency", "date")

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
        "holder.phone",
        "message.latest",
        "pass.external_id",
        "pass.serial_number",
        "pass.code",
        "pass.status",
        "pass.status_reason",
        "pass.expires_at",
        "pass.created_at",
        "pass.tier",
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

    @property
    def is_constant(self) -> bool:
        """Whether it is `text`, whatever the pass."""
        return self.source == "text" and self.format == "text" and self.text != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarcodeContent:
    """`format` is one of `BARCODE_FORMATS`."""

    format: str = "qr"
    message: ValueExpression = field(default_factory=lambda: ValueExpression(source="pass.code"))
    alternate_text: ValueExpression | None = None
    encoding: str = "utf-8"
