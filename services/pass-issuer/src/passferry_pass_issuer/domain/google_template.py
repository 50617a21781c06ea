"""What a template says for Google Wallet."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_pass_issuer.domain.value_expression import BarcodeContent, Format, ValueExpression


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
