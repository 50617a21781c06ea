"""By which names an erased person could come back, in what was asked for before the erasure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

ERASED_CODE = "holder_erased"
ERASED_DETAIL = (
    "is of somebody who was erased after this was asked for: "
    "order it anew, with a later time, if that person wants it again"
)


class NameKind(StrEnum):
    HOLDER = "holder"
    PASS = "pass"  # noqa: S105  # the word for a wallet pass
    #: Of a barcode, within its program.
    CODE = "code"
    ADDRESS = "address"
    #: The address of somebody who had no external id: whoever orders by it means them, also with an
    #: id beside it.
    LONE_ADDRESS = "lone_address"
    #: One that somebody wrote into the public form: it may be anybody's, so only forms ask for it.
    FORM_ADDRESS = "form_address"


#: Which member of a request says each.
FIELDS = {
    NameKind.HOLDER: "holder.external_id",
    NameKind.PASS: "external_id",
    NameKind.CODE: "code",
    NameKind.ADDRESS: "holder.email",
    NameKind.LONE_ADDRESS: "holder.email",
    NameKind.FORM_ADDRESS: "holder.email",
}


@dataclass(frozen=True, slots=True)
class Name:
    """`text` is what it says; of an address its keyed hash, which is all that is kept of it."""

    kind: NameKind
    text: bytes


def holder_names(
    external_id: str | None, email_hmac: bytes | None, *, is_address_proven: bool
) -> list[Name]:
    """Of an erased holder."""
    names = [Name(NameKind.HOLDER, external_id.encode())] if external_id is not None else []
    if email_hmac is None:
        return names
    if not is_address_proven:
        return [*names, Name(NameKind.FORM_ADDRESS, email_hmac)]
    names.append(Name(NameKind.ADDRESS, email_hmac))
    if external_id is None:
        names.append(Name(NameKind.LONE_ADDRESS, email_hmac))
    return names


def asked_holder_names(
    external_id: str | None, email_hmac: bytes | None, *, trusts_address: bool
) -> list[Name]:
    """Of the holder that an order is for. Two ids are two people, even with one address."""
    names = [Name(NameKind.HOLDER, external_id.encode())] if external_id is not None else []
    if email_hmac is not None:
        kind = NameKind.ADDRESS if external_id is None else NameKind.LONE_ADDRESS
        names.append(Name(kind, email_hmac))
        if not trusts_address:
            names.append(Name(NameKind.FORM_ADDRESS, email_hmac))
    return names


def pass_names(*, program_id: UUID, external_id: str | None, code: str | None) -> list[Name]:
    names = [pass_name(external_id)] if external_id is not None else []
    if code is not None:
        names.append(Name(NameKind.CODE, f"{program_id}:{code}".encode()))
    return names


def pass_name(external_id: str) -> Name:
    return Name(NameKind.PASS, external_id.encode())


def first_of(names: Iterable[Name], erased: frozenset[Name]) -> Name | None:
    return next((name for name in names if name in erased), None)
