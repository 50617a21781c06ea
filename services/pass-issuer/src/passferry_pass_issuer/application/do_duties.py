"""Does a duty of the upkeep for many workspaces; what fails holds up nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from passferry_pass_issuer.application.job_ports import Errors
from passferry_pass_issuer.application.work import Work, Workbench
from passferry_pass_issuer.metrics import TIME_DUTIES, TIME_DUTY_FAILURES
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

ACTOR = "issuer:scheduler"
#: Looks at one page of workspaces in one round; the next round goes on, at once.
MAX_LOOKS = 100
#: A workspace with so many is left alone until the next round.
MAX_FAILED = 50
#: Tries in a row that failed for a passing reason: the database is away, not a pass at fault.
MAX_PASSING = 5

#: (workspace_id, the id of a pass or holder).
Key = tuple[UUID, UUID]


class Find(Protocol):
    async def __call__(
        self, work: Work, named: Sequence[UUID], *, passing_over: Sequence[UUID]
    ) -> list[Key]:
        """Some of what is due in each of these workspaces, each in turn; without the ids that are
        passed over."""


#: Does the first of these, at least one; how much was done.
Do = Callable[[Work, Sequence[Key]], Awaitable[int]]


@dataclass(frozen=True, kw_only=True)
class Duty:
    name: str
    find: Find
    do: Do
    #: In one transaction: they are drawn and signed together.
    at_once: int
    #: A smaller step for one that failed alone.
    narrow: Do | None = None


@dataclass(frozen=True)
class Undone:
    """What a round leaves: what failed, and whether it stopped before all was done."""

    failed: list[Key]
    is_more: bool = False


@dataclass(kw_only=True)
class Failures:
    """What the last round left for the next one, by duty."""

    left: dict[str, list[Key]] = field(default_factory=dict)

    def show(self, left: dict[str, list[Key]]) -> None:
        for name, keys in left.items():
            TIME_DUTY_FAILURES.labels(duty=name).set(len(keys))
        self.left = {name: keys for name, keys in left.items() if keys}

    def clear(self) -> None:
        """Another replica does the rounds, and shows what is left."""
        self.show({name: [] for name in self.left})


@dataclass(frozen=True, kw_only=True)
class DoDuty:
    workbench: Workbench
    errors: Errors

    async def __call__(self, duty: Duty, named: Sequence[UUID]) -> Undone:
        """Looks until nothing is due, or often enough. Each look takes some of every workspace."""
        attempt = _Attempt(duty, self.workbench, self.errors)
        left = list(named)
        is_more = False
        try:
            for _ in range(MAX_LOOKS):
                failed_before = len(attempt.failed)
                over = sorted(subject_id for _, subject_id in attempt.failed)
                async with self.workbench.open(left, actor=ACTOR) as work:
                    found = await duty.find(work, left, passing_over=over)
                done = 0
                for start in range(0, len(found), duty.at_once):
                    done += await attempt.take(found[start : start + duty.at_once])
                TIME_DUTIES.labels(duty=duty.name).inc(done)
                if not done and len(attempt.failed) == failed_before:
                    break
                by_workspace = Counter(workspace_id for workspace_id, _ in attempt.failed)
                left = [each for each in left if by_workspace[each] < MAX_FAILED]
                if not left:
                    break
            else:
                # What only fails is no reason to hurry.
                is_more = done > 0
        except Exception as error:
            if len(named) > 1 and not self.errors.is_passing(error):
                # Not even the look works: what a workspace cannot do keeps no other waiting.
                parts = [await self(duty, [each]) for each in named]
                return Undone(
                    [key for part in parts for key in part.failed],
                    any(part.is_more for part in parts),
                )
            # One duty that fails keeps no other from being done.
            log.warning(
                "time_duty_failed",
                duty=duty.name,
                workspace_id=str(named[0]) if len(named) == 1 else None,
                error=type(error).__name__,
            )
            attempt.failed.add((named[0], named[0]))
        return Undone(sorted(attempt.failed), is_more)


@dataclass(slots=True)
class _Attempt:
    """Takes apart what fails: by workspace, then one by one."""

    duty: Duty
    workbench: Workbench
    errors: Errors
    failed: set[Key] = field(default_factory=set)
    passing: int = 0

    async def take(self, keys: Sequence[Key]) -> int:
        """How much of these was done."""
        error = await self._try(self.duty.do, keys)
        if isinstance(error, int):
            return error
        parts = _apart(keys)
        if len(parts) > 1:
            return sum([await self.take(part) for part in parts])
        if self.duty.narrow is not None:
            narrowed = await self._try(self.duty.narrow, keys)
            if isinstance(narrowed, int):
                return narrowed
            error = narrowed
        [(workspace_id, subject_id)] = keys
        log.warning(
            "time_duty_left_undone",
            duty=self.duty.name,
            workspace_id=str(workspace_id),
            subject_id=str(subject_id),
            error=type(error).__name__,
        )
        self.failed.update(keys)
        return 0

    async def _try(self, do: Do, keys: Sequence[Key]) -> int | Exception:
        named = sorted({workspace_id for workspace_id, _ in keys})
        try:
            async with self.workbench.open(named, actor=ACTOR) as work:
                done = await do(work, keys)
        except Exception as error:
            self.passing = self.passing + 1 if self.errors.is_passing(error) else 0
            if self.passing >= MAX_PASSING:
                raise
            return error
        self.passing = 0
        return done


def _apart(keys: Sequence[Key]) -> list[Sequence[Key]]:
    by_workspace: dict[UUID, list[Key]] = {}
    for key in keys:
        by_workspace.setdefault(key[0], []).append(key)
    if len(by_workspace) > 1:
        return list(by_workspace.values())
    return [[key] for key in keys]
