"""One version of a template, and what must be true before passes are issued with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import Protocol
from passferry_pass_issuer.domain.apple_image_linting import NEEDED_IMAGES, SCALES
from passferry_pass_issuer.domain.end_rules import moment_of
from passferry_pass_issuer.domain.google_ids import class_id_of, vertical_of
from passferry_pass_issuer.domain.google_template import GoogleVertical
from passferry_pass_issuer.domain.linting import LEFT_TO_NOBODY
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import TemplateFacts
from passferry_pass_issuer.domain.template import TemplateContent

STYLES_OF = {
    Protocol.MEMBERSHIP: ("storeCard", "generic", "posterGeneric"),
    Protocol.COUPON: ("coupon", "generic", "posterGeneric"),
    Protocol.EVENT_TICKET: ("eventTicket", "boardingPass", "generic", "posterGeneric"),
    Protocol.GIFT_CARD: ("storeCard", "generic", "posterGeneric"),
}

#: What parsed content takes in memory for each byte of its JSON: five of plain fields, twelve of
#: documents of many small members.
MEMORY_PER_JSON_BYTE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """`status` is draft, published or archived; `platform` is apple, google or both."""

    workspace_id: UUID
    template_id: UUID
    template_version: int
    status: str
    name: str
    platform: str
    protocol: Protocol
    pass_type_identifier: str | None
    team_identifier: str | None
    google_issuer_id: str | None
    #: As it was given, and for a published one what it took of the brand (`brand.as_given`).
    raw_content: Mapping[str, Any]
    content: TemplateContent
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    #: Paths of what it took of the brand; a draft takes nothing yet.
    from_brand: tuple[str, ...] = ()

    @property
    def is_for_apple(self) -> bool:
        return self.platform in {"apple", "both"}

    @property
    def is_for_google(self) -> bool:
        return self.platform in {"google", "both"}

    @property
    def google_vertical(self) -> GoogleVertical:
        return vertical_of(self.protocol, self.content.google)

    @property
    def google_class_id(self) -> str | None:
        if self.google_issuer_id is None:
            return None
        return class_id_of(self.google_issuer_id, self.workspace_id, self.template_id)

    def facts(self, asset_sha1: Mapping[str, str]) -> TemplateFacts:
        return TemplateFacts(
            workspace_id=self.workspace_id,
            template_id=self.template_id,
            template_version=self.template_version,
            pass_type_identifier=self.pass_type_identifier,
            team_identifier=self.team_identifier,
            google_issuer_id=self.google_issuer_id,
            content=self.content,
            asset_sha1=asset_sha1,
            content_bytes=MEMORY_PER_JSON_BYTE * len(json.dumps(dict(self.raw_content))),
        )


def check_publishable(version: TemplateVersion, file_names: Collection[str]) -> None:
    """Raises `ContentRejected` naming the first thing that is missing."""
    if version.is_for_apple:
        _check_apple(version, file_names)
    elif version.content.apple is not None:
        raise ContentRejected("invalid", "apple", "is given, but the platform is google alone")
    if version.is_for_google:
        _check_google(version)
    elif version.content.google is not None:
        raise ContentRejected("invalid", "google", "is given, but the platform is apple alone")
    _check_end_rules(version.content)


def _check_apple(version: TemplateVersion, file_names: Collection[str]) -> None:
    apple = version.content.apple
    if apple is None:
        raise ContentRejected("required", "apple", "is required on this platform")
    if not apple.organization_name:
        raise ContentRejected("required", "apple.organization_name", LEFT_TO_NOBODY)
    for name in ("pass_type_identifier", "team_identifier"):
        if getattr(version, name) is None:
            raise ContentRejected("required", name, "is required on this platform")
    if apple.style not in STYLES_OF[version.protocol]:
        styles = ", ".join(STYLES_OF[version.protocol])
        raise ContentRejected("invalid", "apple.style", f"of a {version.protocol} is {styles}")
    if not apple.fields and apple.document is None:
        raise ContentRejected("required", "apple.fields", "a pass shows at least one field")
    for image in NEEDED_IMAGES:
        for scale in SCALES:
            name = f"{image}{scale}.png"
            if name not in file_names:
                raise ContentRejected("image_missing", f"files.{name}", "is required")


def _check_end_rules(content: TemplateContent) -> None:
    """What the example shows where a date is wanted is one."""
    parts = (part for part in (content.apple, content.google) if part is not None)
    examples = {name: value for part in parts for name, value in part.example_values.items()}
    for place, rule in enumerate(content.ends_when):
        example = examples.get(rule.field_name)
        if example is not None and moment_of(example, None) is None:
            raise ContentRejected(
                "date_invalid", f"ends_when.{place}.date_field", "has an example that is no date"
            )


def _check_google(version: TemplateVersion) -> None:
    google = version.content.google
    if google is None:
        raise ContentRejected("required", "google", "is required on this platform")
    if not google.issuer_name.text:
        raise ContentRejected("required", "google.issuer_name", LEFT_TO_NOBODY)
    if version.google_issuer_id is None:
        raise ContentRejected("required", "google_issuer_id", "is required on this platform")
    has_logo = google.logo_url is not None or "programLogo" in google.class_piece
    if version.google_vertical == "loyalty" and not has_logo:
        raise ContentRejected("required", "google.logo_url", "Google requires a program's logo")
