"""Idempotency keys."""

from __future__ import annotations

from uuid import UUID

import pytest

from passferry_runtime.errors import Problem
from passferry_runtime.idempotency import fingerprint, parse_idempotency_key


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e"', "8e03978e"),
        ("8e03978e", "8e03978e"),
        ("  8e03978e ", "8e03978e"),
        (r'"a\"b\\c"', r"a\"b\c".replace(r"\"", '"')),
        (r'"a\\"', "a\\"),
        ('"', '"'),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_key_is_read_quoted_or_bare(header, key):
    assert parse_idempotency_key(header) == key


@pytest.mark.parametrize("header", [None, "", "   "])
def test_a_missing_key_is_refused_only_where_one_is_required(header):
    with pytest.raises(Problem) as caught:
        parse_idempotency_key(header)
    assert (caught.value.status, caught.value.code) == (400, "idempotency_key_missing")
    assert parse_idempotency_key(header, required=False) is None


@pytest.mark.parametrize("header", ['""', "x" * 256, "schlüssel", "a\x00b"])
def test_a_key_that_cannot_be_stored_is_refused(header):
    with pytest.raises(Problem) as caught:
        parse_idempotency_key(header, required=False)
    assert (caught.value.status, caught.value.code) == (400, "idempotency_key_invalid")


def test_a_fingerprint_depends_on_values_and_not_on_their_order():
    ids = UUID(int=1)
    first = fingerprint({"kind": "earn", "amount": 5, "pass": ids, "note": None})
    assert first == fingerprint({"pass": ids, "amount": 5, "kind": "earn"})
    assert first != fingerprint({"pass": ids, "amount": 6, "kind": "earn"})
    assert first != fingerprint({"pass": ids, "amount": "5", "kind": "earn"})
    assert len(first) == 64
