"""Links to a pass: several of them, labelled, for as long as they are meant to last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.domain.refusals import ContentRejected

#: Of one pass, and not revoked.
MAX_OPEN_LINKS = 50
#: Of one pass, whatever became of them.
MAX_LINKS = 500
#: Different ones in a workspace: the funnel keeps counts by label.
MAX_LABELS = 500

#: Members of `utm`, as advertisers name them.
UTM_NAMES = ("source", "medium", "campaign", "term", "content")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    label: str = ""
    #: Absent: until it is revoked.
    expires_at: datetime | None = None
    #: Where the link is shown; kept with it and not part of its address.
    utm: Mapping[str, str] = field(default_factory=dict)
    #: The token is told in the answer and not kept.
    is_shown_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`token` is in clear: whoever holds it can take the pass. Never logged."""

    workspace_id: UUID
    link_id: UUID
    pass_id: UUID
    #: None: it was shown once.
    token: str | None
    token_sha256: str
    label: str
    utm: Mapping[str, str]
    is_extra: bool
    expires_at: datetime | None
    is_revoked: bool
    created_at: datetime

    def status(self, now: datetime) -> str:
        if self.is_revoked:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "open"

    def url(self, public_base_url: str) -> str | None:
        if self.token is None:
            return None
        return f"{public_base_url}/w/{self.workspace_id}/p/{self.token}"


def check_request(request: LinkRequest, now: datetime) -> None:
    if request.expires_at is not None and request.expires_at <= now:
        raise ContentRejected("invalid", "expires_at", "is past: give a later time, or none")
    for name in request.utm:
        if name not in UTM_NAMES:
            known = ", ".join(UTM_NAMES)
            raise ContentRejected("unknown", f"utm.{name[:64]}", f"is not known: use {known}")


def check_count(*, open_links: int, all_links: int) -> None:
    if open_links >= MAX_OPEN_LINKS:
        raise ContentRejected(
            "too_many", "links", f"of a pass are at most {MAX_OPEN_LINKS}: revoke one first"
        )
    if all_links >= MAX_LINKS:
        raise ContentRejected("too_many", "links", f"of a pass were {MAX_LINKS}: that is the bound")
