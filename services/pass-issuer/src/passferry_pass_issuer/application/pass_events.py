"""The events that tell of a pass, from its row."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.events.directory import LinkChanged
from passferry_contracts.events.passes import (
    PassCreated,
    PassDeleted,
    PassErased,
    PassExpired,
    PassUpdated,
    PassVoided,
)
from passferry_contracts.events.rendered import (
    AppleRendering,
    Cause,
    GoogleRendering,
    PassRendered,
)
from passferry_contracts.types import PassStatus
from passferry_pass_issuer.domain.google_ids import class_id_of, vertical_of
from passferry_pass_issuer.domain.rendering_subject import TemplateFacts
from passferry_pass_issuer.domain.wallet_pass import WalletPass

SHORT_TEXT = 200
MAX_CHANGED_FIELDS = 64


def pass_created(wallet_pass: WalletPass, *, recipient_name: str | None) -> PassCreated:
    return PassCreated(
        workspace_id=wallet_pass.workspace_id,
        pass_id=wallet_pass.pass_id,
        program_id=wallet_pass.program_id,
        protocol=wallet_pass.protocol,
        template_id=wallet_pass.template_id,
        template_version=wallet_pass.template_version,
        holder_id=wallet_pass.holder_id,
        external_id=wallet_pass.external_id,
        code=wallet_pass.code,
        balance_owner=wallet_pass.balance_owner,
        unit=wallet_pass.unit,
        unit_scale=wallet_pass.unit_scale,
        opening_balance_minor=wallet_pass.balance_minor,
        recipient_name=recipient_name[:SHORT_TEXT] if recipient_name else None,
        revision=wallet_pass.revision,
        created_at=wallet_pass.created_at,
        expires_at=wallet_pass.expires_at,
    )


def pass_rendered(wallet_pass: WalletPass, template: TemplateFacts) -> PassRendered:
    """The present revision, with whatever signature and save link it has."""
    return PassRendered(
        workspace_id=wallet_pass.workspace_id,
        pass_id=wallet_pass.pass_id,
        program_id=wallet_pass.program_id,
        external_id=wallet_pass.external_id,
        revision=wallet_pass.revision,
        status=wallet_pass.status,
        template_id=wallet_pass.template_id,
        template_version=wallet_pass.template_version,
        apple=_apple(wallet_pass, template),
        google=_google(wallet_pass, template),
        content_sha256=wallet_pass.content_sha256,
        causes=[Cause.model_validate(dict(cause)) for cause in wallet_pass.causes],
        caused_at=wallet_pass.caused_at,
        rendered_at=wallet_pass.rendered_at,
    )


def _apple(wallet_pass: WalletPass, template: TemplateFacts) -> AppleRendering | None:
    if (
        wallet_pass.pass_json is None
        or wallet_pass.manifest is None
        or wallet_pass.pass_type_identifier is None
        or template.team_identifier is None
    ):
        return None
    is_signed = (
        wallet_pass.signature is not None and wallet_pass.signed_revision == wallet_pass.revision
    )
    return AppleRendering(
        pass_type_identifier=wallet_pass.pass_type_identifier,
        team_identifier=template.team_identifier,
        serial_number=wallet_pass.serial_number,
        authentication_token_sha256=wallet_pass.authentication_token_sha256,
        pass_json=wallet_pass.pass_json,
        manifest=wallet_pass.manifest,
        signature=base64.b64encode(wallet_pass.signature or b"").decode() if is_signed else None,
    )


def _google(wallet_pass: WalletPass, template: TemplateFacts) -> GoogleRendering | None:
    issuer_id = template.google_issuer_id
    body = wallet_pass.google_object_body
    if issuer_id is None or body is None or wallet_pass.google_object_id is None:
        return None
    plain_class = class_id_of(issuer_id, wallet_pass.workspace_id, wallet_pass.template_id)
    return GoogleRendering(
        issuer_id=issuer_id,
        vertical=vertical_of(wallet_pass.protocol, template.content.google),
        # A tier has a class of its own.
        class_id=str(body.get("classId") or plain_class),
        object_id=wallet_pass.google_object_id,
        object_body=dict(body),
        save_link=wallet_pass.save_link,
        save_link_signed_at=wallet_pass.save_link_signed_at,
        is_wanted=wallet_pass.is_on_google,
    )


_STATUS_EVENTS: dict[PassStatus, type[PassVoided | PassExpired | PassDeleted]] = {
    PassStatus.VOIDED: PassVoided,
    PassStatus.EXPIRED: PassExpired,
    PassStatus.DELETED: PassDeleted,
}


def pass_status_changed(
    wallet_pass: WalletPass, *, changed_at: datetime
) -> PassVoided | PassExpired | PassDeleted:
    """The pass is voided, expired or deleted now; told once, on `pass.updated`."""
    return _STATUS_EVENTS[wallet_pass.status](
        workspace_id=wallet_pass.workspace_id,
        pass_id=wallet_pass.pass_id,
        external_id=wallet_pass.external_id,
        program_id=wallet_pass.program_id,
        revision=wallet_pass.revision,
        status=wallet_pass.status,
        reason=wallet_pass.status_reason,
        changed_at=changed_at,
    )


def pass_erased(wallet_pass: WalletPass, *, changed_at: datetime) -> PassErased:
    """Who hears it drops whatever is personal; the pass has ended, too."""
    return PassErased(
        workspace_id=wallet_pass.workspace_id,
        pass_id=wallet_pass.pass_id,
        external_id=wallet_pass.external_id,
        program_id=wallet_pass.program_id,
        revision=wallet_pass.revision,
        status=wallet_pass.status,
        reason=wallet_pass.status_reason,
        changed_at=changed_at,
    )


def pass_updated(
    wallet_pass: WalletPass,
    *,
    changed_fields: Sequence[str],
    changed_at: datetime,
    holder_id: UUID | None = None,
    erased_holder_id: UUID | None = None,
) -> PassUpdated:
    """`holder_id` is told when the pass changed hands, `erased_holder_id` when somebody who had it
    before was erased."""
    return PassUpdated(
        workspace_id=wallet_pass.workspace_id,
        pass_id=wallet_pass.pass_id,
        external_id=wallet_pass.external_id,
        program_id=wallet_pass.program_id,
        revision=wallet_pass.revision,
        status=wallet_pass.status,
        changed_fields=sorted(changed_fields)[:MAX_CHANGED_FIELDS],
        expires_at=wallet_pass.expires_at,
        holder_id=holder_id,
        erased_holder_id=erased_holder_id,
        changed_at=changed_at,
    )


class ToldLink(Protocol):
    """What others know of a link, whatever kind of row it was read from."""

    @property
    def link_id(self) -> UUID: ...

    @property
    def token_sha256(self) -> str: ...

    @property
    def expires_at(self) -> datetime | None: ...


def link_changed(
    wallet_pass: WalletPass, link: ToldLink, *, is_revoked: bool, changed_at: datetime
) -> LinkChanged:
    return LinkChanged(
        workspace_id=wallet_pass.workspace_id,
        link_id=link.link_id,
        kind="pass",
        token_sha256=link.token_sha256,
        pass_id=wallet_pass.pass_id,
        pass_status=wallet_pass.status,
        expires_at=link.expires_at,
        revoked=is_revoked,
        changed_at=changed_at,
    )
