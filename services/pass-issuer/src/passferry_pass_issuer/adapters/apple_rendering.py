"""What a template shows of a pass in Apple Wallet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.apple_template import AppleContent, FieldContent
from passferry_pass_issuer.domain.field_mapping import Scaled, evaluate, evaluate_text
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import BarcodeContent
from passferry_wallet.apple.pass_content import (
    Barcode,
    CurrencyAmount,
    ExactNumber,
    Location,
    PassColours,
    PassContent,
    PassField,
    PassIdentity,
)


def pass_content(
    subject: RenderSubject, apple: AppleContent, pass_type_identifier: str
) -> PassContent:
    fields = {
        group: tuple(field for item in items if (field := _field(item, subject)) is not None)
        for group, items in apple.fields.items()
    }
    barcode = _barcode(apple.barcode, subject)
    return PassContent(
        identity=PassIdentity(
            pass_type_identifier=pass_type_identifier,
            team_identifier=subject.template.team_identifier or "",
            serial_number=subject.serial_number,
            organization_name=apple.organization_name,
            description=apple.description,
            web_service_url=subject.web_service_url,
            authentication_token=subject.authentication_token,
        ),
        # The template was checked for its style and groups when it was parsed.
        style=cast("Any", apple.style),
        fields=cast("Any", fields),
        colours=PassColours(
            background=apple.background_color,
            foreground=apple.foreground_color,
            label=apple.label_color,
        ),
        logo_text=apple.logo_text,
        barcodes=(barcode,) if barcode is not None else (),
        locations=tuple(
            Location(
                latitude=Decimal(each.latitude),
                longitude=Decimal(each.longitude),
                relevant_text=each.relevant_text,
            )
            for each in apple.locations
        ),
        expires_at=subject.expires_at,
        is_voided=subject.status is not PassStatus.ACTIVE,
        is_sharing_prohibited=apple.is_sharing_prohibited,
    )


def _field(item: FieldContent, subject: RenderSubject) -> PassField | None:
    shown = evaluate(item.value, subject)
    if shown is None:
        return None
    value: Any = shown
    if isinstance(shown, Scaled):
        if item.value.format == "currency":
            currency = item.currency or subject.unit
            value = CurrencyAmount(shown.unscaled, currency, shown.scale)
        else:
            value = ExactNumber(shown.unscaled, shown.scale)
    is_date = item.value.format == "date" and not isinstance(shown, str)
    date_style = _word(item.date_style, "PKDateStyle") or ("Medium" if is_date else None)
    return PassField(
        key=item.key,
        value=value,
        label=item.label,
        change_message=item.change_message,
        text_alignment=cast("Any", _word(item.text_alignment, "PKTextAlignment")),
        date_style=cast("Any", date_style if is_date else None),
        time_style=cast("Any", _word(item.time_style, "PKDateStyle") if is_date else None),
        is_relative=item.is_relative and is_date,
    )


def _word(name: str | None, prefix: str) -> str | None:
    return name.removeprefix(prefix) if name is not None else None


def _barcode(content: BarcodeContent | None, subject: RenderSubject) -> Barcode | None:
    message = evaluate_text(content.message, subject) if content is not None else None
    if content is None or message is None:
        return None
    # Code 128 holds ASCII, and scanners expect it in Latin-1.
    encoding = "iso-8859-1" if content.format == "code128" else content.encoding
    return Barcode(
        format=cast("Any", content.format),
        message=message,
        message_encoding=encoding,
        alternate_text=evaluate_text(content.alternate_text, subject),
    )
