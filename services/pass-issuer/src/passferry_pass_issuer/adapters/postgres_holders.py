"""Holders in Postgres; what is personal is one ciphertext per person."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import Any
from uuid import UUID

from passferry_pass_issuer.adapters.postgres_lookup_keys import LookupKeys, PostgresLookupKeys
from passferry_pass_issuer.application.ports import Cipher, NewHolder, Transaction
from passferry_pass_issuer.domain import secret_contexts
from passferry_pass_issuer.domain.holder import Consent, Holder
from passferry_pass_issuer.domain.rendering_subject import HolderFacts
from passferry_runtime.crypto import DecryptionFailed

EXTERNAL_PREFIX = "external:"

FACTS = """
SELECT h.workspace_id, h.holder_id, h.external_id, h.personal_ciphertext FROM holder h
JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(workspace_id, holder_id)
    ON h.workspace_id = wanted.workspace_id AND h.holder_id = wanted.holder_id
"""

BY_EXTERNAL_IDS = """
SELECT workspace_id, holder_id, external_id, personal_ciphertext FROM holder
WHERE workspace_id = $1 AND external_id = ANY($2::text[])
"""

BY_EMAILS = """
SELECT DISTINCT ON (email_hmac) workspace_id, holder_id, external_id, personal_ciphertext,
    email_hmac
FROM holder
WHERE workspace_id = $1 AND email_hmac = ANY($2::bytea[]) AND is_address_proven
ORDER BY email_hmac, created_at, holder_id
"""

INSERT = """
INSERT INTO holder (workspace_id, holder_id, external_id, email_hmac, personal_ciphertext,
    is_address_proven, created_at, updated_at)
SELECT $1, holder_id, external_id, email_hmac, personal_ciphertext, is_address_proven, created_at,
    created_at
FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::timestamptz[], $7::boolean[])
    AS given(holder_id, external_id, email_hmac, personal_ciphertext, created_at,
        is_address_proven)
"""

HOLDER_COLUMNS = """h.workspace_id, h.holder_id, h.external_id, h.personal_ciphertext, h.tags,
    h.consents, h.is_address_proven, h.created_at, h.updated_at, h.erased_at"""

FIND_BY_ID = f"""
SELECT {HOLDER_COLUMNS} FROM holder h WHERE h.workspace_id = $1 AND h.holder_id = $2
"""  # noqa: S608  # the columns are a constant

FIND_BY_EXTERNAL_ID = f"""
SELECT {HOLDER_COLUMNS} FROM holder h WHERE h.workspace_id = $1 AND h.external_id = $2
"""  # noqa: S608  # the columns are a constant

WITH_EMAIL = f"""
SELECT {HOLDER_COLUMNS} FROM holder h WHERE h.workspace_id = $1 AND h.email_hmac = $2
ORDER BY h.created_at, h.holder_id LIMIT $3
"""  # noqa: S608  # the columns are a constant

PAGE = f"""
SELECT {HOLDER_COLUMNS} FROM holder h
WHERE h.workspace_id = $1
    AND ($2::timestamptz IS NULL OR (h.created_at, h.holder_id) > ($2, $3::uuid))
ORDER BY h.created_at, h.holder_id LIMIT $4
"""  # noqa: S608  # the columns are a constant

SAVE = """
INSERT INTO holder (workspace_id, holder_id, external_id, email_hmac, personal_ciphertext, tags,
    consents, created_at, updated_at, erased_at, is_address_proven)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11)
ON CONFLICT (workspace_id, holder_id) DO UPDATE SET external_id = excluded.external_id,
    email_hmac = excluded.email_hmac, personal_ciphertext = excluded.personal_ciphertext,
    tags = excluded.tags, consents = excluded.consents, updated_at = excluded.updated_at,
    erased_at = excluded.erased_at, is_address_proven = excluded.is_address_proven
"""


class PostgresHolders:
    def __init__(self, cipher: Cipher, lookup_keys: LookupKeys | None = None) -> None:
        self._cipher = cipher
        self._lookup_keys = lookup_keys or PostgresLookupKeys(cipher)

    async def facts(
        self, transaction: Transaction, wanted: Collection[tuple[UUID, UUID]]
    ) -> dict[tuple[UUID, UUID], HolderFacts]:
        keys = sorted(set(wanted))
        rows = await transaction.fetch(FACTS, [key[0] for key in keys], [key[1] for key in keys])
        opened: dict[tuple[UUID, UUID], HolderFacts] = {}
        for row in rows:
            # Whose data does not open is left out, and keeps no other pass from being drawn.
            with suppress(DecryptionFailed):
                opened[row["workspace_id"], row["holder_id"]] = self._opened(row)
        return opened

    async def find(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        external_ids: Sequence[str],
        email_hmacs: Sequence[bytes],
    ) -> tuple[dict[str, HolderFacts], dict[bytes, HolderFacts]]:
        by_external_id, by_email = {}, {}
        if external_ids:
            for row in await transaction.fetch(BY_EXTERNAL_IDS, workspace_id, list(external_ids)):
                by_external_id[row["external_id"]] = self._opened(row)
        if email_hmacs:
            for row in await transaction.fetch(BY_EMAILS, workspace_id, list(email_hmacs)):
                by_email[row["email_hmac"]] = self._opened(row)
        return by_external_id, by_email

    async def insert(
        self, transaction: Transaction, workspace_id: UUID, holders: Sequence[NewHolder]
    ) -> None:
        if not holders:
            return
        await transaction.execute(
            INSERT,
            workspace_id,
            [new.facts.holder_id for new in holders],
            [new.facts.external_id for new in holders],
            [new.email_hmac for new in holders],
            [self._sealed(workspace_id, new.facts) for new in holders],
            [new.created_at for new in holders],
            [new.is_address_proven for new in holders],
        )

    async def holder(
        self, transaction: Transaction, workspace_id: UUID, reference: str, *, for_update: bool
    ) -> Holder | None:
        """`reference` is a holder id, or `external:` and an external id."""
        sql, key = _lookup(reference)
        if key is None:
            return None
        lock = " FOR NO KEY UPDATE" if for_update else ""
        row = await transaction.fetchrow(sql + lock, workspace_id, key)
        return None if row is None else self._holder(row)

    async def stub(
        self, transaction: Transaction, workspace_id: UUID, reference: str
    ) -> Holder | None:
        sql, key = _lookup(reference)
        if key is None:
            return None
        row = await transaction.fetchrow(sql + " FOR NO KEY UPDATE", workspace_id, key)
        if row is None:
            return None
        return Holder(
            workspace_id=workspace_id,
            facts=HolderFacts(holder_id=row["holder_id"], external_id=row["external_id"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            erased_at=row["erased_at"],
        )

    async def with_email(
        self, transaction: Transaction, workspace_id: UUID, email: str, *, limit: int
    ) -> list[Holder]:
        key = await self.email_hmac(transaction, workspace_id, email)
        rows = await transaction.fetch(WITH_EMAIL, workspace_id, key, limit)
        return [self._holder(row) for row in rows]

    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        *,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Holder]:
        created_at, holder_id = after or (None, None)
        rows = await transaction.fetch(PAGE, workspace_id, created_at, holder_id, limit)
        return [self._holder(row) for row in rows]

    async def save(self, transaction: Transaction, holder: Holder) -> None:
        facts, workspace_id = holder.facts, holder.workspace_id
        is_erased = holder.erased_at is not None
        email_hmac = (
            await self.email_hmac(transaction, workspace_id, facts.email) if facts.email else None
        )
        await transaction.execute(
            SAVE,
            workspace_id,
            holder.holder_id,
            facts.external_id,
            email_hmac,
            None if is_erased else self._sealed(workspace_id, facts),
            list(holder.tags),
            json.dumps({purpose: _consent(said) for purpose, said in holder.consents.items()}),
            holder.created_at,
            holder.updated_at,
            holder.erased_at,
            holder.is_address_proven,
        )

    async def email_hmac(self, transaction: Transaction, workspace_id: UUID, email: str) -> bytes:
        text = email.strip().casefold().encode()
        return await self._lookup_keys.digest(transaction, workspace_id, text)

    def _sealed(self, workspace_id: UUID, facts: HolderFacts) -> bytes:
        personal = {
            "full_name": facts.full_name,
            "email": facts.email,
            "locale": facts.locale,
            "birthday": facts.birthday.isoformat() if facts.birthday else None,
            "phone": facts.phone,
            "time_zone": facts.time_zone,
        }
        given = {name: value for name, value in personal.items() if value is not None}
        context = secret_contexts.holder(workspace_id, facts.holder_id)
        return self._cipher.encrypt(json.dumps(given, ensure_ascii=False).encode(), context=context)

    def _opened(self, row: Any) -> HolderFacts:
        personal: dict[str, str] = {}
        if row["personal_ciphertext"] is not None:
            context = secret_contexts.holder(row["workspace_id"], row["holder_id"])
            personal = json.loads(self._cipher.decrypt(row["personal_ciphertext"], context=context))
        birthday = personal.get("birthday")
        return HolderFacts(
            holder_id=row["holder_id"],
            external_id=row["external_id"],
            full_name=personal.get("full_name"),
            email=personal.get("email"),
            locale=personal.get("locale"),
            birthday=date.fromisoformat(birthday) if birthday else None,
            phone=personal.get("phone"),
            time_zone=personal.get("time_zone"),
        )

    def _holder(self, row: Any) -> Holder:
        return Holder(
            workspace_id=row["workspace_id"],
            facts=self._opened(row),
            tags=tuple(row["tags"]),
            consents={
                purpose: Consent(
                    is_given=said["given"],
                    at=datetime.fromisoformat(said["at"]),
                    source=said["source"],
                )
                for purpose, said in json.loads(row["consents"]).items()
            },
            is_address_proven=row["is_address_proven"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            erased_at=row["erased_at"],
        )


def _consent(said: Consent) -> dict[str, str | bool]:
    return {"given": said.is_given, "at": said.at.isoformat(), "source": said.source}


def _lookup(reference: str) -> tuple[str, UUID | str | None]:
    if "\x00" in reference:
        return FIND_BY_ID, None
    if reference.startswith(EXTERNAL_PREFIX):
        return FIND_BY_EXTERNAL_ID, reference.removeprefix(EXTERNAL_PREFIX)
    try:
        return FIND_BY_ID, UUID(reference)
    except ValueError:
        return FIND_BY_ID, None
