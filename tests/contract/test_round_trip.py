"""Whatever a schema allows survives the way through Kafka, for every event type."""

import json
from datetime import UTC

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from passferry_contracts.envelope import Envelope, decode, encode_headers, encode_value
from passferry_contracts.schemas import event_kinds, schema_of

KINDS = list(event_kinds())
LARGEST = 20

_printable = st.characters(exclude_categories=["Cc", "Cs"])
_attribute = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"]),
    min_size=1,
    max_size=40,
)
_free_form = st.dictionaries(
    st.text(_printable, max_size=9),
    st.none() | st.booleans() | st.integers() | st.text(_printable, max_size=9),
    max_size=3,
)


def values_of(schema, definitions):
    """Values that a schema of ours allows, as they stand in JSON."""
    if "$ref" in schema:
        return values_of(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    if "anyOf" in schema:
        return st.one_of([values_of(each, definitions) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return BUILDERS[schema["type"]](schema, definitions)


def texts(schema, definitions):
    match schema.get("format"):
        case "uuid":
            return st.uuids().map(str)
        case "date-time":
            return st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat())
        case "date":
            return st.dates().map(str)
    if "pattern" in schema:
        pattern = schema["pattern"].removesuffix("$") + r"\Z"
        longest = schema.get("maxLength", 10**6)
        return st.from_regex(pattern).filter(lambda text: len(text) <= longest)
    longest = schema.get("maxLength", LARGEST)
    return st.text(_printable, min_size=schema.get("minLength", 0), max_size=min(longest, LARGEST))


def integers(schema, definitions):
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    numbers = st.integers(lowest if above is None else above + 1, highest)
    return numbers.filter(lambda number: schema.get("not") != {"const": number})


def objects(schema, definitions):
    if "properties" not in schema:
        inner = schema.get("additionalProperties")
        if not isinstance(inner, dict):
            return _free_form
        return st.dictionaries(
            st.text(_printable, max_size=9), values_of(inner, definitions), max_size=3
        )
    fields = {name: values_of(field, definitions) for name, field in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


BUILDERS = {
    "string": texts,
    "integer": integers,
    "object": objects,
    "boolean": lambda schema, definitions: st.booleans(),
    "null": lambda schema, definitions: st.none(),
    "array": lambda schema, definitions: st.lists(
        values_of(schema["items"], definitions), max_size=3
    ),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.folder)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_event_survives_the_round_trip(kind, data):
    schema = schema_of(kind.model)
    value = data.draw(values_of(schema, schema.get("$defs", {})))
    # Rules between fields, which single fields know nothing of.
    said = {name: item for name, item in value.items() if item is not None}
    assume(Draft202012Validator({"allOf": schema.get("allOf", [])}).is_valid(said))
    payload = kind.model.model_validate_json(json.dumps(value))
    sent = Envelope(
        id=data.draw(_attribute),
        source=data.draw(_attribute),
        type=kind.event_type,
        time=data.draw(st.datetimes(timezones=st.just(UTC))),
        data=payload,
        subject=data.draw(st.none() | _attribute),
    )
    received = decode(kind.topic, encode_headers(sent), encode_value(sent))
    assert received == sent
    assert received.key == sent.key
    Draft202012Validator(schema).validate(json.loads(encode_value(sent)))
