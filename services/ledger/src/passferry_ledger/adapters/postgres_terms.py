"""Programs as decisions need them, kept by revision."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from uuid import UUID

from passferry_ledger.application.program_terms import rules_of
from passferry_ledger.domain.book import Terms
from passferry_ledger.domain.rules import NO_RULES, Rules
from passferry_ledger.metrics import UNREADABLE_RULES
from passferry_runtime.logging import get_logger
from passferry_runtime.postgres import Record, Transaction

log = get_logger(__name__)

MAX_KEPT = 2_000

PROGRAMS = """
SELECT program.workspace_id, program.program_id, program.revision, program.protocol,
       program.status, program.floor_minor, program.max_entry_minor, program.max_balance_minor,
       program.max_per_day_minor, program.rules::text AS rules,
       program.thresholds::text AS thresholds
FROM program
WHERE program.program_id = ANY($1::uuid[]) AND program.workspace_id = ANY($2::uuid[])
"""

COUNTERS = """
SELECT workspace_id, program_id, kind, unit, account_id
FROM account
WHERE program_id = ANY($1::uuid[]) AND workspace_id = ANY($2::uuid[]) AND kind <> 'pass'
"""

#: Workspace, program, revision, and a unit that counter-accounts are there for.
TermsName = tuple[UUID, UUID, int, str]


class KnownTerms:
    """What a revision says never changes, so it is read once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[TermsName, Terms] = OrderedDict()

    async def get(
        self, transaction: Transaction, names: Iterable[TermsName]
    ) -> dict[TermsName, Terms]:
        wanted = set(names)
        missing = {name[1] for name in wanted if name not in self._kept}
        if missing:
            await self._read(transaction, sorted(missing), wanted)
        found = {name: self._kept[name] for name in wanted}
        for name in wanted:
            self._kept.move_to_end(name)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found

    async def _read(
        self, transaction: Transaction, program_ids: list[UUID], wanted: set[TermsName]
    ) -> None:
        workspaces = sorted({name[0] for name in wanted})
        rows = await transaction.fetch(PROGRAMS, program_ids, workspaces)
        counters: dict[tuple[UUID, UUID], dict[tuple[str, str], int]] = {}
        for row in await transaction.fetch(COUNTERS, program_ids, workspaces):
            of_program = counters.setdefault((row["workspace_id"], row["program_id"]), {})
            of_program[(row["kind"], row["unit"])] = row["account_id"]
        for row in rows:
            name = (row["workspace_id"], row["program_id"])
            terms = _terms(row, counters.get(name, {}))
            for asked in wanted:
                if asked[:2] == name:
                    # A revision that came between two statements of this transaction serves too.
                    self._kept[asked] = terms


def _terms(row: Record, counters: dict[tuple[str, str], int]) -> Terms:
    return Terms(
        workspace_id=row["workspace_id"],
        program_id=row["program_id"],
        revision=row["revision"],
        protocol=row["protocol"],
        status=row["status"],
        floor_minor=row["floor_minor"],
        max_entry_minor=row["max_entry_minor"],
        max_balance_minor=row["max_balance_minor"],
        max_per_day_minor=row["max_per_day_minor"],
        rules=_rules(row),
        counters=counters,
    )


def _rules(row: Record) -> Rules:
    """Rules are checked where programs are made; what was stored before that may not be read, and
    then passes of the program are plain accounts, visibly."""
    try:
        return rules_of(json.loads(row["rules"]), json.loads(row["thresholds"]))
    except ValueError:
        UNREADABLE_RULES.inc()
        log.warning(
            "program_rules_unreadable",
            workspace_id=str(row["workspace_id"]),
            program_id=str(row["program_id"]),
            revision=row["revision"],
        )
        return NO_RULES
