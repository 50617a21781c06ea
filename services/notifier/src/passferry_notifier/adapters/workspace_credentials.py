"""Provider credentials in memory, from the compacted topic `workspace.credentials`."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate

from passferry_contracts.events.directory import WorkspaceCredentialsChanged
from passferry_contracts.registry import WORKSPACE_CREDENTIALS
from passferry_notifier.domain.credentials import (
    AppleCredential,
    GoogleCredential,
    credential_key,
)
from passferry_runtime.clock import Clock, SystemClock
from passferry_runtime.crypto import DecryptionFailed, KeyRing
from passferry_runtime.kafka.records import Incoming
from passferry_runtime.kafka.settings import KafkaSettings
from passferry_runtime.kafka.table_reader import TableReader
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: How long `until_known` waits in one go.
KNOWN_TIMEOUT_S = 3_600.0


@dataclass(slots=True)
class _Held:
    revision: int
    #: By pass type: the certificate if there is one, then the token.
    apple: dict[str, list[AppleCredential]] = field(default_factory=dict)
    google: dict[str, GoogleCredential] = field(default_factory=dict)


class WorkspaceCredentials:
    """`on_changed` is called with each workspace whose credentials came or went."""

    def __init__(
        self,
        ring: KeyRing,
        settings: KafkaSettings,
        *,
        known_with: TableReader,
        clock: Clock | None = None,
    ) -> None:
        self._ring = ring
        self._clock = clock or SystemClock()
        self._known_with = known_with
        self._held: dict[UUID, _Held] = {}
        #: Workspaces whose credentials could not be read, with the code of the reason.
        self.unreadable: dict[UUID, str] = {}
        self.on_changed: Callable[[UUID], None] = _nobody_to_tell
        self.reader = TableReader(
            settings=settings,
            topics=[WORKSPACE_CREDENTIALS],
            apply=self._apply,
            forget=self._forget,
        )

    async def until_known(self) -> None:
        await self.reader.caught_up(KNOWN_TIMEOUT_S)
        # Who is suspended must be known as well before anything goes out.
        await self._known_with.caught_up(KNOWN_TIMEOUT_S)

    def apple(self, workspace_id: UUID, pass_type_identifier: str) -> AppleCredential | None:
        """The certificate while it is valid, else the token; an ended certificate when there is
        nothing else, so that its refusal shows."""
        held = self._held.get(workspace_id)
        found = held.apple.get(pass_type_identifier, []) if held else []
        now = self._clock.now()
        valid = (each for each in found if each.not_after is None or now < each.not_after)
        return next(valid, found[0] if found else None)

    def google(self, workspace_id: UUID, issuer_id: str) -> GoogleCredential | None:
        held = self._held.get(workspace_id)
        return held.google.get(issuer_id) if held else None

    def has_google(self, workspace_id: UUID) -> bool:
        held = self._held.get(workspace_id)
        return workspace_id in self.unreadable or bool(held and held.google)

    def take(self, event: WorkspaceCredentialsChanged) -> None:
        known = self._held.get(event.workspace_id)
        if known is not None and known.revision >= event.revision:
            return
        workspace_id = event.workspace_id
        try:
            opened = self._ring.decrypt(
                base64.b64decode(event.ciphertext),
                context=f"workspace.credentials:{workspace_id}",
            )
            held = _read(workspace_id, event.revision, json.loads(opened))
        except DecryptionFailed:
            self._unreadable(workspace_id, "decryption_failed")
            return
        except (ValueError, KeyError, TypeError, AttributeError):
            self._unreadable(workspace_id, "malformed")
            return
        self.unreadable.pop(workspace_id, None)
        self._held[workspace_id] = held
        self.on_changed(workspace_id)

    def _apply(self, incoming: Incoming) -> None:
        if isinstance(incoming.data, WorkspaceCredentialsChanged):
            self.take(incoming.data)

    def _forget(self, topic: str, key: bytes) -> None:
        with contextlib.suppress(ValueError):  # no workspace ever had such a key
            workspace_id = UUID(key.decode())
            self._held.pop(workspace_id, None)
            self.unreadable.pop(workspace_id, None)
            self.on_changed(workspace_id)

    def _unreadable(self, workspace_id: UUID, code: str) -> None:
        self.unreadable[workspace_id] = code
        log.error("workspace_credentials_unreadable", workspace_id=workspace_id, code=code)


def _read(workspace_id: UUID, revision: int, opened: dict[str, Any]) -> _Held:
    held = _Held(revision)
    for entry in opened.get("apple", ()):
        credential = _apple(workspace_id, entry)
        held.apple.setdefault(credential.pass_type_identifier, []).append(credential)
    for pass_type, found in held.apple.items():
        held.apple[pass_type] = _usable(found)
    for entry in opened.get("google", ()):
        account = entry["service_account"]
        issuer_id = str(entry["issuer_id"])
        key = credential_key(
            str(account.get("client_email", "")),
            str(account.get("private_key_id", "")),
            str(account.get("private_key", "")),
        )
        held.google[issuer_id] = GoogleCredential(
            workspace_id=workspace_id, key=key, issuer_id=issuer_id, service_account=account
        )
    return held


def _usable(found: list[AppleCredential]) -> list[AppleCredential]:
    """Apple documents the certificate for passes; a token works for types of its own team only."""
    certificates = [each for each in found if each.kind == "certificate"]
    teams = {each.team_identifier for each in certificates}
    tokens = [
        each
        for each in found
        if each.kind == "token" and (not teams or each.team_identifier in teams)
    ]
    return [*certificates[-1:], *tokens[-1:]]


def _apple(workspace_id: UUID, entry: dict[str, Any]) -> AppleCredential:
    pass_type, team = str(entry["pass_type_identifier"]), str(entry["team_identifier"])
    private_key = _pkcs8(str(entry["private_key_pem"]))
    if entry["kind"] == "token":
        key_id = str(entry["key_id"])
        return AppleCredential(
            workspace_id=workspace_id,
            key=credential_key(str(workspace_id), team, key_id, private_key.decode()),
            pass_type_identifier=pass_type,
            team_identifier=team,
            kind="token",
            private_key_pem=private_key,
            key_id=key_id,
        )
    chain = str(entry["certificate_pem"]).strip() + "\n" + str(entry.get("chain_pem") or "")
    return AppleCredential(
        workspace_id=workspace_id,
        key=credential_key(str(workspace_id), chain, private_key.decode()),
        pass_type_identifier=pass_type,
        team_identifier=team,
        kind="certificate",
        private_key_pem=private_key,
        certificate_chain_pem=chain.encode(),
        not_after=load_pem_x509_certificate(chain.encode()).not_valid_after_utc,
    )


def _pkcs8(pem: str) -> bytes:
    key = load_pem_private_key(pem.encode(), password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _nobody_to_tell(workspace_id: UUID) -> None:
    return None
