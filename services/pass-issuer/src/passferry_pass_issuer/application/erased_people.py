"""Erased people stay erased: what was asked for before the erasure, and is heard later, is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction
from passferry_pass_issuer.domain.erased_names import (
    ERASED_CODE,
    ERASED_DETAIL,
    FIELDS,
    Name,
    asked_holder_names,
    first_of,
    pass_names,
)
from passferry_pass_issuer.domain.issuing import IssueRefused, IssueRequest

#: (workspace_id, name).
NameKey = tuple[UUID, Name]


class ErasedNames(Protocol):
    """Remembered as keyed hashes, for as long as something older could come back."""

    async def of_holder(
        self, transaction: Transaction, workspace_id: UUID, holder_id: UUID
    ) -> list[Name]:
        """What names a holder who is not erased yet."""

    async def remember(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        holder_id: UUID,
        names: Collection[Name],
    ) -> None:
        """Of an erased holder and their passes, with the time of the erasure."""

    async def erased_at(
        self, transaction: Transaction, wanted: Collection[NameKey]
    ) -> dict[NameKey, datetime]:
        """Of those that are remembered."""

    async def forget_old(
        self,
        transaction: Transaction,
        workspace_ids: Collection[UUID],
        *,
        before: datetime,
        limit: int,
    ) -> int:
        """At most `limit` of each workspace, and none that a file waits behind; how many."""


async def erased_since(
    names: ErasedNames,
    transaction: Transaction,
    workspace_id: UUID,
    wanted: Collection[Name],
    asked_at: datetime,
) -> frozenset[Name]:
    """Those of people who were erased after something was asked for."""
    found = await names.erased_at(transaction, [(workspace_id, name) for name in wanted])
    return frozenset(name for (_, name), at in found.items() if at >= asked_at)


def names_in(request: IssueRequest, email_hmacs: Mapping[str, bytes]) -> list[Name]:
    """Whom an order is about."""
    holder = request.holder
    return [
        *asked_holder_names(
            holder.external_id,
            email_hmacs.get(holder.email or ""),
            trusts_address=request.trusts_address,
        ),
        *pass_names(
            program_id=request.program_id, external_id=request.external_id, code=request.code
        ),
    ]


def check_not_erased(
    request: IssueRequest, email_hmacs: Mapping[str, bytes], erased: frozenset[Name]
) -> None:
    """Raises `IssueRefused` for an order about one of the erased."""
    name = first_of(names_in(request, email_hmacs), erased) if erased else None
    if name is not None:
        raise IssueRefused(ERASED_CODE, FIELDS[name.kind], ERASED_DETAIL, 409)
