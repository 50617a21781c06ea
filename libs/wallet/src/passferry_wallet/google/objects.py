"""Names of Google's resources, and the bodies that are the same for every template."""

from __future__ import annotations

from typing import Any, Literal

from passferry_wallet.google.content import GoogleContentRejected, Vertical
from passferry_wallet.google.models import OBJECT_MODELS

VERTICALS: frozenset[Vertical] = frozenset(
    {"loyalty", "giftCard", "offer", "eventTicket", "flight", "transit", "generic"}
)

Body = dict[str, Any]


def as_vertical(name: str) -> Vertical:
    """Raises GoogleContentRejected for a name that Google does not know."""
    for known in VERTICALS:
        if known == name:
            return known
    raise GoogleContentRejected("vertical_unknown", "vertical", "is no vertical of Google Wallet")


def resource_names(vertical: Vertical) -> tuple[str, str]:
    """Path segments of the class and of the object."""
    return f"{vertical}Class", f"{vertical}Object"


def payload_key(vertical: Vertical, kind: Literal["Class", "Object"]) -> str:
    """The plural under which a save link carries a resource."""
    return f"{vertical}Classes" if kind == "Class" else f"{vertical}Objects"


def can_notify_on_update(vertical: Vertical) -> bool:
    """Whether `notifyPreference` may be sent; generic passes refuse it."""
    return "notify_preference" in OBJECT_MODELS[vertical].model_fields


def told(body: Any) -> Any:
    """The body without the members that are told to be absent, for places that start afresh."""
    if isinstance(body, dict):
        return {name: told(value) for name, value in body.items() if value is not None}
    if isinstance(body, list):
        return [told(value) for value in body]
    return body
