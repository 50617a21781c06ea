"""Google's names of our passes and templates: deterministic, so that a retry finds its object."""

from __future__ import annotations

from uuid import UUID

from passferry_contracts.types import Protocol
from passferry_pass_issuer.domain.google_template import GoogleContent, GoogleVertical

_VERTICALS: dict[Protocol, GoogleVertical] = {
    Protocol.MEMBERSHIP: "loyalty",
    Protocol.COUPON: "offer",
    Protocol.EVENT_TICKET: "eventTicket",
    Protocol.GIFT_CARD: "giftCard",
}


def vertical_of(protocol: Protocol, google: GoogleContent | None) -> GoogleVertical:
    """What the template says, or else what its protocol is to Google."""
    if google is not None and google.vertical is not None:
        return google.vertical
    return _VERTICALS[protocol]


def class_suffix(workspace_id: UUID, template_id: UUID, tier_key: str | None = None) -> str:
    plain = f"{workspace_id}-{template_id}"
    return f"{plain}-{tier_key}" if tier_key else plain


def object_suffix(workspace_id: UUID, pass_id: UUID) -> str:
    return f"{workspace_id}-{pass_id}"


def class_id_of(
    issuer_id: str, workspace_id: UUID, template_id: UUID, tier_key: str | None = None
) -> str:
    return f"{issuer_id}.{class_suffix(workspace_id, template_id, tier_key)}"
