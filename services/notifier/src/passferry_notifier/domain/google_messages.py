"""The messages of a class or object at Google: one list, which a PATCH replaces whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

#: More are refused by Google, with the whole request.
MAX_MESSAGES = 10
_KEPT = ("id", "header", "body", "localizedHeader", "localizedBody", "displayInterval")

Message = Mapping[str, Any]


def merged_messages(
    ours: Sequence[Message], present: Sequence[Message], former_ids: Collection[str]
) -> list[Message]:
    """What a template says, and behind it the newest of what is there beside it."""
    gone = {each.get("id") for each in ours} | set(former_ids)
    others = [kept_message(each) for each in present if each.get("id") not in gone]
    room = max(0, MAX_MESSAGES - len(ours))
    return [*ours, *others[len(others) - min(room, len(others)) :]]


def kept_message(present: Message) -> Message:
    """As it is sent back: nobody is told of it a second time."""
    kept = {name: present[name] for name in _KEPT if present.get(name) is not None}
    return {**kept, "messageType": "TEXT"}


def message_body(
    message_id: str, header: str | None, body: str, *, is_notifying: bool
) -> dict[str, Any]:
    said = {"id": message_id, "header": header, "body": body}
    kind = "TEXT_AND_NOTIFY" if is_notifying else "TEXT"
    return {name: value for name, value in said.items() if value} | {"messageType": kind}


def with_room_for_one(
    present: Sequence[Message], template_ids: Collection[str]
) -> list[Message] | None:
    """The list without the oldest that is not the template's; None when all ten are."""
    others = [each for each in present if each.get("id") not in template_ids]
    if not others:
        return None
    excess = max(1, len(present) - MAX_MESSAGES + 1)
    pruned = others[:excess]
    return [kept_message(each) for each in present if not any(each is one for one in pruned)]
