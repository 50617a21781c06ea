"""A person that passes are issued to, with what they agreed to."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.rendering_subject import HolderFacts

MAX_TAGS = 32
MAX_TAG = 64
MAX_CONSENTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What was said last about one purpose, such as `marketing` or `profiling`."""

    is_given: bool
    at: datetime
    #: Where it was said, such as `shop_checkout`.
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Of an erased one only `holder_id` and the times are left."""

    workspace_id: UUID
    facts: HolderFacts
    tags: Sequence[str] = ()
    consents: Mapping[str, Consent] = field(default_factory=dict)
    #: Otherwise a form said it, where anybody may write anybody's: it names them to nobody.
    is_address_proven: bool = True
    created_at: datetime
    updated_at: datetime
    erased_at: datetime | None = None

    @property
    def holder_id(self) -> UUID:
        return self.facts.holder_id


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Each once, in order."""
    if len(set(tags)) > MAX_TAGS:
        raise ContentRejected("too_many", "tags", f"has more than {MAX_TAGS}")
    if any(not tag.strip() or len(tag) > MAX_TAG for tag in tags):
        raise ContentRejected(
            "invalid", "tags", f"must be a list of words of 1 to {MAX_TAG} characters"
        )
    return tuple(sorted(set(tags)))


def with_consents(known: Mapping[str, Consent], given: Mapping[str, Consent]) -> dict[str, Consent]:
    """What was not spoken of stays. The same answer again keeps the time of the first."""
    merged = dict(known)
    for purpose, said in given.items():
        before = known.get(purpose)
        if before is None or before.is_given is not said.is_given:
            merged[purpose] = said
    if len(merged) > MAX_CONSENTS:
        raise ContentRejected("too_many", "consents", f"has more than {MAX_CONSENTS} purposes")
    return merged


@functools.cache
def _time_zones() -> frozenset[str]:
    # Read from disk, so once.
    return frozenset(zoneinfo.available_timezones())


def check_time_zone(name: str | None) -> None:
    if name is not None and name not in _time_zones():
        raise ContentRejected("invalid", "time_zone", "is no name of the tz database")
