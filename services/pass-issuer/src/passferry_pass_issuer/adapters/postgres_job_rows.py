"""Rows that wait for their turn, and what came of those that do not, in Postgres."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson

from passferry_pass_issuer.adapters.link_tokens import pass_link_of
from passferry_pass_issuer.application.job_ports import ShownResult, StagedRow
from passferry_pass_issuer.application.ports import Cipher, Transaction
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.bulk_changes import ChangeAction, ChangeRequest
from passferry_pass_issuer.domain.issuing import HolderRequest, IssueRequest
from passferry_pass_issuer.domain.jobs import Outcome, Refusal, RowResult

STAGE = """
INSERT INTO job_chunk (workspace_id, job_id, first_row, row_count, content_ciphertext)
VALUES ($1, $2, $3, $4, $5)
"""

FIRST = """
SELECT first_row, content_ciphertext FROM job_chunk
WHERE workspace_id = $1 AND job_id = $2
ORDER BY first_row LIMIT 1
"""

DROP = "DELETE FROM job_chunk WHERE workspace_id = $1 AND job_id = $2 AND first_row = $3"

DROP_SOME = """
DELETE FROM job_chunk WHERE workspace_id = $1 AND job_id = $2 AND first_row IN (
    SELECT first_row FROM job_chunk WHERE workspace_id = $1 AND job_id = $2 LIMIT $3)
"""

#: In the order in which everybody takes passes, because each is looked up for its key.
INSERT_RESULTS = """
INSERT INTO job_result (workspace_id, job_id, number, outcome, pass_id, field, code, detail)
SELECT $1, $2, number, outcome, pass_id, field, code, detail
FROM unnest($3::bigint[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[])
    AS given(number, outcome, pass_id, field, code, detail)
ORDER BY pass_id, number
"""

#: With the link that was made with the pass, while it is open. One that is younger than the pass
#: was made for whoever was given it since.
RESULTS = """
SELECT r.number, r.outcome, r.pass_id, r.field, r.code, r.detail, p.external_id,
    l.workspace_id, l.link_id, l.token_ciphertext, l.token_sha256, l.expires_at, l.is_revoked
FROM job_result r
LEFT JOIN pass p ON p.workspace_id = r.workspace_id AND p.pass_id = r.pass_id
LEFT JOIN link l ON l.workspace_id = r.workspace_id AND l.pass_id = r.pass_id
    AND NOT l.is_extra AND NOT l.is_revoked AND l.token_ciphertext IS NOT NULL
    AND l.created_at = p.created_at
WHERE r.workspace_id = $1 AND r.job_id = $2 AND r.number > $3
ORDER BY r.number LIMIT $4
"""

REFUSALS = """
SELECT r.number, r.outcome, r.pass_id, r.field, r.code, r.detail, p.external_id
FROM job_result r
LEFT JOIN pass p ON p.workspace_id = r.workspace_id AND p.pass_id = r.pass_id
WHERE r.workspace_id = $1 AND r.job_id = $2 AND r.number > $3 AND r.outcome = 'refused'
ORDER BY r.number LIMIT $4
"""

DROP_RESULTS = """
DELETE FROM job_result WHERE workspace_id = $1 AND job_id = $2 AND number IN (
    SELECT number FROM job_result WHERE workspace_id = $1 AND job_id = $2 LIMIT $3)
"""


class PostgresStagedRows:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def stage(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, rows: Sequence[StagedRow]
    ) -> None:
        first_row = rows[0].number
        content = orjson.dumps([[row.number, asdict(row.request)] for row in rows])
        context = secret_contexts.job_chunk(workspace_id, job_id, first_row)
        sealed = self._cipher.encrypt(content, context=context)
        await transaction.execute(STAGE, workspace_id, job_id, first_row, len(rows), sealed)

    async def first(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID
    ) -> list[StagedRow]:
        row = await transaction.fetchrow(FIRST, workspace_id, job_id)
        if row is None:
            return []
        context = secret_contexts.job_chunk(workspace_id, job_id, row["first_row"])
        content = self._cipher.decrypt(row["content_ciphertext"], context=context)
        return [
            StagedRow(number=number, request=_request(given))
            for number, given in json.loads(content)
        ]

    async def drop(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, first_row: int
    ) -> None:
        await transaction.execute(DROP, workspace_id, job_id, first_row)

    async def drop_some(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, limit: int
    ) -> int:
        return _count(await transaction.execute(DROP_SOME, workspace_id, job_id, limit))


def _request(given: Mapping[str, Any]) -> IssueRequest | ChangeRequest:
    if "action" in given:
        return _change(given)
    holder = dict(given["holder"])
    if holder["birthday"] is not None:
        holder["birthday"] = date.fromisoformat(holder["birthday"])
    expires_at = given["expires_at"]
    return IssueRequest(
        **{
            **given,
            "program_id": UUID(given["program_id"]),
            "holder": HolderRequest(**holder),
            "expires_at": datetime.fromisoformat(expires_at) if expires_at is not None else None,
        }
    )


def _change(given: Mapping[str, Any]) -> ChangeRequest:
    pass_id, expires_at = given["pass_id"], given["expires_at"]
    return ChangeRequest(
        **{
            **given,
            "action": ChangeAction(given["action"]),
            "pass_id": UUID(pass_id) if pass_id is not None else None,
            "expires_at": datetime.fromisoformat(expires_at) if expires_at is not None else None,
        }
    )


class PostgresJobResults:
    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def insert(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        job_id: UUID,
        results: Sequence[RowResult],
    ) -> None:
        refusals = [result.refusal for result in results]
        await transaction.execute(
            INSERT_RESULTS,
            workspace_id,
            job_id,
            [result.number for result in results],
            [result.outcome.value for result in results],
            [result.pass_id for result in results],
            [refusal.field if refusal else None for refusal in refusals],
            [refusal.code if refusal else None for refusal in refusals],
            [refusal.detail if refusal else None for refusal in refusals],
        )

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        job_id: UUID,
        *,
        after: int,
        limit: int,
        only_refused: bool,
    ) -> list[ShownResult]:
        statement = REFUSALS if only_refused else RESULTS
        rows = await transaction.fetch(statement, workspace_id, job_id, after, limit)
        return [
            ShownResult(
                result=_result(row),
                external_id=row["external_id"],
                link=(
                    None
                    if only_refused or row["link_id"] is None
                    else pass_link_of(self._cipher, row)
                ),
            )
            for row in rows
        ]

    async def drop_some(
        self, transaction: Transaction, workspace_id: UUID, job_id: UUID, *, limit: int
    ) -> int:
        return _count(await transaction.execute(DROP_RESULTS, workspace_id, job_id, limit))


def _result(row: Mapping[str, Any]) -> RowResult:
    refusal = None
    if row["code"] is not None:
        refusal = Refusal(field=row["field"], code=row["code"], detail=row["detail"])
    return RowResult(
        number=row["number"],
        outcome=Outcome(row["outcome"]),
        pass_id=row["pass_id"],
        refusal=refusal,
    )


def _count(status: str) -> int:
    """Of `DELETE 12`."""
    return int(status.rpartition(" ")[2])
