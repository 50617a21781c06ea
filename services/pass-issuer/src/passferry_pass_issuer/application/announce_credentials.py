"""Seals all active credentials of a workspace for the notifier."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from uuid import UUID

from passferry_contracts.events.directory import WorkspaceCredentialsChanged
from passferry_contracts.registry import WORKSPACE_CREDENTIALS
from passferry_pass_issuer.application.administer_workspaces import Workspaces
from passferry_pass_issuer.application.ports import (
    Cipher,
    Credentials,
    ProviderKey,
    SigningMaterial,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain import secret_contexts


@dataclass(frozen=True, kw_only=True)
class AnnounceCredentials:
    """Called last in each change of credentials."""

    workspaces: Workspaces
    credentials: Credentials
    seal: Cipher

    async def __call__(self, work: Work, workspace_id: UUID) -> None:
        self.credentials.forget(workspace_id)
        # Another request may open what it finds before this commits: forget it once more then.
        work.after_commit.append(lambda: self.credentials.forget(workspace_id))
        revision = await self.workspaces.next_credentials_revision(work.transaction, workspace_id)
        identities = await self.credentials.all_signing_material(work.transaction, workspace_id)
        keys = await self.credentials.all_provider_keys(work.transaction, workspace_id)
        google = await self.credentials.all_google_credentials(work.transaction, workspace_id)
        opened = {
            "apple": [
                *(_certificate_entry(material) for material in identities),
                *token_entries(identities, keys),
            ],
            "google": [
                {"issuer_id": found.issuer_id, "service_account": found.service_account}
                for found in google
            ],
        }
        sealed = self.seal.encrypt(
            json.dumps(opened).encode(),
            context=secret_contexts.workspace_credentials(workspace_id),
        )
        work.transaction.emit(
            WORKSPACE_CREDENTIALS,
            WorkspaceCredentialsChanged(
                workspace_id=workspace_id,
                ciphertext=base64.b64encode(sealed).decode(),
                revision=revision,
                changed_at=work.now,
            ),
        )


def _certificate_entry(material: SigningMaterial) -> dict[str, str]:
    return {
        "pass_type_identifier": material.pass_type_identifier,
        "team_identifier": material.team_identifier,
        "kind": "certificate",
        "certificate_pem": material.certificate_pem.decode(),
        "private_key_pem": material.private_key_pem.decode(),
        "chain_pem": material.wwdr_pem.decode(),
    }


def token_entries(
    identities: list[SigningMaterial], keys: list[ProviderKey]
) -> list[dict[str, str]]:
    """One for each pass type that a key may serve: those of its own team."""
    by_team = {key.team_identifier: key for key in keys}
    return [
        {
            "pass_type_identifier": material.pass_type_identifier,
            "team_identifier": key.team_identifier,
            "kind": "token",
            "key_id": key.key_id,
            "private_key_pem": key.private_key_pem.decode(),
        }
        for material in identities
        if (key := by_team.get(material.team_identifier)) is not None
    ]
