"""Seals in Postgres: made by one replica at a time for each workspace, checked by reading all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.domain.sealing import FIRST_HASH, Seal, SealedEntry, next_seal, seal_hash
from passferry_ledger.domain.verification import Finding
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record, Transaction

MAX_ENTRIES = 1_000
WORKSPACES_AT_ONCE = 200
BEFORE_ALL = UUID(int=0)
#: How long after its time an entry may still be committed: see the time limit of statements.
LATEST_COMMIT = timedelta(minutes=10)
MUST_BE_SEALED_AFTER = timedelta(hours=1)
MAX_FINDINGS = 1_000

LOCK_WORKSPACE = "SELECT pg_try_advisory_xact_lock(hashtextextended('seal:' || $1::text, 0))"

LAST_SEAL = """
SELECT number, entries, previous_hash, hash FROM seal
WHERE workspace_id = $1 ORDER BY number DESC LIMIT 1
"""

PROGRESS = "SELECT sealed_until FROM sealing_progress WHERE workspace_id = $1"

UNSEALED = """
SELECT entry.entry_id, entry.recorded_at
FROM entry
WHERE entry.workspace_id = $1 AND entry.recorded_at >= $2 AND entry.recorded_at < $3
    AND NOT EXISTS (SELECT FROM sealed_entry WHERE sealed_entry.entry_id = entry.entry_id)
ORDER BY entry.recorded_at, entry.entry_id LIMIT $4
"""

ENTRIES = """
SELECT entry.entry_id, entry.kind, entry.reference, entry.reason, entry.merchant_id,
       entry.merchant_name, entry.location, entry.terminal, entry.recorded_by, entry.occurred_at,
       entry.recorded_at, entry.reverses, entry.hold_id, entry.purchase_minor, entry.purchase_unit
FROM entry WHERE entry.workspace_id = $1 AND entry.entry_id = ANY($2::uuid[])
"""

POSTINGS = """
SELECT entry_id, account_id, amount_minor, unit, version, balance_after_minor, held_change_minor,
       held_after_minor
FROM posting WHERE workspace_id = $1 AND entry_id = ANY($2::uuid[])
"""

MOVEMENTS = """
SELECT entry_id, place, lot_id, amount_minor
FROM lot_movement WHERE workspace_id = $1 AND entry_id = ANY($2::uuid[])
"""

WRITE_SEAL = """
INSERT INTO seal (workspace_id, number, entries, previous_hash, hash, sealed_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""

WRITE_SEALED = """
INSERT INTO sealed_entry (entry_id, workspace_id, number, place)
SELECT entry_id, $1, $2, place
FROM unnest($3::uuid[]) WITH ORDINALITY AS given(entry_id, place)
"""

WRITE_PROGRESS = """
INSERT INTO sealing_progress (workspace_id, sealed_until) VALUES ($1, $2)
ON CONFLICT (workspace_id) DO UPDATE
SET sealed_until = greatest(sealing_progress.sealed_until, excluded.sealed_until)
"""

SEALS = """
SELECT number, entries, previous_hash, hash FROM seal
WHERE workspace_id = $1 AND number > $2 ORDER BY number LIMIT 100
"""

SEALED = """
SELECT entry_id FROM sealed_entry WHERE workspace_id = $1 AND number = $2 ORDER BY place
"""

NOT_SEALED = """
SELECT 'entry ' || entry.entry_id AS subject
FROM entry LEFT JOIN sealed_entry ON sealed_entry.entry_id = entry.entry_id
    AND sealed_entry.workspace_id = entry.workspace_id
WHERE entry.workspace_id = $1 AND entry.recorded_at < $2 AND sealed_entry.entry_id IS NULL
ORDER BY entry.recorded_at LIMIT $3
"""

KNOWN_WORKSPACES = """
SELECT known_workspace_id FROM known_workspace
WHERE known_workspace_id > $1 ORDER BY known_workspace_id LIMIT $2
"""

# One look at many workspaces: most of them have nothing new.
DUE = """
SELECT given.workspace_id
FROM unnest($1::uuid[]) AS given(workspace_id)
LEFT JOIN sealing_progress ON sealing_progress.workspace_id = given.workspace_id
WHERE EXISTS (
    SELECT FROM entry
    WHERE entry.workspace_id = given.workspace_id
        AND entry.recorded_at >= coalesce(sealing_progress.sealed_until, '-infinity')
        AND entry.recorded_at < $2
        AND NOT EXISTS (SELECT FROM sealed_entry WHERE sealed_entry.entry_id = entry.entry_id))
"""

# Else what was sealed long ago would be looked at again and again.
MOVE_ON = """
UPDATE sealing_progress SET sealed_until = $2
WHERE workspace_id = ANY($1::uuid[]) AND sealed_until < $2
    AND EXISTS (
        SELECT FROM entry
        WHERE entry.workspace_id = sealing_progress.workspace_id
            AND entry.recorded_at >= sealing_progress.sealed_until AND entry.recorded_at < $2)
    AND NOT EXISTS (
        SELECT FROM entry
        WHERE entry.workspace_id = sealing_progress.workspace_id
            AND entry.recorded_at >= sealing_progress.sealed_until AND entry.recorded_at < $2
            AND NOT EXISTS (SELECT FROM sealed_entry WHERE sealed_entry.entry_id = entry.entry_id))
"""

LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class PostgresSeals:
    """Also a verifier: of the chain."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def workspaces(self) -> list[UUID]:
        return [name async for page in self._known() for name in page]

    async def due(self, *, delay: timedelta) -> AsyncIterator[list[UUID]]:
        """Workspaces that have entries to seal, some at a time."""
        now = self._clock.now()
        async for names in self._known():
            with passing_when_unavailable():
                async with self._database.transaction(names) as transaction:
                    await transaction.execute(MOVE_ON, names, now - LATEST_COMMIT)
                    rows = await transaction.fetch(DUE, names, now - delay)
            yield [row["workspace_id"] for row in rows]

    async def _known(self) -> AsyncIterator[list[UUID]]:
        after = BEFORE_ALL
        while True:
            with passing_when_unavailable():
                async with self._database.transaction([]) as transaction:
                    rows = await transaction.fetch(KNOWN_WORKSPACES, after, WORKSPACES_AT_ONCE)
            if not rows:
                return
            yield [row["known_workspace_id"] for row in rows]
            after = rows[-1]["known_workspace_id"]

    async def seal_next(self, workspace_id: UUID, *, delay: timedelta) -> int:
        """Seal the oldest entries that have rested for `delay`, at most MAX_ENTRIES; how many."""
        now = self._clock.now()
        with passing_when_unavailable():
            async with self._database.transaction([workspace_id]) as transaction:
                if not await transaction.fetchval(LOCK_WORKSPACE, str(workspace_id)):
                    return 0
                return await _seal(transaction, workspace_id, now - delay, now)

    async def findings(self, workspace_id: UUID) -> list[Finding]:
        """HASH_MISMATCH, SEAL_GAP, SEALED_ENTRY_MISSING and ENTRY_NOT_SEALED."""
        with passing_when_unavailable():
            async with self._database.transaction(
                [workspace_id], isolation="REPEATABLE READ READ ONLY"
            ) as transaction:
                found = [finding async for finding in _check_chain(transaction, workspace_id)]
                late = await transaction.fetch(
                    NOT_SEALED,
                    workspace_id,
                    self._clock.now() - MUST_BE_SEALED_AFTER,
                    MAX_FINDINGS,
                )
        found.extend(
            _finding("ENTRY_NOT_SEALED", workspace_id, row["subject"], "a seal", "none")
            for row in late
        )
        return found[:MAX_FINDINGS]


async def _seal(
    transaction: Transaction, workspace_id: UUID, before: datetime, now: datetime
) -> int:
    since = await transaction.fetchval(PROGRESS, workspace_id) or LONG_AGO
    rows = await transaction.fetch(UNSEALED, workspace_id, since, before, MAX_ENTRIES)
    # What is older than the longest transaction has been committed, and is sealed up to here.
    done = min(rows[-1]["recorded_at"] if rows else before, now - LATEST_COMMIT)
    await transaction.execute(WRITE_PROGRESS, workspace_id, done)
    if not rows:
        return 0
    names = [row["entry_id"] for row in rows]
    row = await transaction.fetchrow(LAST_SEAL, workspace_id)
    read = await _entries(transaction, workspace_id, names)
    seal = next_seal(None if row is None else _seal_of(row), [read[name] for name in names])
    await transaction.execute(
        WRITE_SEAL, workspace_id, seal.number, seal.entries, seal.previous_hash, seal.hash, now
    )
    await transaction.execute(WRITE_SEALED, workspace_id, seal.number, names)
    return len(names)


async def _entries(
    transaction: Transaction, workspace_id: UUID, names: Sequence[UUID]
) -> dict[UUID, SealedEntry]:
    wanted = list(names)
    read = {
        row["entry_id"]: SealedEntry(**dict(row))
        for row in await transaction.fetch(ENTRIES, workspace_id, wanted)
    }
    for row in await transaction.fetch(POSTINGS, workspace_id, wanted):
        if row["entry_id"] in read:
            _, *posting = row.values()
            read[row["entry_id"]].postings.append(tuple(posting))
    for row in await transaction.fetch(MOVEMENTS, workspace_id, wanted):
        if row["entry_id"] in read:
            movement = (row["place"], str(row["lot_id"]), row["amount_minor"])
            read[row["entry_id"]].movements.append(movement)
    return read


async def _check_chain(transaction: Transaction, workspace_id: UUID) -> AsyncIterator[Finding]:
    last: Seal | None = None
    after = 0
    while True:
        page = [_seal_of(row) for row in await transaction.fetch(SEALS, workspace_id, after)]
        if not page:
            return
        for seal in page:
            expected = 1 if last is None else last.number + 1
            if seal.number != expected:
                yield _finding(
                    "SEAL_GAP", workspace_id, f"seal {expected}", "a seal", f"seal {seal.number}"
                )
            elif seal.previous_hash != (FIRST_HASH if last is None else last.hash):
                yield _finding(
                    "HASH_MISMATCH",
                    workspace_id,
                    f"seal {seal.number}",
                    (FIRST_HASH if last is None else last.hash).hex(),
                    seal.previous_hash.hex(),
                )
            async for finding in _check_seal(transaction, workspace_id, seal):
                yield finding
            last = seal
        after = page[-1].number


async def _check_seal(
    transaction: Transaction, workspace_id: UUID, seal: Seal
) -> AsyncIterator[Finding]:
    subject = f"seal {seal.number}"
    names = [row["entry_id"] for row in await transaction.fetch(SEALED, workspace_id, seal.number)]
    read = await _entries(transaction, workspace_id, names)
    if len(names) != seal.entries or len(read) != len(names):
        missing = [str(name) for name in names if name not in read]
        yield _finding(
            "SEALED_ENTRY_MISSING",
            workspace_id,
            subject,
            f"{seal.entries} entries",
            f"{len(read)} entries; gone: {', '.join(missing[:5]) or 'unknown'}",
        )
        return
    computed = seal_hash(seal.previous_hash, seal.number, [read[name] for name in names])
    if computed != seal.hash:
        yield _finding("HASH_MISMATCH", workspace_id, subject, seal.hash.hex(), computed.hex())


def _seal_of(row: Record) -> Seal:
    return Seal(
        number=row["number"],
        entries=row["entries"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )


def _finding(code: str, workspace_id: UUID, subject: str, expected: str, actual: str) -> Finding:
    return Finding(
        code=code, workspace_id=workspace_id, subject=subject, expected=expected, actual=actual
    )
