"""A pass changes hands: another holder, another token, another link; the same serial and balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from passferry_contracts.registry import LINK_CHANGED, PASS_UPDATED
from passferry_contracts.types import Protocol as PassProtocol
from passferry_pass_issuer.application.former_holders import KeepFormerHolder, check_holder_stays
from passferry_pass_issuer.application.life_ports import (
    HolderRecords,
    Owners,
    RememberedAnswers,
)
from passferry_pass_issuer.application.make_passes import (
    new_authentication_token,
    new_link,
    sealed_token,
)
from passferry_pass_issuer.application.pass_events import link_changed, pass_updated
from passferry_pass_issuer.application.ports import (
    Cipher,
    PassChange,
    Passes,
    RevisionWriter,
)
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.holder import Holder
from passferry_pass_issuer.domain.issuing import with_field_values
from passferry_pass_issuer.domain.wallet_pass import WalletPass, changed
from passferry_runtime.errors import Conflict, NotFound
from passferry_runtime.ids import uuid7


@dataclass(frozen=True, kw_only=True)
class TransferPass:
    """The former holder's devices hold the former token: they see nothing of the new holder."""

    passes: Passes
    holders: HolderRecords
    owners: Owners
    revisions: RevisionWriter
    cipher: Cipher
    answers: RememberedAnswers
    keep_former: KeepFormerHolder

    async def __call__(
        self,
        work: Work,
        workspace_id: UUID,
        reference: str,
        holder_reference: str,
        *,
        field_values: Mapping[str, object] | None = None,
    ) -> WalletPass:
        """The pass, with a new link; unchanged when it is that holder's already."""
        # Nobody becomes a member meanwhile.
        await self.passes.lock_issuing(work.transaction, workspace_id)
        holder = await self._holder(work, workspace_id, holder_reference)
        before = await self.passes.find(work.transaction, workspace_id, reference, for_update=True)
        if before is None:
            raise NotFound("pass_not_found", "there is no such pass")
        if not before.is_usable:
            raise Conflict(f"pass_{before.status}", "a pass that ended changes hands no more")
        if before.replaced_by is not None:
            raise Conflict("pass_replaced", "another pass takes the place of this one")
        if before.holder_id == holder.holder_id:
            return before
        if before.is_on_google:
            # What somebody saved there stays theirs, and would show the next holder's name.
            raise Conflict("pass_on_google", "reissue it to the other holder instead")
        await check_holder_stays(work, self.holders, before)
        await self._check_membership(work, before, holder)
        stored = await self._hand_over(work, before, holder, field_values or {})
        await self.keep_former(work, before, stored, given=field_values or {})
        # They name the former holder, whose erasure would not find them any more.
        await self.answers.forget_subjects(work.transaction, workspace_id, [before.pass_id])
        await work.audit(
            workspace_id,
            "pass.transferred",
            before.pass_id,
            before={"holder_id": str(before.holder_id), "revision": before.revision},
            after={"holder_id": str(stored.holder_id), "revision": stored.revision},
        )
        return stored

    async def _holder(self, work: Work, workspace_id: UUID, reference: str) -> Holder:
        found = await self.holders.holder(
            work.transaction, workspace_id, reference, for_update=True
        )
        if found is None or found.erased_at is not None:
            raise NotFound("holder_not_found", "there is no such holder")
        return found

    async def _check_membership(self, work: Work, before: WalletPass, holder: Holder) -> None:
        if before.protocol is not PassProtocol.MEMBERSHIP:
            return
        wanted = (before.program_id, holder.holder_id)
        if await self.passes.memberships(work.transaction, before.workspace_id, [wanted]):
            raise Conflict("holder_is_member", "the holder has a pass of this program")

    async def _hand_over(
        self,
        work: Work,
        before: WalletPass,
        holder: Holder,
        field_values: Mapping[str, object],
    ) -> WalletPass:
        ciphertext, sha256 = sealed_token(
            self.cipher, before.workspace_id, before.pass_id, new_authentication_token()
        )
        after = changed(
            before,
            holder_id=holder.holder_id,
            authentication_token_ciphertext=ciphertext,
            authentication_token_sha256=sha256,
            # The new holder's phones and accounts are not known yet.
            latest_message=None,
            # Who repeats the order of the former holder is not given the next one's link.
            request_sha256="",
            field_values=with_field_values(before.field_values, field_values),
        )
        await self.owners.hand_over(work.transaction, after)
        event_id = str(uuid7())
        cause = {"event_type": "pass.updated", "event_id": event_id, "reason": "transferred"}
        [stored] = await self.revisions.store_changed(
            work.transaction,
            [PassChange(before=before, after=after, causes=(cause,), caused_at=work.now)],
        )
        work.transaction.emit(
            PASS_UPDATED,
            pass_updated(
                stored,
                changed_fields=["holder_id", *field_values],
                changed_at=work.now,
                holder_id=stored.holder_id,
            ),
            event_id=event_id,
        )
        await self._replace_link(work, stored)
        return stored

    async def _replace_link(self, work: Work, stored: WalletPass) -> None:
        link = new_link()
        former = await self.owners.replace_link(work.transaction, stored, link, now=work.now)
        for each in former:
            told = link_changed(stored, each, is_revoked=True, changed_at=work.now)
            work.transaction.emit(LINK_CHANGED, told)
            # Nothing of it is kept here, so nobody could take it back later.
            work.transaction.emit_tombstone(LINK_CHANGED, str(each.link_id), stored.workspace_id)
        work.transaction.emit(
            LINK_CHANGED, link_changed(stored, link, is_revoked=False, changed_at=work.now)
        )
