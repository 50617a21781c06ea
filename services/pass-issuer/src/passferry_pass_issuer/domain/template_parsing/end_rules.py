"""`ends_when`: the rules by which passes of a template end by themselves."""

from __future__ import annotations

from passferry_pass_issuer.domain.end_rules import REASONS, EndReason, EndRule, Kind
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing.node import Node
from passferry_pass_issuer.domain.template_parsing.values import FIELD_NAME

MAX_RULES = 8
MAX_USES = 1_000_000
MAX_DAYS = 3_650
#: Each rule has one of these, and what it tells where it does not say another reason.
_KINDS: dict[Kind, EndReason] = {
    "balance_spent": "redeemed",
    "uses": "redeemed",
    "date_field": "expired",
    "days_after_issue": "expired",
    "days_after_last_use": "inactive",
}


def end_rules(node: Node) -> tuple[EndRule, ...]:
    rules = node.children("ends_when", _rule, most=MAX_RULES)
    conditions = [(rule.kind, rule.field_name) for rule in rules]
    for place, condition in enumerate(conditions):
        if condition in conditions[:place]:
            raise ContentRejected(
                "duplicate", node.at(f"ends_when.{place}"), "says the same as an earlier rule"
            )
    return rules


def _rule(node: Node) -> EndRule:
    given = [kind for kind in _KINDS if node.get(kind) is not None]
    if len(given) != 1:
        raise ContentRejected("invalid", node.path, f"must have one of {', '.join(_KINDS)}")
    [kind] = given
    count, field_name = 0, ""
    match kind:
        case "balance_spent":
            if node.get(kind) is not True:
                raise ContentRejected("invalid", node.at(kind), "must be true, or left out")
        case "date_field":
            field_name = node.text(kind, most=64)
            if not FIELD_NAME.match(field_name):
                raise ContentRejected("invalid", node.at(kind), "must be the name of a field")
        case _:
            count = node.whole_number(kind, 1, MAX_USES if kind == "uses" else MAX_DAYS)
    said = node.optional_choice("reason", REASONS)
    reason = next((each for each in REASONS if each == said), _KINDS[kind])
    return EndRule(kind=kind, reason=reason, count=count, field_name=field_name)
