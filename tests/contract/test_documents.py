"""`docs/events.md` and `docs/asyncapi.json` say what the code does."""

import json
import re

import pytest

from passferry_contracts import asyncapi, documentation
from passferry_contracts.parties import PARTIES
from passferry_contracts.registry import TOPICS
from passferry_contracts.schemas import event_kinds


@pytest.fixture(scope="module")
def document():
    return asyncapi.document()


def references_in(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from references_in(item)


def resolved(document, reference):
    assert reference.startswith("#/")
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_the_generated_documents_are_in_sync():
    assert documentation.outdated() == [], (
        "run `python -m passferry_contracts.documentation --write`"
    )


def test_a_document_that_was_changed_by_hand_is_found(tmp_path):
    for name, text in documentation.documents().items():
        (tmp_path / name).write_text(text)
    assert documentation.outdated(tmp_path) == []
    events = tmp_path / "events.md"
    events.write_text(events.read_text().replace("pass_id", "pass_number", 1))
    (tmp_path / "asyncapi.json").unlink()
    assert documentation.outdated(tmp_path) == [
        "docs/events.md is out of date",
        "docs/asyncapi.json is out of date",
    ]


def test_every_reference_of_the_asyncapi_document_resolves(document):
    references = set(references_in(document))
    assert len(references) > 100
    for reference in references:
        assert resolved(document, reference)


def test_every_topic_is_a_channel_with_its_settings(document):
    assert document["asyncapi"] == "3.1.0"
    assert {channel["address"] for channel in document["channels"].values()} == set(TOPICS)
    for name, topic in TOPICS.items():
        binding = document["channels"][name]["bindings"]["kafka"]
        assert binding["bindingVersion"] == "0.5.0"
        assert binding["partitions"] == topic.partitions
        policy = ["compact"] if topic.compacted else ["delete"]
        assert binding["topicConfiguration"]["cleanup.policy"] == policy


def test_every_event_is_a_message_of_its_channel(document):
    kinds = list(event_kinds())
    assert len(document["components"]["messages"]) == len(kinds)
    for kind in kinds:
        channel = document["channels"][kind.topic.name]
        message = resolved(document, channel["messages"][kind.event_type]["$ref"])
        payload = resolved(document, message["payload"]["$ref"])
        assert set(payload["properties"]) == set(kind.model.model_fields)


def test_operations_use_messages_of_their_own_channel(document):
    for name, operation in document["operations"].items():
        assert operation["action"] in {"send", "receive"}
        channel = operation["channel"]["$ref"]
        for message in operation.get("messages", ()):
            assert message["$ref"].startswith(f"{channel}/messages/"), name


def test_every_sender_and_receiver_has_its_operation(document):
    expected = {
        f"{party}.{action}.{topic}"
        for topic, parties in PARTIES.items()
        for action, names in (("send", parties.senders), ("receive", parties.receivers))
        for party in names
    }
    assert set(document["operations"]) == expected


def test_every_event_and_field_is_documented():
    text = documentation.events_text()
    for kind in event_kinds():
        assert f"Type `{kind.event_type}`, version {kind.version}, class" in text
        for field in kind.model.model_fields:
            assert f"| `{field}` |" in text


def test_links_within_the_events_document_lead_to_headings():
    text = documentation.events_text()
    anchors = {
        re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(links) == len([topic for topic in TOPICS.values() if topic.events])
    assert set(links) <= anchors


def test_no_table_row_of_the_events_document_is_broken():
    # A pattern with a vertical bar would end its cell.
    for line in documentation.events_text().splitlines():
        if line.startswith("| `") and "` | " in line:
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) in {6, 9}, line


def test_the_document_is_json_with_its_keys_in_a_fixed_order():
    assert asyncapi.document_text() == asyncapi.document_text()
    assert json.loads(asyncapi.document_text()) == asyncapi.document()
