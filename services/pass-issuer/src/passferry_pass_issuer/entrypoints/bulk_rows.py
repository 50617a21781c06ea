"""What the rows of a file mean: passes to issue, or changes of passes that are there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from passferry_contracts.fields import Code, ExternalId, Instant, LongText, ShortText
from passferry_pass_issuer.application.accept_bulk import Row, check_repeatable
from passferry_pass_issuer.application.job_ports import StagedRow
from passferry_pass_issuer.domain.bulk_changes import ChangeAction, ChangeRequest
from passferry_pass_issuer.domain.issuing import check_field_values
from passferry_pass_issuer.domain.program import Program
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.entrypoints.http_passes import Fields, NewPassBody
from passferry_pass_issuer.entrypoints.http_work import RequestBody
from passferry_pass_issuer.entrypoints.row_files import ANY_FIELD, FIELD_COLUMN, RowFormat, refused

HOLDER_COLUMN = "holder."
_AMOUNT = re.compile(r"^(-?)([0-9]{1,18})(?:\.([0-9]{1,6}))?\Z")
_WHOLE = re.compile(r"^-?[0-9]{1,18}\Z")

NonEmptyText = Annotated[LongText, StringConstraints(min_length=1)]
NonEmptyShort = Annotated[ShortText, StringConstraints(min_length=1)]


class NewPassRows:
    """`opening_balance` is in the program's unit, such as 12.50; `…_minor` is a whole number."""

    columns: Sequence[str] = (
        "external_id",
        "holder.external_id",
        "holder.full_name",
        "holder.email",
        "holder.birthday",
        "holder.locale",
        "code",
        "opening_balance",
        "opening_balance_minor",
        "expires_at",
        ANY_FIELD,
    )
    alternatives: Sequence[frozenset[str]] = (
        frozenset({"opening_balance", "opening_balance_minor"}),
    )

    def __init__(self, program: Program) -> None:
        self._program = program
        self._program_id = str(program.program_id)

    def nested(self, cells: Mapping[str, str]) -> dict[str, Any]:
        return _nested(cells, self._program.unit_scale)

    def row(self, number: int, given: Mapping[str, Any]) -> Row:
        if given.get("program_id", self._program_id) != self._program_id:
            return refused(number, "program_id", "invalid", "is another than the file's")
        body = NewPassBody.model_validate({**given, "program_id": self._program_id})
        request = body.asked()
        # Now: what JSON cannot tell again would stop the whole file when its rows are kept.
        check_field_values(request.field_values)
        unrepeatable = check_repeatable(self._program, number, request)
        return unrepeatable or StagedRow(number=number, request=request)


class ChangeRowBody(RequestBody):
    external_id: ExternalId | None = None
    pass_id: UUID | None = None


class VoidRowBody(ChangeRowBody):
    reason: Code | None = None


class UpdateRowBody(ChangeRowBody):
    """As a single change: null removes a field, or the day on which the pass expires."""

    fields: Fields = Field(default_factory=dict)
    expires_at: Instant | None = None


class MessageRowBody(ChangeRowBody):
    message_id: NonEmptyShort | None = None
    header: NonEmptyShort | None = None
    body: NonEmptyText
    notify: bool = True


class ChangeRows:
    """Rows name their pass by `external_id` or `pass_id`."""

    alternatives: Sequence[frozenset[str]] = ()

    def __init__(self, action: ChangeAction) -> None:
        self._action = action
        self.columns = ("external_id", "pass_id", *_OF_ACTION[action])

    def nested(self, cells: Mapping[str, str]) -> dict[str, Any]:
        return _nested(cells, 0)

    def row(self, number: int, given: Mapping[str, Any]) -> Row:
        body = _BODIES[self._action].model_validate(given)
        if (body.external_id is None) == (body.pass_id is None):
            return refused(number, "external_id", "required", "or pass_id, one of them")
        said = body.model_dump()
        if isinstance(body, UpdateRowBody):
            said["field_values"] = check_field_values(said.pop("fields"))
            said["sets_expiry"] = "expires_at" in body.model_fields_set
            if not said["field_values"] and not said["sets_expiry"]:
                return refused(number, "row", "empty", "changes nothing")
        return StagedRow(number=number, request=ChangeRequest(action=self._action, **said))


_OF_ACTION = {
    ChangeAction.VOID: ("reason",),
    ChangeAction.UPDATE: ("expires_at", ANY_FIELD),
    ChangeAction.MESSAGE: ("message_id", "header", "body"),
}
_BODIES: Mapping[ChangeAction, type[ChangeRowBody]] = {
    ChangeAction.VOID: VoidRowBody,
    ChangeAction.UPDATE: UpdateRowBody,
    ChangeAction.MESSAGE: MessageRowBody,
}


def format_of(program: Program | None, action: ChangeAction | None) -> RowFormat:
    if program is not None:
        return NewPassRows(program)
    return ChangeRows(action or ChangeAction.UPDATE)


def _nested(cells: Mapping[str, str], unit_scale: int) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, cell in cells.items():
        if name.startswith(HOLDER_COLUMN):
            given.setdefault("holder", {})[name.removeprefix(HOLDER_COLUMN)] = cell
        elif name.startswith(FIELD_COLUMN):
            given.setdefault("fields", {})[name.removeprefix(FIELD_COLUMN)] = cell
        elif name == "opening_balance":
            given["opening_balance_minor"] = _minor(cell, unit_scale)
        elif name == "opening_balance_minor":
            given[name] = _whole(cell)
        else:
            given[name] = cell
    return given


def _whole(cell: str) -> int:
    if not _WHOLE.match(cell):
        raise ContentRejected("invalid", "opening_balance_minor", "must be a whole number")
    return int(cell)


def _minor(cell: str, unit_scale: int) -> int:
    """Exact: the digits of the amount as a whole number of minor units."""
    matched = _AMOUNT.match(cell)
    fraction = (matched[3] or "") if matched else ""
    if matched is None or len(fraction) > unit_scale:
        places = (
            f"a number with at most {unit_scale} decimal places" if unit_scale else "a whole number"
        )
        raise ContentRejected("invalid", "opening_balance", f"must be {places}, such as 12")
    return int(matched[1] + matched[2] + fraction.ljust(unit_scale, "0"))
