"""The pass-issuer is killed while it issues a file: each row is one pass, and is told once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from passferry_contracts.events.passes import PassCreated
from passferry_contracts.registry import PASS_CREATED, TOPICS
from passferry_demo.supervised import Supervised
from passferry_devstack.ports import free_port
from passferry_runtime.crypto import KeyRing
from passferry_testing.harness import Harness, eventually
from passferry_testing.pki import DemoAuthority

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

ROWS = 1_500
KILLS = 3
READY_TIMEOUT_S = 60.0
#: With the lease of whoever was killed in the middle of a step.
DONE_TIMEOUT_S = 150.0
AWAY = (httpx.TransportError, TimeoutError)
TEMPLATE = {
    "name": "Card",
    "platform": "google",
    "protocol": "MEMBERSHIP",
    "google_issuer_id": "3388000000012345678",
    "google": {
        "issuer_name": "Café Ferry",
        "title": "Card",
        "logo_url": "https://passes.example/logo.png",
    },
}


@pytest.fixture
def topics() -> tuple[Any, ...]:
    return tuple(TOPICS.values())


@dataclass
class Issuer:
    """The service as a process, and a client that asks again while it is away."""

    process: Supervised
    client: httpx.AsyncClient
    key: str

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"} | more.pop("headers", {})
        answer = None
        for _ in range(int(READY_TIMEOUT_S / 0.1)):
            with contextlib.suppress(*AWAY):
                answer = await self.client.request(
                    method, f"/api/v1{path}", headers=headers, **more
                )
                if answer.is_success:
                    return answer.json()
            # A key or workspace of a moment ago may not have come round yet.
            assert answer is None or answer.status_code in {401, 404, 503}, answer.text
            await asyncio.sleep(0.1)
        raise AssertionError(answer.text if answer is not None else self.log())

    def log(self) -> str:
        return self.process.log_path.read_text()[-3_000:]

    async def kill(self) -> None:
        """As a machine that vanishes."""
        await asyncio.to_thread(self.process.kill)
        await asyncio.to_thread(self.process.start)


@pytest.fixture
def environment(harness: Harness, tmp_path: Path) -> dict[str, str]:
    for name in ("own", "shared"):
        (tmp_path / f"{name}.json").write_text(KeyRing.generate(name))
    authority = DemoAuthority.create(tmp_path / "authority")
    (tmp_path / "wwdr").mkdir()
    (tmp_path / "wwdr" / "wwdr.pem").write_bytes(authority.wwdr_pem)
    return harness.environment("pass-issuer") | {
        "PASSFERRY_HTTP_PORT": str(free_port(taken=set())),
        "PASSFERRY_KEY_RING_FILE": str(tmp_path / "own.json"),
        "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(tmp_path / "shared.json"),
        "PASSFERRY_PUBLIC_BASE_URL": "https://passes.example",
        "PASSFERRY_WWDR_DIRECTORY": str(tmp_path / "wwdr"),
    }


@pytest.fixture
def process(environment: dict[str, str], tmp_path: Path) -> Iterator[Supervised]:
    command = [sys.executable, "-m", "passferry_pass_issuer", "serve"]
    made = Supervised("pass-issuer", command, environment, tmp_path / "issuer.log")
    try:
        yield made
    finally:
        made.kill()
        made.stop()


async def administrator_key(environment: dict[str, str], path: Path) -> str:
    command = [sys.executable, "-m", "passferry_pass_issuer", "administrator"]
    await asyncio.to_thread(
        subprocess.run,
        [*command, "--api-key-file", str(path)],
        env={**os.environ, **environment},
        check=True,
        timeout=READY_TIMEOUT_S,
        capture_output=True,
    )
    return path.read_text().strip()  # noqa: ASYNC240  # a line, before anything runs


async def test_killed_in_the_middle_of_a_file_the_issuer_makes_each_pass_once(
    harness: Harness, environment: dict[str, str], process: Supervised, tmp_path: Path
) -> None:
    # proves: J84
    await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
    key = await administrator_key(environment, tmp_path / "administrator")
    process.start()
    url = f"http://127.0.0.1:{environment['PASSFERRY_HTTP_PORT']}"
    async with (
        httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
        harness.recording(PASS_CREATED) as heard,
    ):
        issuer = Issuer(process, client, key)
        workspace = await issuer.ask("POST", "/workspaces", json={"name": "Café Ferry"})
        base = f"/workspaces/{workspace['workspace_id']}"
        template = await issuer.ask("POST", f"{base}/templates", json=TEMPLATE)
        template_id = template["template_id"]
        await issuer.ask("POST", f"{base}/templates/{template_id}/publish")
        points = {"name": "Points", "protocol": "MEMBERSHIP", "template_id": template_id}
        program = await issuer.ask("POST", f"{base}/programs", json=points)
        lines = ["external_id,holder.external_id", *(f"m-{n},h-{n}" for n in range(ROWS))]
        path = f"{base}/bulk-issues?program_id={program['program_id']}&max_per_second=200"
        content = "\n".join(lines).encode()
        headers = {"Content-Type": "text/csv", "Idempotency-Key": "all-members"}
        job = await issuer.ask("POST", path, content=content, headers=headers)
        own = f"{base}/bulk-issues/{job['bulk_issue_id']}"
        for number in range(1, KILLS + 1):
            await until_done(issuer, own, number * ROWS // (KILLS + 2))
            await issuer.kill()
        await until_done(issuer, own, ROWS)
        done = await issuer.ask("GET", own)
        assert (done["state"], done["created"], done["refused"]) == ("done", ROWS, 0)

        # The relay may tell of the same event again after a kill, but never of two passes.
        def told() -> set[tuple[str, UUID]]:
            return {(each.external_id, each.pass_id) for each in heard.payloads(PassCreated)}

        await eventually(lambda: len(told()) >= ROWS, timeout_s=60, what="every pass told")
    assert Counter(external_id for external_id, _ in told()) == {f"m-{n}": 1 for n in range(ROWS)}


async def until_done(issuer: Issuer, path: str, rows: int) -> None:
    async def is_so_far() -> bool:
        return (await issuer.ask("GET", path))["done"] >= rows

    await eventually(is_so_far, timeout_s=DONE_TIMEOUT_S, what=f"{rows} rows")
