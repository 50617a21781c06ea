"""How far passes come: opened, downloaded, installed, removed, and what is installed now.

A step is counted twice: `events` is how often it happened, `passes` how many passes came to it for
the first time. `present` is no step but a balance: its sum is what is installed now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

#: Of one pass. Further ones are counted as events and not remembered.
MAX_DEVICES = 32
ANY = "any"
GOOGLE = "google"
APPLE = "apple"


class Step(StrEnum):
    OPENED = "opened"
    DOWNLOADED = "downloaded"
    INSTALLED = "installed"
    REMOVED = "removed"
    PRESENT = "present"


#: What is shown of each pass, in the order in which it happens.
STEPS = (Step.OPENED, Step.DOWNLOADED, Step.INSTALLED, Step.REMOVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened to a pass. `platform` is apple, google or another word."""

    step: Step
    platform: str
    day: date
    #: A digest of the Apple device.
    device: str | None = None
    #: Of the link that was opened.
    label: str | None = None
    #: False: a state is told again, or ended by nobody's wish, such as a new push token.
    is_counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelPass:
    workspace_id: UUID
    pass_id: UUID
    program_id: UUID
    template_id: UUID
    #: Of the link that was opened last; what follows is counted for it.
    label: str = ""
    #: Steps that it was counted for, such as `installed:apple`.
    steps: frozenset[str] = frozenset()
    apple_devices: frozenset[str] = frozenset()
    is_on_google: bool = False

    def is_on(self, platform: str) -> bool:
        if platform == APPLE:
            return bool(self.apple_devices)
        if platform == GOOGLE:
            return self.is_on_google
        return bool(self.apple_devices) or self.is_on_google


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    step: Step
    platform: str
    passes: int = 0
    events: int = 0


def advance(before: FunnelPass, moment: Moment) -> tuple[FunnelPass, list[Count]]:
    """The pass after the moment, and what is to be added to the counts of its day."""
    after = _with_installation(before, moment)
    if moment.label is not None:
        after = replace(after, label=moment.label)
    counts: list[Count] = []
    is_news = moment.step is not Step.REMOVED or after is not before
    if moment.is_counted and is_news:
        for platform in (moment.platform, ANY):
            name = f"{moment.step}:{platform}"
            is_first = name not in after.steps
            counts.append(
                Count(step=moment.step, platform=platform, passes=int(is_first), events=1)
            )
            after = replace(after, steps=after.steps | {name})
    for platform in (APPLE, GOOGLE, ANY):
        change = int(after.is_on(platform)) - int(before.is_on(platform))
        if change:
            counts.append(Count(step=Step.PRESENT, platform=platform, passes=change))
    return after, counts


def _with_installation(before: FunnelPass, moment: Moment) -> FunnelPass:
    is_installation = moment.step is Step.INSTALLED
    if not is_installation and moment.step is not Step.REMOVED:
        return before
    if moment.platform == GOOGLE:
        is_change = before.is_on_google is not is_installation
        return replace(before, is_on_google=is_installation) if is_change else before
    if moment.device is None:
        return before
    if is_installation:
        if moment.device in before.apple_devices or len(before.apple_devices) >= MAX_DEVICES:
            return before
        return replace(before, apple_devices=before.apple_devices | {moment.device})
    if moment.device not in before.apple_devices:
        return before
    return replace(before, apple_devices=before.apple_devices - {moment.device})


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelLine:
    """The counts of one day, template or label; `key` is None for those of the whole period."""

    kind: str
    key: str | None
    issued: int = 0
    counts: Sequence[Count] = field(default_factory=tuple)
