"""Words of the domain that need nothing but the standard library."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """What a program is; decides what earning and redeeming mean."""

    MEMBERSHIP = "MEMBERSHIP"
    COUPON = "COUPON"
    EVENT_TICKET = "EVENT_TICKET"
    GIFT_CARD = "GIFT_CARD"


class PassStatus(StrEnum):
    ACTIVE = "active"
    VOIDED = "voided"
    EXPIRED = "expired"
    DELETED = "deleted"


class BalanceOwner(StrEnum):
    """Who keeps a pass's balance: our ledger, or the upstream system that tells us of it."""

    PASSFERRY = "passferry"
    UPSTREAM = "upstream"


class WorkspaceKind(StrEnum):
    """`platform` is the one pseudo workspace that platform administrators belong to."""

    PLATFORM = "platform"
    ROOT = "root"
    PARENT = "parent"
    CHILD = "child"


class Role(StrEnum):
    """What an API key may do, from least to most; `administrator` is of the platform only."""

    VIEWER = "viewer"
    MEMBER = "member"
    MANAGER = "manager"
    OWNER = "owner"
    ADMINISTRATOR = "administrator"

    @property
    def rank(self) -> int:
        return _ROLE_ORDER.index(self)

    def covers(self, needed: Role) -> bool:
        return self.rank >= needed.rank


_ROLE_ORDER = (Role.VIEWER, Role.MEMBER, Role.MANAGER, Role.OWNER, Role.ADMINISTRATOR)


class Platform(StrEnum):
    """Where a pass was opened or installed; `other` is anything that is not an Apple device."""

    APPLE = "apple"
    GOOGLE = "google"
    OTHER = "other"


class Channel(StrEnum):
    """How a delivery reaches its target."""

    APPLE_WALLET = "apple_wallet"
    GOOGLE_WALLET = "google_wallet"


class DeliveryOutcome(StrEnum):
    DELIVERED = "delivered"
    DELIVERED_SILENT = "delivered_silent"
    DROPPED = "dropped"
    FAILED = "failed"


class LedgerAction(StrEnum):
    EARN = "earn"
    REDEEM = "redeem"
    ADJUST = "adjust"


#: Workspace of platform administrators; owns no passes.
PLATFORM_WORKSPACE_ID = "00000000-0000-0000-0000-000000000000"

#: Amounts are signed 64-bit integers in the database, so nothing larger is a valid amount.
MAX_AMOUNT_MINOR = 2**63 - 1
