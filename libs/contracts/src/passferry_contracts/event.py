"""The base of every event's payload."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from passferry_contracts.fields import Part


class Event(Part):
    """One past-tense fact (or, on `ledger.commands` and `*.requested`, one request).

    `event_type` is CloudEvents' `type`; `schema_version` goes into `dataschema`. New optional
    fields keep the version; anything else is a new type with the suffix `.v2`.
    """

    event_type: ClassVar[str]
    schema_version: ClassVar[int] = 1

    workspace_id: UUID

    def partition_key(self) -> str:
        """The record key: events with equal keys keep their order."""
        raise NotImplementedError

    def sequence(self) -> int | None:
        """The ledger version or the issuer's revision this event belongs to, if it has one."""
        return None


class PassEvent(Event):
    """An event about one pass, keyed by it."""

    pass_id: UUID

    def partition_key(self) -> str:
        return str(self.pass_id)
