"""A refusal says what must be: "has at most 20 values" reads as if that were so already."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: How such a sentence begins, as the text of a refusal: its field is named before it.
READS_THE_WRONG_WAY = re.compile(
    r'"(?:(?:has|have|is|are) (?:at (?:most|least)|one of|between|(?:\d+|\{[A-Z_]+\}) (?:to|char))'
    r"|has a name of|is a day such|is the name of|is true, or)"
)


def test_no_refusal_says_that_a_rule_is_kept_when_it_is_broken() -> None:
    modules = [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")]
    assert len(modules) > 300
    found = {
        f"{module.relative_to(ROOT)}: {match.group()}"
        for module in modules
        for match in READS_THE_WRONG_WAY.finditer(module.read_text())
    }
    assert not found, sorted(found)
