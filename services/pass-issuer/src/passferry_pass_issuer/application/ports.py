"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_contracts.event import Event
from passferry_contracts.registry import Topic
from passferry_pass_issuer.domain.credentials import Finding
from passferry_pass_issuer.domain.program import Program
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import (
    HolderFacts,
    ProgramFacts,
    Rendering,
    RenderSubject,
    TemplateFacts,
)
from passferry_pass_issuer.domain.wallet_pass import WalletPass


class Transaction(Protocol):
    """One database transaction; what it emits leaves with its commit."""

    async def execute(self, sql: str, *arguments: Any) -> str: ...

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]: ...

    async def fetchrow(self, sql: str, *arguments: Any) -> Any: ...

    async def fetchval(self, sql: str, *arguments: Any) -> Any: ...

    def emit(
        self,
        topic: Topic,
        data: Event,
        *,
        event_id: str | None = None,
        subject: str | None = None,
        time: datetime | None = None,
    ) -> str: ...

    def emit_tombstone(self, topic: Topic, key: str, workspace_id: UUID) -> None: ...


class Transactions(Protocol):
    def transaction(
        self, workspace_ids: Iterable[UUID]
    ) -> AbstractAsyncContextManager[Transaction]:
        """Sees and changes rows of exactly these workspaces."""


class Cipher(Protocol):
    """Envelope encryption; `context` is one of `domain.secret_contexts`."""

    def encrypt(self, plaintext: bytes, *, context: str) -> bytes: ...

    def decrypt(self, ciphertext: bytes, *, context: str) -> bytes: ...


class RevisionRenderer(Protocol):
    def render(self, subject: RenderSubject) -> Rendering:
        """Pure, CPU only. Raises `ContentRejected` when the values cannot be shown, such as a
        code that its barcode cannot encode."""

    def render_bare(self, subject: RenderSubject) -> Rendering:
        """Of a pass that ended: that it did, and no value of it, so that nothing is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningMaterial:
    """One active signing identity, opened. Never logged."""

    workspace_id: UUID
    pass_type_identifier: str
    team_identifier: str
    fingerprint_sha256: str
    certificate_pem: bytes
    #: What the signer needs to use the key: PEM here, a name of the key where it is kept elsewhere.
    private_key_pem: bytes = field(repr=False)
    wwdr_pem: bytes
    not_after: datetime
    #: Its certificate is one for NFC.
    has_nfc: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """The active push key of a team, opened. Never logged."""

    workspace_id: UUID
    team_identifier: str
    key_id: str
    private_key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleCredential:
    """One Google issuer's service account, opened. Never logged."""

    workspace_id: UUID
    issuer_id: str
    service_account: dict[str, Any] = field(repr=False)


class SigningUnavailable(ConnectionError):
    """Nothing signs at the moment; what needs a signature is tried again."""


class ManifestSigner(Protocol):
    """Makes the signatures of passes; docs/adr/0015 says what a signer elsewhere looks like."""

    async def sign_manifests(
        self, jobs: Sequence[tuple[SigningMaterial, str]], *, signing_time: datetime
    ) -> list[bytes]:
        """A detached CMS signature (DER) for each manifest, in their order.

        All or none: what it raises undoes the revision, and its cause is tried again. Raises
        `SigningUnavailable`.
        """


class SaveLinkSigner(Protocol):
    async def sign_save_link(
        self,
        credential: GoogleCredential,
        *,
        vertical: str,
        object_body: Mapping[str, Any],
        now: datetime,
    ) -> tuple[str, bool]:
        """The link, and whether it holds the whole object (or only its ids)."""


class Credentials(Protocol):
    """Opens the active credentials of workspaces. Single ones are kept for a short while, or
    until `forget`; lists are always read."""

    async def signing_material(
        self, transaction: Transaction, workspace_id: UUID, pass_type_identifier: str
    ) -> SigningMaterial | None:
        """None also for one that does not open, which `unreadable` tells of then."""

    async def all_signing_material(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[SigningMaterial]: ...

    async def all_provider_keys(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[ProviderKey]: ...

    async def google_credential(
        self, transaction: Transaction, workspace_id: UUID, issuer_id: str
    ) -> GoogleCredential | None:
        """None as with signing material."""

    async def all_google_credentials(
        self, transaction: Transaction, workspace_id: UUID
    ) -> list[GoogleCredential]: ...

    def unreadable(self, workspace_id: UUID | None = None) -> list[Finding]:
        """What this process met that does not open; of all workspaces, or of one."""

    def forget(self, workspace_id: UUID) -> None: ...


class Catalogue(Protocol):
    """Programs and published templates, which rendering needs; cached."""

    async def templates(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, UUID, int]]
    ) -> dict[tuple[UUID, UUID, int], TemplateFacts]:
        """By (workspace_id, template_id, template_version)."""

    async def newest_published(
        self, transaction: Transaction, workspace_id: UUID, template_ids: Sequence[UUID]
    ) -> dict[UUID, TemplateFacts]: ...

    async def programs(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, UUID]]
    ) -> dict[tuple[UUID, UUID], ProgramFacts]:
        """By (workspace_id, program_id)."""


class Programs(Protocol):
    async def by_ids(
        self, transaction: Transaction, workspace_id: UUID, program_ids: Sequence[UUID]
    ) -> dict[UUID, Program]: ...

    async def lock(
        self, transaction: Transaction, workspace_id: UUID, program_id: UUID
    ) -> Program | None: ...

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Program]: ...

    async def insert(self, transaction: Transaction, program: Program) -> None: ...

    async def update(self, transaction: Transaction, program: Program) -> None: ...


class Holders(Protocol):
    async def facts(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, UUID]]
    ) -> dict[tuple[UUID, UUID], HolderFacts]:
        """By (workspace_id, holder_id), with what is personal opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassLink:
    """`token` is in clear: whoever holds it can take the pass. Never logged."""

    link_id: UUID
    #: Empty for one that does not open.
    token: str
    token_sha256: str
    expires_at: datetime | None
    is_revoked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPass:
    """A pass to be inserted, with its link."""

    wallet_pass: WalletPass
    link: PassLink


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHolder:
    facts: HolderFacts
    email_hmac: bytes | None
    #: Whoever asked knows that the address is theirs.
    is_address_proven: bool
    created_at: datetime


class Passes(Protocol):
    """The issuing side of the table `pass`; revisions are written elsewhere."""

    async def lock_issuing(self, transaction: Transaction, workspace_id: UUID) -> None:
        """One issuer at a time in a workspace, until the transaction ends: what is looked up
        (external ids, codes, holders) stays true until it is inserted."""

    async def insert(self, transaction: Transaction, passes: Sequence[NewPass]) -> None: ...

    async def by_external_ids(
        self, transaction: Transaction, workspace_id: UUID, external_ids: Sequence[str]
    ) -> dict[str, WalletPass]: ...

    async def memberships(
        self, transaction: Transaction, workspace_id: UUID, wanted: Sequence[tuple[UUID, UUID]]
    ) -> dict[tuple[UUID, UUID], WalletPass]:
        """Active passes that nothing takes the place of, by (program_id, holder_id)."""

    async def taken_codes(
        self, transaction: Transaction, workspace_id: UUID, wanted: Sequence[tuple[UUID, str]]
    ) -> set[tuple[UUID, str]]:
        """Of (program_id, code)."""

    async def taken_serial_numbers(
        self, transaction: Transaction, workspace_id: UUID, serial_numbers: Sequence[str]
    ) -> set[str]: ...

    async def find(
        self, transaction: Transaction, workspace_id: UUID, reference: str, *, for_update: bool
    ) -> WalletPass | None:
        """`reference` is a pass id, or `external:` and an external id."""

    async def links(
        self, transaction: Transaction, workspace_id: UUID, pass_ids: Sequence[UUID]
    ) -> dict[UUID, PassLink]: ...

    async def revoke_links(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID
    ) -> list[PassLink]:
        """Those that were valid until now."""

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[WalletPass]:
        """Oldest first, by (created_at, pass_id)."""


class HolderRegister(Protocol):
    async def find(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        external_ids: Sequence[str],
        email_hmacs: Sequence[bytes],
    ) -> tuple[dict[str, HolderFacts], dict[bytes, HolderFacts]]:
        """By external id and by proven e-mail; of several with one address the oldest."""

    async def insert(
        self, transaction: Transaction, workspace_id: UUID, holders: Sequence[NewHolder]
    ) -> None: ...

    async def email_hmac(
        self, transaction: Transaction, workspace_id: UUID, email: str
    ) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PassChange:
    """A pass as it was read under lock, and as it shall be.

    `after` differs in what it says (status, balance, versions, fields, expiry, is_on_apple …);
    its revision, rendering, signature and causes are still those of `before`.
    """

    before: WalletPass
    after: WalletPass
    #: `{event_type, event_id, reason}` of what made the change, and when that was committed.
    causes: Sequence[Mapping[str, str | None]]
    caused_at: datetime
    #: Someone is looking at the page: a stale save link is renewed.
    wants_save_link: bool = False


class RevisionWriter(Protocol):
    async def store_changed(
        self, transaction: Transaction, changes: Sequence[PassChange]
    ) -> list[WalletPass]:
        """Render, sign where the pass is on an Apple device, update, emit `pass.rendered`.

        Returns the rows as stored, in the order of `changes`: with the revision raised where
        the content changed, and with the old revision where it did not.
        """

    async def store_showable(
        self, transaction: Transaction, changes: Sequence[PassChange]
    ) -> list[WalletPass | ContentRejected]:
        """As `store_changed`, with the refusal in place of each row that cannot be shown."""
