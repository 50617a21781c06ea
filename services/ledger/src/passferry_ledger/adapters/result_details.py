"""The rare parts of an outcome, as they are stored with it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from passferry_ledger.domain.outcomes import OtherSide, Outcome
from passferry_ledger.domain.rules import Crossing


def details_of(outcome: Outcome) -> str | None:
    """JSON, or None where there is nothing of the kind."""
    details: dict[str, Any] = {}
    if outcome.hold_id is not None:
        details["hold_id"] = str(outcome.hold_id)
    if outcome.reverses is not None:
        details["reverses"] = str(outcome.reverses)
    if outcome.tier is not None:
        details["tier"] = outcome.tier
    if outcome.crossings:
        details["crossings"] = [_crossing_json(crossing) for crossing in outcome.crossings]
    if outcome.other is not None:
        details["other"] = _other_json(outcome.other)
    return json.dumps(details) if details else None


def outcome_details(details: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Outcome` that were stored."""
    fields: dict[str, Any] = {"tier": details.get("tier")}
    for name in ("hold_id", "reverses"):
        if name in details:
            fields[name] = UUID(details[name])
    fields["crossings"] = tuple(Crossing(**each) for each in details.get("crossings", ()))
    if "other" in details:
        other = details["other"]
        fields["other"] = OtherSide(
            **{
                **other,
                # Not stored: it may be personal, and a replay does not need it.
                "external_id": None,
                "pass_id": UUID(other["pass_id"]),
                "program_id": UUID(other["program_id"]),
                "crossings": tuple(Crossing(**each) for each in other["crossings"]),
            }
        )
    return fields


def _crossing_json(crossing: Crossing) -> dict[str, Any]:
    return {
        "kind": crossing.kind,
        "threshold_minor": crossing.threshold_minor,
        "name": crossing.name,
    }


def _other_json(other: OtherSide) -> dict[str, Any]:
    return {
        "pass_id": str(other.pass_id),
        "program_id": str(other.program_id),
        "version": other.version,
        "previous_balance_minor": other.previous_balance_minor,
        "balance_minor": other.balance_minor,
        "available_minor": other.available_minor,
        "held_minor": other.held_minor,
        "tier": other.tier,
        "crossings": [_crossing_json(crossing) for crossing in other.crossings],
    }
