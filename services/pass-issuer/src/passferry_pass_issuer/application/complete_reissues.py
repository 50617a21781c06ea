"""What became of the transfers to passes that take the place of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from passferry_contracts.events.ledger import CommandCompleted
from passferry_contracts.types import PassStatus
from passferry_pass_issuer.application.change_passes import EndPass
from passferry_pass_issuer.application.life_ports import Replacement, Replacements
from passferry_pass_issuer.application.ports import Passes
from passferry_pass_issuer.application.reissue_passes import (
    DONE,
    FAILED,
    KEY_PREFIX,
    MOVING,
    key_of,
)
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.status_changes import REPLACED, may_become
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.errors import Conflict, Rejected, RetryLater

Verdict = RetryLater | Rejected | None


@dataclass(frozen=True, kw_only=True)
class CompleteReissues:
    """`ledger.results`: what became of the transfers that were ordered here."""

    workbench: Workbench
    passes: Passes
    replacements: Replacements
    end_pass: EndPass

    async def __call__(self, results: Sequence[CommandCompleted]) -> list[Verdict]:
        return [await self._complete(result) for result in results]

    async def _complete(self, result: CommandCompleted) -> Verdict:
        # Anybody may order transfers; only what answers our own order is heard.
        if not result.idempotency_key.startswith(KEY_PREFIX) or result.pass_id is None:
            return None
        workspace_id, pass_id = result.workspace_id, result.pass_id
        try:
            async with self.workbench.open([workspace_id], actor="event:ledger.results") as work:
                # In the order of who reissues: the pass, then what is known of its replacement.
                old = await self.passes.find(
                    work.transaction, workspace_id, str(pass_id), for_update=True
                )
                known = await self.replacements.of(work.transaction, workspace_id, pass_id)
                if old is None or known is None:
                    return None
                if known.state == MOVING and _answers(result, known):
                    await self._settle(work, old, known, result)
        except Conflict as refusal:
            # It does not end now, and must later: it was reported lost.
            return RetryLater(refusal.code, str(refusal))
        except ContentRejected as refusal:
            return Rejected(refusal.code, str(refusal))
        return None

    async def _settle(
        self, work: Work, old: WalletPass, known: Replacement, result: CommandCompleted
    ) -> None:
        is_moved = result.outcome == "applied" or _nothing_left(result)
        settled = replace(
            known,
            state=DONE if is_moved else FAILED,
            code=result.code if result.outcome == "refused" else None,
            left_minor=result.balance_minor,
            updated_at=work.now,
        )
        await self.replacements.save(work.transaction, settled)
        if not is_moved:
            # The old pass stays good: what it holds is nowhere else.
            await work.audit(
                known.workspace_id,
                "pass.replacement_failed",
                known.old_pass_id,
                after={"code": result.code},
            )
            return
        # Deleted meanwhile is more than void.
        if may_become(old.status, PassStatus.VOIDED):
            await self.end_pass(
                work,
                known.workspace_id,
                str(known.old_pass_id),
                PassStatus.VOIDED,
                reason=REPLACED,
            )


def _nothing_left(result: CommandCompleted) -> bool:
    # A closed account that holds something keeps it: nothing was moved.
    is_empty = result.code == "account_closed" and result.balance_minor == 0
    return is_empty or result.code == "nothing_to_redeem"


def _answers(result: CommandCompleted, known: Replacement) -> bool:
    return result.idempotency_key == key_of(known)
