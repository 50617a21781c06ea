"""What the use cases of a pass's later life need of the world."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.ports import PassLink, Transaction
from passferry_pass_issuer.domain.holder import Holder
from passferry_pass_issuer.domain.wallet_pass import WalletPass

PassKey = tuple[UUID, UUID]
NO_PASS = UUID(int=0)
#: What a call with an Idempotency-Key answered is told again for so long.
ANSWERS_KEPT = timedelta(hours=24)


class HolderRecords(Protocol):
    async def holder(
        self, transaction: Transaction, workspace_id: UUID, reference: str, *, for_update: bool
    ) -> Holder | None:
        """`reference` is a holder id, or `external:` and an external id."""

    async def stub(
        self, transaction: Transaction, workspace_id: UUID, reference: str
    ) -> Holder | None:
        """The holder without what is personal, locked until the transaction ends."""

    async def with_email(
        self, transaction: Transaction, workspace_id: UUID, email: str, *, limit: int
    ) -> list[Holder]: ...

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Holder]:
        """Oldest first, by (created_at, holder_id)."""

    async def save(self, transaction: Transaction, holder: Holder) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderPage:
    """Where the work on a holder's passes stands."""

    workspace_id: UUID
    holder_id: UUID
    after: UUID
    is_erasure: bool
    #: So many passes that are `leaving` are all that is left of an erasure; 0 until that is so.
    held_up: int = 0


class PassesOfHolders(Protocol):
    async def ids(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        *,
        after: UUID,
        limit: int,
        is_erasure: bool,
    ) -> list[UUID]:
        """Ids behind `after`, in order: of their active passes, or, for an erasure, of all that
        they have and of all that they had, without those that were erased."""

    async def put_off(self, transaction: Transaction, page: HolderPage, *, now: datetime) -> None:
        """The rest is done later. An erasure stays one, whatever else is asked for."""

    async def waiting(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        moves_since: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        """(workspace_id, holder_id): at most `limit` of each workspace, the oldest first; none
        of which as many passes are `leaving` as were held up."""

    async def leaving(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        *,
        moves_since: datetime,
    ) -> set[UUID]:
        """Passes of theirs whose balance moves to somebody else's pass, as ordered since then."""

    async def page(
        self, transaction: Transaction, workspace_id: UUID, holder_id: UUID
    ) -> HolderPage | None:
        """Locked until the transaction ends."""

    async def finish(self, transaction: Transaction, page: HolderPage) -> None: ...

    async def is_all_erased(
        self, transaction: Transaction, workspace_id: UUID, holder_id: UUID
    ) -> bool:
        """No page of theirs is left, and no pass that they had waits until it opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedLink:
    pass_id: UUID
    link_id: UUID
    token_sha256: str
    expires_at: datetime | None


class EndedPasses(Protocol):
    async def expired(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        """Active passes whose time is over and that are not moving, at most `limit` of each
        workspace; each workspace has its turn."""

    async def ended_by_rules(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        """As `expired`, of those whose `ends_at` is over."""

    async def moving(self, transaction: Transaction, keys: Collection[PassKey]) -> set[PassKey]:
        """Those between which the ledger moves a balance now: neither end of it may close."""

    async def retire(
        self, transaction: Transaction, keys: Collection[PassKey], *, due_at: datetime
    ) -> None:
        """Their records are taken back then, or when that was due before."""

    async def due(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
        max_records: int,
        passing_over: Sequence[UUID],
    ) -> list[PassKey]:
        """As `expired`, and only so many that their records (of passes, links and claims) are
        about `max_records`."""

    async def count_links(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, int]:
        """Of those that have any."""

    async def forget(
        self, transaction: Transaction, keys: Collection[PassKey], *, now: datetime
    ) -> list[tuple[UUID, UUID]]:
        """Leaves stubs; returns (workspace_id, link_id) of all their links and claims."""

    async def erase(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None:
        """Stores the names of passes after the person was taken out of them."""

    async def end_undrawn(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None:
        """Stores the status of passes that cannot be drawn, and the versions that they know."""

    async def revoke_links(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> list[RevokedLink]:
        """Those that were valid until now."""


class Messages(Protocol):
    async def claim(
        self,
        transaction: Transaction,
        targets: Collection[tuple[UUID, UUID, str]],
        *,
        now: datetime,
    ) -> set[tuple[UUID, UUID, str]]:
        """Marks (workspace_id, target_id, message_id) as issued; returns those that were not."""

    async def show(self, transaction: Transaction, passes: Sequence[WalletPass]) -> None:
        """Stores their latest messages."""

    async def forget_issued(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        before: datetime,
        limit: int,
    ) -> int:
        """At most `limit` of each workspace; how many."""


class Owners(Protocol):
    async def hand_over(self, transaction: Transaction, wallet_pass: WalletPass) -> None:
        """Stores its new holder and its new authentication token."""

    async def replace_link(
        self, transaction: Transaction, wallet_pass: WalletPass, link: PassLink, *, now: datetime
    ) -> list[RevokedLink]:
        """Puts `link` in the place of all the links that the pass had, which are returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    workspace_id: UUID
    old_pass_id: UUID
    new_pass_id: UUID
    state: str
    attempt: int
    code: str | None = None
    left_minor: int | None = None
    #: Of the old pass, that the new one was given.
    carried_uses: int = 0
    updated_at: datetime
    #: When the ledger was told of this transfer last; None: when it was ordered.
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingReissue:
    """One that waits for the ledger's answer."""

    workspace_id: UUID
    #: The lost one.
    pass_id: UUID
    #: When the transfer was ordered.
    since: datetime


class Replacements(Protocol):
    async def of(
        self, transaction: Transaction, workspace_id: UUID, old_pass_id: UUID
    ) -> Replacement | None:
        """Locked until the transaction ends."""

    async def save(self, transaction: Transaction, replacement: Replacement) -> None: ...

    async def used_since(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        settled_after: datetime,
        limit: int,
        passing_over: Sequence[UUID],
    ) -> list[tuple[UUID, UUID]]:
        """(workspace_id, old_pass_id) of those done whose old pass was used more than the new one
        was given; at most `limit` of each workspace."""

    async def oldest_moving(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> MovingReissue | None:
        """Of all these workspaces."""

    async def step_aside(
        self, transaction: Transaction, workspace_id: UUID, old_pass_id: UUID, new_pass_id: UUID
    ) -> None:
        """The old pass does not stand in the way of a membership any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    workspace_id: UUID
    claim_code_sha256: str
    link_id: UUID
    outcome: str
    pass_id: UUID | None
    created_at: datetime


class Claims(Protocol):
    async def of(
        self, transaction: Transaction, workspace_id: UUID, claim_code_sha256: str
    ) -> Claim | None: ...

    async def insert(self, transaction: Transaction, claim: Claim) -> None: ...

    async def take_old(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        before: datetime,
        limit: int,
    ) -> list[tuple[UUID, UUID]]:
        """Deletes old ones; returns their (workspace_id, link_id)."""


class RememberedAnswers(Protocol):
    async def forget_old(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        now: datetime,
        limit: int,
    ) -> int:
        """Those that are told no more, at most `limit` of each workspace; how many."""

    async def forget_subjects(
        self, transaction: Transaction, workspace_id: UUID, subject_ids: Collection[UUID]
    ) -> None: ...
