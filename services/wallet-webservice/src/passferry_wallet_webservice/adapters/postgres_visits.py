"""What visitors, devices and Google's callbacks tell us."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.wallet import (
    PassDownloaded,
    PassInstalled,
    PassLinkOpened,
    PassUninstalled,
)
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_contracts.types import Platform
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database
from passferry_wallet_webservice.adapters.postgres_passes import BY_GOOGLE_OBJECT
from passferry_wallet_webservice.application.ports import CallbackOutcome

KEPT_LOG_LINES = 1_000

ADD_LINES = """
INSERT INTO device_log (workspace_id, line) SELECT $1, unnest($2::text[])
"""

DROP_OLD_LINES = """
DELETE FROM device_log WHERE workspace_id = $1 AND id <= (
    SELECT id FROM device_log WHERE workspace_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)
"""

RECENT_LINES = """
SELECT line, received_at FROM device_log WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2
"""

CLAIM_NONCE = """
INSERT INTO callback_nonce (workspace_id, nonce, expires_at) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING nonce
"""

DROP_OLD_NONCES = "DELETE FROM callback_nonce WHERE workspace_id = $1 AND expires_at < $2"


class PostgresVisits:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def link_opened(
        self,
        workspace_id: UUID,
        pass_id: UUID,
        link_id: UUID,
        platform: Platform,
        *,
        needs_rendering: bool,
    ) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            tx.emit(
                WALLET_ACTIVITY,
                PassLinkOpened(
                    workspace_id=workspace_id,
                    pass_id=pass_id,
                    platform=platform,
                    link_id=link_id,
                    needs_rendering=needs_rendering,
                    occurred_at=self._clock.now(),
                ),
            )

    async def downloaded(self, workspace_id: UUID, pass_id: UUID, revision: int) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            tx.emit(
                WALLET_ACTIVITY,
                PassDownloaded(
                    workspace_id=workspace_id,
                    pass_id=pass_id,
                    platform=Platform.APPLE,
                    revision=revision,
                    occurred_at=self._clock.now(),
                ),
            )

    async def add_log_lines(self, workspace_id: UUID, lines: Sequence[str]) -> None:
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(ADD_LINES, workspace_id, list(lines))
            await tx.execute(DROP_OLD_LINES, workspace_id, KEPT_LOG_LINES)

    async def recent_log_lines(self, workspace_id: UUID, limit: int) -> list[tuple[str, datetime]]:
        async with self._database.transaction({workspace_id}) as tx:
            rows = await tx.fetch(RECENT_LINES, workspace_id, limit)
        return [(row["line"], row["received_at"]) for row in rows]

    async def google_callback(
        self,
        workspace_id: UUID,
        *,
        nonce: str,
        expires_at: datetime,
        google_object_id: str,
        is_save: bool,
    ) -> CallbackOutcome:
        """Tell of it once."""
        now = self._clock.now()
        async with self._database.transaction({workspace_id}) as tx:
            await tx.execute(DROP_OLD_NONCES, workspace_id, now)
            if await tx.fetchval(CLAIM_NONCE, workspace_id, nonce, expires_at) is None:
                return CallbackOutcome.REPEATED
            pass_id = await tx.fetchval(BY_GOOGLE_OBJECT, workspace_id, google_object_id)
            if pass_id is None:
                return CallbackOutcome.UNKNOWN_OBJECT
            kind = PassInstalled if is_save else PassUninstalled
            tx.emit(
                WALLET_ACTIVITY,
                kind(
                    workspace_id=workspace_id,
                    pass_id=pass_id,
                    platform=Platform.GOOGLE,
                    occurred_at=now,
                ),
            )
        return CallbackOutcome.STORED
