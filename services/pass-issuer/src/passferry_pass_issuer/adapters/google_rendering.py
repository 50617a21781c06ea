"""What a template shows of a pass in Google Wallet."""

from __future__ import annotations

from typing import Any, cast

from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.field_mapping import evaluate_text
from passferry_pass_issuer.domain.google_ids import class_suffix, object_suffix
from passferry_pass_issuer.domain.google_template import GoogleContent
from passferry_pass_issuer.domain.rendering_subject import RenderSubject
from passferry_pass_issuer.domain.value_expression import BarcodeContent
from passferry_wallet.google.content import (
    Balance,
    GoogleBarcode,
    GoogleObjectContent,
    ObjectState,
    TextModule,
)
from passferry_wallet.google.objects import vertical_of

#: Reasons of a void that mean "used up": Google shows such a pass as completed.
_USED = frozenset({"exhausted", "used"})


def object_content(
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
