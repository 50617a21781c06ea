"""Commands of operators, each a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_audit import PostgresAudit
from passferry_pass_issuer.app.api import build_administrator
from passferry_pass_issuer.app.credentials import build_new_lookup_key, build_rewrap
from passferry_pass_issuer.app.parts import SERVICE
from passferry_pass_issuer.application.replace_lookup_key import LookupKeyKept, LookupKeyReport
from passferry_pass_issuer.application.rewrap_secrets import RewrapReport
from passferry_pass_issuer.application.work import Workbench
from passferry_pass_issuer.domain.workspace import PLATFORM_ID
from passferry_pass_issuer.settings import PassIssuerSettings
from passferry_runtime.auth import AccessDirectory
from passferry_runtime.clock import SystemClock
from passferry_runtime.crypto import KeyRing, KeyRingInvalid
from passferry_runtime.kafka.settings import kafka_settings
from passferry_runtime.logging import get_logger
from passferry_runtime.outbox import OutboxRelay
from passferry_runtime.postgres import Database
from passferry_runtime.settings import SettingsInvalid, load_settings

RELAY_TIMEOUT_S = 30.0

RELAY_POLL_S = 0.05


log = get_logger(__name__)


def create_administrator(argv: list[str]) -> int:
    """`administrator --api-key-file PATH`: the first platform administrator's key, in a file.

    A file that is there already is kept, so running it again changes nothing.
    """
    parser = argparse.ArgumentParser(prog="passferry_pass_issuer administrator")
    parser.add_argument("--api-key-file", type=Path, required=True)
    path: Path = parser.parse_args(argv).api_key_file
    if path.exists() and path.stat().st_size > 0:
        return 0
    try:
        asyncio.run(_create_administrator(load_settings(PassIssuerSettings), path))
    except KeyRingInvalid as error:
        raise SettingsInvalid([str(error)]) from error
    return 0


async def _create_administrator(settings: PassIssuerSettings, path: Path) -> None:
    cipher = KeyRing.from_file(settings.key_ring_file, environment=settings.environment)
    clock = SystemClock()
    async with Database.open(
        settings.database_url.get_secret_value(), service=SERVICE, max_size=2
    ) as database:
        workbench = Workbench(transactions=database, audit_log=PostgresAudit(), clock=clock)
        create = build_administrator(cipher, AccessDirectory())
        async with workbench.open([PLATFORM_ID], actor="bootstrap") as work:
            created = await create(work)
        _write_private(path, created.presented)
        await _send_outbox(database, OutboxRelay(database, kafka_settings(settings, SERVICE)))


def rewrap_secrets(argv: list[str]) -> int:
    """`rewrap-secrets [--credentials]`: every secret under the ring's active key.

    1 when there are secrets that no key of the ring opens.
    """
    parser = argparse.ArgumentParser(prog="passferry_pass_issuer rewrap-secrets")
    parser.add_argument(
        "--credentials", action="store_true", help="seal those of the notifier anew as well"
    )
    also_credentials = parser.parse_args(argv).credentials
    try:
        report = asyncio.run(_rewrap(load_settings(PassIssuerSettings), also_credentials))
    except KeyRingInvalid as error:
        raise SettingsInvalid([str(error)]) from error
    print(  # noqa: T201  # a command's answer
        json.dumps(
            {
                "workspaces": report.workspaces,
                "rewrapped": dict(report.rewrapped),
                "unopened": dict(report.unopened),
            }
        )
    )
    return 1 if report.unopened else 0


async def _rewrap(settings: PassIssuerSettings, also_credentials: bool) -> RewrapReport:
    own = KeyRing.from_file(settings.key_ring_file, environment=settings.environment)
    shared = KeyRing.from_file(settings.credentials_key_ring_file, environment=settings.environment)
    async with Database.open(
        settings.database_url.get_secret_value(), service=SERVICE, max_size=2
    ) as database:
        rewrap = build_rewrap(database, own, shared if also_credentials else None, SystemClock())
        report = await rewrap()
        if also_credentials:
            await _send_outbox(database, OutboxRelay(database, kafka_settings(settings, SERVICE)))
        return report


def new_lookup_key(argv: list[str]) -> int:
    """`new-lookup-key --workspace ID [--lost-key KEY]`: in the place of one that is lost for good.

    1 when nothing was done, with a sentence that says why.
    """
    parser = argparse.ArgumentParser(prog="passferry_pass_issuer new-lookup-key")
    parser.add_argument("--workspace", type=UUID, required=True, help="the id of the workspace")
    parser.add_argument(
        "--lost-key", help="the id of the key of the key ring that is lost, as the refusal names it"
    )
    given = parser.parse_args(argv)
    try:
        report = asyncio.run(
            _new_lookup_key(load_settings(PassIssuerSettings), given.workspace, given.lost_key)
        )
    except KeyRingInvalid as error:
        raise SettingsInvalid([str(error)]) from error
    except LookupKeyKept as kept:
        print(kept, file=sys.stderr)  # noqa: T201  # a command's answer
        return 1
    print(  # noqa: T201  # a command's answer
        json.dumps(
            {
                "workspace_id": str(given.workspace),
                "known_again": dict(report.known_again),
                "lost": dict(report.lost),
            }
        )
    )
    return 0


async def _new_lookup_key(
    settings: PassIssuerSettings, workspace_id: UUID, lost_key_id: str | None
) -> LookupKeyReport:
    own = KeyRing.from_file(settings.key_ring_file, environment=settings.environment)
    async with Database.open(
        settings.database_url.get_secret_value(), service=SERVICE, max_size=2
    ) as database:
        replace = build_new_lookup_key(database, own, SystemClock())
        return await replace(workspace_id, lost_key_id=lost_key_id)


def _write_private(path: Path, text: str) -> None:
    """Never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


async def _send_outbox(database: Database, relay: OutboxRelay) -> None:
    """Relay until nothing waits any more; what is left after the bound, the service sends."""
    task = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(RELAY_TIMEOUT_S):
            while await _unsent(database):  # noqa: ASYNC110  # another process may send it
                await asyncio.sleep(RELAY_POLL_S)
    except TimeoutError:
        log.warning("administrator_not_told_yet")
    finally:
        relay.stop()
        await asyncio.wait([task], timeout=RELAY_TIMEOUT_S)
        task.cancel()


async def _unsent(database: Database) -> int:
    async with database.plumbing() as transaction:
        return int(await transaction.fetchval("SELECT count(*) FROM outbox"))
