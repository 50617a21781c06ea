"""The command that makes the first administrator, as a process on real Kafka and Postgres."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from passferry_contracts.events.directory import WorkspaceAccessChanged
from passferry_contracts.registry import WORKSPACE_ACCESS
from passferry_contracts.types import Role
from passferry_runtime.auth import AccessDirectory
from passferry_runtime.crypto import KeyRing

pytestmark = pytest.mark.integration


@pytest.fixture
def topics():
    return (WORKSPACE_ACCESS,)


@pytest.fixture
def environment(harness, tmp_path):
    for name in ("own", "shared"):
        (tmp_path / f"{name}.json").write_text(KeyRing.generate(name))
    return {
        name: value for name, value in os.environ.items() if not name.startswith("PASSFERRY_")
    } | {
        **harness.environment("pass-issuer"),
        "PASSFERRY_KEY_RING_FILE": str(tmp_path / "own.json"),
        "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(tmp_path / "shared.json"),
        "PASSFERRY_PUBLIC_BASE_URL": "https://passes.example",
        "PASSFERRY_WWDR_DIRECTORY": str(tmp_path),
    }


def run_administrator(path, environment):
    command = [sys.executable, "-m", "passferry_pass_issuer", "administrator"]
    return subprocess.run(
        [*command, "--api-key-file", str(path)],
        env=environment,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )


async def test_the_first_administrators_key_is_private_told_and_made_once(
    harness, environment, tmp_path
):
    await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
    path = tmp_path / "keys" / "administrator"

    def run():
        done = run_administrator(path, environment)
        assert done.returncode == 0, done.stderr
        return path.read_text().strip()

    key = run()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run() == key
    async with harness.recording(WORKSPACE_ACCESS) as recorder:
        [access] = (await recorder.expect(WorkspaceAccessChanged, 2))[-1:]
    directory = AccessDirectory()
    directory.apply(access)
    principal = directory.authenticate(key, datetime.now(UTC))
    assert principal is not None
    assert principal.role is Role.ADMINISTRATOR
    assert len(access.api_keys) == 1


async def test_a_missing_key_ring_is_told_in_one_sentence(harness, environment, tmp_path):
    await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
    gone = environment | {"PASSFERRY_KEY_RING_FILE": str(tmp_path / "gone.json")}
    path = tmp_path / "key"
    done = run_administrator(path, gone)
    assert done.returncode == 2
    assert "run the bootstrap command" in done.stderr
    assert "Traceback" not in done.stderr
    assert not path.exists()
