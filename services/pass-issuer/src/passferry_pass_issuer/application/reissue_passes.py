"""A lost pass gets a follower with another serial number, token and code.

The new pass is made first; then the ledger moves what the old one holds; then the old one is void
(`complete_reissues`).
In whatever order things fail, nothing is spent twice and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from passferry_contracts.events.ledger import TransferCommand
from passferry_contracts.registry import LEDGER_COMMANDS
from passferry_contracts.types import BalanceOwner
from passferry_pass_issuer.application.former_holders import (
    FormerHolders,
    KeepFormerHolder,
    check_holder_stays,
)
from passferry_pass_issuer.application.life_ports import (
    EndedPasses,
    HolderRecords,
    Replacement,
    Replacements,
)
from passferry_pass_issuer.application.make_passes import MakePasses, PassDraft, tell_new_pass
from passferry_pass_issuer.application.ports import Catalogue, Passes, Programs
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.end_rules import check_not_spent, last_use
from passferry_pass_issuer.domain.holder import Holder
from passferry_pass_issuer.domain.issuing import (
    check_external_id,
    check_field_values,
    check_program_open,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.status_changes import REPLACED
from passferry_pass_issuer.domain.template import TemplateContent
from passferry_pass_issuer.domain.value_expression import Scalar
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.errors import Conflict, NotFound

MOVING, DONE, FAILED = "moving", "done", "failed"
KEY_PREFIX = "reissue:"
#: As long as a record is parked; an answer that did not come by then comes only if somebody asks.
#: Whoever asks oftener than that tells the ledger nothing new.
ANSWERED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReissueRequest:
    #: The caller's own id of the new pass; absent: its pass id.
    external_id: str | None = None
    #: Whose the new pass is; absent: the same holder's.
    holder: str | None = None
    #: In the place of those of the lost pass that have the same names; null removes one.
    field_values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reissued:
    replacement: Replacement
    new: WalletPass
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class ReissuePass:
    passes: Passes
    holders: HolderRecords
    programs: Programs
    catalogue: Catalogue
    make: MakePasses
    replacements: Replacements
    ended: EndedPasses
    former: FormerHolders
    keep_former: KeepFormerHolder

    async def __call__(
        self, work: Work, workspace_id: UUID, reference: str, asked: ReissueRequest
    ) -> Reissued:
        """Asking again gives the same follower; a transfer that failed is then ordered anew, to
        another follower where the first has ended. One that the ledger did not answer is told to it
        once more, and so once an hour."""
        # Whoever issues locks in this order.
        await self.passes.lock_issuing(work.transaction, workspace_id)
        old = await self.passes.find(work.transaction, workspace_id, reference, for_update=True)
        if old is None:
            raise NotFound("pass_not_found", "there is no such pass")
        known = await self.replacements.of(work.transaction, workspace_id, old.pass_id)
        if known is not None:
            first = await self._first(work, known)
            if known.state != FAILED or first.is_usable:
                await self._check_same(work, first, asked)
                return await self._again(work, known, first)
        new = await self._follower(work, old, asked)
        # It says what the old one said, also of people who had that before.
        await self.former.copy(work.transaction, workspace_id, old.pass_id, new.pass_id)
        if new.holder_id != old.holder_id:
            await self.keep_former(work, old, new, given=asked.field_values)
        replacement = Replacement(
            workspace_id=workspace_id,
            old_pass_id=old.pass_id,
            new_pass_id=new.pass_id,
            state=MOVING,
            attempt=1 if known is None else known.attempt + 1,
            carried_uses=old.uses,
            updated_at=work.now,
        )
        await self._order(work, replacement)
        await work.audit(
            workspace_id, "pass.reissued", old.pass_id, after={"new_pass_id": str(new.pass_id)}
        )
        return Reissued(replacement=replacement, new=new, is_first=True)

    async def _follower(self, work: Work, old: WalletPass, asked: ReissueRequest) -> WalletPass:
        workspace_id, external_id = old.workspace_id, asked.external_id
        if not old.is_usable:
            raise Conflict(f"pass_{old.status}", "only an active pass can be replaced")
        if old.balance_owner is BalanceOwner.UPSTREAM:
            raise Conflict("balance_kept_upstream", "issue a new pass from the upstream system")
        check_external_id(external_id)
        if external_id is not None and await self.passes.by_external_ids(
            work.transaction, workspace_id, [external_id]
        ):
            raise Conflict("external_id_taken", "external_id names another pass")
        programs = await self.programs.by_ids(work.transaction, workspace_id, [old.program_id])
        program = check_program_open(programs.get(old.program_id))
        await check_holder_stays(work, self.holders, old)
        holder = await self._holder(work, old, asked.holder)
        published = await self.catalogue.newest_published(
            work.transaction, workspace_id, [program.template_id] if program.template_id else []
        )
        if program.template_id not in published:
            raise Conflict("template_not_published", "the program has no published template")
        template = published[program.template_id]
        check_not_spent(old, template.content.ends_when)
        made = self.make.make(
            work,
            PassDraft(
                workspace_id=workspace_id,
                program=program,
                template=template,
                holder=holder.facts,
                # What the old one holds comes from the ledger.
                opening_balance_minor=0,
                field_values=_field_values(old, asked, template.content),
                # Of no request: another one with its external id is a conflict.
                request_sha256="",
                external_id=external_id,
                expires_at=old.expires_at,
                # Who loses a card gets no uses and no days by that.
                uses=old.uses,
                last_used_at=last_use(old),
                first_issued_at=old.first_issued_at or old.created_at,
            ),
        )
        # The old pass has to step aside before: a person is a member once.
        await self.replacements.step_aside(
            work.transaction, workspace_id, old.pass_id, made.wallet_pass.pass_id
        )
        told = tell_new_pass(work, made, holder.facts, template)
        await self.passes.insert(work.transaction, [told])
        return told.wallet_pass

    async def _holder(self, work: Work, old: WalletPass, reference: str | None) -> Holder:
        """The same one, unless the new pass shall be somebody else's."""
        found = await self.holders.holder(
            work.transaction, old.workspace_id, reference or str(old.holder_id), for_update=True
        )
        if found is None or found.erased_at is not None:
            raise NotFound("holder_not_found", "there is no such holder")
        wanted = old.program_id, found.holder_id
        members = await self.passes.memberships(work.transaction, old.workspace_id, [wanted])
        if wanted in members and members[wanted].pass_id != old.pass_id:
            raise Conflict("holder_is_member", "the holder has a pass of this program")
        return found

    async def _first(self, work: Work, known: Replacement) -> WalletPass:
        new = await self.passes.find(
            work.transaction, known.workspace_id, str(known.new_pass_id), for_update=False
        )
        if new is None:
            raise NotFound("pass_not_found", "there is no such pass")
        return new

    async def _check_same(self, work: Work, first: WalletPass, asked: ReissueRequest) -> None:
        """Who asks for somebody else must not believe that this one is theirs."""
        is_same = asked.external_id in (None, first.external_id)
        if asked.holder is not None:
            holder = await self.holders.holder(
                work.transaction, first.workspace_id, asked.holder, for_update=False
            )
            is_same = is_same and holder is not None and holder.holder_id == first.holder_id
        if not is_same:
            raise Conflict("reissue_differs", "the pass has a follower of another name or holder")

    async def _again(self, work: Work, known: Replacement, new: WalletPass) -> Reissued:
        if known.state == FAILED:
            known = replace(
                known, state=MOVING, attempt=known.attempt + 1, code=None, updated_at=work.now
            )
            await self._order(work, known)
        elif known.state == MOVING:
            told_at = known.told_at or known.updated_at
            if work.now - told_at > ANSWERED_WITHIN:
                # Under the same key the ledger does it once and answers once more.
                await self._tell_ledger(work, known)
        return Reissued(replacement=known, new=new, is_first=False)

    async def _order(self, work: Work, replacement: Replacement) -> None:
        workspace_id = replacement.workspace_id
        both = [(workspace_id, replacement.old_pass_id), (workspace_id, replacement.new_pass_id)]
        if await self.ended.moving(work.transaction, both):
            # The ledger keeps no order between passes: what comes later would stay on the old one.
            raise Conflict("reissue_moving", "another balance is being moved; try again shortly")
        await self._tell_ledger(work, replacement)

    async def _tell_ledger(self, work: Work, replacement: Replacement) -> None:
        """When it was ordered stays as it is: for so long it waits."""
        await self.replacements.save(work.transaction, replace(replacement, told_at=work.now))
        command = TransferCommand(
            workspace_id=replacement.workspace_id,
            idempotency_key=key_of(replacement),
            pass_id=replacement.old_pass_id,
            to_pass_id=replacement.new_pass_id,
            reason=REPLACED,
        )
        work.transaction.emit(LEDGER_COMMANDS, command)


def _field_values(
    old: WalletPass, asked: ReissueRequest, content: TemplateContent
) -> dict[str, Scalar]:
    """Who found the lost pass knows its codes, so that the new one must not have them."""
    for name in sorted(content.code_field_names() & old.field_values.keys()):
        if name not in asked.field_values:
            raise ContentRejected(
                "required", f"fields.{name}", "is a code of the lost pass: give the new one's"
            )
    merged = {**old.field_values, **asked.field_values}
    return check_field_values({name: said for name, said in merged.items() if said is not None})


def key_of(replacement: Replacement) -> str:
    return f"{KEY_PREFIX}{replacement.old_pass_id}:{replacement.attempt}"
