"""The pass-issuer as a process of its own, with a workspace, a program and passes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import psutil
from PIL import Image

from bench.render_subject import APPLE, PASS_TYPE, TEAM
from passferry_demo.supervised import Supervised
from passferry_runtime.crypto import KeyRing
from passferry_testing.harness import Harness
from passferry_testing.pki import DemoAuthority

READY_TIMEOUT_S = 60.0
BULK = 200
SCALES = {"": 1, "@2x": 2, "@3x": 3}
POINTS = {"name": "Points", "protocol": "MEMBERSHIP"}


@dataclass(slots=True)
class Issuer:
    """Everything about one installation; `serve` starts its process, again and again."""

    harness: Harness
    environment: dict[str, str]
    authority: DemoAuthority
    administrator_key: str = ""
    workspace_id: str = ""
    program_id: str = ""
    api_key: str = ""
    pass_ids: list[tuple[UUID, str]] = field(default_factory=list)

    @classmethod
    async def make(cls, harness: Harness, *, signing_processes: int) -> Issuer:
        await harness.migrate("pass-issuer", "passferry_pass_issuer.migrations")
        directory = harness.directory
        for name in ("own", "shared"):
            (directory / f"{name}.json").write_text(KeyRing.generate(name))
        authority = DemoAuthority.create(directory / "authority")
        (directory / "wwdr").mkdir()
        (directory / "wwdr" / "wwdr.pem").write_bytes(authority.wwdr_pem)
        environment = harness.environment("pass-issuer") | {
            "PASSFERRY_KEY_RING_FILE": str(directory / "own.json"),
            "PASSFERRY_CREDENTIALS_KEY_RING_FILE": str(directory / "shared.json"),
            "PASSFERRY_PUBLIC_BASE_URL": "https://passes.example",
            "PASSFERRY_WWDR_DIRECTORY": str(directory / "wwdr"),
            "PASSFERRY_SIGNING_PROCESSES": str(signing_processes),
            "PASSFERRY_INSTANCE_FILE": str(directory / "issuer.json"),
        }
        made = cls(harness, environment, authority)
        key_file = directory / "administrator"
        command = [sys.executable, "-m", "passferry_pass_issuer", "administrator"]
        await asyncio.to_thread(
            subprocess.run,
            [*command, "--api-key-file", str(key_file)],
            env={**os.environ, **environment},
            check=True,
            timeout=READY_TIMEOUT_S,
            capture_output=True,
        )
        made.administrator_key = key_file.read_text().strip()
        return made

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[RunningIssuer]:
        instance = Path(self.environment["PASSFERRY_INSTANCE_FILE"])
        instance.unlink(missing_ok=True)  # noqa: ASYNC240  # nothing else runs meanwhile
        log = self.harness.directory / "issuer.log"
        command = [sys.executable, "-m", "passferry_pass_issuer", "serve"]
        process = Supervised("pass-issuer", command, self.environment, log)
        process.start()
        try:
            url, pid = await asyncio.to_thread(_started, process, instance)
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                yield RunningIssuer(self, client, pid)
        finally:
            process.stop()

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.harness.admin_url)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()


@dataclass(slots=True)
class RunningIssuer:
    issuer: Issuer
    client: httpx.AsyncClient
    pid: int

    async def call(self, method: str, path: str, *, key: str = "", **more: Any) -> Any:
        """Until the service knows the key; raises `RuntimeError` with its answer otherwise."""
        headers = {"Authorization": f"Bearer {key or self.issuer.administrator_key}"}
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            answer = await self.client.request(method, f"/api/v1{path}", headers=headers, **more)
            if answer.is_success:
                return answer.json() if answer.content else None
            if answer.status_code not in {401, 404, 503} or time.monotonic() > deadline:
                raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(0.05)

    async def set_up(self, passes: int) -> None:
        issuer = self.issuer
        made = await self.call("POST", "/workspaces", json={"name": "Bench"})
        issuer.workspace_id = made["workspace_id"]
        base = f"/workspaces/{issuer.workspace_id}"
        granted = await self.call("POST", f"{base}/api-keys", json={"role": "owner"})
        issuer.api_key = granted["api_key"]
        certificate = issuer.authority.issue_pass_certificate(PASS_TYPE, TEAM)
        pems = {
            "certificate_pem": certificate.certificate_pem.decode(),
            "private_key_pem": certificate.private_key_pem.decode(),
        }
        await self.call("POST", f"{base}/signing-identities", key=issuer.api_key, json=pems)
        template_id = await self._publish_template(base)
        program = await self.call(
            "POST",
            f"{base}/programs",
            key=issuer.api_key,
            json={**POINTS, "template_id": template_id},
        )
        issuer.program_id = program["program_id"]
        for start in range(0, passes, BULK):
            await self._issue(base, range(start, min(start + BULK, passes)))

    async def _publish_template(self, base: str) -> str:
        body = {
            "name": "Card",
            "platform": "apple",
            "protocol": "MEMBERSHIP",
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "apple": APPLE,
        }
        key = self.issuer.api_key
        made = await self.call("POST", f"{base}/templates", key=key, json=body)
        path = f"{base}/templates/{made['template_id']}"
        for name, content in square_images().items():
            await self.call("PUT", f"{path}/files/{name}", key=key, content=content)
        await self.call("POST", f"{path}/publish", key=key)
        return str(made["template_id"])

    async def _issue(self, base: str, numbers: range) -> None:
        passes = [
            {
                "program_id": self.issuer.program_id,
                "external_id": f"B-{number:06d}",
                "holder": {"external_id": f"H-{number:06d}", "full_name": f"Holder {number}"},
                "fields": {"drink": "Flat white"},
            }
            for number in numbers
        ]
        told = await self.call(
            "POST", f"{base}/passes/bulk", key=self.issuer.api_key, json={"passes": passes}
        )
        for each in told["results"]:
            found = each["pass"]
            self.issuer.pass_ids.append((UUID(found["pass_id"]), found["external_id"]))

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, of the issuer itself and of the processes that sign."""
        process = psutil.Process(self.pid)
        return {
            "issuer: event loop": _used(process),
            "issuer: signatures": sum(_used(each) for each in process.children()),
        }


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def square_images() -> dict[str, bytes]:
    """What publishing asks for: icon and logo at three densities."""
    return {
        f"{name}{scale}.png": _square(29 * factor)
        for name in ("icon", "logo")
        for scale, factor in SCALES.items()
    }


def _square(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (20, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def _started(process: Supervised, instance: Path) -> tuple[str, int]:
    """Its address and process id."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not instance.exists():
        process.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the issuer does not listen\n{process.log_end()}")
        time.sleep(0.05)
    told = json.loads(instance.read_text())
    return f"http://127.0.0.1:{told['http_port']}", int(told["pid"])
