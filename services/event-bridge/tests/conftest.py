"""What the tests of the bridge share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from passferry_contracts.events.balances import PassBalanceChanged, PassRedeemed
from passferry_contracts.events.directory import ApiKeyGrant, WorkspaceAccessChanged
from passferry_contracts.events.passes import PassCreated
from passferry_contracts.types import BalanceOwner, Protocol, Role, WorkspaceKind
from passferry_runtime.auth import NewApiKey
from passferry_testing.dittofeed_recorder import DittofeedRecorder

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
HOLDER = UUID("01900000-0000-7000-8000-0000000000a1")
PROGRAM = UUID("01900000-0000-7000-8000-0000000000b1")
TEMPLATE = UUID("01900000-0000-7000-8000-0000000000c1")


def access(workspace: UUID, *keys: NewApiKey, **changes: Any) -> WorkspaceAccessChanged:
    fields: dict[str, Any] = {
        "workspace_id": workspace,
        "name": "Café",
        "kind": WorkspaceKind.ROOT,
        "api_keys": [
            ApiKeyGrant(key_id=key.key_id, secret_sha256=key.secret_sha256, role=Role.MANAGER)
            for key in keys
        ],
        "revision": 1,
        "changed_at": NOW,
    }
    return WorkspaceAccessChanged(**{**fields, **changes})


def created(workspace: UUID, pass_id: UUID, **changes: Any) -> PassCreated:
    fields: dict[str, Any] = {
        "workspace_id": workspace,
        "pass_id": pass_id,
        "program_id": PROGRAM,
        "protocol": Protocol.GIFT_CARD,
        "template_id": TEMPLATE,
        "template_version": 1,
        "holder_id": HOLDER,
        "external_id": f"x-{pass_id}",
        "code": "code",
        "balance_owner": BalanceOwner.PASSFERRY,
        "unit": "EUR",
        "unit_scale": 2,
        "opening_balance_minor": 2500,
        "recipient_name": "Zoë O'Neill",
        "revision": 1,
        "created_at": NOW,
    }
    return PassCreated(**{**fields, **changes})


def balance_changed(
    workspace: UUID, pass_id: UUID, version: int, **changes: Any
) -> PassBalanceChanged:
    fields: dict[str, Any] = {
        "workspace_id": workspace,
        "pass_id": pass_id,
        "external_id": f"x-{pass_id}",
        "program_id": PROGRAM,
        "version": version,
        "previous_balance_minor": 2500 + version - 1,
        "new_balance_minor": 2500 + version,
        "change_minor": 1,
        "unit": "EUR",
        "unit_scale": 2,
        "reason": "earn",
        "changed_at": NOW,
    }
    return PassBalanceChanged(**{**fields, **changes})


def redeemed(workspace: UUID, pass_id: UUID, version: int, **changes: Any) -> PassRedeemed:
    fields: dict[str, Any] = {
        "workspace_id": workspace,
        "pass_id": pass_id,
        "external_id": f"x-{pass_id}",
        "program_id": PROGRAM,
        "version": version,
        "redemption_id": PROGRAM,
        "amount_minor": 1250,
        "remaining_minor": 1250,
        "unit": "EUR",
        "unit_scale": 2,
        "merchant_id": "m-1",
        "merchant_name": "Café Łódź",
        "location": "Zürich",
        "redeemed_at": NOW,
    }
    return PassRedeemed(**{**fields, **changes})


@pytest.fixture
def make() -> SimpleNamespace:
    """Events that are valid as they are; keywords change their fields."""
    return SimpleNamespace(
        access=access,
        created=created,
        balance_changed=balance_changed,
        redeemed=redeemed,
        holder=HOLDER,
    )


@pytest_asyncio.fixture
async def recorder() -> AsyncIterator[DittofeedRecorder]:
    async with DittofeedRecorder() as started:
        yield started
