"""What becomes of a class's list of messages when a new version is published."""

from __future__ import annotations

from typing import Any

from passferry_notifier.domain.google_messages import (
    MAX_MESSAGES,
    merged_messages,
    message_body,
    with_room_for_one,
)


def said(*ids: str) -> list[dict[str, Any]]:
    return [{"id": each, "body": each, "messageType": "TEXT"} for each in ids]


def ids(messages: Any) -> list[str]:
    return [each["id"] for each in messages]


def test_the_templates_own_come_first_and_others_stay_behind() -> None:
    merged = merged_messages(said("a"), said("a", "former", "sent"), ["former"])
    assert ids(merged) == ["a", "sent"]


def test_the_oldest_of_the_others_make_room() -> None:
    present = said(*(f"sent-{number}" for number in range(10)))
    merged = merged_messages(said("a", "b"), present, [])
    assert len(merged) == MAX_MESSAGES
    assert ids(merged)[:3] == ["a", "b", "sent-2"]
    full = said(*"abcdefghij")
    assert merged_messages(full, present, []) == full


def test_what_only_google_says_of_a_message_is_not_sent_back() -> None:
    present = [{"kind": "walletobjects#walletObjectMessage", "id": "s", "body": "x",
                "messageType": "textAndNotify", "header": None}]  # fmt: skip
    assert merged_messages([], present, []) == [{"id": "s", "body": "x", "messageType": "TEXT"}]


def test_room_for_one_costs_the_oldest_that_is_not_the_templates() -> None:
    present = said("hello", *(f"sent-{number}" for number in range(9)))
    kept = with_room_for_one(present, {"hello"})
    assert kept is not None
    assert ids(kept) == ["hello", *(f"sent-{number}" for number in range(1, 9))]
    assert with_room_for_one(said(*"abcdefghij"), set("abcdefghij")) is None


def test_a_message_says_no_header_that_it_has_not() -> None:
    told = message_body("m", None, "words", is_notifying=True)
    assert told == {"id": "m", "body": "words", "messageType": "TEXT_AND_NOTIFY"}
