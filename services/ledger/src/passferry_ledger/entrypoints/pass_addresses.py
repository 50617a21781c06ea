"""How a path names a pass: by its id, or as `external:` and the id it was issued under, or as
`code:` and what its barcode holds."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path

from passferry_contracts.text import is_storable
from passferry_ledger.domain.accounts import PassAddress
from passferry_runtime.errors import FieldError, Invalid

EXTERNAL = "external:"
MAX_EXTERNAL_ID = 128
CODE = "code:"
MAX_CODE = 200

PassReference = Annotated[
    str,
    Path(
        max_length=len(CODE) + MAX_CODE,
        description="A pass id; or `external:` followed by the pass's external id; or `code:`"
        " followed by what its barcode holds.",
    ),
]


def address_of(workspace_id: UUID, pass_ref: str) -> PassAddress:
    """Raises `Invalid`, naming pass_ref."""
    if pass_ref.startswith(EXTERNAL):
        external_id = pass_ref.removeprefix(EXTERNAL)
        _check_text(external_id, MAX_EXTERNAL_ID)
        return PassAddress(workspace_id=workspace_id, external_id=external_id)
    if pass_ref.startswith(CODE):
        code = pass_ref.removeprefix(CODE)
        _check_text(code, MAX_CODE)
        return PassAddress(workspace_id=workspace_id, code=code)
    try:
        return PassAddress(workspace_id=workspace_id, pass_id=UUID(pass_ref))
    except ValueError as error:
        raise _invalid("none of a pass id, external:{external_id} and code:{code}") from error


def _check_text(text: str, most: int) -> None:
    if not text or len(text) > most or not is_storable(text):
        raise _invalid(f"needs 1 to {most} characters after the colon, no control characters")


def _invalid(message: str) -> Invalid:
    return Invalid(
        "validation_failed",
        "The pass cannot be read out of the path.",
        errors=[FieldError("pass_ref", message)],
    )
