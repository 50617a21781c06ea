"""Links to passes beyond the first: made, listed, revoked, and told to the web service."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_contracts.registry import LINK_CHANGED
from passferry_pass_issuer.application.pass_events import link_changed
from passferry_pass_issuer.application.ports import Passes, Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.link import (
    MAX_LABELS,
    Link,
    LinkRequest,
    check_count,
    check_request,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7

#: 192 bits.
TOKEN_BYTES = 24


class Links(Protocol):
    async def insert(self, transaction: Transaction, link: Link) -> None:
        """Keeps no token of a link without one."""

    async def counts(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID, now: datetime
    ) -> tuple[int, int]:
        """Open ones and all of them."""

    async def use_label(
        self, transaction: Transaction, workspace_id: UUID, label: str, now: datetime, *, most: int
    ) -> bool:
        """False when it is new and there are `most` of them already."""

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        pass_id: UUID,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[Link]:
        """Oldest first."""

    async def find(
        self, transaction: Transaction, workspace_id: UUID, pass_id: UUID, link_id: UUID
    ) -> Link | None: ...

    async def revoke(self, transaction: Transaction, workspace_id: UUID, link_id: UUID) -> None: ...


@dataclass(frozen=True, kw_only=True)
class DistributeLinks:
    """`reference` names the pass by its id or as `external:<external id>`."""

    passes: Passes
    links: Links

    async def add(
        self, work: Work, workspace_id: UUID, reference: str, request: LinkRequest
    ) -> Link:
        """The new link with its token, also when that is not kept."""
        check_request(request, work.now)
        wallet_pass = await self._pass(work, workspace_id, reference, for_update=True)
        if not wallet_pass.is_usable:
            raise Conflict(f"pass_{wallet_pass.status}", "a pass that ended is given no new link")
        open_links, all_links = await self.links.counts(
            work.transaction, workspace_id, wallet_pass.pass_id, work.now
        )
        check_count(open_links=open_links, all_links=all_links)
        await self._use_label(work, workspace_id, request.label)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        link = Link(
            workspace_id=workspace_id,
            link_id=uuid7(),
            pass_id=wallet_pass.pass_id,
            token=token,
            token_sha256=hashlib.sha256(token.encode()).hexdigest(),
            label=request.label,
            utm=dict(request.utm),
            is_extra=True,
            expires_at=request.expires_at,
            is_revoked=False,
            created_at=work.now,
        )
        kept = replace(link, token=None) if request.is_shown_once else link
        await self.links.insert(work.transaction, kept)
        _tell(work, wallet_pass, link)
        # The label is the caller's own text, which stays out of what is never deleted.
        after = {
            "pass_id": wallet_pass.pass_id,
            "has_label": bool(link.label),
            "expires_at": link.expires_at,
        }
        await work.audit(workspace_id, "link.created", link.link_id, after=after)
        return link

    async def _use_label(self, work: Work, workspace_id: UUID, label: str) -> None:
        if not label:
            return
        is_used = await self.links.use_label(
            work.transaction, workspace_id, label, work.now, most=MAX_LABELS
        )
        if not is_used:
            raise ContentRejected(
                "too_many",
                "label",
                f"is new, and the workspace has {MAX_LABELS} of them: use one of those",
            )

    async def page(
        self, work: Work, workspace_id: UUID, reference: str, *, after: UUID | None, limit: int
    ) -> Sequence[Link]:
        wallet_pass = await self._pass(work, workspace_id, reference)
        return await self.links.page(
            work.transaction, workspace_id, wallet_pass.pass_id, after=after, limit=limit
        )

    async def find(
        self, work: Work, workspace_id: UUID, reference: str, link_id: UUID
    ) -> tuple[Link, WalletPass]:
        wallet_pass = await self._pass(work, workspace_id, reference)
        return await self._link(work, wallet_pass, link_id), wallet_pass

    async def revoke(self, work: Work, workspace_id: UUID, reference: str, link_id: UUID) -> Link:
        """Doing so twice is doing so once."""
        wallet_pass = await self._pass(work, workspace_id, reference, for_update=True)
        link = await self._link(work, wallet_pass, link_id)
        if link.is_revoked:
            return link
        await self.links.revoke(work.transaction, workspace_id, link_id)
        revoked = replace(link, is_revoked=True)
        _tell(work, wallet_pass, revoked)
        await work.audit(
            workspace_id, "link.revoked", link_id, before={"pass_id": wallet_pass.pass_id}
        )
        return revoked

    async def _pass(
        self, work: Work, workspace_id: UUID, reference: str, *, for_update: bool = False
    ) -> WalletPass:
        found = await self.passes.find(
            work.transaction, workspace_id, reference, for_update=for_update
        )
        if found is None:
            raise NotFound("pass_not_found", "there is no such pass")
        return found

    async def _link(self, work: Work, wallet_pass: WalletPass, link_id: UUID) -> Link:
        found = await self.links.find(
            work.transaction, wallet_pass.workspace_id, wallet_pass.pass_id, link_id
        )
        if found is None:
            raise NotFound("link_not_found", "this pass has no such link")
        return found


def _tell(work: Work, wallet_pass: WalletPass, link: Link) -> None:
    told = link_changed(wallet_pass, link, is_revoked=link.is_revoked, changed_at=work.now)
    work.transaction.emit(LINK_CHANGED, told)
