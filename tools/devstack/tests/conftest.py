"""A stack for the tests of this package; those of other packages have fixtures of their own."""

from collections.abc import Iterator

import pytest

from passferry_devstack import Backends, DevStack


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[DevStack, Backends]]:
    """Native on purpose: these tests kill processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA_BROKERS", "POSTGRES_ADMIN_URL", "REDIS_URL"):
            patch.delenv(f"PASSFERRY_{name}", raising=False)
        patch.setenv("PASSFERRY_DEVSTACK", "native")
        stack = DevStack()
        with stack as backends:
            yield stack, backends
