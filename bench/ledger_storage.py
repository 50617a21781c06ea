"""The storage call in a process of its own: lanes and batches as in the service, and no HTTP.

A child of bench/ledger.py; says one line of JSON per cell.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from uuid import UUID

import uvloop

from bench.ledger_loads import Job, closed_loop, pass_id_of, read_job, tell
from passferry_ledger.adapters.postgres_ledger import PostgresLedger
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.batch_commands import BatchCommands
from passferry_ledger.application.ports import Submission
from passferry_ledger.domain.commands import Command, EntryKind
from passferry_ledger.settings import LedgerSettings
from passferry_runtime.clock import SystemClock
from passferry_runtime.postgres import Database

KINDS = (EntryKind.EARN, EntryKind.REDEEM)


class AllWorkspaces:
    """Everybody is known and nobody suspended."""

    def is_known(self, workspace_id: UUID) -> bool:
        return True

    def is_suspended(self, workspace_id: UUID) -> bool:
        return False

    def may_hold_passes(self, workspace_id: UUID) -> bool:
        return True


def default_of(setting: str) -> int:
    """The service's own default, so that both are measured alike."""
    return int(LedgerSettings.model_fields[setting].default)


def sender(batch: BatchCommands, workspace_id: UUID) -> Callable[[int], Awaitable[None]]:
    draw, kinds = random.Random(), itertools.cycle(KINDS)

    async def once(account: int) -> None:
        command = Command(
            workspace_id=workspace_id,
            kind=next(kinds),
            amount_minor=1,
            pass_id=pass_id_of(account),
            idempotency_key=f"{draw.getrandbits(128):032x}",
            recorded_by="bench",
        )
        outcome = await batch(Submission(command=command))
        if not outcome.is_applied:
            raise AssertionError(f"refused: {outcome.code}")

    return once


async def measure(job: Job) -> None:
    clock = SystemClock()
    pool_size = default_of("database_pool_size")
    async with Database.open(job.places["dsn"], service="ledger", max_size=pool_size) as database:
        apply = ApplyCommands(ledger=PostgresLedger(database, clock), workspaces=AllWorkspaces())
        batch = BatchCommands(
            apply,
            lanes=default_of("command_lanes"),
            max_batch=default_of("command_batch"),
            max_queued_per_lane=default_of("command_queue"),
        )
        lanes = asyncio.create_task(batch.run())
        once = sender(batch, UUID(job.places["workspace_id"]))
        for cell in job.cells:
            tell(await closed_loop(cell, job, once))
        batch.stop()
        await lanes


if __name__ == "__main__":
    uvloop.run(measure(read_job()))
