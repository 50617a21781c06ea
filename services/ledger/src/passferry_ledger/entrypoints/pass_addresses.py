"""How a path names a pass: by its id, or as `external:` and the id it was issued under."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path

from passferry_ledger.domain.accounts import PassAddress
from passferry_runtime.errors import FieldError, Invalid

EXTERNAL = "external:"
MAX_EXTERNAL_ID = 128

PassReference = Annotated[
    str,
    Path(
        max_length=len(EXTERNAL) + MAX_EXTERNAL_ID,
        description="A pass id, or `external:` followed by the pass's external id.",
    ),
]


def address_of(workspace_id: UUID, pass_ref: str) -> PassAddress:
    """Raises `Invalid`, naming pass_ref."""
    if pass_ref.startswith(EXTERNAL):
        external_id = pass_ref.removeprefix(EXTERNAL)
        if not external_id or any(ord(character) < 32 for character in external_id):
            raise _invalid("the external id is empty or has control characters")
        return PassAddress(workspace_id=workspace_id, external_id=external_id)
    try:
        return PassAddress(workspace_id=workspace_id, pass_id=UUID(pass_ref))
    except ValueError as error:
        raise _invalid("neither a pass id nor external:{external_id}") from error


def _invalid(message: str) -> Invalid:
    return Invalid(
        "validation_failed",
        "The pass cannot be read out of the path.",
        errors=[FieldError("pass_ref", message)],
    )
