"""Builds what becomes of passes and holders after a pass was issued."""

from __future__ import annotations

from passferry_pass_issuer.adapters.postgres_claims import PostgresClaims, PostgresMessages
from passferry_pass_issuer.adapters.postgres_former_holders import PostgresFormerHolders
from passferry_pass_issuer.adapters.postgres_idempotency import PostgresIdempotency
from passferry_pass_issuer.adapters.postgres_load import OutboxBacklog, StepErrors
from passferry_pass_issuer.adapters.postgres_lookup_keys import PostgresLookupKeys
from passferry_pass_issuer.adapters.postgres_owners import PostgresOwners, PostgresReplacements
from passferry_pass_issuer.adapters.postgres_upkeep import (
    PostgresPassesOfHolders,
)
from passferry_pass_issuer.app.parts import Stores, Surroundings
from passferry_pass_issuer.application.answer_enrolments import AnswerEnrolments
from passferry_pass_issuer.application.carry_uses import CarryUses
from passferry_pass_issuer.application.change_passes import EndPass
from passferry_pass_issuer.application.complete_reissues import CompleteReissues
from passferry_pass_issuer.application.do_duties import DoDuty
from passferry_pass_issuer.application.draw_holder_passes import DrawHolderPasses
from passferry_pass_issuer.application.end_due_passes import EndDuePasses
from passferry_pass_issuer.application.former_holders import (
    KeepFormerHolder,
    LeaveFormerPasses,
    LeaveLatePasses,
)
from passferry_pass_issuer.application.issue_passes import IssuePasses
from passferry_pass_issuer.application.keep_holders import EraseHolder, SaveHolder
from passferry_pass_issuer.application.keep_time import KeepTime
from passferry_pass_issuer.application.make_passes import MakePasses
from passferry_pass_issuer.application.reissue_passes import ReissuePass
from passferry_pass_issuer.application.send_messages import (
    ApplyMessageRequests,
    PutMessages,
    SendClassMessage,
    SendMessage,
)
from passferry_pass_issuer.application.transfer_passes import TransferPass
from passferry_pass_issuer.application.watch_reissues import WatchReissues
from passferry_pass_issuer.application.work import Workbench
from passferry_pass_issuer.entrypoints.pass_life import PassLife


def build_life(
    around: Surroundings,
    stores: Stores,
    workbench: Workbench,
    issue: IssuePasses,
    end_pass: EndPass,
) -> PassLife:
    """Holders, and what becomes of passes after they were issued."""
    answers = PostgresIdempotency(around.cipher)
    claims, messages = PostgresClaims(), PostgresMessages()
    replacements = PostgresReplacements()
    put = PutMessages(messages=messages, revisions=around.revisions)
    holder_pages = PostgresPassesOfHolders()
    former = PostgresFormerHolders(PostgresLookupKeys(around.cipher))
    keep_former = KeepFormerHolder(
        former=former, holders=stores.holders, catalogue=stores.catalogue
    )
    leave = LeaveFormerPasses(former=former, revisions=around.revisions)
    draw = DrawHolderPasses(
        passes=holder_pages,
        ended=stores.ended,
        answers=answers,
        erased_names=stores.erased_names,
        leave=leave,
        store=stores.revisions,
        revisions=around.revisions,
        forget_after=around.forget_after,
    )
    return PassLife(
        holders=stores.holders,
        save_holder=SaveHolder(passes=stores.passes, holders=stores.holders, draw=draw),
        erase_holder=EraseHolder(
            passes=stores.passes,
            holders=stores.holders,
            answers=answers,
            draw=draw,
            erased_names=stores.erased_names,
        ),
        send_message=SendMessage(passes=stores.passes, put=put),
        send_class_message=SendClassMessage(catalogue=stores.catalogue, messages=messages),
        transfer_pass=TransferPass(
            passes=stores.passes,
            holders=stores.holders,
            owners=PostgresOwners(around.cipher),
            revisions=around.revisions,
            cipher=around.cipher,
            answers=answers,
            keep_former=keep_former,
        ),
        reissue_pass=ReissuePass(
            passes=stores.passes,
            holders=stores.holders,
            programs=stores.programs,
            catalogue=stores.catalogue,
            make=build_maker(around),
            replacements=replacements,
            ended=stores.ended,
            former=former,
            keep_former=keep_former,
        ),
        apply_message_requests=ApplyMessageRequests(
            workbench=workbench, directory=around.directory, store=stores.revisions, put=put
        ),
        answer_enrolments=AnswerEnrolments(
            workbench=workbench,
            directory=around.directory,
            passes=stores.passes,
            holders=stores.holders,
            issue=issue,
            claims=claims,
        ),
        complete_reissues=CompleteReissues(
            workbench=workbench,
            passes=stores.passes,
            replacements=replacements,
            end_pass=end_pass,
        ),
        keep_time=KeepTime(
            do_duty=DoDuty(workbench=workbench, errors=StepErrors()),
            backlog=OutboxBacklog(around.database),
            workspaces=stores.workspaces,
            transactions=around.database,
            store=stores.revisions,
            end_due=EndDuePasses(
                store=stores.revisions, revisions=around.revisions, ended=stores.ended
            ),
            ended=stores.ended,
            holder_pages=holder_pages,
            draw=draw,
            leave_late=LeaveLatePasses(former=former, leave=leave, locked=stores.revisions),
            carry_uses=CarryUses(
                passes=stores.passes, replacements=replacements, revisions=around.revisions
            ),
            claims=claims,
            messages=messages,
            answers=answers,
            erased_names=stores.erased_names,
            erasures_remembered=around.erasures_remembered,
            watch_reissues=WatchReissues(
                transactions=around.database,
                workspaces=stores.workspaces,
                replacements=replacements,
            ),
        ),
    )


def build_maker(around: Surroundings) -> MakePasses:
    return MakePasses(
        renderer=around.renderer, cipher=around.cipher, public_base_url=around.public_base_url
    )
