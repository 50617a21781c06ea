"""Tells others again of a device that they know, or should know."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

from passferry_contracts.events.wallet import DeviceRegistered, DeviceUnregistered
from passferry_contracts.registry import WALLET_ACTIVITY
from passferry_runtime.postgres import Record, Transaction


def still_registered(row: Record, registered_at: datetime) -> DeviceRegistered:
    """`row` of `device_registration`. The device may have missed anything, so it is rung."""
    return DeviceRegistered(
        workspace_id=row["workspace_id"],
        pass_id=row["pass_id"],
        pass_type_identifier=row["pass_type_identifier"],
        serial_number=row["serial_number"],
        device_library_identifier=row["device_library_identifier"],
        push_token_ciphertext=base64.b64encode(row["push_token_ciphertext"]).decode(),
        push_token_sha256=row["push_token_sha256"],
        is_new=False,
        registered_at=registered_at,
    )


def tell_gone(tx: Transaction, rows: Sequence[Record], reason: str, now: datetime) -> None:
    """`rows` were registrations until now."""
    for row in rows:
        tx.emit(
            WALLET_ACTIVITY, DeviceUnregistered(**dict(row), reason=reason, unregistered_at=now)
        )
