"""Makes one new pass, with its first link and its first revision, and tells of it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from passferry_contracts.registry import LINK_CHANGED, PASS_CREATED, PASS_RENDERED
from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.pass_events import link_changed, pass_created, pass_rendered
from passferry_pass_issuer.application.ports import (
    Cipher,
    NewPass,
    PassLink,
    RevisionRenderer,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.end_rules import check_not_over, expiry_of, with_end
from passferry_pass_issuer.domain.program import Program
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    Rendering,
    RenderSubject,
    TemplateFacts,
)
from passferry_pass_issuer.domain.value_expression import Scalar
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.ids import uuid7

FIRST_REVISION = 1
CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PassDraft:
    """Checked already. What is absent (external id, code, serial number, token) is made up."""

    workspace_id: UUID
    program: Program
    template: TemplateFacts
    holder: HolderFacts
    opening_balance_minor: int
    field_values: Mapping[str, Scalar]
    request_sha256: str
    external_id: str | None = None
    code: str | None = None
    serial_number: str | None = None
    #: Of a pass that is on devices already.
    authentication_token: str | None = None
    expires_at: datetime | None = None
    upstream_version: int = 0
    #: Of a pass that takes the place of another.
    uses: int = 0
    last_used_at: datetime | None = None
    first_issued_at: datetime | None = None
    #: An import takes over what it is given.
    may_be_over: bool = False


@dataclass(frozen=True, kw_only=True)
class MakePasses:
    """`public_base_url` is the web service's, without a trailing slash."""

    renderer: RevisionRenderer
    cipher: Cipher
    public_base_url: str

    def make(self, work: Work, draft: PassDraft) -> NewPass:
        """Raises `ContentRejected` when the pass cannot be shown, or is over already."""
        program, pass_id = draft.program, uuid7()
        subject = RenderSubject(
            workspace_id=draft.workspace_id,
            pass_id=pass_id,
            external_id=draft.external_id or str(pass_id),
            serial_number=draft.serial_number or secrets.token_hex(16),
            authentication_token=draft.authentication_token or new_authentication_token(),
            code=draft.code or _new_code(),
            status=PassStatus.ACTIVE,
            status_reason=None,
            balance_minor=draft.opening_balance_minor,
            unit=program.unit,
            unit_scale=program.unit_scale,
            field_values=draft.field_values,
            expires_at=draft.expires_at,
            created_at=work.now,
            program=ProgramFacts(
                program_id=program.program_id,
                name=program.name,
                protocol=program.protocol,
                time_zone=program.rules.get("time_zone"),
            ),
            template=draft.template,
            holder=draft.holder,
            web_service_url=f"{self.public_base_url}/w/{draft.workspace_id}",
        )
        row = self._row(work, draft, subject)
        zone, rules = subject.program.time_zone, subject.template.content.ends_when
        if not draft.may_be_over:
            check_not_over(row, rules, time_zone=zone, now=work.now)
        ending = with_end(row, rules, time_zone=zone, now=work.now)
        expiry = expiry_of(ending)
        if expiry != subject.expires_at:
            subject = replace(subject, expires_at=expiry)
        drawn = _drawn(ending, self.renderer.render(subject))
        return NewPass(wallet_pass=drawn, link=new_link())

    def _row(self, work: Work, draft: PassDraft, subject: RenderSubject) -> WalletPass:
        """It is not drawn yet: what wallets are told hangs on when it ends."""
        program = draft.program
        ciphertext, sha256 = sealed_token(
            self.cipher, subject.workspace_id, subject.pass_id, subject.authentication_token
        )
        return WalletPass(
            workspace_id=subject.workspace_id,
            pass_id=subject.pass_id,
            program_id=program.program_id,
            protocol=program.protocol,
            template_id=subject.template.template_id,
            template_version=subject.template.template_version,
            holder_id=subject.holder.holder_id,
            external_id=subject.external_id,
            request_sha256=draft.request_sha256,
            pass_type_identifier=subject.template.pass_type_identifier,
            serial_number=subject.serial_number,
            authentication_token_ciphertext=ciphertext,
            authentication_token_sha256=sha256,
            code=subject.code,
            status=PassStatus.ACTIVE,
            status_reason=None,
            balance_owner=program.balance_owner,
            unit=program.unit,
            unit_scale=program.unit_scale,
            balance_minor=subject.balance_minor,
            # What an upstream says of a new pass is its balance and its fields at once.
            ledger_version=draft.upstream_version,
            upstream_version=draft.upstream_version,
            field_values=subject.field_values,
            expires_at=draft.expires_at,
            uses=draft.uses,
            last_used_at=draft.last_used_at,
            first_issued_at=draft.first_issued_at,
            revision=FIRST_REVISION,
            content_sha256="",
            pass_json=None,
            manifest=None,
            google_object_id=None,
            google_object_body=None,
            causes=(),
            caused_at=work.now,
            rendered_at=work.now,
            created_at=work.now,
            updated_at=work.now,
        )


def _drawn(row: WalletPass, rendering: Rendering) -> WalletPass:
    return changed(
        row,
        content_sha256=rendering.content_sha256,
        pass_json=rendering.pass_json,
        manifest=rendering.manifest,
        google_object_id=rendering.google_object_id,
        google_object_body=rendering.google_object,
    )


def tell_new_pass(
    work: Work, new: NewPass, holder: HolderFacts, template: TemplateFacts
) -> NewPass:
    """The pass as it is to be stored, with what caused its revision."""
    event_id = work.transaction.emit(
        PASS_CREATED, pass_created(new.wallet_pass, recipient_name=holder.full_name)
    )
    cause = {"event_type": "pass.created", "event_id": event_id, "reason": None}
    caused = changed(new.wallet_pass, causes=(cause,))
    work.transaction.emit(PASS_RENDERED, pass_rendered(caused, template))
    opened = link_changed(caused, new.link, is_revoked=False, changed_at=work.now)
    work.transaction.emit(LINK_CHANGED, opened)
    return NewPass(wallet_pass=caused, link=new.link)


def new_link() -> PassLink:
    """A permanent one; others know its token by its hash."""
    token = secrets.token_urlsafe(24)
    return PassLink(
        link_id=uuid7(),
        token=token,
        token_sha256=hashlib.sha256(token.encode()).hexdigest(),
        expires_at=None,
        is_revoked=False,
    )


def new_authentication_token() -> str:
    return secrets.token_urlsafe(32)


def sealed_token(
    cipher: Cipher, workspace_id: UUID, pass_id: UUID, token: str
) -> tuple[bytes, str]:
    """Its ciphertext and its hash, as a row keeps them."""
    context = secret_contexts.authentication_token(workspace_id, pass_id)
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    return cipher.encrypt(token.encode(), context=context), sha256


def _new_code() -> str:
    # 80 bits: never met twice, and never guessed.
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
