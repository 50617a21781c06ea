"""What of a workspace's provider credentials is no secret, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from passferry_pass_issuer.domain.refusals import UPLOAD_AGAIN

#: From here on the expiry of a certificate is told as a finding.
EXPIRY_WARNING = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentityRecord:
    workspace_id: UUID
    signing_identity_id: UUID
    pass_type_identifier: str
    team_identifier: str
    fingerprint_sha256: str
    has_nfc: bool
    not_after: datetime
    is_active: bool
    created_at: datetime
    #: When another took over from it; what it signed stays valid.
    retired_at: datetime | None = None

    def state(self, now: datetime) -> Literal["active", "expired", "retired"]:
        if not self.is_active:
            return "retired"
        return "active" if now < self.not_after else "expired"

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative once it has."""
        return (self.not_after - now) // timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleAccountRecord:
    workspace_id: UUID
    issuer_id: str
    client_email: str
    private_key_id: str
    #: Of the keys of one issuer, which may be two, the one that signs.
    is_active: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRequestRecord:
    """A key that was made here and waits for Apple's certificate, or got it."""

    workspace_id: UUID
    signing_request_id: UUID
    pass_type_identifier: str
    key_kind: str
    request_pem: str
    created_at: datetime
    expires_at: datetime
    signing_identity_id: UUID | None = None
    fingerprint_sha256: str | None = None

    def state(self, now: datetime) -> Literal["completed", "expired", "waiting"]:
        if self.signing_identity_id is not None:
            return "completed"
        return "waiting" if now < self.expires_at else "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKeyRecord:
    """A key of Apple's push service. It serves pass types of its own team and no others."""

    workspace_id: UUID
    team_identifier: str
    key_id: str
    is_active: bool
    created_at: datetime


def is_taken_from(team_identifier: str, told: Mapping[str, object], *, has_nfc: bool) -> bool:
    """Devices refuse a pass of another team than its certificate's, and NFC without its right.

    `told` is what its pass.json says.
    """
    return bool(told["teamIdentifier"] == team_identifier) and (has_nfc or "nfc" not in told)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialNeed:
    """What the published templates of a workspace name, with what is there for it."""

    workspace_id: UUID
    pass_type_identifier: str | None
    team_identifier: str | None
    google_issuer_id: str | None
    identity_team: str | None
    identity_not_after: datetime | None
    has_google_account: bool
    #: The template has NFC and the certificate does not allow it.
    lacks_nfc: bool = False

    def is_signable(self, now: datetime) -> bool:
        """Whether devices take what the identity signs now."""
        is_valid = self.identity_not_after is not None and self.identity_not_after > now
        return is_valid and self.identity_team == self.team_identifier and not self.lacks_nfc


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`code` is signing_identity_missing, _expired, _expiring, _of_another_team, _without_nfc,
    _unreadable or google_account_missing, _unreadable; `subject` the pass type identifier or issuer
    id."""

    workspace_id: UUID
    code: str
    subject: str
    detail: str

    @property
    def is_degraded(self) -> bool:
        return self.code != "signing_identity_expiring"


def find_faults(needs: Iterable[CredentialNeed], now: datetime) -> list[Finding]:
    found: dict[tuple[UUID, str, str], Finding] = {}
    for need in needs:
        for finding in (_apple_fault(need, now), _google_fault(need)):
            if finding is not None:
                found[(finding.workspace_id, finding.code, finding.subject)] = finding
    return list(found.values())


def _apple_fault(need: CredentialNeed, now: datetime) -> Finding | None:
    subject = need.pass_type_identifier
    if subject is None:
        return None
    if need.identity_not_after is None:
        return _finding(
            need, "signing_identity_missing", subject, "passes are issued, but cannot be signed"
        )
    if need.identity_team != need.team_identifier:
        return _finding(
            need, "signing_identity_of_another_team", subject, "the template names another team"
        )
    if need.identity_not_after <= now:
        return _finding(need, "signing_identity_expired", subject, "devices refuse new revisions")
    if need.lacks_nfc:
        return _finding(
            need, "signing_identity_without_nfc", subject, "devices refuse passes with NFC"
        )
    if need.identity_not_after <= now + EXPIRY_WARNING:
        days = (need.identity_not_after - now) // timedelta(days=1)
        return _finding(need, "signing_identity_expiring", subject, f"{days} days are left")
    return None


def _google_fault(need: CredentialNeed) -> Finding | None:
    if need.google_issuer_id is None or need.has_google_account:
        return None
    return _finding(
        need, "google_account_missing", need.google_issuer_id, "save links cannot be signed"
    )


def _finding(need: CredentialNeed, code: str, subject: str, detail: str) -> Finding:
    return Finding(workspace_id=need.workspace_id, code=code, subject=subject, detail=detail)


def unreadable_identity(workspace_id: UUID, pass_type_identifier: str) -> Finding:
    return Finding(
        workspace_id=workspace_id,
        code="signing_identity_unreadable",
        subject=pass_type_identifier,
        detail=f"passes stay unsigned, because its key does not open: {UPLOAD_AGAIN}",
    )


def unreadable_account(workspace_id: UUID, issuer_id: str) -> Finding:
    return Finding(
        workspace_id=workspace_id,
        code="google_account_unreadable",
        subject=issuer_id,
        detail=f"save links are not signed, because its key does not open: {UPLOAD_AGAIN}",
    )
