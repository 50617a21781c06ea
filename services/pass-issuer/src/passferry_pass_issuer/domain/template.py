"""What a template says: layout, colours and which value each field shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from passferry_pass_issuer.domain.apple_template import AppleContent
from passferry_pass_issuer.domain.end_rules import EndRule, rule_fields
from passferry_pass_issuer.domain.google_template import GoogleContent, expressions_in
from passferry_pass_issuer.domain.value_expression import FIELD_PREFIX, ValueExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateContent:
    apple: AppleContent | None = None
    google: GoogleContent | None = None
    #: How passes end by themselves; the earliest counts.
    ends_when: tuple[EndRule, ...] = ()

    def field_names(self) -> frozenset[str]:
        """The names of the values that passes of this template can be given."""
        return _names(self.expressions()) | rule_fields(self.ends_when)

    def code_field_names(self) -> frozenset[str]:
        """Those that codes of a pass are made of: whoever has one may use the pass."""
        found: list[ValueExpression | None] = []
        if self.apple is not None:
            found += [barcode.message for barcode in self.apple.barcodes]
            found += [self.apple.nfc.message] if self.apple.nfc is not None else []
        if self.google is not None:
            codes = self.google.barcode, self.google.rotating_barcode, self.google.smart_tap
            found += expressions_in(codes)
        return _names(found)

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


def _names(expressions: Iterable[ValueExpression | None]) -> frozenset[str]:
    found = {
        expression.source.removeprefix(FIELD_PREFIX)
        for expression in expressions
        if expression is not None and expression.source.startswith(FIELD_PREFIX)
    }
    return frozenset(found)
