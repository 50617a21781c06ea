"""When a revision becomes what phones are given."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

KEPT_CONTENTS = 8


class Decision(StrEnum):
    IGNORE = "ignore"
    WAIT_FOR_TEMPLATE = "wait_for_template"
    WAIT_FOR_SIGNATURE = "wait_for_signature"
    #: A new revision, or the signature that devices of the published one lack.
    PUBLISH = "publish"
    #: The revision that is out already, now with a signature or a save link.
    ENRICH = "enrich"


@dataclass(frozen=True, slots=True)
class Candidate:
    """`is_template_complete`: also when nothing of a template is needed."""

    revision: int
    is_signed: bool
    has_save_link: bool
    is_template_complete: bool


@dataclass(frozen=True, slots=True)
class Current:
    """The published revision. `has_devices`: an Apple device is registered for the pass."""

    revision: int
    is_signed: bool
    has_devices: bool

    @property
    def is_on_apple(self) -> bool:
        return self.is_signed or self.has_devices


def decide(candidate: Candidate, current: Current | None) -> Decision:
    if current is not None and candidate.revision < current.revision:
        return Decision.IGNORE
    if not candidate.is_template_complete:
        return Decision.WAIT_FOR_TEMPLATE
    if current is not None and candidate.revision == current.revision:
        return _decide_repetition(candidate, current)
    if current is not None and current.is_on_apple and not candidate.is_signed:
        # A phone that asks now must be able to fetch: the old revision stays until the signed
        # one comes.
        return Decision.WAIT_FOR_SIGNATURE
    return Decision.PUBLISH


def _decide_repetition(candidate: Candidate, current: Current) -> Decision:
    if candidate.is_signed and not current.is_signed and current.has_devices:
        # They registered before there was anything that they could fetch.
        return Decision.PUBLISH
    brings_something = candidate.is_signed or candidate.has_save_link
    return Decision.ENRICH if brings_something else Decision.IGNORE


def next_last_modified(now: datetime, previous: datetime | None) -> datetime:
    """Rises by a second at least: devices compare dates that have no fractions."""
    floor = now.replace(microsecond=0)
    if previous is None:
        return floor
    return max(floor, previous + timedelta(seconds=1))


@dataclass(frozen=True, slots=True)
class RecentContents:
    """What was given out under the last few dates: `(seconds, digest)`, newest first."""

    entries: tuple[tuple[int, str], ...] = ()

    @classmethod
    def from_json(cls, text: str) -> RecentContents:
        return cls(tuple((int(seconds), str(digest)) for seconds, digest in json.loads(text)))

    def to_json(self) -> str:
        return json.dumps(self.entries)

    def with_newest(self, last_modified: datetime, manifest: str) -> RecentContents:
        digest = hashlib.sha256(manifest.encode()).hexdigest()[:32]
        newest = (int(last_modified.timestamp()), digest)
        return RecentContents((newest, *self.entries)[:KEPT_CONTENTS])

    def is_current(self, since: datetime) -> bool:
        """Whether the content of that date is the present one again."""
        wanted = int(since.timestamp())
        return any(
            seconds == wanted and digest == self.entries[0][1] for seconds, digest in self.entries
        )
