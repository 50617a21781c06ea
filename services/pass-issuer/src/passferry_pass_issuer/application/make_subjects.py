"""What a pass is drawn from: the row, its template, program and holder, and its token."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson

from passferry_pass_issuer.application.ports import Cipher
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.end_rules import expiry_of
from passferry_pass_issuer.domain.refusals import Unreadable
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    RenderSubject,
    TemplateFacts,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.crypto import DecryptionFailed


@dataclass(frozen=True, slots=True)
class Facts:
    """Of all passes of a batch, each by the workspace and its id (and version)."""

    templates: Mapping[tuple[UUID, UUID, int], TemplateFacts]
    programs: Mapping[tuple[UUID, UUID], ProgramFacts]
    #: Without those whose data does not open.
    holders: Mapping[tuple[UUID, UUID], HolderFacts]

    def template_of(self, wallet_pass: WalletPass) -> TemplateFacts:
        key = wallet_pass.workspace_id, wallet_pass.template_id, wallet_pass.template_version
        return self.templates[key]

    def holder_of(self, wallet_pass: WalletPass) -> HolderFacts | None:
        return self.holders.get((wallet_pass.workspace_id, wallet_pass.holder_id))


@dataclass(frozen=True, kw_only=True)
class MakeSubjects:
    """`__call__` raises Unreadable for a pass whose secrets do not open.

    One that ends is drawn all the same, without what is known of its holder: both wallets have to
    be told now, and nobody would tell them when the key is back.
    """

    cipher: Cipher
    public_base_url: str

    def __call__(self, wallet_pass: WalletPass, facts: Facts, *, ends: bool) -> RenderSubject:
        workspace_id = wallet_pass.workspace_id
        template = facts.template_of(wallet_pass)
        return RenderSubject(
            workspace_id=workspace_id,
            pass_id=wallet_pass.pass_id,
            external_id=wallet_pass.external_id,
            serial_number=wallet_pass.serial_number,
            authentication_token=self._token(wallet_pass, template, ends=ends),
            code=wallet_pass.code,
            status=wallet_pass.status,
            status_reason=wallet_pass.status_reason,
            balance_minor=wallet_pass.balance_minor,
            unit=wallet_pass.unit,
            unit_scale=wallet_pass.unit_scale,
            field_values=wallet_pass.field_values,
            expires_at=expiry_of(wallet_pass),
            created_at=wallet_pass.created_at,
            tier=wallet_pass.tier,
            program=facts.programs[workspace_id, wallet_pass.program_id],
            template=template,
            holder=_holder(wallet_pass, facts, ends=ends),
            web_service_url=f"{self.public_base_url}/w/{workspace_id}",
            latest_message=wallet_pass.latest_message,
        )

    def _token(self, wallet_pass: WalletPass, template: TemplateFacts, *, ends: bool) -> str:
        sealed = wallet_pass.authentication_token_ciphertext
        context = secret_contexts.authentication_token(
            wallet_pass.workspace_id, wallet_pass.pass_id
        )
        try:
            return self.cipher.decrypt(sealed, context=context).decode()
        except DecryptionFailed as error:
            shown = _token_shown(wallet_pass, template) if ends else None
            if shown is None:
                raise Unreadable.of(error.context) from error
            return shown


def _holder(wallet_pass: WalletPass, facts: Facts, *, ends: bool) -> HolderFacts:
    holder = facts.holder_of(wallet_pass)
    if holder is None and not ends:
        context = secret_contexts.holder(wallet_pass.workspace_id, wallet_pass.holder_id)
        raise Unreadable.of(context)
    return holder or HolderFacts(holder_id=wallet_pass.holder_id)


def _token_shown(wallet_pass: WalletPass, template: TemplateFacts) -> str | None:
    """The one that phones have, out of the present revision."""
    if template.content.apple is None:
        # Google is told no token.
        return ""
    if wallet_pass.pass_json is None:
        return None
    token = str(orjson.loads(wallet_pass.pass_json).get("authenticationToken", ""))
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token if digest == wallet_pass.authentication_token_sha256 else None
