"""Builds the ledger out of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from passferry_ledger.adapters.postgres_accounts import PostgresAccounts
from passferry_ledger.adapters.postgres_decisions import PostgresDecisions
from passferry_ledger.adapters.postgres_due import PostgresDue
from passferry_ledger.adapters.postgres_entries import PostgresEntries
from passferry_ledger.adapters.postgres_export import PostgresExport
from passferry_ledger.adapters.postgres_holdings import PostgresHoldings
from passferry_ledger.adapters.postgres_ledger import PostgresLedger
from passferry_ledger.adapters.postgres_reads import PostgresReads
from passferry_ledger.adapters.postgres_seals import PostgresSeals
from passferry_ledger.adapters.postgres_turn import PostgresTurn
from passferry_ledger.adapters.postgres_verifier import PostgresVerifier
from passferry_ledger.application.apply_commands import ApplyCommands
from passferry_ledger.application.batch_commands import BatchCommands
from passferry_ledger.application.direct_commands import DirectCommands
from passferry_ledger.application.export_entries import MAX_EXPORTS, ExportEntries
from passferry_ledger.application.keep_accounts import CloseAccounts, OpenAccounts, StorePrograms
from passferry_ledger.application.keep_time import KeepTime
from passferry_ledger.application.keys_in_flight import KeysInFlight
from passferry_ledger.application.ports import Verifier
from passferry_ledger.application.read_balances import ReadBalances
from passferry_ledger.application.read_entries import ReadEntries
from passferry_ledger.application.read_holdings import ReadHoldings
from passferry_ledger.application.scan_pass import ScanPass
from passferry_ledger.application.seal_entries import SealEntries
from passferry_ledger.application.take_commands import TakeCommands
from passferry_ledger.application.verify_ledger import VerifyLedger
from passferry_ledger.entrypoints import (
    http_bulk,
    http_commands,
    http_entries,
    http_export,
    http_reads,
    http_scans,
)
from passferry_ledger.entrypoints.bulk_bodies import MAX_BODY_BYTES
from passferry_ledger.entrypoints.command_shortcuts import command_shortcuts
from passferry_ledger.entrypoints.kafka_routes import CONSUMER_GROUP, kafka_routes
from passferry_ledger.entrypoints.verify_command import parse_arguments, run_verify
from passferry_ledger.metrics import QUEUED_COMMANDS
from passferry_ledger.settings import LedgerSettings
from passferry_runtime.auth import AccessDirectory, Authenticator
from passferry_runtime.clock import Clock, SystemClock
from passferry_runtime.http import create_app
from passferry_runtime.kafka.consumer import Consumer
from passferry_runtime.kafka.settings import kafka_settings
from passferry_runtime.lifecycle import Check, CheckResult, Service, Worker
from passferry_runtime.outbox import OutboxRelay
from passferry_runtime.postgres import Database
from passferry_runtime.settings import load_settings

SERVICE = "ledger"
READ_ROUTERS = [http_reads.router, http_entries.router, http_export.router]


def read_side(
    database: Database,
    clock: Clock,
    read_balances: ReadBalances,
    *,
    max_exports: int = MAX_EXPORTS,
) -> dict[str, object]:
    """What the routes of READ_ROUTERS need."""
    return {
        "clock": clock,
        "read_balances": read_balances,
        "read_holdings": ReadHoldings(
            balances=read_balances, reader=PostgresHoldings(database, clock)
        ),
        "read_entries": ReadEntries(
            balances=read_balances,
            reader=PostgresEntries(database),
            decision_reader=PostgresDecisions(database),
        ),
        "export_entries": ExportEntries(PostgresExport(database), max_exports=max_exports),
    }


@asynccontextmanager
async def service(settings: LedgerSettings) -> AsyncIterator[Service]:
    kafka = kafka_settings(settings, SERVICE)
    clock = SystemClock()
    async with Database.open(
        settings.database_url.get_secret_value(),
        service=SERVICE,
        max_size=settings.database_pool_size,
    ) as database:
        directory = AccessDirectory()
        access = directory.reader(kafka)
        accounts = PostgresAccounts(database, clock)
        apply = ApplyCommands(
            ledger=PostgresLedger(database, clock),
            workspaces=directory,
            max_batch=settings.command_batch,
        )
        in_flight = KeysInFlight()
        batch = BatchCommands(
            apply,
            lanes=settings.command_lanes,
            max_batch=settings.command_batch,
            max_queued_per_lane=settings.command_queue,
            in_flight=in_flight,
        )
        direct = DirectCommands(apply, in_flight=in_flight)
        read_balances = ReadBalances(reader=PostgresReads(database, clock))
        # Exports must leave connections to the others.
        max_exports = max(1, min(MAX_EXPORTS, settings.database_pool_size // 4))
        reads = read_side(database, clock, read_balances, max_exports=max_exports)
        QUEUED_COMMANDS.set_function(lambda: batch.queued)
        time = KeepTime(
            due=PostgresDue(database),
            apply=apply,
            workspaces=directory,
            turn=PostgresTurn(database, "time"),
            clock=clock,
            interval_s=settings.time_interval_s,
        )
        sealing = SealEntries(
            seals=PostgresSeals(database, clock),
            interval_s=settings.sealing_interval_s,
            delay_s=settings.sealing_delay_s,
        )
        relay = OutboxRelay(database, kafka)
        consumer = Consumer(
            service=SERVICE,
            group=CONSUMER_GROUP,
            settings=kafka,
            routes=kafka_routes(
                store_programs=StorePrograms(accounts=accounts, workspaces=directory),
                open_accounts=OpenAccounts(accounts=accounts, workspaces=directory),
                close_accounts=CloseAccounts(accounts=accounts, workspaces=directory),
                take_commands=TakeCommands(apply=apply, workspaces=directory),
            ),
            database=database,
            clock=clock,
        )

        async def probe_database() -> CheckResult:
            await database.ping()
            return CheckResult("ok")

        yield Service(
            name=SERVICE,
            http=create_app(
                title="Passferry ledger",
                version=version("passferry-ledger"),
                auth=Authenticator(
                    directory,
                    mode=settings.auth_mode,
                    single_workspace_id=settings.single_workspace_id,
                ),
                state={
                    "submit_command": batch,
                    "direct_commands": direct,
                    "scan_pass": ScanPass(read_balances=read_balances, direct=direct),
                    **reads,
                },
                routers=[
                    http_commands.router,
                    http_scans.router,
                    http_bulk.router,
                    *READ_ROUTERS,
                ],
                max_body_bytes=MAX_BODY_BYTES,
                shortcuts=command_shortcuts(),
            ),
            # Stopped in this order: first what takes work in, at last what sends it out.
            workers=[
                consumer.worker,
                Worker(name="time", run=time.run, stop=time.stop),
                Worker(name="sealing", run=sealing.run, stop=sealing.stop),
                Worker(name="command-lanes", run=batch.run, stop=batch.stop),
                relay.worker,
                access.worker,
            ],
            checks=[
                Check(name="postgres", probe=probe_database),
                access.check,
                consumer.check,
                relay.check,
            ],
        )


def verify(argv: list[str]) -> int:
    """Exit code 0 when everything adds up."""
    return asyncio.run(_verify(argv, PostgresVerifier))


def verify_chain(argv: list[str]) -> int:
    """Exit code 0 when every seal is over what it was made over."""
    return asyncio.run(_verify(argv, lambda database: PostgresSeals(database, SystemClock())))


async def _verify(argv: list[str], make: Callable[[Database], Verifier]) -> int:
    workspace_id = parse_arguments(argv)
    settings = load_settings(LedgerSettings)
    async with Database.open(
        settings.database_url.get_secret_value(), service=SERVICE, max_size=1
    ) as database:
        return await run_verify(VerifyLedger(verifier=make(database)), workspace_id)
