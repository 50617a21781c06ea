"""Which values of a pass speak of the person who has it, and would stay when it changes hands."""

from __future__ import annotations

import re
from collections.abc import Mapping

from passferry_pass_issuer.domain.rendering_subject import HolderFacts
from passferry_pass_issuer.domain.value_expression import Scalar

#: Shorter words stand in too many texts by chance: they count as a whole value only.
MIN_WORD = 5
DAYS = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")


def fields_about(facts: HolderFacts, values: Mapping[str, Scalar]) -> frozenset[str]:
    """Names of the fields that hold the name, address, phone, birthday or own id of a person."""
    said = [_plain(text) for text in _facts(facts)]
    return frozenset(
        name
        for name, value in values.items()
        if isinstance(value, str | int)
        and not isinstance(value, bool)
        and any(_speaks_of(_plain(str(value)), fact) for fact in said if fact)
    )


def _facts(facts: HolderFacts) -> list[str]:
    given = [facts.full_name, facts.email, facts.phone, facts.external_id]
    days = [facts.birthday.strftime(form) for form in DAYS] if facts.birthday is not None else []
    return [text for text in given if text is not None] + days


def _speaks_of(value: str, fact: str) -> bool:
    if value == fact:
        return True
    if len(fact) < MIN_WORD:
        return False
    return re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", value) is not None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
