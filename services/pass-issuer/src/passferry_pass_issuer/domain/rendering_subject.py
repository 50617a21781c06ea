"""All that decides what a pass looks like, and what rendering makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import PassStatus, Protocol
from passferry_pass_issuer.domain.template import TemplateContent
from passferry_pass_issuer.domain.value_expression import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts:
    """One published version; it never changes, so what is made of it can be cached by
    `(workspace_id, template_id, template_version)`."""

    workspace_id: UUID
    template_id: UUID
    template_version: int
    pass_type_identifier: str | None
    team_identifier: str | None
    google_issuer_id: str | None
    content: TemplateContent
    #: File name in the bundle to the SHA-1 (hex) of the file: Apple's manifest wants it.
    asset_sha1: Mapping[str, str]
    #: Of its content in memory, nearly: what keeps versions is bounded by it.
    content_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFacts:
    program_id: UUID
    name: str
    protocol: Protocol
    #: A name of the tz database, in which its days begin and end.
    time_zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderFacts:
    holder_id: UUID
    external_id: str | None = None
    full_name: str | None = None
    email: str | None = None
    locale: str | None = None
    birthday: date | None = None
    phone: str | None = None
    #: A name of the tz database.
    time_zone: str | None = None


# Nobody changes one. It is not frozen because one is made for each drawing, and the twenty members
# of a frozen one take as long to set as ten fields of a pass to draw.
@dataclass(slots=True, kw_only=True)
class RenderSubject:
    workspace_id: UUID
    pass_id: UUID
    external_id: str
    serial_number: str
    #: In clear: it is written into pass.json. Never logged.
    authentication_token: str
    code: str
    status: PassStatus
    status_reason: str | None
    balance_minor: int
    unit: str
    #: Decimal places of the unit: 2 for EUR, 0 for points.
    unit_scale: int
    field_values: Mapping[str, Scalar]
    expires_at: datetime | None
    created_at: datetime
    #: The level that the pass has reached; absent where the program has none.
    tier: str | None = None
    program: ProgramFacts
    template: TemplateFacts
    holder: HolderFacts
    #: Without `/v1`: devices append it.
    web_service_url: str
    latest_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """`content_sha256` covers what people see: equal content needs no new revision.

    `pass_json` and `manifest` are absent when the template is for Google alone, and the Google
    parts when it is for Apple alone.
    """

    pass_json: str | None
    manifest: str | None
    google_object: Mapping[str, Any] | None
    google_object_id: str | None
    content_sha256: str
