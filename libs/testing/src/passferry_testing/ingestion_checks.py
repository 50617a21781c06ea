"""Dittofeed's validation of the public ingestion API: types are coerced, then required."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

SINGLE_KINDS = ("identify", "track", "page", "screen", "group")
_EPOCH = "1970-01-01T00:00:00.000Z"
_OBJECT_FIELDS = ("context", "traits", "properties")
_STRING_FIELDS = ("messageId", "userId", "anonymousId", "timestamp", "event", "name", "groupId")
_REQUIRED_FIELD = {"track": "event", "group": "groupId"}

Item = dict[str, Any]


class ItemInvalid(Exception):
    """One item, and with it the whole request, breaks the schema (code `FST_ERR_VALIDATION`)."""

    code = "FST_ERR_VALIDATION"


def checked_batch(body: object) -> list[Item]:
    """Return a batch body's items, each with the batch's context below its own."""
    if not isinstance(body, dict):
        raise ItemInvalid("body must be object")
    items = body.get("batch")
    if items is None:
        raise ItemInvalid("body must have required property 'batch'")
    if not isinstance(items, list):
        items = [items]
    shared = _object(body, "context", "body") or {}
    return [
        _with_context(_checked_batch_item(item, f"body/batch/{position}"), shared)
        for position, item in enumerate(items)
    ]


def checked_single(kind: str, body: object) -> list[Item]:
    """Return the item of a single call such as /track."""
    return [{**checked_item(kind, body, "body"), "type": kind}]


def checked_item(kind: str, item: object, path: str) -> Item:
    if not isinstance(item, dict):
        raise ItemInvalid(f"{path} must be object")
    checked: Item = dict(item)
    for field in _STRING_FIELDS:
        if field in checked:
            checked[field] = _string(checked[field], f"{path}/{field}")
    for field in _OBJECT_FIELDS:
        _object(checked, field, path)
    if "messageId" not in checked:
        raise ItemInvalid(f"{path} must have required property 'messageId'")
    if "userId" not in checked and "anonymousId" not in checked:
        raise ItemInvalid(f"{path} must have required property 'userId'")
    required = _REQUIRED_FIELD.get(kind)
    if required is not None and required not in checked:
        raise ItemInvalid(f"{path} must have required property '{required}'")
    return checked


def stored_timestamp(item: Item, received_at: datetime) -> str:
    """The time that Dittofeed stores: received time if absent, the epoch if unreadable."""
    text = item.get("timestamp")
    if text is None:
        return _iso(received_at)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _EPOCH
    return _iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _checked_batch_item(item: object, path: str) -> Item:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in SINGLE_KINDS:
        raise ItemInvalid(f"{path}/type must be equal to one of the allowed values")
    return checked_item(str(kind), item, path)


def _with_context(item: Item, shared: Mapping[str, Any]) -> Item:
    if not shared:
        return item
    return {**item, "context": {**shared, **item.get("context", {})}}


def _object(holder: Mapping[str, Any], field: str, path: str) -> dict[str, Any] | None:
    if field not in holder:
        return None
    value = holder[field]
    if not isinstance(value, dict):
        raise ItemInvalid(f"{path}/{field} must be object")
    return value


def _string(value: object, path: str) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ItemInvalid(f"{path} must be string")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
