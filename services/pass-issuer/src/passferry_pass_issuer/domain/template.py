"""What a template says: layout, colours and which value each field shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.google_template import GoogleContent
from passferry_pass_issuer.domain.value_expression import FIELD_PREFIX, ValueExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateContent:
    apple: AppleContent | None = None
    google: GoogleContent | None = None

    def field_names(self) -> frozenset[str]:
        """The names of the values that passes of this template can be given."""
        found = {
            expression.source.removeprefix(FIELD_PREFIX)
            for expression in self.expressions()
            if expression.source.startswith(FIELD_PREFIX)
        }
        return frozenset(found)

    def expiry_of(self, issued_at: datetime) -> datetime | None:
        """When a pass ends that is issued now, and for which nobody said it."""
        return None if self.apple is None else self.apple.expiry_of(issued_at)

    def expressions(self) -> list[ValueExpression]:
        found: list[ValueExpression | None] = []
        if self.apple is not None:
            found += self.apple.expressions()
        if self.google is not None:
            found += self.google.expressions()
        return [expression for expression in found if expression is not None]
