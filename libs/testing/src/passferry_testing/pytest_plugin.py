"""Fixtures that give tests the real backends."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from passferry_contracts.registry import Topic
from passferry_devstack import Backends, DevStack
from passferry_testing.harness import Harness
from passferry_testing.prepared_databases import PreparedDatabases


def pytest_configure() -> None:
    # The test client looks for this package at every request, in every folder of the path: a
    # millisecond each time. Known to be missing, it is missing at once.
    if importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]  # so says the import system


@pytest.fixture(scope="session")
def backends() -> Iterator[Backends]:
    """Kafka, Postgres and Redis for the whole session."""
    with DevStack() as addresses:
        yield addresses


@pytest.fixture(scope="session")
def prepared_databases(backends: Backends) -> Iterator[PreparedDatabases]:
    """One for the session: a test that needs the schema of a service finds it made already."""
    databases = PreparedDatabases(backends.postgres_admin_url)
    yield databases
    asyncio.run(databases.drop_all())


@pytest.fixture
def topics() -> tuple[Topic, ...]:
    """Override in a test module to name the topics that its harness shall have."""
    return ()


@pytest_asyncio.fixture
async def harness(
    backends: Backends,
    prepared_databases: PreparedDatabases,
    tmp_path: Path,
    topics: tuple[Topic, ...],
) -> AsyncIterator[Harness]:
    """A database and topics of the test's own."""
    async with Harness.open(
        backends, tmp_path, topics=topics, databases=prepared_databases
    ) as opened:
        yield opened
