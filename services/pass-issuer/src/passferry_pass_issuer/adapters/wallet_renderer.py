"""Renders with the formats of `passferry_wallet`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import orjson

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.field_mapping import Scaled, evaluate, evaluate_text
from passferry_pass_issuer.domain.google_ids import (
    class_suffix,
    object_id_of,
    object_suffix,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import Rendering, RenderSubject
from passferry_pass_issuer.domain.template import (
    AppleContent,
    BarcodeContent,
    FieldContent,
    GoogleContent,
)
from passferry_wallet.apple.bundle import build_manifest, sha1_hex
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
from passferry_wallet.apple.pass_json import build_pass_json
from passferry_wallet.apple.rejections import PassContentRejected
from passferry_wallet.google.content import (
    Balance,
    GoogleBarcode,
    GoogleContentRejected,
    GoogleObjectContent,
    ObjectState,
    TextModule,
)
from passferry_wallet.google.objects import build_object, vertical_of

PASS_JSON = "pass.json"  # noqa: S105  # a file name
#: Reasons of a void that mean "used up": Google shows such a pass as completed.
_USED = frozenset({"exhausted", "used"})


@dataclass(frozen=True, slots=True)
class WalletRenderer:
    def render(self, subject: RenderSubject) -> Rendering:
        try:
            pass_json, manifest = self._apple(subject)
            google_object, object_id = self._google(subject)
        except (PassContentRejected, GoogleContentRejected) as refusal:
            raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal
        seen = hashlib.sha256()
        google = orjson.dumps(google_object, option=orjson.OPT_SORT_KEYS)
        for part in (pass_json or b"", manifest or b"", google):
            seen.update(len(part).to_bytes(4, "big") + part)
        return Rendering(
            pass_json=pass_json.decode() if pass_json is not None else None,
            manifest=manifest.decode() if manifest is not None else None,
            google_object=google_object,
            google_object_id=object_id,
            content_sha256=seen.hexdigest(),
        )

    def _apple(self, subject: RenderSubject) -> tuple[bytes | None, bytes | None]:
        template = subject.template
        apple = template.content.apple
        if apple is None or template.pass_type_identifier is None:
            return None, None
        pass_json = build_pass_json(_pass_content(subject, apple, template.pass_type_identifier))
        return pass_json, build_manifest({**template.asset_sha1, PASS_JSON: sha1_hex(pass_json)})

    def _google(self, subject: RenderSubject) -> tuple[Mapping[str, Any] | None, str | None]:
        google, issuer_id = subject.template.content.google, subject.template.google_issuer_id
        if google is None or issuer_id is None:
            return None, None
        object_id = object_id_of(issuer_id, subject.workspace_id, subject.pass_id)
        return build_object(_object_content(subject, google, issuer_id)), object_id


def _pass_content(
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


def _object_content(
    subject: RenderSubject, google: GoogleContent, issuer_id: str
) -> GoogleObjectContent:
    is_money = google.balance_format == "currency"
    modules = tuple(
        TextModule(each.key, each.header, body)
        for each in google.text_modules
        if (body := evaluate_text(each.body, subject)) is not None
    )
    return GoogleObjectContent(
        vertical=vertical_of(subject.program.protocol.value),
        issuer_id=issuer_id,
        class_suffix=class_suffix(subject.workspace_id, subject.template.template_id),
        object_suffix=object_suffix(subject.workspace_id, subject.pass_id),
        state=_state(subject),
        account_id=evaluate_text(google.account_id, subject) or subject.external_id,
        account_name=evaluate_text(google.account_name, subject) or subject.holder.full_name,
        balance=Balance(
            amount_minor=subject.balance_minor,
            label=google.balance_label or "Balance",
            scale=subject.unit_scale,
            currency_code=(google.currency or subject.unit) if is_money else None,
        ),
        barcode=_google_barcode(google.barcode, subject),
        text_modules=modules,
        valid_until=subject.expires_at,
    )


def _google_barcode(content: BarcodeContent | None, subject: RenderSubject) -> GoogleBarcode | None:
    message = evaluate_text(content.message, subject) if content is not None else None
    if content is None or message is None or subject.status is not PassStatus.ACTIVE:
        return None
    return GoogleBarcode(
        format=cast("Any", content.format),
        message=message,
        alternate_text=evaluate_text(content.alternate_text, subject),
    )


def _state(subject: RenderSubject) -> ObjectState:
    if subject.status is PassStatus.ACTIVE:
        return ObjectState.ACTIVE
    if subject.status is PassStatus.EXPIRED:
        return ObjectState.EXPIRED
    is_used = subject.status_reason in _USED
    return ObjectState.COMPLETED if is_used else ObjectState.INACTIVE
