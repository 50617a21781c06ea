"""What a row of a file asks of a pass that is there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from passferry_pass_issuer.domain.value_expression import Scalar


class ChangeAction(StrEnum):
    UPDATE = "update"
    VOID = "void"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """One of `external_id` and `pass_id` names the pass; the rest is what the action needs."""

    action: ChangeAction
    external_id: str | None = None
    pass_id: UUID | None = None
    #: Of a void.
    reason: str | None = None
    #: Of an update; `sets_expiry` with no `expires_at`: it never expires.
    field_values: Mapping[str, Scalar] = field(default_factory=dict)
    sets_expiry: bool = False
    expires_at: datetime | None = None
    #: Of a message.
    message_id: str | None = None
    header: str | None = None
    body: str | None = None
    notify: bool = True
