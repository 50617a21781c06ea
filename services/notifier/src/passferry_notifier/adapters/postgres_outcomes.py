"""What attempts came to: deliveries that ended, devices that are gone, what Google has now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from passferry_contracts.events.wallet import PassInstalled, PassUninstalled
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_contracts.types import Channel, Platform
from passferry_notifier.adapters.postgres_queue import completion_columns, tell_completed
from passferry_notifier.application.ports import Completion, PassKey
from passferry_notifier.domain.deliveries import Action
from passferry_runtime.postgres import Transaction

STRIKES_TO_DROP = 3

#: Rows are locked in the order in which everybody locks them. A delivery whose place a newer
#: revision took is not found, and its outcome is that one's.
COMPLETE = """
WITH given AS (
    SELECT workspace_id, delivery_id, state, is_silent, attempts, reason, next_attempt_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[], $5::integer[], $6::text[],
        $7::timestamptz[])
        AS each(workspace_id, delivery_id, state, is_silent, attempts, reason, next_attempt_at)
), locked AS MATERIALIZED (
    SELECT delivery.workspace_id, delivery.delivery_id FROM delivery
    JOIN given ON given.workspace_id = delivery.workspace_id
        AND given.delivery_id = delivery.delivery_id
    WHERE delivery.state = 'pending'
    ORDER BY delivery.workspace_id, delivery.pass_id, delivery.target
    FOR UPDATE OF delivery
)
UPDATE delivery
SET state = given.state, is_silent = given.is_silent, attempts = given.attempts,
    reason = given.reason, next_attempt_at = given.next_attempt_at,
    completed_at = CASE WHEN given.state <> 'pending' THEN $8::timestamptz END
FROM given JOIN locked USING (workspace_id, delivery_id)
WHERE delivery.workspace_id = given.workspace_id AND delivery.delivery_id = given.delivery_id
    AND delivery.state = 'pending'
RETURNING delivery.delivery_id
"""

STRIKE = """
UPDATE device_registration AS device SET strikes = device.strikes + 1
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[])
    AS given(workspace_id, pass_id, device, sha256)
WHERE device.workspace_id = given.workspace_id AND device.pass_id = given.pass_id
    AND device.device_library_identifier = given.device
    AND device.push_token_sha256 = given.sha256
RETURNING device.workspace_id, device.pass_id, device.device_library_identifier AS target,
    device.strikes
"""

CLEAR_STRIKES = """
UPDATE device_registration AS device SET strikes = 0
FROM unnest($1::uuid[], $2::text[]) AS given(workspace_id, sha256)
WHERE device.workspace_id = given.workspace_id AND device.push_token_sha256 = given.sha256
    AND device.strikes > 0
"""

#: A device that registered again after the moment of the answer stays.
DROP_TOKENS = """
DELETE FROM device_registration AS device
USING unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS given(workspace_id, sha256, gone_at)
WHERE device.workspace_id = given.workspace_id AND device.push_token_sha256 = given.sha256
    AND device.registered_at <= given.gone_at
RETURNING device.workspace_id, device.pass_id
"""

SYNCED = """
UPDATE google_object AS known SET synced_sha256 = given.sha256
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS given(workspace_id, pass_id, sha256)
WHERE known.workspace_id = given.workspace_id AND known.pass_id = given.pass_id
"""

#: Not while it is on its way already.
SEND_AGAIN = """
UPDATE delivery SET state = 'pending', next_attempt_at = now(), completed_at = NULL, attempts = 0
FROM (
    SELECT DISTINCT ON (newest.workspace_id, newest.pass_id)
        newest.workspace_id, newest.delivery_id
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS given(workspace_id, pass_id, revision)
    JOIN delivery AS newest ON newest.workspace_id = given.workspace_id
        AND newest.pass_id = given.pass_id AND newest.channel = 'google_wallet'
        AND newest.revision > given.revision
    WHERE NOT EXISTS (
        SELECT 1 FROM delivery AS open WHERE open.workspace_id = given.workspace_id
            AND open.pass_id = given.pass_id AND open.channel = 'google_wallet'
            AND open.state = 'pending')
    ORDER BY newest.workspace_id, newest.pass_id, newest.revision DESC
) AS again
WHERE delivery.workspace_id = again.workspace_id AND delivery.delivery_id = again.delivery_id
"""

HAS_USERS = """
UPDATE google_object AS known SET has_users = given.has_users
FROM unnest($1::uuid[], $2::uuid[], $3::boolean[]) AS given(workspace_id, pass_id, has_users)
WHERE known.workspace_id = given.workspace_id AND known.pass_id = given.pass_id
    AND coalesce(known.has_users, false) <> given.has_users
RETURNING known.workspace_id, known.pass_id, known.has_users
"""


async def store_outcomes(
    tx: Transaction, completions: Sequence[Completion], now: datetime
) -> set[PassKey]:
    """Stores and tells them; returns passes that lost a device."""
    updated = await _update(tx, completions, now)
    struck_out = await _strike(tx, completions)
    lost = await _drop_tokens(tx, completions, struck_out)
    await _learn_from_google(tx, completions, now)
    await _send_again(tx, [c for c in completions if c.delivery.delivery_id not in updated])
    for each in completions:
        if each.state != "pending" and each.delivery.delivery_id in updated:
            _tell(tx, each, _gone_at(each, struck_out), now)
    return lost


async def _send_again(tx: Transaction, superseded: Sequence[Completion]) -> None:
    """Google took an older object, perhaps after the newer one: that is due once more."""
    late = [each for each in superseded if each.verdict.synced_sha256 is not None]
    if late:
        await tx.execute(
            SEND_AGAIN,
            [each.delivery.workspace_id for each in late],
            [each.delivery.pass_id for each in late],
            [each.delivery.revision for each in late],
        )


async def _update(tx: Transaction, completions: Sequence[Completion], now: datetime) -> set[UUID]:
    rows = await tx.fetch(COMPLETE, *completion_columns(completions), now)
    return {row["delivery_id"] for row in rows}


async def _strike(
    tx: Transaction, completions: Sequence[Completion]
) -> Collection[tuple[UUID, UUID, str]]:
    """Count strikes; returns the registrations (workspace, pass, device) that are out."""
    good = [
        each.delivery
        for each in completions
        if each.verdict.action is Action.DELIVERED and each.delivery.push_token_sha256
    ]
    if good:
        await tx.execute(
            CLEAR_STRIKES,
            [each.workspace_id for each in good],
            [each.push_token_sha256 for each in good],
        )
    struck = [each.delivery for each in completions if each.is_strike]
    if not struck:
        return ()
    rows = await tx.fetch(
        STRIKE,
        [each.workspace_id for each in struck],
        [each.pass_id for each in struck],
        [each.target for each in struck],
        [each.push_token_sha256 for each in struck],
    )
    return {
        (row["workspace_id"], row["pass_id"], row["target"])
        for row in rows
        if row["strikes"] >= STRIKES_TO_DROP
    }


async def _drop_tokens(
    tx: Transaction,
    completions: Sequence[Completion],
    struck_out: Collection[tuple[UUID, UUID, str]],
) -> set[PassKey]:
    gone = [
        (each.delivery, gone_at)
        for each in completions
        if (gone_at := _gone_at(each, struck_out)) is not None
    ]
    if not gone:
        return set()
    rows = await tx.fetch(
        DROP_TOKENS,
        [delivery.workspace_id for delivery, _ in gone],
        [delivery.push_token_sha256 for delivery, _ in gone],
        [gone_at for _, gone_at in gone],
    )
    return {(row["workspace_id"], row["pass_id"]) for row in rows}


def _gone_at(
    completion: Completion, struck_out: Collection[tuple[UUID, UUID, str]]
) -> datetime | None:
    delivery = completion.delivery
    is_out = (delivery.workspace_id, delivery.pass_id, delivery.target) in struck_out
    if completion.verdict.action is Action.TOKEN_GONE or is_out:
        return completion.verdict.gone_since
    return None


async def _learn_from_google(
    tx: Transaction, completions: Sequence[Completion], now: datetime
) -> None:
    synced = [each for each in completions if each.verdict.synced_sha256 is not None]
    if synced:
        await tx.execute(
            SYNCED,
            [each.delivery.workspace_id for each in synced],
            [each.delivery.pass_id for each in synced],
            [each.verdict.synced_sha256 for each in synced],
        )
    told = [each for each in completions if each.verdict.has_users is not None]
    if not told:
        return
    changed = await tx.fetch(
        HAS_USERS,
        [each.delivery.workspace_id for each in told],
        [each.delivery.pass_id for each in told],
        [each.verdict.has_users for each in told],
    )
    for row in changed:
        kind = PassInstalled if row["has_users"] else PassUninstalled
        moment = kind(
            workspace_id=row["workspace_id"],
            pass_id=row["pass_id"],
            platform=Platform.GOOGLE,
            occurred_at=now,
        )
        tx.emit(WALLET_ACTIVITY, moment)


def _tell(tx: Transaction, completion: Completion, gone_at: datetime | None, now: datetime) -> None:
    delivery = completion.delivery
    is_apple = delivery.channel is Channel.APPLE_WALLET
    tell_completed(
        tx,
        completion,
        now,
        revision=delivery.revision,
        device_library_identifier=delivery.target if is_apple else None,
        push_token_sha256=delivery.push_token_sha256,
        google_object_id=None if is_apple else delivery.target,
        token_gone_at=gone_at,
    )
