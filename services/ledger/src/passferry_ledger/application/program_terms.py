"""A program's rules, from the words of the contract into those of the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from passferry_contracts import program_rules as contract
from passferry_ledger.domain.rules import (
    EarnRule,
    ExpiryKind,
    ExpiryRule,
    LowBalance,
    RedeemRule,
    Rules,
    Threshold,
    ThresholdReached,
    TierLevel,
    TierRule,
)


def rules_of(rules: Mapping[str, Any], thresholds: Sequence[Mapping[str, Any]]) -> Rules:
    """Raises `ValueError` for rules that say what the contract does not know."""
    said = contract.parse_rules(rules)
    return Rules(
        time_zone=said.time_zone,
        earn=_earn(said.earn),
        redeem=_redeem(said.redeem),
        expiry=_expiry(said.expiry),
        pending_days=said.pending_days,
        announce_expiry_days=said.announce_expiry_days,
        hold_expires_after_s=said.hold.expire_after_s,
        allows_re_entry=said.check_in.re_entry,
        tiers=_tiers(said.tiers),
        thresholds=tuple(_threshold(each) for each in contract.parse_thresholds(thresholds)),
    )


def _earn(rule: contract.EarnRule | None) -> EarnRule | None:
    if rule is None:
        return None
    return EarnRule(
        points=rule.points,
        per_minor=rule.per_minor,
        purchase_unit=rule.purchase_unit,
        minimum_purchase_minor=rule.minimum_purchase_minor,
    )


def _redeem(rule: contract.RedeemRule | None) -> RedeemRule:
    if rule is None:
        return RedeemRule()
    return RedeemRule(minimum_minor=rule.minimum_minor, maximum_minor=rule.maximum_minor)


def _expiry(rule: contract.ExpiryRule | None) -> ExpiryRule | None:
    match rule:
        case None:
            return None
        case contract.EndOfMonth():
            return ExpiryRule(kind=ExpiryKind.END_OF_MONTH, number=rule.months)
        case contract.EndOfYear():
            return ExpiryRule(kind=ExpiryKind.END_OF_YEAR, number=rule.years)
        case contract.Rolling():
            return ExpiryRule(kind=ExpiryKind.ROLLING, number=rule.days)
        case contract.AfterDays():
            return ExpiryRule(kind=ExpiryKind.AFTER_DAYS, number=rule.days)


def _tiers(rule: contract.TierRule | None) -> TierRule | None:
    if rule is None:
        return None
    levels = tuple(
        TierLevel(name=level.name, from_minor=level.from_minor, earn_percent=level.earn_percent)
        for level in rule.levels
    )
    return TierRule(valid_days=rule.valid_days, levels=levels)


def _threshold(said: contract.Threshold) -> Threshold:
    if isinstance(said, contract.LowBalance):
        return LowBalance(
            below_minor=said.below_minor, below_percent=said.below_percent, name=said.name
        )
    return ThresholdReached(at_minor=said.at_minor, name=said.name, every=said.every)
