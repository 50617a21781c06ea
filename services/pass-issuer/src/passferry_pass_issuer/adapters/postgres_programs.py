"""Programs in Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from passferry_contracts.types import BalanceOwner, Protocol
from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.program import Program, ProgramStatus

INSERT = """
INSERT INTO program (workspace_id, program_id, name, protocol, status, template_id, balance_owner,
    unit, unit_scale, floor_minor, limits, rules, thresholds, opening_balance_minor,
    opening_minimum_minor, opening_maximum_minor, passkit, revision, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12::jsonb, $13::jsonb, $14, $15, $16,
    $17::jsonb, $18, $19, $20)
"""

UPDATE = """
UPDATE program
SET name = $3, status = $4, template_id = $5, floor_minor = $6, limits = $7::jsonb,
    rules = $8::jsonb, thresholds = $9::jsonb, opening_balance_minor = $10,
    opening_minimum_minor = $11, opening_maximum_minor = $12, passkit = $13::jsonb,
    revision = $14, updated_at = $15
WHERE workspace_id = $1 AND program_id = $2
"""

_COLUMNS = """workspace_id, program_id, name, protocol, status, template_id, balance_owner, unit,
    unit_scale, floor_minor, limits, rules, thresholds, opening_balance_minor,
    opening_minimum_minor, opening_maximum_minor, passkit, revision, created_at, updated_at"""

SELECT_BY_IDS = f"""
SELECT {_COLUMNS} FROM program WHERE workspace_id = $1 AND program_id = ANY($2::uuid[])
"""  # noqa: S608  # the columns are a constant of this module

LOCK = f"""
SELECT {_COLUMNS} FROM program WHERE workspace_id = $1 AND program_id = $2
FOR NO KEY UPDATE
"""  # noqa: S608  # the columns are a constant of this module

PAGE = f"""
SELECT {_COLUMNS} FROM program
WHERE workspace_id = $1
    AND ($2::timestamptz IS NULL OR (created_at, program_id) > ($2, $3::uuid))
ORDER BY created_at, program_id LIMIT $4
"""  # noqa: S608  # the columns are a constant of this module


class PostgresPrograms:
    async def by_ids(
        self, transaction: Transaction, workspace_id: UUID, program_ids: Sequence[UUID]
    ) -> dict[UUID, Program]:
        rows = await transaction.fetch(SELECT_BY_IDS, workspace_id, list(program_ids))
        return {row["program_id"]: _program(row) for row in rows}

    async def lock(
        self, transaction: Transaction, workspace_id: UUID, program_id: UUID
    ) -> Program | None:
        row = await transaction.fetchrow(LOCK, workspace_id, program_id)
        return None if row is None else _program(row)

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Program]:
        created_at, program_id = after or (None, None)
        rows = await transaction.fetch(PAGE, workspace_id, created_at, program_id, limit)
        return [_program(row) for row in rows]

    async def insert(self, transaction: Transaction, program: Program) -> None:
        await transaction.execute(
            INSERT,
            program.workspace_id,
            program.program_id,
            program.name,
            program.protocol.value,
            program.status.value,
            program.template_id,
            program.balance_owner.value,
            program.unit,
            program.unit_scale,
            program.floor_minor,
            json.dumps(dict(program.limits)),
            json.dumps(dict(program.rules)),
            json.dumps(list(program.thresholds)),
            program.opening_balance_minor,
            program.opening_minimum_minor,
            program.opening_maximum_minor,
            json.dumps(dict(program.passkit)),
            program.revision,
            program.created_at,
            program.updated_at,
        )

    async def update(self, transaction: Transaction, program: Program) -> None:
        await transaction.execute(
            UPDATE,
            program.workspace_id,
            program.program_id,
            program.name,
            program.status.value,
            program.template_id,
            program.floor_minor,
            json.dumps(dict(program.limits)),
            json.dumps(dict(program.rules)),
            json.dumps(list(program.thresholds)),
            program.opening_balance_minor,
            program.opening_minimum_minor,
            program.opening_maximum_minor,
            json.dumps(dict(program.passkit)),
            program.revision,
            program.updated_at,
        )


def _program(row: Any) -> Program:
    return Program(
        workspace_id=row["workspace_id"],
        program_id=row["program_id"],
        name=row["name"],
        protocol=Protocol(row["protocol"]),
        status=ProgramStatus(row["status"]),
        template_id=row["template_id"],
        balance_owner=BalanceOwner(row["balance_owner"]),
        unit=row["unit"],
        unit_scale=row["unit_scale"],
        floor_minor=row["floor_minor"],
        limits=json.loads(row["limits"]),
        rules=json.loads(row["rules"]),
        thresholds=json.loads(row["thresholds"]),
        opening_balance_minor=row["opening_balance_minor"],
        opening_minimum_minor=row["opening_minimum_minor"],
        opening_maximum_minor=row["opening_maximum_minor"],
        passkit=json.loads(row["passkit"]),
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
