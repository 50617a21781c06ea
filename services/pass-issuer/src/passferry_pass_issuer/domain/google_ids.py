"""Google's names of our passes and templates: deterministic, so that a retry finds its object."""

from __future__ import annotations

from uuid import UUID

from passferry_contracts.types import Protocol

_VERTICALS = {
    Protocol.MEMBERSHIP: "loyalty",
    Protocol.COUPON: "offer",
    Protocol.EVENT_TICKET: "eventTicket",
    Protocol.GIFT_CARD: "giftCard",
}


def vertical_of(protocol: Protocol) -> str:
    return _VERTICALS[protocol]


def class_suffix(workspace_id: UUID, template_id: UUID) -> str:
    return f"{workspace_id}-{template_id}"


def object_suffix(workspace_id: UUID, pass_id: UUID) -> str:
    return f"{workspace_id}-{pass_id}"


def class_id_of(issuer_id: str, workspace_id: UUID, template_id: UUID) -> str:
    return f"{issuer_id}.{class_suffix(workspace_id, template_id)}"


def object_id_of(issuer_id: str, workspace_id: UUID, pass_id: UUID) -> str:
    return f"{issuer_id}.{object_suffix(workspace_id, pass_id)}"
