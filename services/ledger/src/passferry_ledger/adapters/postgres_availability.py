"""One translation of "the database cannot be asked now"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from passferry_runtime.errors import RetryLater
from passferry_runtime.postgres import UNAVAILABLE


@contextmanager
def passing_when_unavailable() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        raise RetryLater(
            "storage_unavailable",
            "The ledger's storage does not answer now; ask again with the same key.",
        ) from error
