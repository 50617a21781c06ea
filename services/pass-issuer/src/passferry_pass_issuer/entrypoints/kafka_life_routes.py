"""What Kafka asks for in a pass's later life: messages, enrolments, and the ledger's answers."""

from __future__ import annotations

from collections.abc import Sequence

from passferry_contracts.events.deliveries import MessageRequested
from passferry_contracts.events.directory import EnrolmentRequested
from passferry_contracts.events.ledger import CommandCompleted
from passferry_contracts.registry import ENROLMENT_REQUESTED, LEDGER_RESULTS, MESSAGE_REQUESTED
from passferry_pass_issuer.application.send_messages import GivenRequest
from passferry_pass_issuer.entrypoints.pass_life import PassLife
from passferry_runtime.kafka.records import Incoming, Outcome, Route

BATCH = 64


def routes(life: PassLife) -> list[Route]:
    async def take_messages(batch: Sequence[Incoming]) -> Sequence[Outcome]:
        return await life.apply_message_requests(
            [
                GivenRequest(event_id=each.id, data=each.data)
                for each in batch
                if isinstance(each.data, MessageRequested)
            ]
        )

    async def take_enrolments(batch: Sequence[Incoming]) -> Sequence[Outcome]:
        return await life.answer_enrolments(
            [each.data for each in batch if isinstance(each.data, EnrolmentRequested)]
        )

    async def take_results(batch: Sequence[Incoming]) -> Sequence[Outcome]:
        return await life.complete_reissues(
            [each.data for each in batch if isinstance(each.data, CommandCompleted)]
        )

    return [
        Route(topic=MESSAGE_REQUESTED, handler=take_messages, max_batch=BATCH),
        Route(topic=ENROLMENT_REQUESTED, handler=take_enrolments, max_batch=BATCH),
        Route(topic=LEDGER_RESULTS, handler=take_results, max_batch=BATCH),
    ]
