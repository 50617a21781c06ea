"""How many passes the rules of a template would end, told before its rollout ends them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from passferry_pass_issuer.application.edit_templates import Templates
from passferry_pass_issuer.application.life_ports import NO_PASS
from passferry_pass_issuer.application.ports import Catalogue, Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.end_rules import EndRule, rule_fields, rules_over
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.value_expression import Scalar
from passferry_runtime.errors import NotFound, TooMany

#: Looked at in one go; between two of them others have their turn.
PAGE_PASSES = 100
#: In one transaction of one request.
MAX_PASSES = 10_000
#: One count is made at a time, so many more wait for it, and so long.
MAX_WAITING = 8
TURN_TIMEOUT_S = 5.0
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedPass:
    """An active one, with what rules look at."""

    pass_id: UUID
    program_id: UUID
    balance_minor: int
    redeemed_version: int
    uses: int
    last_used_at: datetime | None
    first_issued_at: datetime | None
    created_at: datetime
    updated_at: datetime
    ends_at: datetime | None
    ends_as: str | None
    #: Those that were asked for.
    field_values: Mapping[str, Scalar]

    @property
    def is_usable(self) -> bool:
        return True


class PassesOfTemplate(Protocol):
    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        template_id: UUID,
        *,
        field_names: Collection[str],
        after: UUID,
        limit: int,
    ) -> list[CountedPass]:
        """Active ones by pass id, of whichever version, without those whose balance is moving: the
        upkeep ends none of them."""


@dataclass(slots=True)
class CountTurns:
    """One count at a time in one process, which does other things meanwhile, and one of each
    workspace, so that nobody keeps the others out."""

    _counting: set[UUID] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def of(self, workspace_id: UUID) -> AsyncIterator[None]:
        """To be waited for before a connection to the database is taken."""
        if workspace_id in self._counting or len(self._counting) > MAX_WAITING:
            raise _too_many()
        self._counting.add(workspace_id)
        try:
            await self._wait()
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._counting.discard(workspace_id)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise _too_many() from error


def _too_many() -> TooMany:
    detail = "other templates are being counted; try again shortly"
    return TooMany("too_many_counts", detail, retry_after_s=RETRY_AFTER_S)


@dataclass(slots=True, kw_only=True)
class EndCount:
    version: TemplateVersion
    looked_at: int = 0
    #: False when there are more passes than were looked at.
    is_complete: bool = True
    #: By the place of the rule; a pass may be counted for several.
    by_rule: Counter[int] = field(default_factory=Counter)
    passes: int = 0
    #: Those that would not take the rules, because a date of theirs is none.
    refused: int = 0

    @property
    def given_rules(self) -> Sequence[Mapping[str, Any]]:
        rules: Sequence[Mapping[str, Any]] = self.version.raw_content.get("ends_when") or []
        return rules


@dataclass(frozen=True, kw_only=True)
class CountEnds:
    """Of the newest version, as its passes are now; changes nothing."""

    templates: Templates
    catalogue: Catalogue
    passes: PassesOfTemplate
    turns: CountTurns = field(default_factory=CountTurns)

    async def __call__(self, work: Work, workspace_id: UUID, template_id: UUID) -> EndCount:
        versions = await self.templates.versions(work.transaction, workspace_id, template_id)
        if not versions:
            raise NotFound("template_not_found", "there is no such template")
        counted = EndCount(version=versions[0])
        rules = counted.version.content.ends_when
        field_names, after = rule_fields(rules), NO_PASS
        time_zones: dict[UUID, str | None] = {}
        while rules:
            page = await self.passes.page(
                work.transaction,
                workspace_id,
                template_id,
                field_names=field_names,
                after=after,
                limit=PAGE_PASSES,
            )
            room = MAX_PASSES - counted.looked_at
            counted.is_complete = len(page) <= room
            page = page[:room]
            new = {row.program_id for row in page} - time_zones.keys()
            if new:
                keys = {(workspace_id, program_id) for program_id in new}
                for program in (await self.catalogue.programs(work.transaction, keys)).values():
                    time_zones[program.program_id] = program.time_zone
            _count(counted, rules, page, time_zones=time_zones, now=work.now)
            if len(page) < PAGE_PASSES:
                break
            after = page[-1].pass_id
        return counted


def _count(
    counted: EndCount,
    rules: Sequence[EndRule],
    page: Sequence[CountedPass],
    *,
    time_zones: Mapping[UUID, str | None],
    now: datetime,
) -> None:
    for row in page:
        counted.looked_at += 1
        try:
            over = rules_over(row, rules, time_zone=time_zones[row.program_id], now=now)
        except ContentRejected:
            counted.refused += 1
            continue
        counted.by_rule.update(over)
        counted.passes += bool(over)
