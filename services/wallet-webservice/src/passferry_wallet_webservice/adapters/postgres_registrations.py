"""Which devices hold which passes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.wallet import DeviceRegistered
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database
from passferry_wallet_webservice.adapters.device_events import still_registered, tell_gone
from passferry_wallet_webservice.application.ports import (
    DevicePass,
    GoneToken,
    ListedPass,
    NewRegistration,
)

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
RETURNING (xmax = 0) AS is_new, (SELECT pass.revision FROM published_pass AS pass
    WHERE pass.workspace_id = $1 AND pass.pass_id = $5) AS revision
"""

_GONE = """RETURNING device_registration.workspace_id, device_registration.pass_id,
    device_registration.pass_type_identifier, device_registration.serial_number,
    device_registration.device_library_identifier, device_registration.push_token_sha256"""

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

_GIVEN_TOKENS = """unnest($1::uuid[], $2::text[], $3::timestamptz[])
    AS given(workspace_id, push_token_sha256, gone_at)"""

DELETE_TOKENS = f"""
DELETE FROM device_registration USING {_GIVEN_TOKENS}
WHERE device_registration.workspace_id = given.workspace_id
    AND device_registration.push_token_sha256 = given.push_token_sha256
    AND device_registration.updated_at <= given.gone_at
{_GONE}
"""  # noqa: S608  # a constant of this module

RENEWED = f"""
SELECT DISTINCT registration.workspace_id, registration.pass_id,
    registration.pass_type_identifier, registration.serial_number,
    registration.device_library_identifier, registration.push_token_ciphertext,
    registration.push_token_sha256, registration.updated_at
FROM device_registration AS registration JOIN {_GIVEN_TOKENS}
    ON registration.workspace_id = given.workspace_id
    AND registration.push_token_sha256 = given.push_token_sha256
WHERE registration.updated_at > given.gone_at
"""  # noqa: S608  # a constant of this module

DELETE_PASS = f"""
DELETE FROM device_registration WHERE workspace_id = $1 AND pass_id = $2
{_GONE}
"""  # noqa: S608  # a constant of this module

FORGET_WAITING = "DELETE FROM waiting_revision WHERE workspace_id = $1 AND pass_id = $2"
FORGET = "DELETE FROM published_pass WHERE workspace_id = $1 AND pass_id = $2"

#: A tag beyond the counter is not of this database (it was restored): everything is listed then.
LISTED = """
SELECT pass.serial_number, pass.update_tag
FROM device_registration AS registration
JOIN published_pass AS pass
    ON pass.workspace_id = registration.workspace_id AND pass.pass_id = registration.pass_id
JOIN update_counter AS counter
    ON counter.workspace_id = pass.workspace_id
    AND counter.pass_type_identifier = pass.pass_type_identifier
WHERE registration.workspace_id = $1 AND registration.pass_type_identifier = $2
    AND registration.device_library_identifier = $3 AND pass.signature IS NOT NULL
    AND pass.update_tag > CASE WHEN $4::bigint > counter.value THEN 0 ELSE $4::bigint END
ORDER BY pass.update_tag LIMIT $5
"""

#: Null for a pass that is not here.
COUNT = """
SELECT (SELECT count(*) FROM device_registration AS registration
    WHERE registration.workspace_id = pass.workspace_id AND registration.pass_id = pass.pass_id)
FROM published_pass AS pass WHERE pass.workspace_id = $1 AND pass.pass_id = $2
"""


class PostgresRegistrations:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def register(self, served: DevicePass, new: NewRegistration) -> bool:
        """Upsert; true when the device did not hold the pass before."""
        now = self._clock.now()
        key = (served.workspace_id, served.pass_type_identifier, served.serial_number)
        device = new.device_library_identifier
        async with self._database.transaction({served.workspace_id}) as tx:
            known = await tx.fetchval(KNOWN, *key, device)
            stored = await tx.fetchrow(
                UPSERT,
                *key,
                device,
                served.pass_id,
                new.push_token_ciphertext,
                new.push_token_sha256,
                now,
            )
            is_new = stored is not None and bool(stored["is_new"])
            revision = stored["revision"] if stored is not None else None
            if known != new.push_token_sha256:
                tx.emit(WALLET_ACTIVITY, _registered(served, new, is_new, revision, now))
            if is_new:
                dropped = await tx.fetch(
                    DELETE_OLDEST, served.workspace_id, served.pass_id, MAX_DEVICES_PER_PASS
                )
                tell_gone(tx, dropped, "replaced", now)
        return is_new

    async def unregister(self, served: DevicePass, device_library_identifier: str) -> None:
        async with self._database.transaction({served.workspace_id}) as tx:
            rows = await tx.fetch(
                DELETE,
                served.workspace_id,
                served.pass_type_identifier,
                served.serial_number,
                device_library_identifier,
            )
            tell_gone(tx, rows, "requested", self._clock.now())

    async def listed(
        self,
        workspace_id: UUID,
        pass_type_identifier: str,
        device_library_identifier: str,
        since: int,
    ) -> list[ListedPass]:
        async with self._database.transaction({workspace_id}) as tx:
            rows = await tx.fetch(
                LISTED,
                workspace_id,
                pass_type_identifier,
                device_library_identifier,
                since,
                MAX_LISTED,
            )
        return [ListedPass(row["serial_number"], row["update_tag"]) for row in rows]

    async def count(self, workspace_id: UUID, pass_id: UUID) -> int | None:
        async with self._database.transaction({workspace_id}) as tx:
            number: int | None = await tx.fetchval(COUNT, workspace_id, pass_id)
        return number

    async def drop_gone_tokens(self, gone: Sequence[GoneToken]) -> None:
        """Remove registrations of tokens that APNs calls gone, unless renewed since then."""
        now = self._clock.now()
        columns = (
            [each.workspace_id for each in gone],
            [each.push_token_sha256 for each in gone],
            [each.gone_at for each in gone],
        )
        async with self._database.transaction({each.workspace_id for each in gone}) as tx:
            tell_gone(tx, await tx.fetch(DELETE_TOKENS, *columns), "token_gone", now)
            # The notifier has struck these out; it did not know that they were renewed, as a
            # device that comes back with the same token changes nothing that others are told.
            for row in await tx.fetch(RENEWED, *columns):
                tx.emit(WALLET_ACTIVITY, still_registered(row, row["updated_at"]))

    async def forget_pass(self, workspace_id: UUID, pass_id: UUID) -> None:
        """The pass was deleted: its last revision has been rung before."""
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(FORGET_WAITING, workspace_id, pass_id)
            rows = await tx.fetch(DELETE_PASS, workspace_id, pass_id)
            tell_gone(tx, rows, "pass_deleted", self._clock.now())
            await tx.execute(FORGET, workspace_id, pass_id)


def _registered(
    served: DevicePass, new: NewRegistration, is_new: bool, revision: int | None, now: datetime
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
