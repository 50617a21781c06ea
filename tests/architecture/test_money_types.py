"""Money is counted in whole smallest units: no fraction can get in. proves: A22"""

import re

import pytest

from passferry_contracts.schemas import event_kinds, schema_of

FRACTIONAL = re.compile(
    r"\b(?:double\s+precision|real|float[48]?|numeric|decimal|money)\b(?!\s*\.)", re.IGNORECASE
)
MARKER = re.compile(r"--\s*not money:[ \t]*\w")


def without_comments_and_texts(line):
    return re.sub(r"'(?:[^']|'')*'", "''", line).partition("--")[0]


def fractional_columns(repository):
    return [
        f"{name}:{number}: {found.group()}"
        for name, text in repository.texts(".sql")
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := FRACTIONAL.search(without_comments_and_texts(line)))
        and not MARKER.search(line)
    ]


def numbers_in(schema, path=""):
    if isinstance(schema, dict):
        if schema.get("type") == "number":
            yield path
        for key, item in schema.items():
            yield from numbers_in(item, f"{path}/{key}")
    elif isinstance(schema, list):
        for item in schema:
            yield from numbers_in(item, path)


@pytest.mark.parametrize("kind", list(event_kinds()), ids=lambda kind: kind.folder)
def test_no_event_has_a_field_for_fractions(kind):
    assert list(numbers_in(schema_of(kind.model))) == []


def test_no_table_has_a_column_for_fractions(repository):
    assert fractional_columns(repository) == []


def test_a_column_for_fractions_is_found(planted):
    sql = (
        "CREATE TABLE a (\n"
        "    balance numeric(12, 2),\n"
        "    price DOUBLE  PRECISION,\n"
        "    share real, -- not money: a share of traffic\n"
        "    note text DEFAULT 'real money', -- no float here\n"
        "    amount_minor bigint\n"
        ");\n"
    )
    found = fractional_columns(planted({"services/x/a.sql": sql}))
    assert found == [
        "services/x/a.sql:2: numeric",
        "services/x/a.sql:3: DOUBLE  PRECISION",
    ]
