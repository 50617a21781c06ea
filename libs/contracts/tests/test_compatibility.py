"""Which changes of a schema break yesterday's events or consumers. Proves J80."""

import copy

import pytest

from passferry_contracts.compatibility import breaking_changes

COLOUR = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SCHEMA = {
    "$defs": {"Colour": COLOUR, "Kind": {"enum": ["small", "large"], "type": "string"}},
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "amount": {"type": "integer", "minimum": 0, "maximum": 100},
        "code": {"type": "string", "pattern": "^[a-z]+$", "minLength": 1, "maxLength": 9},
        "note": {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "default": None},
        "colours": {"type": "array", "items": {"$ref": "#/$defs/Colour"}, "maxItems": 4},
        "kind": {"$ref": "#/$defs/Kind"},
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
        "shade": {"anyOf": [{"$ref": "#/$defs/Colour"}, {"type": "null"}], "default": None},
        "scale": {"type": "integer", "default": 0},
        "fixed": {"const": "x", "type": "string"},
    },
    "required": ["id", "amount"],
    "allOf": [{"anyOf": [{"required": ["code"]}, {"required": ["note"]}]}],
}


def changed(change):
    schema = copy.deepcopy(SCHEMA)
    change(schema["properties"], schema)
    return schema


def test_an_unchanged_schema_breaks_nothing():
    assert breaking_changes(SCHEMA, copy.deepcopy(SCHEMA)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda fields, schema: fields.update(added={"type": "string"}),
        lambda fields, schema: fields.update(added={"$ref": "#/$defs/Colour"}),
        lambda fields, schema: schema["$defs"]["Colour"]["properties"].update(
            depth={"type": "integer"}
        ),
        lambda fields, schema: fields["amount"].update(description="Whole points."),
        lambda fields, schema: schema.update(title="Renamed class"),
        lambda fields, schema: fields.update(kind={"enum": ["large", "small"], "type": "string"}),
        lambda fields, schema: fields["shade"]["anyOf"].reverse(),
        lambda fields, schema: schema["$defs"].update(Unused={"type": "string"}),
    ],
    ids=[
        "optional field",
        "optional field by reference",
        "optional field of a part",
        "description",
        "title",
        "inlined enum in another order",
        "order of alternatives",
        "unused definition",
    ],
)
def test_a_safe_change_passes(change):
    assert breaking_changes(SCHEMA, changed(change)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, s: f.pop("note"), "note: the field was removed"),
        (
            lambda f, s: (f.pop("amount"), s["required"].remove("amount")),
            "amount: the field was removed",
        ),
        (lambda f, s: s["required"].append("code"), "code: the field became required"),
        (
            lambda f, s: s["required"].remove("amount"),
            "amount: the field is no longer required, but consumers of yesterday need it",
        ),
        (
            lambda f, s: (f.update(new={"type": "string"}), s["required"].append("new")),
            "new: a required field was added",
        ),
        (
            lambda f, s: f["amount"].update(type="number"),
            "amount: the type changed from integer to number",
        ),
        (
            lambda f, s: f["amount"].update(maximum=50),
            "amount: maximum was narrowed (100 to 50)",
        ),
        (
            lambda f, s: f["amount"].update(minimum=1),
            "amount: minimum was narrowed (0 to 1)",
        ),
        (
            lambda f, s: f["amount"].pop("maximum"),
            "amount: maximum was widened beyond what consumers of yesterday accept (100 to None)",
        ),
        (
            lambda f, s: f["code"].update(maxLength=10),
            "code: maxLength was widened beyond what consumers of yesterday accept (9 to 10)",
        ),
        (
            lambda f, s: f["limits"].update(maxProperties=3),
            "limits: maxProperties was narrowed (None to 3)",
        ),
        (lambda f, s: f["code"].update(pattern="^[a-z0-9]+$"), "code: the rule pattern changed"),
        (lambda f, s: f["id"].pop("format"), "id: the rule format changed"),
        (lambda f, s: f["note"]["anyOf"].pop(), "note: null is refused now"),
        (
            lambda f, s: f["note"]["anyOf"][0].update(maxLength=5),
            "note: maxLength was narrowed (9 to 5)",
        ),
        (
            lambda f, s: f.update(scale={"anyOf": [f["scale"], {"type": "null"}], "default": 0}),
            "scale: null is allowed now, which consumers of yesterday refuse",
        ),
        (lambda f, s: f["scale"].update(default=2), "scale: the default changed"),
        (
            lambda f, s: s["$defs"]["Kind"].update(enum=["small"]),
            'kind: no longer allowed: "large"',
        ),
        (
            lambda f, s: s["$defs"]["Kind"]["enum"].append("huge"),
            'kind: unknown to consumers of yesterday: "huge"',
        ),
        (
            lambda f, s: f["code"].update(enum=["a"]),
            "code: the list of allowed values was added",
        ),
        (lambda f, s: f["fixed"].update(const="y"), 'fixed: no longer allowed: "x"'),
        (
            lambda f, s: s["$defs"]["Colour"]["required"].clear(),
            "colours[].name: the field is no longer required, but consumers of yesterday need it",
        ),
        (
            lambda f, s: f["colours"].update(items={"type": "string"}),
            "colours[]: the type changed from object to string",
        ),
        (
            lambda f, s: f["limits"].update(additionalProperties={"type": "string"}),
            "limits{}: the type changed from integer to string",
        ),
        (
            lambda f, s: f["limits"].pop("additionalProperties"),
            "limits{}: the rule for additionalProperties was removed",
        ),
        (
            lambda f, s: f.update(
                amount={"anyOf": [{"type": "integer"}, {"type": "string"}]},
            ),
            "amount: an alternative (string) was added or changed",
        ),
        (lambda f, s: s.pop("allOf"), "body: the rule allOf changed"),
        (lambda f, s: s.update(minProperties=3), "body: minProperties was narrowed (None to 3)"),
        (lambda f, s: f["code"].update(contentEncoding="base64"), "code: the rule contentEncoding"),
    ],
)
def test_a_breaking_change_is_named_with_its_field(change, message):
    found = breaking_changes(SCHEMA, changed(change))
    assert any(fault.startswith(message) for fault in found), found


def test_a_schema_that_contains_itself_is_compared_in_bounded_time():
    def tree(leaf):
        node = {
            "type": "object",
            "properties": {
                "leaf": leaf,
                "left": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
        }
        return {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}

    assert breaking_changes(tree({"type": "string"}), tree({"type": "string"})) == []
    assert breaking_changes(tree({"type": "string"}), tree({"type": "integer"})) == [
        "leaf: the type changed from string to integer"
    ]
