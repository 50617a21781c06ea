"""CloudEvents 1.0 on Kafka: binary mode written, binary and structured mode read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pydantic import ValidationError

from passferry_contracts.registry import TOPICS, Payload, Topic

Headers = list[tuple[str, bytes]]

CONTENT_TYPE = "application/json"
SEQUENCE_DIGITS = 20
MAX_HEADER_BYTES = 4096
#: Of id, source and subject: consumers store and quote them.
MAX_ATTRIBUTE_CHARACTERS = 200

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class InvalidEvent(Exception):
    """The record is not an event of its topic, and never will be.

    `code`: undecodable, not_cloudevents, type_unknown, schema_invalid, tombstone or oversize.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One event with its CloudEvents attributes. `source` and `id` together identify it."""

    id: str
    source: str
    type: str
    time: datetime
    data: Payload
    subject: str | None = None
    traceparent: str | None = None

    @property
    def key(self) -> str:
        return self.data.partition_key()

    @property
    def workspace_id(self) -> UUID | None:
        return self.data.workspace_id


def encode_headers(envelope: Envelope) -> Headers:
    data = envelope.data
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", envelope.id.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_time", _format_time(envelope.time).encode()),
        ("ce_dataschema", f"passferry:{data.event_type}/{data.schema_version}".encode()),
        ("ce_partitionkey", envelope.key.encode()),
    ]
    if envelope.subject is not None:
        headers.append(("ce_subject", envelope.subject.encode()))
    if envelope.workspace_id is not None:
        headers.append(("ce_workspaceid", str(envelope.workspace_id).encode()))
    sequence = data.sequence()
    if sequence is not None:
        # Sequences compare as strings, hence the leading zeros.
        headers.append(("ce_sequence", str(sequence).zfill(SEQUENCE_DIGITS).encode()))
    if envelope.traceparent is not None:
        headers.append(("ce_traceparent", envelope.traceparent.encode()))
        headers.append(("traceparent", envelope.traceparent.encode()))
    headers.append(("content-type", CONTENT_TYPE.encode()))
    return headers


def encode_value(envelope: Envelope) -> bytes:
    # As `model_dump_json`, which would make text of these bytes, to be encoded again.
    serializer = type(envelope.data).__pydantic_serializer__
    return serializer.to_json(envelope.data, exclude_none=True)


def decode(
    topic: Topic | str, headers: Sequence[tuple[str, bytes]], value: bytes | None
) -> Envelope:
    """Read one record; raises `InvalidEvent`, whose detail names the field at fault."""
    known = TOPICS[topic] if isinstance(topic, str) else topic
    if value is None:
        raise InvalidEvent("tombstone", "the record has no value")
    if len(value) > known.max_record_bytes:
        raise InvalidEvent("oversize", f"{len(value)} bytes, at most {known.max_record_bytes}")
    attributes = _attributes(headers)
    if attributes.get("content-type", "").lower().startswith("application/cloudevents"):
        inner, value = _unwrap_structured(value)
        # A tracer on the way sets Kafka's own header, which the event inside does not know.
        attributes = {"traceparent": attributes.get("traceparent", ""), **inner}
    _check_attributes(attributes)
    model = known.model_of(attributes["type"])
    if model is None:
        raise InvalidEvent("type_unknown", f"{attributes['type'][:100]} is not of {known.name}")
    return Envelope(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        time=_parse_time(attributes.get("time")),
        data=_validate(model, value),
        subject=attributes.get("subject"),
        traceparent=_traceparent(attributes),
    )


def _check_attributes(attributes: dict[str, str]) -> None:
    required = ("id", "source", "type", "specversion")
    missing = [name for name in required if not attributes.get(name)]
    if missing:
        raise InvalidEvent("not_cloudevents", f"missing attribute {', '.join(missing)}")
    if not attributes["specversion"].startswith("1."):
        raise InvalidEvent("not_cloudevents", "specversion is not 1.0")
    for name in ("id", "source", "type", "subject"):
        text = attributes.get(name, "")
        if len(text) > MAX_ATTRIBUTE_CHARACTERS:
            raise InvalidEvent(
                "not_cloudevents", f"{name} is longer than {MAX_ATTRIBUTE_CHARACTERS} characters"
            )
        # Control characters and half surrogates cannot be stored: the record would never pass.
        if not text.isprintable():
            raise InvalidEvent("not_cloudevents", f"{name} holds characters that cannot be stored")


def _traceparent(attributes: dict[str, str]) -> str | None:
    # A broken trace context loses the trace, never the event.
    text = attributes.get("traceparent", "")
    return text if _TRACEPARENT.fullmatch(text) else None


def _validate(model: type[Payload], value: bytes) -> Payload:
    try:
        # Consumers ignore fields that a newer producer added.
        return model.model_validate_json(value, extra="ignore")
    except ValidationError as error:
        is_json = all(fault["type"] != "json_invalid" for fault in error.errors(include_url=False))
        code = "schema_invalid" if is_json else "undecodable"
        raise InvalidEvent(code, describe_validation_error(error)) from None


def describe_validation_error(error: ValidationError) -> str:
    """Each fault as `field: what is wrong`, without the offending input."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'body'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False, include_context=False)[:5]
    ]
    return "; ".join(faults)[:600]


def _attributes(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for name, raw in headers:
        if raw is None or len(raw) > MAX_HEADER_BYTES:
            continue
        lowered = name.lower()
        if lowered.startswith("ce_"):
            attributes[lowered[3:]] = raw.decode("utf-8", "replace")
        elif lowered == "content-type":
            attributes["content-type"] = raw.decode("utf-8", "replace")
        elif lowered == "traceparent":
            attributes.setdefault("traceparent", raw.decode("utf-8", "replace"))
    return attributes


def _unwrap_structured(value: bytes) -> tuple[dict[str, str], bytes]:
    try:
        body = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent("undecodable", "the structured event is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidEvent("undecodable", "the structured event is not a JSON object")
    data = body.pop("data", None)
    attributes = {name: item for name, item in body.items() if isinstance(item, str)}
    return attributes, json.dumps(data).encode()


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse_time(text: str | None) -> datetime:
    if text is None:
        return datetime.fromtimestamp(0, UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidEvent("not_cloudevents", "ce_time is not an RFC 3339 time") from error
    if moment.tzinfo is None:
        raise InvalidEvent("not_cloudevents", "ce_time has no zone")
    return moment
