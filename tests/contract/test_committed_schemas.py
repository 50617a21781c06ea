"""The committed schemas are what others know of our events. Proves J80."""

import json
from typing import ClassVar, Literal
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pydantic import ConfigDict, Field, create_model

from passferry_contracts import schemas
from passferry_contracts.compatibility import breaking_changes
from passferry_contracts.events.balances import PassRedeemed
from passferry_contracts.fields import ShortText
from passferry_contracts.schemas import event_kinds, outdated, schema_of, schema_path

KINDS = list(event_kinds())
PATHS = sorted(schemas.SCHEMAS_DIRECTORY.glob("*/*/*.json"))


def committed(model):
    kind = next(kind for kind in KINDS if kind.model is model and kind.family != "inbound")
    return json.loads(schema_path(kind).read_text())


def test_todays_models_break_no_committed_schema():
    assert schemas.breaks() == []


def test_the_committed_schemas_are_the_models():
    assert outdated() == [], "run `python -m passferry_contracts.schemas --write`"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: "/".join(path.parts[-3:]))
def test_a_committed_schema_is_a_json_schema(path):
    Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_generating_twice_gives_the_same_text():
    for kind in KINDS:
        text = schemas.schema_text(schema_of(kind.model))
        assert text == schemas.schema_text(schema_of(kind.model))


def test_schemas_stay_open_for_fields_of_newer_producers():
    for path in PATHS:
        assert '"additionalProperties": false' not in path.read_text()


def mutated(**changes):
    """`pass.redeemed` as a careless change would leave it; a field given as None is removed."""
    fields = {
        name: (field.annotation, field)
        for name, field in PassRedeemed.model_fields.items()
        if name not in changes
    }
    fields |= {name: change for name, change in changes.items() if change is not None}
    return create_model("PassRedeemed", __config__=ConfigDict(extra="forbid"), **fields)


def found(model):
    return breaking_changes(committed(PassRedeemed), schema_of(model))


def test_rebuilding_the_model_unchanged_breaks_nothing():
    assert found(mutated()) == []


def test_a_new_optional_field_breaks_nothing():
    assert found(mutated(till_operator=(ShortText | None, None))) == []


def test_a_renamed_field_breaks():
    changes = found(mutated(remaining_minor=None, left_minor=(int, ...)))
    assert changes == [
        "remaining_minor: the field was removed",
        "left_minor: a required field was added",
    ]


def test_a_new_required_field_breaks():
    assert found(mutated(till_operator=(ShortText, ...))) == [
        "till_operator: a required field was added"
    ]


def test_a_field_made_optional_breaks_consumers_of_yesterday():
    changes = found(mutated(redemption_id=(UUID | None, None)))
    assert any("no longer required" in change for change in changes)


def test_a_changed_type_breaks():
    changes = found(mutated(amount_minor=(float, Field(gt=0))))
    assert "amount_minor: the type changed from integer to number" in changes


def test_a_narrowed_text_breaks():
    changes = found(mutated(reference=(str | None, Field(default=None, max_length=20))))
    assert changes == ["reference: maxLength was narrowed (200 to 20)"]


def test_a_narrowed_enum_breaks_and_so_does_a_new_member():
    class Before(PassRedeemed):
        event_type: ClassVar[str] = "pass.redeemed"
        channel: Literal["till", "web"] = "till"

    class Narrowed(PassRedeemed):
        channel: Literal["till"] = "till"

    class Widened(PassRedeemed):
        channel: Literal["till", "web", "app"] = "till"

    before = schema_of(Before)
    assert breaking_changes(before, schema_of(Narrowed)) == ['channel: no longer allowed: "web"']
    assert breaking_changes(before, schema_of(Widened)) == [
        'channel: unknown to consumers of yesterday: "app"'
    ]


def test_writing_refuses_a_breaking_change_and_says_which(tmp_path, capsys):
    schemas.write(tmp_path)
    kind = next(kind for kind in KINDS if kind.model is PassRedeemed)
    path = schema_path(kind, tmp_path)
    yesterday = json.loads(path.read_text())
    yesterday["properties"]["till_operator"] = {"type": "string"}
    path.write_text(json.dumps(yesterday))
    before = path.read_text()

    assert schemas.main(["--write", "--directory", str(tmp_path)]) == 1
    assert path.read_text() == before
    fault = "pass.redeemed/pass.redeemed 1: till_operator: the field was removed"
    assert capsys.readouterr().err == f"{fault}\n"
    assert schemas.main(["--check", "--directory", str(tmp_path)]) == 1
    assert "the schema is out of date" in capsys.readouterr().err


def test_a_schema_without_an_event_and_an_event_without_a_schema_are_found(tmp_path):
    schemas.write(tmp_path)
    kind = next(kind for kind in KINDS if kind.model is PassRedeemed)
    orphan = tmp_path / "pass.redeemed" / "pass.forgotten" / "1.json"
    orphan.parent.mkdir()
    schema_path(kind, tmp_path).rename(orphan)
    assert outdated(tmp_path) == [
        "pass.redeemed/pass.redeemed: the schema is missing",
        "pass.redeemed/pass.forgotten/1.json: no event of the registry has this schema",
    ]
