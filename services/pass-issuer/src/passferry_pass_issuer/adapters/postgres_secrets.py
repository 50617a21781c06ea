"""Ciphertexts of whatever table, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.application.rewrap_secrets import SealedSecret
from passferry_pass_issuer.domain.secret_columns import SecretColumn
from passferry_runtime.crypto import DecryptionFailed, KeyRing
from passferry_runtime.postgres import Transaction as PostgresTransaction


def _page_sql(column: SecretColumn, *, is_first: bool) -> str:
    """By the primary key, so that each page starts where the last one ended."""
    names = ", ".join(name for name, _ in column.keys)
    places = ", ".join(f"${5 + n}::{kind}" for n, (_, kind) in enumerate(column.keys))
    behind = "" if is_first or not names else f"AND ({names}) > ({places})"
    order = f"ORDER BY {names}" if names else ""
    listed = f"{names}, " if names else ""
    return f"""
    SELECT {listed}{column.column} AS sealed FROM {column.table}
    WHERE workspace_id = $1 AND {column.column} IS NOT NULL
        AND substring({column.column} FROM 1 FOR $2) <> $3 {behind}
    {order} LIMIT $4 FOR NO KEY UPDATE
    """  # noqa: S608  # tables and columns are constants of the domain


def _replace_sql(column: SecretColumn) -> str:
    own = "".join(f" AND {name} = ${4 + n}" for n, (name, _) in enumerate(column.keys))
    return f"""
    UPDATE {column.table} SET {column.column} = $3
    WHERE workspace_id = $1 AND {column.column} = $2{own}
    """  # noqa: S608  # tables and columns are constants of the domain


class PostgresSecrets:
    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        column: SecretColumn,
        *,
        after: tuple[Any, ...] | None,
        head: bytes,
        limit: int,
    ) -> list[SealedSecret]:
        if after is not None and not column.keys:
            return []
        sql = _page_sql(column, is_first=after is None)
        rows = await transaction.fetch(sql, workspace_id, len(head), head, limit, *(after or ()))
        return [
            SealedSecret(tuple(row[name] for name, _ in column.keys), row["sealed"]) for row in rows
        ]

    async def replace(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        column: SecretColumn,
        changed: Sequence[tuple[SealedSecret, bytes]],
    ) -> None:
        if not changed:
            return
        # Of the port's transactions, production has this one kind.
        await cast("PostgresTransaction", transaction).executemany(
            _replace_sql(column),
            [
                (workspace_id, secret.ciphertext, renewed, *secret.key)
                for secret, renewed in changed
            ],
        )


class RingRewrapper:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    @property
    def active_key_id(self) -> str:
        return self._ring.active_key_id

    @property
    def active_head(self) -> bytes:
        return self._ring.active_head

    def rewrap(self, ciphertext: bytes, *, context: str) -> bytes | None:
        try:
            return self._ring.rewrap(ciphertext, context=context)
        except DecryptionFailed:
            return None
