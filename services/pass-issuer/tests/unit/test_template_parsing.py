"""Templates are read strictly, and each fault names its field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_pass_issuer.domain.template_parsing import parse_template_content
from passferry_pass_issuer.domain.value_expression import ValueExpression

pytestmark = pytest.mark.unit


def content(**apple):
    return {
        "apple": {
            "style": "storeCard",
            "organization_name": "Café",
            "description": "Card",
            **apple,
        }
    }


def field(**changes):
    return {"key": "k", "value": {"source": "balance"}, **changes}


def test_plain_text_is_a_constant_and_an_object_a_mapping():
    # proves: J85
    parsed = parse_template_content(
        content(
            fields={
                "header": [field(value="Welcome")],
                "back": [field(key="b", value={"source": "field.drink", "default": "Tea"})],
            }
        )
    )
    assert parsed.apple.fields["header"][0].value == ValueExpression(source="text", text="Welcome")
    assert parsed.apple.fields["back"][0].value.default == "Tea"
    assert parsed.field_names() == {"drink"}


@pytest.mark.parametrize(
    ("apple", "where"),
    [
        ({"style": "pamphlet"}, "apple.style"),
        ({"organization_name": ""}, "apple.organization_name"),
        ({"description": "x" * 201}, "apple.description"),
        ({"background_color": "blue"}, "apple.background_color"),
        ({"colour": "#fff"}, "apple.colour"),
        ({"fields": {"middle": []}}, "apple.fields.middle"),
        ({"fields": {"header": [field()] * 4}}, "apple.fields.header"),
        ({"fields": {"back": [field(), field()]}}, "apple.fields"),
        ({"fields": {"back": [field(key="a b")]}}, "apple.fields.back.0.key"),
        ({"fields": {"back": [{"key": "k"}]}}, "apple.fields.back.0.value"),
        ({"fields": {"back": [field(change_message="new")]}}, "apple.fields.back.0.change_message"),
        (
            {"fields": {"back": [field(value={"source": "holder.password"})]}},
            "apple.fields.back.0.value.source",
        ),
        (
            {"fields": {"back": [field(value={"source": "field.__class__"})]}},
            "apple.fields.back.0.value.source",
        ),
        ({"fields": {"back": [field(value="a\x00b")]}}, "apple.fields.back.0.value"),
        ({"barcode": {"format": "dots"}}, "apple.barcode.format"),
        ({"locations": [{"latitude": 91, "longitude": 0}]}, "apple.locations.0.latitude"),
        ({"locations": [{"latitude": 1, "longitude": 1}] * 11}, "apple.locations"),
        ({"sharing_prohibited": "yes"}, "apple.sharing_prohibited"),
    ],
)
def test_a_fault_names_its_field(apple, where):
    with pytest.raises(ContentRejected) as refused:
        parse_template_content(content(**apple))
    assert refused.value.field == where


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["apple", "google", "style", "fields", "header", "key", "value", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_whatever_is_given_is_read_or_refused(value):
    try:
        parse_template_content(value)
    except ContentRejected:
        return
