"""Sets up workspaces through the services' own APIs, as an operator would."""

from __future__ import annotations

import asyncio
import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from passferry_demo.platform import Platform

PATIENCE_S = 20.0
BULK = 200


class StepRefused(Exception):
    """A service refused a step of the demo; the message has its answer."""


@dataclass(slots=True)
class Workspace:
    """One client of the platform with its program and passes."""

    slug: str
    workspace_id: UUID
    api_key: str
    program_id: str = ""
    pass_type_identifier: str = ""
    google_issuer_id: str = ""
    write_key: dict[str, str] = field(default_factory=dict)
    #: external id → what the issuer answered
    passes: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_holders(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_images(folder: Path) -> dict[str, bytes]:
    return {image.name: image.read_bytes() for image in sorted(folder.glob("*.png"))}


class Operator:
    def __init__(self, platform: Platform, http: httpx.AsyncClient) -> None:
        self._platform = platform
        self._http = http

    async def call(
        self, service: str, method: str, path: str, key: str, **arguments: Any
    ) -> httpx.Response:
        url = self._platform.url(service) + path
        headers = {"Authorization": f"Bearer {key}", **arguments.pop("headers", {})}
        return await self._http.request(method, url, headers=headers, **arguments)

    async def ask(
        self, service: str, method: str, path: str, key: str, **arguments: Any
    ) -> dict[str, Any]:
        """Call until the service knows the key and the workspace; raises `StepRefused`."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                answer = await self.call(service, method, path, key, **arguments)
            except httpx.TransportError as error:
                # The service is starting again; what is asked here may be asked twice.
                reason, is_passing = type(error).__name__, True
            else:
                if answer.is_success:
                    return answer.json() if answer.content else {}
                # A key that was just made reaches the other services through Kafka.
                is_passing = answer.status_code in {401, 404, 503}
                reason = f"{answer.status_code} {answer.text[:500]}"
            if not is_passing or asyncio.get_running_loop().time() > deadline:
                raise StepRefused(f"{method} {path}: {reason}")
            await asyncio.sleep(0.05)

    async def make_workspace(
        self, slug: str, name: str, folder: Path, *, business_ids: list[str]
    ) -> Workspace:
        """Workspace, API key, credentials, template with images, program, marketing sink."""
        admin = self._platform.administrator_key
        body = {"name": name, "business_ids": business_ids}
        made = await self.ask("pass-issuer", "POST", "/api/v1/workspaces", admin, json=body)
        workspace_id = UUID(made["workspace_id"])
        base = f"/api/v1/workspaces/{workspace_id}"
        granted = await self.ask(
            "pass-issuer", "POST", f"{base}/api-keys", admin, json={"role": "owner", "name": slug}
        )
        workspace = Workspace(slug, workspace_id, granted["api_key"])
        template = json.loads((folder / "template.json").read_text(encoding="utf-8"))
        await self._give_credentials(workspace, template)
        template_id = await self._publish_template(workspace, template, folder / "images")
        program = json.loads((folder / "program.json").read_text(encoding="utf-8"))
        program["template_id"] = template_id
        created = await self.ask(
            "pass-issuer", "POST", f"{base}/programs", workspace.api_key, json=program
        )
        workspace.program_id = created["program_id"]
        await self._connect_sink(workspace)
        return workspace

    async def _give_credentials(self, workspace: Workspace, template: dict[str, Any]) -> None:
        base = f"/api/v1/workspaces/{workspace.workspace_id}"
        workspace.pass_type_identifier = template["pass_type_identifier"]
        issued = self._platform.authority.issue_pass_certificate(
            workspace.pass_type_identifier, template["team_identifier"]
        )
        await self.ask(
            "pass-issuer",
            "POST",
            f"{base}/signing-identities",
            workspace.api_key,
            json={
                "certificate_pem": issued.certificate_pem.decode(),
                "private_key_pem": issued.private_key_pem.decode(),
            },
        )
        issuer_id = template.get("google_issuer_id")
        if issuer_id is None:
            return
        workspace.google_issuer_id = issuer_id
        control = f"{self._platform.google_url}/_control/service-accounts"
        account = (await self._http.post(control, json={"issuer_id": issuer_id})).json()
        await self.ask(
            "pass-issuer",
            "POST",
            f"{base}/google-accounts",
            workspace.api_key,
            json={"issuer_id": issuer_id, "service_account": account},
        )

    async def _publish_template(
        self, workspace: Workspace, template: dict[str, Any], images: Path
    ) -> str:
        base = f"/api/v1/workspaces/{workspace.workspace_id}/templates"
        key = workspace.api_key
        made = await self.ask("pass-issuer", "POST", base, key, json=template)
        template_id = str(made["template_id"])
        for image, content in read_images(images).items():
            path = f"{base}/{template_id}/files/{image}"
            headers = {"Content-Type": "image/png"}
            await self.ask("pass-issuer", "PUT", path, key, content=content, headers=headers)
        await self.ask("pass-issuer", "POST", f"{base}/{template_id}/publish", key)
        return template_id

    async def _connect_sink(self, workspace: Workspace) -> None:
        recorder = self._platform.dittofeed_url
        answer = await self._http.post(
            f"{recorder}/write-keys", json={"workspace": str(workspace.workspace_id)}
        )
        workspace.write_key = answer.json()
        body = {
            "profile": "dittofeed",
            "base_url": recorder,
            "write_key": f"{workspace.write_key['secret_id']}:{workspace.write_key['value']}",
        }
        path = f"/api/v1/workspaces/{workspace.workspace_id}/sinks/dittofeed"
        await self.ask("event-bridge", "PUT", path, workspace.api_key, json=body)

    async def issue(self, workspace: Workspace, holders: list[dict[str, str]]) -> None:
        """Issue a pass to each holder, through the bulk route."""
        path = f"/api/v1/workspaces/{workspace.workspace_id}/passes/bulk"
        for start in range(0, len(holders), BULK):
            passes = [new_pass(workspace, each) for each in holders[start : start + BULK]]
            answer = await self.ask(
                "pass-issuer", "POST", path, workspace.api_key, json={"passes": passes}
            )
            for item in answer["results"]:
                if "pass" not in item:
                    raise StepRefused(f"issuing: {item}")
                workspace.passes[item["pass"]["external_id"]] = item["pass"]

    async def balances(self, workspace: Workspace) -> dict[str, int]:
        """Every balance of the ledger by external id."""
        path = f"/api/v1/workspaces/{workspace.workspace_id}/balances"
        return await self._all_pages("ledger", path, workspace.api_key)

    async def shown_balances(self, workspace: Workspace) -> dict[str, int]:
        """What the issuer renders, by external id."""
        path = f"/api/v1/workspaces/{workspace.workspace_id}/passes"
        return await self._all_pages("pass-issuer", path, workspace.api_key)

    async def _all_pages(self, service: str, path: str, key: str) -> dict[str, int]:
        found: dict[str, int] = {}
        parameters: dict[str, str] = {"limit": "200"}
        for _ in range(1_000):
            page = await self.ask(service, "GET", path, key, params=parameters)
            for each in page["data"]:
                found[each["external_id"]] = each["balance_minor"]
            if not page.get("next_cursor"):
                return found
            parameters["cursor"] = page["next_cursor"]
        raise StepRefused(f"{path} has no end")


def new_pass(workspace: Workspace, holder: dict[str, str]) -> dict[str, Any]:
    person = {
        "external_id": holder["external_id"],
        "full_name": holder["full_name"],
        "email": holder["email"],
        "locale": holder["locale"] or None,
        "birthday": holder["birthday"] or None,
    }
    return {
        "program_id": workspace.program_id,
        "external_id": holder["external_id"],
        "holder": {name: value for name, value in person.items() if value},
        "opening_balance_minor": int(holder["opening_balance"]),
    }
