"""The AsyncAPI 3.1.0 document of all topics, with Kafka bindings 0.5.0."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from passferry_contracts.compatibility import Schema
from passferry_contracts.envelope import CONTENT_TYPE
from passferry_contracts.parties import PARTIES, REPLAY, UPSTREAM
from passferry_contracts.registry import TOPICS, Topic
from passferry_contracts.schemas import EventKind, event_kinds, schema_of

ASYNCAPI_VERSION = "3.1.0"
KAFKA_BINDING_VERSION = "0.5.0"

_LICENCE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
_HEADERS: Schema = {
    "type": "object",
    "description": "CloudEvents 1.0 in Kafka's binary mode. Structured mode is read as well.",
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {
            "type": "string",
            "maxLength": 200,
            "description": "With ce_source, identifies the event: equal pairs are duplicates.",
        },
        "ce_source": {"type": "string", "maxLength": 200},
        "ce_type": {"type": "string", "maxLength": 200},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "maxLength": 200},
        "ce_dataschema": {"type": "string", "description": "passferry:<type>/<version>"},
        "ce_partitionkey": {"type": "string", "description": "The record's key."},
        "ce_workspaceid": {"type": "string", "format": "uuid"},
        "ce_sequence": {
            "type": "string",
            "description": "Ledger version or revision, with leading zeros: compares as a string.",
        },
        "ce_traceparent": {"type": "string", "description": "W3C trace context of the cause."},
        "traceparent": {"type": "string", "description": "The same, where tracers look for it."},
        "content-type": {"type": "string", "const": CONTENT_TYPE},
    },
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"],
}


def document() -> Schema:
    """The whole document, deterministic: equal contracts give equal text."""
    kinds = list(event_kinds())
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "Passferry events",
            "version": "1.0.0",
            "description": "What Passferry's services and the systems around them say in Kafka.",
            "license": _LICENCE,
        },
        "servers": {
            "kafka": {
                "host": "{broker}",
                "protocol": "kafka",
                "variables": {"broker": {"default": "localhost:9092"}},
            }
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in TOPICS.values()},
        "operations": dict(_operations()),
        "components": {
            "schemas": _schemas(kinds),
            "messages": {_message_name(kind): _message(kind) for kind in kinds},
        },
    }


def document_text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(topic: Topic) -> Schema:
    kinds = [kind for kind in event_kinds() if kind.topic is topic]
    return {
        "address": topic.name,
        "description": PARTIES[topic.name].purpose,
        "messages": {
            kind.event_type: {"$ref": f"#/components/messages/{_message_name(kind)}"}
            for kind in kinds
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": _topic_configuration(topic),
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _topic_configuration(topic: Topic) -> Schema:
    settings = topic.configuration()
    return {
        name: [value] if name == "cleanup.policy" else int(value)
        for name, value in settings.items()
        # The binding has no place for this one.
        if name != "compression.type"
    }


def _operations() -> Iterator[tuple[str, Schema]]:
    for topic in TOPICS.values():
        parties = PARTIES[topic.name]
        for action, names in (("send", parties.senders), ("receive", parties.receivers)):
            for name in names:
                yield f"{name}.{action}.{topic.name}", _operation(topic, action, name)


def _operation(topic: Topic, action: str, party: str) -> Schema:
    verb = "sends to" if action == "send" else "receives"
    operation: Schema = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": f"{party} {verb} {topic.name}",
    }
    if topic.events:
        operation["messages"] = [
            {"$ref": f"#/channels/{topic.name}/messages/{model.event_type}"}
            for model in topic.events
        ]
    if party not in (UPSTREAM, REPLAY):
        operation["bindings"] = {
            "kafka": {
                "clientId": {"type": "string", "description": f"Begins with {party}."},
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        }
    return operation


def _message_name(kind: EventKind) -> str:
    return f"inbound.{kind.event_type}" if kind.family == "inbound" else kind.event_type


def _schema_name(kind: EventKind) -> str:
    return kind.model.__name__


def _message(kind: EventKind) -> Schema:
    description = (kind.model.__doc__ or "").strip()
    return {
        "name": kind.event_type,
        "title": kind.model.__name__,
        **({"summary": description.splitlines()[0]} if description else {}),
        "contentType": CONTENT_TYPE,
        "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
        "payload": {"$ref": f"#/components/schemas/{_schema_name(kind)}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": kind.topic.key},
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _schemas(kinds: list[EventKind]) -> Schema:
    """All payloads, with their parts beside them: a document has one place for definitions."""
    schemas: Schema = {"CloudEventHeaders": _HEADERS}
    for kind in kinds:
        schema = schema_of(kind.model)
        schema.pop("$schema")
        parts = schema.pop("$defs", {})
        for name, part in (*parts.items(), (_schema_name(kind), schema)):
            rooted = _rooted(part)
            if schemas.setdefault(name, rooted) != rooted:
                raise ValueError(f"two different parts are called {name}")
    return dict(sorted(schemas.items()))


def _rooted(value: Any) -> Any:
    if isinstance(value, list):
        return [_rooted(item) for item in value]
    if isinstance(value, dict):
        return {key: _rooted(item) for key, item in value.items()}
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/", 1)
    return value
