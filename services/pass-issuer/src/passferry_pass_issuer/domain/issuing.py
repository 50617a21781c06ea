"""What is asked for when a pass is issued, and what comes of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from passferry_contracts.text import is_storable
from passferry_pass_issuer.domain.program import Program, ProgramStatus
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.value_expression import Scalar

MAX_PASSES_PER_CALL = 1_000
MAX_FIELDS = 64
MAX_FIELD_TEXT = 2_000
MAX_CODE = 80

_FIELD_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")
#: Code128 holds ASCII; what cannot be typed or printed does no good on a card.
_CODE = re.compile(r"^[\x20-\x7e]+\Z")
#: A pass is addressed by this id, and what follows it there is read as an address of its links.
_LINK_ADDRESS = re.compile(r"/links(/[^/]+(/(qr\.[^/]+|snippet))?)?\Z")
#: Clients and proxies fold them away, and then the address is that of another pass.
_DOT_SEGMENT = re.compile(r"(^|/)\.\.?(/|\Z)")
#: No address reaches over the end of a line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderRequest:
    external_id: str | None = None
    full_name: str | None = None
    email: str | None = None
    locale: str | None = None
    birthday: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptIdentity:
    """Of a pass that is on phones already: it goes on under the names that they know."""

    serial_number: str
    #: Absent: it had none, and is given one.
    authentication_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRequest:
    program_id: UUID
    #: The caller's own id of the pass, unique in the workspace; absent: the pass id.
    external_id: str | None = None
    holder: HolderRequest = field(default_factory=HolderRequest)
    opening_balance_minor: int | None = None
    field_values: Mapping[str, Scalar] = field(default_factory=dict)
    #: Barcode text; absent: made up.
    code: str | None = None
    expires_at: datetime | None = None
    #: For tests that need equal serial numbers in two workspaces.
    serial_number: str | None = None
    #: Of an upstream-owned pass: the version of the event that asked for it.
    upstream_version: int = 0
    #: Whoever asks knows that the address is the holder's. On a public form anybody may write
    #: anybody's, so there it names nobody who is known, nor the holder who is made to anybody.
    trusts_address: bool = True
    #: Only imports say it.
    kept: KeptIdentity | None = None

    def sha256(self) -> str:
        """Equal for equal requests, so that a retry is told from a conflict."""
        members = asdict(self)
        # Not of the request, but of the way it came.
        del members["trusts_address"]
        if self.kept is None:
            # As it was before there were imports: requests of then are told from conflicts too.
            del members["kept"]
        canonical = json.dumps(members, sort_keys=True, default=str, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


class IssueOutcome(StrEnum):
    CREATED = "created"
    #: The same request was handled before: this is its pass.
    EXISTED = "existed"
    REFUSED = "refused"


def check_program_open(program: Program | None) -> Program:
    """Raises `IssueRefused` unless passes of the program can be issued now."""
    if program is None:
        raise IssueRefused("program_unknown", "program_id", "is no program of this workspace", 422)
    if program.status is ProgramStatus.RETIRED:
        raise IssueRefused("program_retired", "program_id", "is of a retired program", 410)
    if program.status is not ProgramStatus.ACTIVE:
        raise IssueRefused("program_suspended", "program_id", "is of a suspended program", 409)
    if program.template_id is None:
        raise IssueRefused(
            "program_without_template", "program_id", "is of a program without a template", 409
        )
    return program


class IssueRefused(ContentRejected):
    """One pass is not issued; `status` is the HTTP status that says so."""

    def __init__(self, code: str, field_name: str, detail: str, status: int) -> None:
        super().__init__(code, field_name, detail)
        self.status = status


def check_external_id(external_id: str | None) -> None:
    """Raises `ContentRejected` for one by which its pass could not be reached."""
    if external_id is None:
        return
    if _LINK_ADDRESS.search(external_id):
        why = 'ends like the address of a link, such as "/links"'
    elif _DOT_SEGMENT.search(external_id):
        why = 'has "." or ".." between slashes, which addresses lose on their way'
    elif _CONTROL.search(external_id):
        why = "has the end of a line or another control character"
    else:
        return
    raise ContentRejected(
        "external_id_reserved", "external_id", f"{why}: give the pass another one"
    )


def is_code(code: str) -> bool:
    """Whether every wallet can show it as a barcode."""
    return bool(code.strip()) and len(code) <= MAX_CODE and _CODE.match(code) is not None


def check_code(code: str) -> str:
    if not is_code(code):
        raise ContentRejected(
            "code_not_encodable", "code", f"must be 1 to {MAX_CODE} printable ASCII characters"
        )
    return code


def check_end(expires_at: datetime | None, now: datetime) -> None:
    """A pass that ends before it is there helps nobody: its time is a mistake."""
    if expires_at is not None and expires_at <= now:
        raise ContentRejected(
            "expires_at_past", "expires_at", "is past: give a later time, or none"
        )


def is_field_name(name: str) -> bool:
    return _FIELD_NAME.match(name) is not None


def check_field_values(values: Mapping[str, object]) -> dict[str, Scalar]:
    """Values for the template's mapping: text, whole numbers, true or false, or nothing."""
    if len(values) > MAX_FIELDS:
        raise ContentRejected("too_many", "fields", f"has more than {MAX_FIELDS} values")
    return {name: _checked(name, value) for name, value in values.items()}


def with_field_values(
    before: Mapping[str, object], given: Mapping[str, object]
) -> dict[str, Scalar]:
    """Given values take the place of the old ones, null removes one."""
    merged = {**before, **check_field_values(given)}
    return check_field_values({name: value for name, value in merged.items() if value is not None})


def _checked(name: str, value: object) -> Scalar:
    where = f"fields.{name[:64]}"
    if not is_field_name(name):
        raise ContentRejected("invalid", where, "is no name of a field")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise ContentRejected("invalid", where, "is beyond 64 bits")
        return value
    if not isinstance(value, str):
        raise ContentRejected("invalid", where, "must be text, a whole number, true, false or null")
    if len(value) > MAX_FIELD_TEXT:
        raise ContentRejected("too_long", where, f"is longer than {MAX_FIELD_TEXT} characters")
    if not is_storable(value):
        raise ContentRejected("invalid", where, "has characters that cannot be stored")
    return value
