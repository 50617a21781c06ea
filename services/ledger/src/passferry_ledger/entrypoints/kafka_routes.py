"""Which use case takes which topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from passferry_contracts.events.directory import ProgramChanged
from passferry_contracts.events.passes import PassCreated
from passferry_contracts.registry import (
    LEDGER_COMMANDS,
    PASS_CREATED,
    PASS_UPDATED,
    PROGRAM_CHANGED,
)
from passferry_ledger.application.keep_accounts import (
    CloseAccounts,
    OpenAccounts,
    PassChange,
    StorePrograms,
)
from passferry_ledger.application.take_commands import CommandEvent, OrderedCommand, TakeCommands
from passferry_runtime.kafka.records import Incoming, Outcome, Route

CONSUMER_GROUP = "ledger"


def kafka_routes(
    *,
    store_programs: StorePrograms,
    open_accounts: OpenAccounts,
    close_accounts: CloseAccounts,
    take_commands: TakeCommands,
) -> list[Route]:
    # The registry binds each topic to its models, and the consumer has decoded by it: the casts
    # tell the type checker what it cannot see.
    async def programs(records: Sequence[Incoming]) -> Sequence[Outcome]:
        return await store_programs([cast("ProgramChanged", record.data) for record in records])

    async def created(records: Sequence[Incoming]) -> Sequence[Outcome]:
        return await open_accounts([cast("PassCreated", record.data) for record in records])

    async def updated(records: Sequence[Incoming]) -> Sequence[Outcome]:
        return await close_accounts([cast("PassChange", record.data) for record in records])

    async def commands(records: Sequence[Incoming]) -> Sequence[Outcome]:
        return await take_commands([_ordered(record) for record in records])

    return [
        Route(topic=PROGRAM_CHANGED, handler=programs),
        Route(topic=PASS_CREATED, handler=created),
        Route(topic=PASS_UPDATED, handler=updated),
        Route(topic=LEDGER_COMMANDS, handler=commands),
    ]


def _ordered(record: Incoming) -> OrderedCommand:
    return OrderedCommand(
        data=cast("CommandEvent", record.data),
        event_id=record.id,
        source=record.envelope.source,
        traceparent=record.envelope.traceparent,
    )
