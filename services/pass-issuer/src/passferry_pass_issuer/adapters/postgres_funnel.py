"""The funnel in Postgres: one row for a pass, and counts of days."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast
from uuid import UUID

from passferry_pass_issuer.application.count_funnel import CountKey, PassKey
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.funnel import Count, FunnelLine, FunnelPass, Step
from passferry_runtime.inbox import claim_events
from passferry_runtime.postgres import Transaction as RuntimeTransaction

CONSUMER = "pass-issuer.funnel"

MAKE_ROWS = """
INSERT INTO funnel_pass (workspace_id, pass_id)
SELECT p.workspace_id, p.pass_id FROM pass p
JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(workspace_id, pass_id)
    ON p.workspace_id = wanted.workspace_id AND p.pass_id = wanted.pass_id
WHERE p.workspace_id = ANY($1::uuid[])
ORDER BY p.workspace_id, p.pass_id
ON CONFLICT DO NOTHING
"""

LOCK_ROWS = """
SELECT f.workspace_id, f.pass_id, p.program_id, p.template_id, f.label, f.steps, f.apple_devices,
    f.is_on_google
FROM funnel_pass f
JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(workspace_id, pass_id)
    ON f.workspace_id = wanted.workspace_id AND f.pass_id = wanted.pass_id
JOIN pass p ON p.workspace_id = f.workspace_id AND p.pass_id = f.pass_id
WHERE f.workspace_id = ANY($1::uuid[]) AND p.forgotten_at IS NULL
ORDER BY f.workspace_id, f.pass_id
FOR UPDATE OF f
"""

LABELS = """
SELECT l.workspace_id, l.link_id, l.label FROM link l
JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(workspace_id, link_id)
    ON l.workspace_id = wanted.workspace_id AND l.link_id = wanted.link_id
WHERE l.workspace_id = ANY($1::uuid[])
"""

# Steps and devices have no comma in them, and there are no arrays of arrays of different lengths.
UPDATE_ROWS = """
UPDATE funnel_pass f
SET label = given.label, steps = string_to_array(given.steps, ','),
    apple_devices = string_to_array(given.devices, ','), is_on_google = given.is_on_google
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[])
    AS given(workspace_id, pass_id, label, steps, devices, is_on_google)
WHERE f.workspace_id = ANY($1::uuid[])
    AND f.workspace_id = given.workspace_id AND f.pass_id = given.pass_id
"""

ADD = """
INSERT INTO funnel_day (workspace_id, program_id, day, template_id, label, step, platform, passes,
    events)
SELECT workspace_id, program_id, day, template_id, label, step, platform, passes, events
FROM unnest($1::uuid[], $2::uuid[], $3::date[], $4::uuid[], $5::text[], $6::text[], $7::text[],
    $8::bigint[], $9::bigint[])
    AS given(workspace_id, program_id, day, template_id, label, step, platform, passes, events)
ON CONFLICT (workspace_id, program_id, day, template_id, label, step, platform) DO UPDATE
SET passes = funnel_day.passes + excluded.passes, events = funnel_day.events + excluded.events
"""

ISSUED = """
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, template_id, count(*) AS issued
FROM pass
WHERE workspace_id = $1 AND program_id = $2 AND created_at >= $3 AND created_at < $4
GROUP BY 1, 2
"""

COUNTS = """
SELECT
    CASE WHEN grouping(day) = 0 THEN 'day' WHEN grouping(template_id) = 0 THEN 'template'
        WHEN grouping(label) = 0 THEN 'link' ELSE 'total' END AS kind,
    coalesce(day::text, template_id::text, label) AS key,
    step, platform, sum(passes)::bigint AS passes, sum(events)::bigint AS events
FROM funnel_day
WHERE workspace_id = $1 AND program_id = $2
    AND ((day BETWEEN $3 AND $4 AND step <> 'present') OR (day <= $4 AND step = 'present'))
GROUP BY GROUPING SETS ((day, step, platform), (template_id, step, platform),
    (label, step, platform), (step, platform))
"""


class PostgresFunnel:
    async def claim(
        self, transaction: Transaction, events: Sequence[tuple[UUID, str]]
    ) -> set[tuple[UUID, str]]:
        # The port shows less of the transaction than the inbox asks for.
        return await claim_events(
            cast("RuntimeTransaction", transaction), consumer=CONSUMER, events=events
        )

    async def lock(
        self, transaction: Transaction, keys: Collection[PassKey]
    ) -> dict[PassKey, FunnelPass]:
        columns = [key[0] for key in keys], [key[1] for key in keys]
        await transaction.execute(MAKE_ROWS, *columns)
        rows = await transaction.fetch(LOCK_ROWS, *columns)
        return {(row["workspace_id"], row["pass_id"]): _funnel_pass(row) for row in rows}

    async def labels(
        self, transaction: Transaction, links: Collection[tuple[UUID, UUID]]
    ) -> Mapping[tuple[UUID, UUID], str]:
        columns = [link[0] for link in links], [link[1] for link in links]
        rows = await transaction.fetch(LABELS, *columns)
        return {(row["workspace_id"], row["link_id"]): row["label"] for row in rows}

    async def store(self, transaction: Transaction, rows: Sequence[FunnelPass]) -> None:
        if not rows:
            return
        await transaction.execute(
            UPDATE_ROWS,
            [row.workspace_id for row in rows],
            [row.pass_id for row in rows],
            [row.label for row in rows],
            [",".join(sorted(row.steps)) for row in rows],
            [",".join(sorted(row.apple_devices)) for row in rows],
            [row.is_on_google for row in rows],
        )

    async def add(
        self, transaction: Transaction, counts: Sequence[tuple[CountKey, int, int]]
    ) -> None:
        if not counts:
            return
        rows = [
            (
                key.workspace_id,
                key.program_id,
                key.day,
                key.template_id,
                key.label,
                key.step.value,
                key.platform,
                passes,
                events,
            )
            for key, passes, events in counts
        ]
        await transaction.execute(ADD, *[list(column) for column in zip(*rows, strict=True)])

    async def lines(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        program_id: UUID,
        first: date,
        last: date,
    ) -> list[FunnelLine]:
        begin = datetime.combine(first, time(), UTC)
        end = datetime.combine(last + timedelta(days=1), time(), UTC)
        issued: dict[tuple[str, str | None], int] = {}
        for row in await transaction.fetch(ISSUED, workspace_id, program_id, begin, end):
            for key in (
                ("day", row["day"].isoformat()),
                ("template", str(row["template_id"])),
                ("total", None),
            ):
                issued[key] = issued.get(key, 0) + row["issued"]
        counts: dict[tuple[str, str | None], list[Count]] = {key: [] for key in issued}
        for row in await transaction.fetch(COUNTS, workspace_id, program_id, first, last):
            key = (row["kind"], row["key"])
            counts.setdefault(key, []).append(
                Count(
                    step=Step(row["step"]),
                    platform=row["platform"],
                    passes=row["passes"],
                    events=row["events"],
                )
            )
        return [
            FunnelLine(kind=kind, key=key, issued=issued.get((kind, key), 0), counts=tuple(found))
            for (kind, key), found in sorted(
                counts.items(), key=lambda item: (item[0][0], item[0][1] or "")
            )
        ]


def _funnel_pass(row: Any) -> FunnelPass:
    return FunnelPass(
        workspace_id=row["workspace_id"],
        pass_id=row["pass_id"],
        program_id=row["program_id"],
        template_id=row["template_id"],
        label=row["label"],
        steps=frozenset(row["steps"]),
        apple_devices=frozenset(row["apple_devices"]),
        is_on_google=row["is_on_google"],
    )
