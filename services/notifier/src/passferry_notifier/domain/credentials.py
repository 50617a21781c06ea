"""Provider credentials as the gateways need them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AppleCredential:
    """`key` tells credentials apart, also before and after a renewal. PEM throughout."""

    workspace_id: UUID
    key: str
    pass_type_identifier: str
    team_identifier: str
    kind: Literal["certificate", "token"]
    private_key_pem: bytes = field(repr=False)
    certificate_chain_pem: bytes = field(default=b"", repr=False)
    key_id: str = ""
    #: Of a certificate.
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleCredential:
    workspace_id: UUID
    key: str
    issuer_id: str
    service_account: Mapping[str, Any] = field(repr=False)


def credential_key(*parts: str) -> str:
    """A name for exactly this secret that does not reveal it."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
