"""Which devices hold which passes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.deliveries import DeliveryCompleted
from passferry_contracts.events.wallet import DeviceRegistered, DeviceUnregistered
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record, Transaction
from passferry_wallet_webservice.application.ports import ListedPass, NewRegistration, ServedPass

MAX_DEVICES_PER_PASS = 50
MAX_LISTED = 5_000

KNOWN = """
SELECT push_token_sha256 FROM device_registration
WHERE workspace_id = $1 AND pass_type_identifier = $2 AND serial_number = $3
    AND device_library_identifier = $4
FOR UPDATE
"""

UPSERT = """
INSERT INTO device_registration (workspace_id, pass_type_identifier, serial_number,
    device_library_identifier, pass_id, push_token_ciphertext, push_token_sha256,
    registered_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
ON CONFLICT (workspace_id, pass_type_identifier, serial_number, device_library_identifier)
DO UPDATE SET push_token_ciphertext = excluded.push_token_ciphertext,
    push_token_sha256 = excluded.push_token_sha256, updated_at = excluded.updated_at
RETURNING (xmax = 0) AS is_new
"""

REVISION_NOW = "SELECT revision FROM published_pass WHERE workspace_id = $1 AND pass_id = $2"

_GONE = """RETURNING workspace_id, pass_id, pass_type_identifier, serial_number,
    device_library_identifier, push_token_sha256"""

#: The token is read in the statement that deletes it: afterwards nobody could tell which it was.
DELETE = f"""
DELETE FROM device_registration
WHERE workspace_id = $1 AND pass_type_identifier = $2 AND serial_number = $3
    AND device_library_identifier = $4
{_GONE}
"""  # noqa: S608  # a constant of this module

DELETE_OLDEST = f"""
DELETE FROM device_registration
WHERE workspace_id = $1 AND pass_id = $2 AND device_library_identifier IN (
    SELECT device_library_identifier FROM device_registration
    WHERE workspace_id = $1 AND pass_id = $2
    ORDER BY updated_at DESC, device_library_identifier OFFSET $3)
{_GONE}
"""  # noqa: S608  # a constant of this module

DELETE_TOKEN = f"""
DELETE FROM device_registration
WHERE workspace_id = $1 AND push_token_sha256 = $2 AND updated_at <= $3
{_GONE}
"""  # noqa: S608  # a constant of this module

DELETE_PASS = f"""
DELETE FROM device_registration WHERE workspace_id = $1 AND pass_id = $2
{_GONE}
"""  # noqa: S608  # a constant of this module

FORGET = "DELETE FROM published_pass WHERE workspace_id = $1 AND pass_id = $2"

LISTED = """
SELECT pass.serial_number, pass.update_tag, counter.value AS newest
FROM device_registration AS registration
JOIN published_pass AS pass
    ON pass.workspace_id = registration.workspace_id AND pass.pass_id = registration.pass_id
JOIN update_counter AS counter
    ON counter.workspace_id = pass.workspace_id
    AND counter.pass_type_identifier = pass.pass_type_identifier
WHERE registration.workspace_id = $1 AND registration.pass_type_identifier = $2
    AND registration.device_library_identifier = $3 AND pass.signature IS NOT NULL
ORDER BY pass.update_tag LIMIT $4
"""

COUNT = "SELECT count(*) FROM device_registration WHERE workspace_id = $1 AND pass_id = $2"


class PostgresRegistrations:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def register(self, served: ServedPass, new: NewRegistration) -> bool:
        """Upsert; true when the device did not hold the pass before."""
        now = self._clock.now()
        key = (served.workspace_id, served.pass_type_identifier, served.serial_number)
        async with self._database.transaction({served.workspace_id}) as tx:
            device = new.device_library_identifier
            known = await tx.fetchval(KNOWN, *key, device)
            is_new = await tx.fetchval(
                UPSERT,
                *key,
                device,
                served.pass_id,
                new.push_token_ciphertext,
                new.push_token_sha256,
                now,
            )
            revision = await tx.fetchval(REVISION_NOW, served.workspace_id, served.pass_id)
            if known != new.push_token_sha256:
                tx.emit(WALLET_ACTIVITY, _registered(served, new, is_new, revision, now))
            if is_new:
                dropped = await tx.fetch(
                    DELETE_OLDEST, served.workspace_id, served.pass_id, MAX_DEVICES_PER_PASS
                )
                _tell_gone(tx, dropped, "replaced", now)
        return bool(is_new)

    async def unregister(self, served: ServedPass, device_library_identifier: str) -> None:
        async with self._database.transaction({served.workspace_id}) as tx:
            rows = await tx.fetch(
                DELETE,
                served.workspace_id,
                served.pass_type_identifier,
                served.serial_number,
                device_library_identifier,
            )
            _tell_gone(tx, rows, "requested", self._clock.now())

    async def listed(
        self, workspace_id: UUID, pass_type_identifier: str, device_library_identifier: str
    ) -> list[ListedPass]:
        async with self._database.transaction({workspace_id}) as tx:
            rows = await tx.fetch(
                LISTED, workspace_id, pass_type_identifier, device_library_identifier, MAX_LISTED
            )
        return [ListedPass(r["serial_number"], r["update_tag"], r["newest"]) for r in rows]

    async def count(self, workspace_id: UUID, pass_id: UUID) -> int:
        async with self._database.transaction({workspace_id}) as tx:
            return int(await tx.fetchval(COUNT, workspace_id, pass_id))

    async def drop_gone_tokens(self, deliveries: Sequence[DeliveryCompleted]) -> None:
        """Remove registrations of tokens that APNs calls gone, unless renewed since then."""
        async with self._database.transaction({each.workspace_id for each in deliveries}) as tx:
            for each in deliveries:
                if each.push_token_sha256 is None or each.token_gone_at is None:
                    continue
                rows = await tx.fetch(
                    DELETE_TOKEN, each.workspace_id, each.push_token_sha256, each.token_gone_at
                )
                _tell_gone(tx, rows, "token_gone", self._clock.now())

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None:
        """The pass was deleted: its last revision has been rung before."""
        async with self._database.transaction({workspace_id}) as tx:
            rows = await tx.fetch(DELETE_PASS, workspace_id, pass_id)
            _tell_gone(tx, rows, "pass_deleted", self._clock.now())
            await tx.execute(FORGET, workspace_id, pass_id)


def _registered(
    served: ServedPass, new: NewRegistration, is_new: bool, revision: int | None, now: datetime
) -> DeviceRegistered:
    return DeviceRegistered(
        workspace_id=served.workspace_id,
        pass_id=served.pass_id,
        pass_type_identifier=served.pass_type_identifier,
        serial_number=served.serial_number,
        device_library_identifier=new.device_library_identifier,
        push_token_ciphertext=base64.b64encode(new.push_token_ciphertext).decode(),
        push_token_sha256=new.push_token_sha256,
        is_new=is_new,
        # A new device lists and fetches right after this answer; one whose token changed may
        # have missed rings that went to the old one.
        seen_revision=revision if is_new else None,
        registered_at=now,
    )


def _tell_gone(tx: Transaction, rows: Sequence[Record], reason: str, now: datetime) -> None:
    for row in rows:
        tx.emit(
            WALLET_ACTIVITY, DeviceUnregistered(**dict(row), reason=reason, unregistered_at=now)
        )
