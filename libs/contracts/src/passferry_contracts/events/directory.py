"""The compacted topics that tell every service who and what exists."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from passferry_contracts.event import Event
from passferry_contracts.fields import (
    AmountMinor,
    Base64Text,
    ExternalId,
    Instant,
    JsonObject,
    Name,
    Part,
    Sha1Hex,
    Sha256Hex,
    ShortText,
    Unit,
    Version,
)
from passferry_contracts.types import PassStatus, Protocol, Role, WorkspaceKind


class ProgramLimits(Part):
    """Bounds on what the ledger accepts; absent means none beyond 64 bits."""

    max_entry_minor: AmountMinor | None = None
    max_balance_minor: AmountMinor | None = None
    max_per_day_minor: AmountMinor | None = None


class ProgramChanged(Event):
    event_type: ClassVar[str] = "program.changed"

    program_id: UUID
    name: Name
    protocol: Protocol
    unit: Unit
    unit_scale: int = Field(default=0, ge=0, le=6)
    #: What a balance may not go below.
    floor_minor: AmountMinor = 0
    limits: ProgramLimits = ProgramLimits()
    rules: JsonObject = Field(default_factory=dict, max_length=64)
    thresholds: list[JsonObject] = Field(default_factory=list, max_length=32)
    status: Literal["active", "suspended", "retired"]
    revision: Version
    changed_at: Instant

    def partition_key(self) -> str:
        return str(self.program_id)

    def sequence(self) -> int:
        return self.revision


class TemplateAssetReference(Part):
    sha1: Sha1Hex
    sha256: Sha256Hex
    size: int = Field(ge=1, le=2_000_000)


class GoogleClass(Part):
    issuer_id: ShortText
    vertical: ShortText
    class_id: ShortText
    class_body: JsonObject
    #: Of messages that earlier versions had and this one has not. Whatever else the class has at
    #: Google was sent there by itself, and stays.
    former_message_ids: list[ShortText] = Field(default_factory=list, max_length=1_000)


class TemplatePublished(Event):
    event_type: ClassVar[str] = "template.published"

    template_id: UUID
    template_version: Version
    name: Name
    #: File name in the bundle, such as icon@2x.png, to its digests.
    assets: dict[str, TemplateAssetReference] = Field(max_length=100)
    google_class: GoogleClass | None = None
    #: One more for each tier that the template names: a pass changes class with its tier.
    google_tier_classes: list[GoogleClass] = Field(default_factory=list, max_length=16)
    published_at: Instant

    def partition_key(self) -> str:
        return f"{self.template_id}:{self.template_version}"


class TemplateAssetStored(Event):
    """One image file, once per workspace and digest. The record stays below 900 KB."""

    event_type: ClassVar[str] = "template.asset_stored"

    sha256: Sha256Hex
    sha1: Sha1Hex
    content: Base64Text = Field(max_length=880_000)

    def partition_key(self) -> str:
        return f"{self.workspace_id}:{self.sha256}"


class ApiKeyGrant(Part):
    key_id: ShortText
    secret_sha256: Sha256Hex
    role: Role
    name: ShortText = ""
    expires_at: Instant | None = None
    revoked: bool = False


class WorkspaceAccessChanged(Event):
    """Who may act in a workspace. Holds hashes only."""

    event_type: ClassVar[str] = "workspace.access_changed"

    name: Name
    kind: WorkspaceKind
    parent_workspace_id: UUID | None = None
    external_id: ExternalId | None = None
    business_ids: list[ExternalId] = Field(default_factory=list, max_length=100)
    suspended: bool = False
    api_keys: list[ApiKeyGrant] = Field(default_factory=list, max_length=200)
    limits: dict[str, int] = Field(default_factory=dict, max_length=32)
    google_issuer_ids: list[ShortText] = Field(default_factory=list, max_length=16)
    revision: Version
    changed_at: Instant

    def partition_key(self) -> str:
        return str(self.workspace_id)

    def sequence(self) -> int:
        return self.revision


class WorkspaceCredentialsChanged(Event):
    """Provider credentials, readable by the issuer and the notifier alone.

    `ciphertext` opens to JSON: `{"apple": [{pass_type_identifier, team_identifier, kind:
    "certificate", certificate_pem, private_key_pem, chain_pem} or {…, kind: "token", key_id,
    private_key_pem}], "google": [{issuer_id, service_account: {…}}]}`.
    """

    event_type: ClassVar[str] = "workspace.credentials_changed"

    ciphertext: Base64Text = Field(max_length=400_000)
    revision: Version
    changed_at: Instant

    def partition_key(self) -> str:
        return str(self.workspace_id)

    def sequence(self) -> int:
        return self.revision


class LinkChanged(Event):
    """A public link, known by its token's hash; or the outcome of a claim code."""

    event_type: ClassVar[str] = "link.changed"

    link_id: UUID
    kind: Literal["pass", "claim"] = "pass"
    token_sha256: Sha256Hex
    pass_id: UUID | None = None
    pass_status: PassStatus | None = None
    expires_at: Instant | None = None
    revoked: bool = False
    claim_outcome: ShortText | None = None
    changed_at: Instant

    def partition_key(self) -> str:
        return str(self.link_id)


class EnrolmentRequested(Event):
    event_type: ClassVar[str] = "enrolment.requested"

    program_id: UUID
    claim_code_sha256: Sha256Hex
    full_name: Name
    email: ShortText | None = None
    locale: ShortText | None = None
    fields: JsonObject = Field(default_factory=dict, max_length=64)
    requested_at: Instant

    def partition_key(self) -> str:
        return self.claim_code_sha256


class OperationReported(Event):
    """Progress of bulk work, certificates about to expire, findings of checks."""

    event_type: ClassVar[str] = "operations.reported"

    operation_id: UUID
    kind: ShortText
    severity: Literal["info", "warning", "error"] = "info"
    message: ShortText
    details: JsonObject = Field(default_factory=dict, max_length=64)
    reported_at: Instant

    def partition_key(self) -> str:
        return str(self.operation_id)
