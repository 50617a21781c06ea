"""What an event becomes at a sink: a `track` of what happened and an `identify` of what is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from passferry_event_bridge.domain.json_text import Json, json_text, major_units
from passferry_event_bridge.domain.known_pass import Fact, KnownPass

#: Of the message ids; another one would make every retry look new to the sinks.
NAMESPACE = UUID("7d1c7a52-5f0e-5c59-9d7b-6272696467e5")
SOURCE_SYSTEM = "passferry"
LIBRARY = "pass-event-bridge"
RESERVED_PREFIX = "DF"

Properties = dict[str, Json]

#: Our event types that sinks know by another name.
NAMES = {"pass.balance_changed": "pass.balance_updated"}
#: Change what is known of a pass, but are no news to a sink: an installation would count twice.
SILENT = frozenset({"device.registered", "device.unregistered"})


class ReservedName(Exception):
    """Names that start with DF are Dittofeed's own."""


def message_id(event_id: str, kind: str) -> str:
    """Equal on every retry, different for the kinds of one event."""
    return str(uuid5(NAMESPACE, f"{event_id}:{kind}"))


def items_of(
    fact: Fact, known: KnownPass, *, created_name: str = "pass.issued", version: str
) -> list[str]:
    """The items of one event in the order to send, each as JSON text; none for silent events.

    `known` is the pass with this event in it. Raises `ReservedName`.
    """
    mapped = _MAPPINGS.get(fact.event_type, _pass_through)(fact, known)
    renamed = created_name if fact.event_type == "pass.created" else None
    name = renamed or NAMES.get(fact.event_type, fact.event_type)
    common = _Common(fact, known.user_id, version)
    items = []
    erased_holder_id = fact.fields.get("erased_holder_id")
    if erased_holder_id is not None:
        # About that person, and nobody's news but theirs.
        former = _Common(fact, str(erased_holder_id), version)
        items.append(former.track("holder.erased", "holder_erased", {}))
    if not _is_silent(fact):
        items.append(common.track(name, "track", mapped))
    items.append(common.identify(_traits(fact, known)))
    items.extend(
        common.track("pass.low_balance", f"low_balance:{index}", properties)
        for index, properties in enumerate(_low_balances(fact, known))
    )
    return [json_text(item) for item in items]


def _is_silent(fact: Fact) -> bool:
    """Holds, releases and closings are changes of an account, but a journey about balances must
    not start for them. Nor is it news of a pass that somebody who had it before was erased."""
    if fact.event_type == "pass.balance_changed":
        return bool(fact.fields["change_minor"] == 0)
    if fact.fields.get("erased_holder_id") is not None:
        return not fact.fields["changed_fields"]
    return fact.event_type in SILENT


class _Common:
    def __init__(self, fact: Fact, user_id: str, version: str) -> None:
        self._fact = fact
        self._user_id = user_id
        self._version = version

    def _item(self, type_: str, kind: str) -> Properties:
        return {
            "type": type_,
            "messageId": message_id(self._fact.event_id, kind),
            "userId": self._user_id,
            "timestamp": iso(self._fact.occurred_at),
            "context": {
                "ip": "0.0.0.0",
                "library": {"name": LIBRARY, "version": self._version},
            },
        }

    def track(self, name: str, kind: str, properties: Properties) -> Properties:
        if name.startswith(RESERVED_PREFIX):
            raise ReservedName(f"an event may not be called {name}")
        return {
            **self._item("track", kind),
            "event": name,
            "properties": {
                "passId": str(self._fact.pass_id),
                **{key: value for key, value in properties.items() if value is not None},
                "workspaceId": str(self._fact.workspace_id),
                "sourceSystem": SOURCE_SYSTEM,
            },
        }

    def identify(self, traits: Properties) -> Properties:
        return {**self._item("identify", "identify"), "traits": traits}


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: what every sink reads."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _created(fact: Fact, known: KnownPass) -> Properties:
    fields = fact.fields
    return {
        "templateId": str(fields["template_id"]),
        "initialBalance": _major(fields["opening_balance_minor"], fields["unit_scale"]),
        "recipientName": fields["recipient_name"],
        "currency": fields["unit"],
        "expiresAt": _optional_iso(fields["expires_at"]),
    }


def _balance_changed(fact: Fact, known: KnownPass) -> Properties:
    fields, scale = fact.fields, fact.fields["unit_scale"]
    return {
        "previousBalance": _major(fields["previous_balance_minor"], scale),
        "newBalance": _major(fields["new_balance_minor"], scale),
        "changeAmount": _major(fields["change_minor"], scale),
        "changeReason": fields["reason"],
        # Templates in use read it by its source's name.
        "reason": fields["reason"],
        "currency": fields["unit"],
    }


def _redeemed(fact: Fact, known: KnownPass) -> Properties:
    fields, scale = fact.fields, fact.fields["unit_scale"]
    return {
        "redeemedAmount": _major(fields["amount_minor"], scale),
        "remainingBalance": _major(fields["remaining_minor"], scale),
        "location": fields["location"],
        "merchantId": fields["merchant_id"],
        "merchantName": fields["merchant_name"],
        "currency": fields["unit"],
        "exhausted": fields["exhausted"],
    }


def _birthday(fact: Fact, known: KnownPass) -> Properties:
    # The day itself stays here: a campaign needs to know that it is today, not how old one is.
    return {"bonusAmount": _major(fact.fields["bonus_minor"], known.unit_scale)}


def _points_expiring(fact: Fact, known: KnownPass) -> Properties:
    return {
        "amount": _major(fact.fields["amount_minor"], known.unit_scale),
        "currency": fact.fields["unit"],
        "expiresAt": iso(fact.fields["expires_at"]),
    }


def _pass_through(fact: Fact, known: KnownPass) -> Properties:
    own = {"workspace_id", "pass_id", "external_id", "erased_holder_id"}
    return {
        _camel_case(name): _plain(value)
        for name, value in fact.fields.items()
        if name not in own and isinstance(value, str | int | UUID | date | list)
    }


_MAPPINGS: Mapping[str, Callable[[Fact, KnownPass], Properties]] = {
    "pass.created": _created,
    "pass.balance_changed": _balance_changed,
    "pass.redeemed": _redeemed,
    "pass.birthday": _birthday,
    "points.expiring": _points_expiring,
}


def _low_balances(fact: Fact, known: KnownPass) -> list[Properties]:
    """One for each threshold that this change fell below."""
    if fact.event_type != "pass.balance_changed":
        return []
    fields, scale = fact.fields, fact.fields["unit_scale"]
    return [
        {
            "balance": _major(fields["new_balance_minor"], scale),
            "threshold": _optional_major(each["threshold_minor"], scale),
            "currency": fields["unit"],
        }
        for each in fields["crossings"]
        if each["kind"] == "low_balance"
    ]


def _traits(fact: Fact, known: KnownPass) -> Properties:
    balance_minor = known.balance_minor
    # What the event itself says stays as it was, also when it is told again later.
    for name in ("new_balance_minor", "remaining_minor"):
        balance_minor = fact.fields.get(name, balance_minor)
    last_used = known.last_used_at
    platforms = known.platforms | ({"apple"} if known.devices else frozenset())
    traits: Properties = {
        "pass_id": str(fact.pass_id),
        "pass_balance": _major(balance_minor, known.unit_scale),
        "pass_currency": known.unit,
        "pass_status": known.status,
        "pass_device_count": len(known.devices),
        "pass_platforms": sorted(platforms),
    }
    if known.expires_at is not None:
        traits["pass_expires_at"] = iso(known.expires_at)
    if last_used is not None:
        traits["pass_last_used"] = iso(last_used)
        traits["pass_last_used_at"] = iso(last_used)
    if known.tier is not None:
        traits["tier"] = known.tier
    return traits


def _major(amount_minor: int, unit_scale: int) -> Decimal:
    return major_units(amount_minor, unit_scale)


def _optional_major(amount_minor: int | None, unit_scale: int) -> Decimal | None:
    return None if amount_minor is None else major_units(amount_minor, unit_scale)


def _optional_iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def _camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _plain(value: Any) -> Json:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID | StrEnum):
        return str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value  # type: ignore[no-any-return]  # text and whole numbers are all that is left
