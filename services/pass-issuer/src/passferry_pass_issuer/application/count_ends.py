"""How many passes the rules of a template would end, told before its rollout ends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from passferry_pass_issuer.application.edit_templates import Templates
from passferry_pass_issuer.application.life_ports import NO_PASS
from passferry_pass_issuer.application.ports import Catalogue, Transaction
from passferry_pass_issuer.application.work import Work
from passferry_pass_issuer.domain.end_rules import EndRule, rules_over
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_checks import TemplateVersion
from passferry_pass_issuer.domain.wallet_pass import WalletPass
from passferry_runtime.errors import NotFound

PAGE_PASSES = 500
#: In one transaction of one request.
MAX_PASSES = 10_000


class PassesOfTemplate(Protocol):
    async def page(
        self,
        transaction: Transaction,
        workspace_id: UUID,
        template_id: UUID,
        *,
        after: UUID,
        limit: int,
    ) -> list[WalletPass]:
        """Active ones by pass id, of whichever version, without what is drawn of them."""


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

    async def __call__(self, work: Work, workspace_id: UUID, template_id: UUID) -> EndCount:
        versions = await self.templates.versions(work.transaction, workspace_id, template_id)
        if not versions:
            raise NotFound("template_not_found", "there is no such template")
        counted = EndCount(version=versions[0])
        rules = counted.version.content.ends_when
        after = NO_PASS
        while rules:
            page = await self.passes.page(
                work.transaction, workspace_id, template_id, after=after, limit=PAGE_PASSES
            )
            room = MAX_PASSES - counted.looked_at
            counted.is_complete = len(page) <= room
            page = page[:room]
            await self._count(work, counted, rules, page)
            if len(page) < PAGE_PASSES:
                break
            after = page[-1].pass_id
        return counted

    async def _count(
        self, work: Work, counted: EndCount, rules: Sequence[EndRule], page: Sequence[WalletPass]
    ) -> None:
        programs = await self.catalogue.programs(
            work.transaction, {(row.workspace_id, row.program_id) for row in page}
        )
        for row in page:
            counted.looked_at += 1
            time_zone = programs[row.workspace_id, row.program_id].time_zone
            try:
                over = rules_over(row, rules, time_zone=time_zone, now=work.now)
            except ContentRejected:
                counted.refused += 1
                continue
            counted.by_rule.update(over)
            counted.passes += bool(over)
