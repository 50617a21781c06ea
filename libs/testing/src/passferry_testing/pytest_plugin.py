"""Fixtures that give tests the real backends."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from passferry_contracts.registry import Topic
from passferry_devstack import Backends, DevStack
from passferry_devstack.stack import VARIABLES
from passferry_testing.harness import Harness
from passferry_testing.prepared_databases import PreparedDatabases

#: What a worker's backends and the largest of its tests take.
WORKER_BYTES = 1_500_000_000
MAX_WORKERS = 8


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """How many workers `-n auto` means: one a core, each with backends of its own.

    Backends that the environment names are one set for all, on which tests of two workers would
    meet: then there is no worker, and one test runs after another.
    """
    if any(os.environ.get(name) for name in VARIABLES.values()):
        return 0
    room = int(psutil.virtual_memory().available / WORKER_BYTES)
    return max(1, min(_cores(), room, MAX_WORKERS))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several workers the longest tests go first, so that none is left alone at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


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
