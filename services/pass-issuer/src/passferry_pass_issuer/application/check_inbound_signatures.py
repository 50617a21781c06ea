"""Signatures of upstream events: secrets come and go, and what is not signed is not heard."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.ports import Transaction, Transactions
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.inbound_signature import (
    MAX_LIVE_SECRETS,
    InboundKeys,
    RecordProof,
    new_secret,
    signature_fault,
)
from passferry_pass_issuer.metrics import INBOUND_SIGNATURES
from passferry_runtime.errors import Conflict, NotFound, Rejected
from passferry_runtime.ids import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundSecret:
    """What is shown of a secret after its first time."""

    workspace_id: UUID
    inbound_secret_id: UUID
    created_by: str
    created_at: datetime


class InboundSecrets(Protocol):
    async def keys(
        self, transaction: Transaction, workspace_ids: Collection[UUID]
    ) -> Mapping[UUID, InboundKeys]: ...

    async def lock(self, transaction: Transaction, workspace_id: UUID) -> bool:
        """Whether signatures are required; others wait until the transaction ends."""

    async def is_required(self, transaction: Transaction, workspace_id: UUID) -> bool: ...

    async def list(self, transaction: Transaction, workspace_id: UUID) -> list[InboundSecret]: ...

    async def insert(
        self, transaction: Transaction, record: InboundSecret, secret: str
    ) -> None: ...

    async def delete(
        self, transaction: Transaction, workspace_id: UUID, inbound_secret_id: UUID
    ) -> bool: ...

    async def require(
        self, transaction: Transaction, workspace_id: UUID, *, is_required: bool
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class CheckInboundSignatures:
    """Raises nothing: one verdict for each event, None where it may be heard."""

    transactions: Transactions
    secrets: InboundSecrets

    async def __call__(
        self, events: Sequence[tuple[UUID, RecordProof | None]]
    ) -> list[Rejected | None]:
        workspaces = {workspace_id for workspace_id, _ in events}
        if not workspaces:
            return []
        async with self.transactions.transaction(workspaces) as transaction:
            keys = await self.secrets.keys(transaction, workspaces)
        return [
            self._verdict(keys.get(workspace_id, InboundKeys()), proof)
            for workspace_id, proof in events
        ]

    @staticmethod
    def _verdict(keys: InboundKeys, proof: RecordProof | None) -> Rejected | None:
        if not keys.keys and not keys.is_required:
            return None
        fault = signature_fault(proof, keys.keys)
        # Counted also where nothing is required yet: so an operator sees when it can be.
        INBOUND_SIGNATURES.labels(result="valid" if fault is None else "invalid").inc()
        if fault is None or not keys.is_required:
            return None
        return Rejected("signature_invalid", fault)


@dataclass(frozen=True, kw_only=True)
class KeepInboundSecrets:
    secrets: InboundSecrets

    async def add(self, work: Work, workspace_id: UUID) -> tuple[InboundSecret, str]:
        """The record, and the secret that is shown this once."""
        await self.secrets.lock(work.transaction, workspace_id)
        live = await self.secrets.list(work.transaction, workspace_id)
        if len(live) >= MAX_LIVE_SECRETS:
            raise Conflict(
                "too_many_secrets", f"{MAX_LIVE_SECRETS} secrets are live: delete the old one first"
            )
        record = InboundSecret(
            workspace_id=workspace_id,
            inbound_secret_id=uuid7(),
            created_by=work.actor,
            created_at=work.now,
        )
        secret = new_secret()
        await self.secrets.insert(work.transaction, record, secret)
        await work.audit(workspace_id, "inbound_secret.created", record.inbound_secret_id)
        return record, secret

    async def delete(self, work: Work, workspace_id: UUID, inbound_secret_id: UUID) -> None:
        is_required = await self.secrets.lock(work.transaction, workspace_id)
        live = await self.secrets.list(work.transaction, workspace_id)
        if inbound_secret_id not in {each.inbound_secret_id for each in live}:
            raise NotFound("inbound_secret_not_found", "there is no such secret")
        if is_required and len(live) == 1:
            raise Conflict(
                "last_secret", "signatures are required and this is the only secret: make another"
            )
        await self.secrets.delete(work.transaction, workspace_id, inbound_secret_id)
        await work.audit(workspace_id, "inbound_secret.deleted", inbound_secret_id)

    async def require(self, work: Work, workspace_id: UUID, *, is_required: bool) -> None:
        before = await self.secrets.lock(work.transaction, workspace_id)
        if is_required and not await self.secrets.list(work.transaction, workspace_id):
            raise Conflict("no_secret", "nobody could sign: make a secret first")
        if before is is_required:
            return
        await self.secrets.require(work.transaction, workspace_id, is_required=is_required)
        await work.audit(
            workspace_id,
            "inbound_signature.changed",
            workspace_id,
            before={"required": before},
            after={"required": is_required},
        )
