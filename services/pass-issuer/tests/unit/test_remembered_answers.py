"""What is kept under an Idempotency-Key, and how much of it."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from uuid import UUID

import pytest

from passferry_pass_issuer.adapters.postgres_idempotency import INSERT, PostgresIdempotency
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_runtime.crypto import KeyRing

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 14, 12, tzinfo=UTC)
WORKSPACE = UUID(int=1)


class OneRow:
    """A table of one answer."""

    def __init__(self):
        self.row = None

    async def execute(self, statement, *given):
        if statement == INSERT:
            self.row = dict(
                zip(("fingerprint", "status", "answer_ciphertext"), given[2:5], strict=True)
            )

    async def fetchrow(self, statement, *given):
        return self.row


@pytest.fixture
def remember():
    answers, table = PostgresIdempotency(KeyRing.from_json(KeyRing.generate())), OneRow()

    async def keep(body):
        await answers.remember(table, WORKSPACE, "k", NOW, fingerprint="f", status=201, body=body)
        return (await answers.recall(table, WORKSPACE, "k", NOW)).body, len(
            table.row["answer_ciphertext"]
        )

    return keep


@pytest.mark.parametrize(
    "text", ["", "ü", "\u65e5\u672c" * 100, "ü" * 500_000, "\u65e5" * 1_000_000]
)
async def test_an_answer_comes_back_as_it_was_however_its_letters_are_written(remember, text):
    body = {"text": text, "n": [1, None, 1.5, True]}
    kept, size = await remember(body)
    assert kept == body
    assert size <= len(text.encode()) + 500


async def test_an_answer_that_cannot_be_kept_is_refused_with_what_to_do(remember):
    noise = random.Random(1).randbytes(1_100_000).hex()
    for text in (noise, "x" * 8_000_001):
        with pytest.raises(ContentRejected) as refused:
            await remember({"text": text})
        assert (refused.value.code, refused.value.field) == ("answer_too_large", "Idempotency-Key")
