"""Deliveries, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from passferry_contracts.types import Channel

#: Nobody is notified of it.
GENERAL_UPDATE = "general_update"

_NOTIFICATION_TYPES = {
    "pass.balance_changed": "balance_update",
    "pass.redeemed": "redemption_notification",
    "points.expiring": "expiry_reminder",
    "pass.expired": "expiry_reminder",
    "message.requested": "message",
    "message.issued": "message",
}


#: Google tells of a message by itself, if it shall: that its object shows it too is no news.
_NO_NEWS_ON_GOOGLE = frozenset({"message.issued"})


def notification_type_of(cause_type: str, channel: Channel) -> str:
    """What kind of news a pass that `cause_type` changed is for whoever holds it."""
    if channel is Channel.GOOGLE_WALLET and cause_type in _NO_NEWS_ON_GOOGLE:
        return GENERAL_UPDATE
    return _NOTIFICATION_TYPES.get(cause_type, GENERAL_UPDATE)


def cause_for_google(cause_types: Sequence[str]) -> str:
    """The first that is news there, of all that led to a revision."""
    news = [each for each in cause_types if each not in _NO_NEWS_ON_GOOGLE]
    return next(iter(news or cause_types), "pass.updated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`target` is a device library identifier, or a Google object id."""

    workspace_id: UUID
    delivery_id: UUID
    pass_id: UUID
    channel: Channel
    target: str
    pass_type_identifier: str | None = None
    push_token_sha256: str | None = None
    revision: int
    notification_type: str
    cause_type: str
    attempts: int = 0
    #: Of the event that caused it, so that one trace reaches from there to the push.
    traceparent: str | None = None
    caused_at: datetime
    created_at: datetime


class Action(Enum):
    """What to do after one attempt."""

    DELIVERED = auto()
    #: Brought up to date without telling the person, whose budget of notifications is spent.
    DELIVERED_SILENT = auto()
    DROPPED = auto()
    #: The token is gone since `Verdict.gone_since`.
    TOKEN_GONE = auto()
    #: The token may be bad; believed after several strikes only.
    TOKEN_SUSPECT = auto()
    RETRY = auto()
    #: Not an attempt: nothing was sent.
    POSTPONED = auto()
    #: The provider refuses the credential: everything that uses it waits, nothing is lost.
    CREDENTIAL_FAULT = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    action: Action
    reason: str | None = None
    retry_after_s: float | None = None
    gone_since: datetime | None = None
    #: Only this target is to be left alone for a while.
    slows_target: bool = False
    #: Google's answer whether anyone holds the object; absent when it did not say.
    has_users: bool | None = None
    #: Of the Google object's body that is stored there now.
    synced_sha256: str | None = None


DELIVERED = Verdict(action=Action.DELIVERED)
