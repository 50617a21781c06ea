"""Seals in Postgres: made by one replica at a time for each workspace, checked by reading all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from passferry_ledger.adapters.known_workspaces import known_workspaces
from passferry_ledger.adapters.postgres_availability import passing_when_unavailable
from passferry_ledger.domain.sealing import FIRST_HASH, Seal, SealedEntry, next_seal, seal_hash
from passferry_ledger.domain.verification import Finding
from passferry_ledger.metrics import SEALED_ENTRIES
from passferry_runtime.clock import Clock
from passferry_runtime.postgres import Database, Record, Transaction

MAX_ENTRIES = 1_000
#: How long after its time an entry may still be committed: see the time limit of statements.
LATEST_COMMIT = timedelta(minutes=10)
#: Looks go on where the last one ended; so often they begin anew, for what was committed late.
LOOK_BACK_EVERY = timedelta(minutes=5)
MUST_BE_SEALED_AFTER = timedelta(hours=1)
MAX_FINDINGS = 1_000
#: Of the comparison of all entries.
CHECK_TIMEOUT_S = 900.0

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

SEALED_BEYOND = """
SELECT min(number) FROM sealed_entry WHERE workspace_id = $1 AND number > $2
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

# One look at many workspaces: most of them have nothing new.
DUE = """
SELECT given.workspace_id
FROM unnest($1::uuid[], $2::timestamptz[]) AS given(workspace_id, looked_until)
LEFT JOIN sealing_progress ON sealing_progress.workspace_id = given.workspace_id
WHERE EXISTS (
    SELECT FROM entry
    WHERE entry.workspace_id = given.workspace_id
        AND entry.recorded_at >= greatest(sealing_progress.sealed_until, given.looked_until)
        AND entry.recorded_at < $3
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
        #: By workspace, where to go on looking. Of the others, all after `sealing_progress` is
        #: looked at again.
        self._looked_until: dict[UUID, datetime] = {}
        self._looked_back_at = LONG_AGO

    async def workspaces(self) -> list[UUID]:
        return [name async for page in known_workspaces(self._database) for name in page]

    async def due(self, *, delay: timedelta) -> AsyncIterator[list[UUID]]:
        """Workspaces that have entries to seal, some at a time."""
        now = self._clock.now()
        if now - self._looked_back_at >= LOOK_BACK_EVERY:
            self._looked_until.clear()
            self._looked_back_at = now
        async for names in known_workspaces(self._database):
            anew = [name for name in names if name not in self._looked_until]
            looked = [self._looked_until.get(name, LONG_AGO) for name in names]
            with passing_when_unavailable():
                async with self._database.transaction(names) as transaction:
                    if anew:
                        await transaction.execute(MOVE_ON, anew, now - LATEST_COMMIT)
                    rows = await transaction.fetch(DUE, names, looked, now - delay)
            due = [row["workspace_id"] for row in rows]
            for name in set(anew) - set(due):
                self._looked_until[name] = now - delay
            yield due

    async def seal_next(self, workspace_id: UUID, *, delay: timedelta) -> int:
        """Seal the oldest entries that have rested for `delay`, at most MAX_ENTRIES; how many."""
        now = self._clock.now()
        looked = self._looked_until.get(workspace_id)
        with passing_when_unavailable():
            async with self._database.transaction([workspace_id]) as transaction:
                if not await transaction.fetchval(LOCK_WORKSPACE, str(workspace_id)):
                    return 0
                rows = await _unsealed(transaction, workspace_id, looked, now - delay, now)
                if rows:
                    names = [row["entry_id"] for row in rows]
                    await _seal(transaction, workspace_id, names, now)
        last = rows[-1]["recorded_at"] if rows else now - delay
        if looked is not None or last > now - LATEST_COMMIT:
            self._looked_until[workspace_id] = last
        SEALED_ENTRIES.inc(len(rows))
        return len(rows)

    async def findings(self, workspace_id: UUID) -> list[Finding]:
        """HASH_MISMATCH, SEAL_GAP, SEALED_ENTRY_MISSING and ENTRY_NOT_SEALED."""
        with passing_when_unavailable():
            async with self._database.transaction(
                [workspace_id], isolation="REPEATABLE READ READ ONLY"
            ) as transaction:
                found: list[Finding] = []
                async for finding in _check_chain(transaction, workspace_id):
                    found.append(finding)
                    if len(found) >= MAX_FINDINGS:
                        break
                late = await transaction.fetch(
                    NOT_SEALED,
                    workspace_id,
                    self._clock.now() - MUST_BE_SEALED_AFTER,
                    MAX_FINDINGS,
                    timeout_s=CHECK_TIMEOUT_S,
                )
        found.extend(
            _finding("ENTRY_NOT_SEALED", workspace_id, row["subject"], "a seal", "none")
            for row in late
        )
        return found[:MAX_FINDINGS]


async def _unsealed(
    transaction: Transaction,
    workspace_id: UUID,
    looked_until: datetime | None,
    before: datetime,
    now: datetime,
) -> list[Record]:
    progress = await transaction.fetchval(PROGRESS, workspace_id) or LONG_AGO
    since = max(progress, looked_until or LONG_AGO)
    rows = await transaction.fetch(UNSEALED, workspace_id, since, before, MAX_ENTRIES)
    if looked_until is None:
        # What is older than the longest transaction has been committed, and is sealed up to here.
        done = min(rows[-1]["recorded_at"] if rows else before, now - LATEST_COMMIT)
        await transaction.execute(WRITE_PROGRESS, workspace_id, done)
    return rows


async def _seal(
    transaction: Transaction, workspace_id: UUID, names: Sequence[UUID], now: datetime
) -> None:
    row = await transaction.fetchrow(LAST_SEAL, workspace_id)
    read = await _entries(transaction, workspace_id, names)
    seal = next_seal(None if row is None else _seal_of(row), [read[name] for name in names])
    await transaction.execute(
        WRITE_SEAL, workspace_id, seal.number, seal.entries, seal.previous_hash, seal.hash, now
    )
    await transaction.execute(WRITE_SEALED, workspace_id, seal.number, list(names))


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
    number, previous_hash = 0, FIRST_HASH
    while page := [_seal_of(row) for row in await transaction.fetch(SEALS, workspace_id, number)]:
        for seal in page:
            if seal.number != number + 1:
                yield _gap(workspace_id, number + 1, f"seal {seal.number}")
            elif seal.previous_hash != previous_hash:
                yield _finding(
                    "HASH_MISMATCH",
                    workspace_id,
                    f"seal {seal.number}",
                    previous_hash.hex(),
                    seal.previous_hash.hex(),
                )
            async for finding in _check_seal(transaction, workspace_id, seal):
                yield finding
            number, previous_hash = seal.number, seal.hash
    beyond = await transaction.fetchval(SEALED_BEYOND, workspace_id, number)
    if beyond is not None:
        yield _gap(workspace_id, number + 1, f"entries of seal {beyond}")


def _gap(workspace_id: UUID, number: int, actual: str) -> Finding:
    return _finding("SEAL_GAP", workspace_id, f"seal {number}", "a seal", actual)


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
