"""The golden examples are records of yesterday: today's code must read every one of them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from passferry_contracts.envelope import InvalidEvent, decode, encode_headers, encode_value
from passferry_contracts.events.inbound import InboundPassCreated
from passferry_contracts.registry import PASS_INBOUND, TOPICS
from passferry_contracts.schemas import event_kinds, schema_path

EXAMPLES_DIRECTORY = Path(__file__).parents[2] / "libs" / "contracts" / "examples"
PATHS = sorted(EXAMPLES_DIRECTORY.glob("*/*/*/*.json"))
KINDS = list(event_kinds())


def topic_of(path):
    family = path.relative_to(EXAMPLES_DIRECTORY).parts[0]
    return PASS_INBOUND if family == "inbound" else TOPICS[family]


def binary_record(example):
    """Headers and value as they stand in Kafka."""
    headers = [(name, text.encode()) for name, text in example["headers"].items()]
    return headers, json.dumps(example["value"]).encode()


def structured_record(example):
    attributes = {
        name.removeprefix("ce_"): text
        for name, text in example["headers"].items()
        if name.startswith("ce_")
    }
    document = {**attributes, "datacontenttype": "application/json", "data": example["value"]}
    headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    return headers, json.dumps(document).encode()


def decoded(path):
    return decode(topic_of(path), *binary_record(json.loads(path.read_text())))


def assert_says_the_same(sent, received):
    """Every field that was written is written again; what is added says what absence meant."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            if isinstance(received, dict) and name in received:
                assert_says_the_same(value, received[name])
            else:
                assert value is None, f"{name} was lost"
    elif isinstance(sent, list):
        assert len(sent) == len(received)
        for one, other in zip(sent, received, strict=True):
            assert_says_the_same(one, other)
    elif isinstance(sent, str) and sent.endswith("Z") and sent != received:
        # A time keeps its moment; its fraction may be written with more digits.
        assert sent.rstrip("Z").split(".")[0] == received.rstrip("Z").split(".")[0]
    else:
        assert type(sent) is type(received)
        assert sent == received


@pytest.fixture(params=PATHS, ids=lambda path: str(path.relative_to(EXAMPLES_DIRECTORY)))
def path(request):
    return request.param


@pytest.fixture
def example(path):
    return json.loads(path.read_text())


def test_an_example_decodes_today(path, example):
    envelope = decode(topic_of(path), *binary_record(example))
    _, event_type, version, _ = path.relative_to(EXAMPLES_DIRECTORY).parts
    assert envelope.type == event_type
    assert envelope.key == example["key"]
    assert example["headers"]["ce_dataschema"] == f"passferry:{event_type}/{version}"


def test_an_example_encodes_back_to_equal_headers(path, example):
    headers = {name: raw.decode() for name, raw in encode_headers(decoded(path))}
    assert headers == example["headers"]


def test_an_example_encodes_back_to_an_equal_value(path, example):
    envelope = decoded(path)
    written = json.loads(encode_value(envelope))
    assert_says_the_same(example["value"], written)
    # What an absent field meant is what is written for it now.
    assert decode(topic_of(path), encode_headers(envelope), encode_value(envelope)) == envelope


def test_the_structured_form_of_an_example_decodes_equal(path, example):
    assert decode(topic_of(path), *structured_record(example)) == decoded(path)


def test_an_example_is_written_by_a_producer_of_today(path, example):
    # Strict, unlike decoding: a field that the model does not know is an error.
    model = topic_of(path).model_of(example["headers"]["ce_type"])
    assert model.model_validate_json(json.dumps(example["value"])) == decoded(path).data


def test_an_example_satisfies_the_committed_schema(path, example):
    kind = next(
        kind
        for kind in KINDS
        if kind.topic is topic_of(path) and kind.event_type == example["headers"]["ce_type"]
    )
    schema = json.loads(schema_path(kind).read_text())
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    validator.validate(example["value"])
    validator.validate(json.loads(encode_value(decoded(path))))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.folder)
def test_every_event_type_has_a_minimal_example_and_one_of_every_field(kind):
    folder = EXAMPLES_DIRECTORY / kind.folder / str(kind.version)
    values = [json.loads(path.read_text())["value"] for path in sorted(folder.glob("*.json"))]
    required = {name for name, field in kind.model.model_fields.items() if field.is_required()}
    assert len(values) >= 2
    smallest = min(values, key=len)
    assert required <= set(smallest)
    fields = set(kind.model.model_fields)
    if kind.model is InboundPassCreated:
        fields.remove("pass_id")  # the pass is not there yet, so nobody outside knows its id
    assert set().union(*values) == fields
    # Of these the models want one of two, which their required fields cannot say.
    either_or = {"business_id", "external_id", "pass_id", "template_id", "code"}
    either_or |= {"to_external_id", "entry_reference"}
    assert set(smallest) - required <= either_or


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.folder)
def test_leaving_out_any_required_field_is_refused_and_named(kind):
    path = min((EXAMPLES_DIRECTORY / kind.folder / str(kind.version)).glob("*.json"))
    example = json.loads(path.read_text())
    headers, _ = binary_record(example)
    for name, field in kind.model.model_fields.items():
        if field.is_required():
            value = {key: item for key, item in example["value"].items() if key != name}
            with pytest.raises(InvalidEvent, match=f"^schema_invalid: {name}: Field required"):
                decode(kind.topic, headers, json.dumps(value).encode())


def test_no_example_belongs_to_an_unknown_event():
    folders = {kind.folder for kind in KINDS}
    for path in PATHS:
        family, event_type, _, _ = path.relative_to(EXAMPLES_DIRECTORY).parts
        assert f"{family}/{event_type}" in folders
