"""Credentials come in, are sealed, and never show again; who may do what."""

from __future__ import annotations

import json
import re
import uuid
from base64 import b64decode

import pytest

from passferry_contracts.events.directory import (
    WorkspaceAccessChanged,
    WorkspaceCredentialsChanged,
)
from passferry_contracts.types import Role
from passferry_pass_issuer.entrypoints.check_credentials import CredentialCheck

pytestmark = pytest.mark.integration

KEY_PEM = "-----BEGIN PRIVATE KEY-----\nplanted-signing-secret\n-----END PRIVATE KEY-----\n"
IDENTITY = {
    "certificate_pem": "CERTIFICATE ONE",
    "private_key_pem": KEY_PEM,
    "pass_type_identifier": "pass.com.example.cafe",
}
ISSUER_ID = "3388000000012345678"
ACCOUNT = {
    "issuer_id": ISSUER_ID,
    "service_account": {
        "client_email": "wallet@cafe.example",
        "private_key": "planted-google-secret",
    },
}


async def test_uploaded_credentials_are_sealed_for_the_notifier(office):
    # proves: A14, J72
    workspace_id = await office.workspace()
    base = f"/workspaces/{workspace_id}"
    shown = await office.call("POST", f"{base}/signing-identities", status=201, json=IDENTITY)
    assert shown["days_left"] == 100
    await office.call("POST", f"{base}/google-accounts", status=201, json=ACCOUNT)
    first, second = await office.events(WorkspaceCredentialsChanged)
    assert (first.revision, second.revision) == (1, 2)
    ring = office.issuer.desk.store_identity.announce.seal
    opened = json.loads(
        ring.decrypt(b64decode(second.ciphertext), context=f"workspace.credentials:{workspace_id}")
    )
    assert opened["apple"][0]["private_key_pem"] == KEY_PEM
    assert opened["apple"][0]["kind"] == "certificate"
    assert opened["google"][0]["service_account"]["private_key"] == "planted-google-secret"
    assert (await office.events(WorkspaceAccessChanged))[-1].google_issuer_ids == [ISSUER_ID]
    assert office.signing_requests == [(uuid.UUID(workspace_id), "pass.com.example.cafe")]


async def test_a_renewed_certificate_takes_over_and_the_same_one_changes_nothing(office):
    # proves: J78
    workspace_id = await office.workspace()
    path = f"/workspaces/{workspace_id}/signing-identities"
    first = await office.call("POST", path, status=201, json=IDENTITY)
    again = await office.call("POST", path, status=201, json=IDENTITY)
    assert again == first
    renewed = IDENTITY | {"certificate_pem": "CERTIFICATE TWO"}
    second = await office.call("POST", path, status=201, json=renewed)
    listed = (await office.call("GET", path))["data"]
    assert [(each["signing_identity_id"], each["active"]) for each in listed] == [
        (second["signing_identity_id"], True),
        (first["signing_identity_id"], False),
    ]
    assert len(await office.events(WorkspaceCredentialsChanged)) == 2


async def test_a_refused_upload_names_the_field_and_keeps_nothing(office):
    # proves: J78
    workspace_id = await office.workspace()
    path = f"/workspaces/{workspace_id}/signing-identities"
    wrong = IDENTITY | {"pass_type_identifier": "pass.com.example.other"}
    problem = await office.call("POST", path, status=422, json=wrong)
    assert (problem["code"], problem["errors"][0]["field"]) == (
        "pass_type_mismatch",
        "pass_type_identifier",
    )
    assert "planted" not in json.dumps(problem)
    assert (await office.call("GET", path))["data"] == []


async def test_a_missing_credential_is_degraded_and_passes_are_still_issued(office):
    # proves: A23
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    base = f"/workspaces/{workspace_id}"
    health = await office.call("GET", f"{base}/health")
    assert health["state"] == "degraded"
    assert [finding["code"] for finding in health["findings"]] == [
        "signing_identity_missing",
        "google_account_missing",
    ]
    report = await office.issuer.watch_credentials.of_all(office.clock.now())
    assert len(report.findings) == 2
    shown = await CredentialCheck(office.issuer.watch_credentials, office.clock).probe()
    assert shown.state == "degraded"
    assert "signing_identity_missing pass.com.example.cafe" in shown.detail
    body = {"program_id": program_id}
    await office.call("POST", f"{base}/passes", status=201, json=body)
    await office.call("POST", f"{base}/signing-identities", status=201, json=IDENTITY)
    await office.call("POST", f"{base}/google-accounts", status=201, json=ACCOUNT)
    assert (await office.call("GET", f"{base}/health"))["state"] == "ok"


async def test_no_planted_secret_lies_in_the_database_in_clear(office):
    # proves: A14, J72
    workspace_id = await office.workspace()
    program_id = await office.program(workspace_id)
    base = f"/workspaces/{workspace_id}"
    made = await office.call(
        "POST",
        f"{base}/api-keys",
        status=201,
        json={"role": "owner"},
        headers={"Idempotency-Key": "k-1"},
    )
    await office.call("POST", f"{base}/signing-identities", status=201, json=IDENTITY)
    await office.call("POST", f"{base}/google-accounts", status=201, json=ACCOUNT)
    issued = await office.call(
        "POST",
        f"{base}/passes",
        status=201,
        json={
            "program_id": program_id,
            "holder": {"full_name": "Planted Person", "email": "planted@person.example"},
        },
        headers={"Idempotency-Key": "i-1"},
    )
    planted = [
        "planted-signing-secret",
        "planted-google-secret",
        "planted@person.example",
        made["api_key"].split("_")[3],
        issued["link"].rsplit("/", 1)[1],
    ]
    tables = await office.rows(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'pass_issuer' ORDER BY 1"
    )
    assert len(tables) > 15
    for table in tables:
        rows = await office.rows(f'SELECT * FROM pass_issuer."{table["tablename"]}"')
        dump = "\n".join(str(dict(row)) for row in rows)
        for secret in planted:
            assert secret not in dump, f"{table['tablename']} holds a secret in clear"


async def test_every_table_of_workspaces_is_isolated(office):
    rows = await office.rows(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'pass_issuer' AND c.relkind = 'r'"
        " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
    )
    assert [row["relname"] for row in rows] == ["schema_migrations"]


#: Every route of the API with the least role that may call it.
ROLES = {
    "DELETE /api/v1/platform/api-keys/{key_id}": "administrator",
    "GET /api/v1/platform/api-keys": "administrator",
    "POST /api/v1/platform/api-keys": "administrator",
    "GET /api/v1/workspaces": "administrator",
    "POST /api/v1/workspaces": "administrator",
    "PATCH /api/v1/workspaces/{workspace_id}": "administrator",
    "GET /api/v1/workspaces/{workspace_id}": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/health": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/api-keys": "owner",
    "POST /api/v1/workspaces/{workspace_id}/api-keys": "owner",
    "DELETE /api/v1/workspaces/{workspace_id}/api-keys/{key_id}": "owner",
    "GET /api/v1/workspaces/{workspace_id}/programs": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/programs": "manager",
    "GET /api/v1/workspaces/{workspace_id}/programs/{program_id}": "viewer",
    "PATCH /api/v1/workspaces/{workspace_id}/programs/{program_id}": "manager",
    "GET /api/v1/workspaces/{workspace_id}/templates": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/templates": "manager",
    "GET /api/v1/workspaces/{workspace_id}/templates/{template_id}": "viewer",
    "PUT /api/v1/workspaces/{workspace_id}/templates/{template_id}": "manager",
    "PUT /api/v1/workspaces/{workspace_id}/templates/{template_id}/files/{name}": "manager",
    "POST /api/v1/workspaces/{workspace_id}/templates/{template_id}/publish": "manager",
    "POST /api/v1/workspaces/{workspace_id}/signing-identities": "owner",
    "GET /api/v1/workspaces/{workspace_id}/signing-identities": "manager",
    "POST /api/v1/workspaces/{workspace_id}/signing-identities/requests": "owner",
    "GET /api/v1/workspaces/{workspace_id}/signing-identities/requests": "manager",
    "DELETE /api/v1/workspaces/{workspace_id}/signing-identities/requests/{signing_request_id}": "owner",
    "POST /api/v1/workspaces/{workspace_id}/signing-identities/requests/{signing_request_id}/certificate": "owner",
    "POST /api/v1/workspaces/{workspace_id}/signing-identities/{signing_identity_id}/activate": "owner",
    "DELETE /api/v1/workspaces/{workspace_id}/signing-identities/{signing_identity_id}": "owner",
    "POST /api/v1/workspaces/{workspace_id}/provider-keys": "owner",
    "GET /api/v1/workspaces/{workspace_id}/provider-keys": "manager",
    "DELETE /api/v1/workspaces/{workspace_id}/provider-keys/{team_id}/{key_id}": "owner",
    "POST /api/v1/workspaces/{workspace_id}/google-accounts/{issuer_id}/keys/{private_key_id}/activate": "owner",
    "DELETE /api/v1/workspaces/{workspace_id}/google-accounts/{issuer_id}/keys/{private_key_id}": "owner",
    "POST /api/v1/workspaces/{workspace_id}/google-accounts": "owner",
    "GET /api/v1/workspaces/{workspace_id}/google-accounts": "manager",
    "GET /api/v1/workspaces/{workspace_id}/inbound-secrets": "manager",
    "POST /api/v1/workspaces/{workspace_id}/inbound-secrets": "owner",
    "DELETE /api/v1/workspaces/{workspace_id}/inbound-secrets/{inbound_secret_id}": "owner",
    "PUT /api/v1/workspaces/{workspace_id}/inbound-signature": "owner",
    "GET /api/v1/workspaces/{workspace_id}/passes/{reference}/links": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/passes/{reference}/links": "member",
    "DELETE /api/v1/workspaces/{workspace_id}/passes/{reference}/links/{link_id}": "member",
    "GET /api/v1/workspaces/{workspace_id}/passes/{reference}/links/{link_id}/qr.{kind}": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/passes/{reference}/links/{link_id}/snippet": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/programs/{program_id}/funnel": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/templates/{template_id}/images/{role}": "manager",
    "GET /api/v1/workspaces/{workspace_id}/brand": "viewer",
    "PUT /api/v1/workspaces/{workspace_id}/brand": "manager",
    "POST /api/v1/workspaces/{workspace_id}/brand/images/{role}": "manager",
    "DELETE /api/v1/workspaces/{workspace_id}/brand/images/{role}": "manager",
    "GET /api/v1/workspaces/{workspace_id}/templates/{template_id}/ends": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/templates/{template_id}/lint": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/passes": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/passes": "member",
    "POST /api/v1/workspaces/{workspace_id}/passes/bulk": "member",
    "GET /api/v1/workspaces/{workspace_id}/passes/{reference}": "viewer",
    "PATCH /api/v1/workspaces/{workspace_id}/passes/{reference}": "member",
    "DELETE /api/v1/workspaces/{workspace_id}/passes/{reference}": "member",
    "POST /api/v1/workspaces/{workspace_id}/passes/{reference}/{ending}": "member",
    "GET /api/v1/workspaces/{workspace_id}/bulk-changes": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/bulk-changes": "manager",
    "GET /api/v1/workspaces/{workspace_id}/bulk-changes/{job_id}": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/bulk-changes/{job_id}/errors": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/bulk-changes/{job_id}/results": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/bulk-changes/{job_id}/{action}": "manager",
    "GET /api/v1/workspaces/{workspace_id}/bulk-issues": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/bulk-issues": "manager",
    "GET /api/v1/workspaces/{workspace_id}/bulk-issues/{job_id}": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/bulk-issues/{job_id}/errors": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/bulk-issues/{job_id}/results": "manager",
    "POST /api/v1/workspaces/{workspace_id}/bulk-issues/{job_id}/{action}": "manager",
    "POST /api/v1/workspaces/{workspace_id}/bundles": "member",
    "GET /api/v1/workspaces/{workspace_id}/holders": "member",
    "POST /api/v1/workspaces/{workspace_id}/holders/query": "member",
    "DELETE /api/v1/workspaces/{workspace_id}/holders/{reference}": "manager",
    "GET /api/v1/workspaces/{workspace_id}/holders/{reference}": "member",
    "PATCH /api/v1/workspaces/{workspace_id}/holders/{reference}": "member",
    "PUT /api/v1/workspaces/{workspace_id}/holders/{reference}": "member",
    "POST /api/v1/workspaces/{workspace_id}/holders/{reference}/erasure": "manager",
    "POST /api/v1/workspaces/{workspace_id}/imports": "manager",
    "POST /api/v1/workspaces/{workspace_id}/passes/{reference}/messages": "member",
    "POST /api/v1/workspaces/{workspace_id}/passes/{reference}/reissue": "member",
    "POST /api/v1/workspaces/{workspace_id}/passes/{reference}/transfer": "member",
    "POST /api/v1/workspaces/{workspace_id}/templates/{template_id}/messages": "manager",
    "GET /api/v1/workspaces/{workspace_id}/programs/{program_id}/redraws": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/programs/{program_id}/redraws/{redraw_id}": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/programs/{program_id}/redraws/{redraw_id}/errors": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/programs/{program_id}/redraws/{redraw_id}/{action}": "manager",
    "GET /api/v1/workspaces/{workspace_id}/templates/{template_id}/rollouts": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/templates/{template_id}/rollouts": "manager",
    "GET /api/v1/workspaces/{workspace_id}/templates/{template_id}/rollouts/{rollout_id}": "viewer",
    "GET /api/v1/workspaces/{workspace_id}/templates/{template_id}/rollouts/{rollout_id}/errors": "viewer",
    "POST /api/v1/workspaces/{workspace_id}/templates/{template_id}/rollouts/{rollout_id}/{action}": "manager",
}


async def test_each_route_asks_for_its_role_and_refuses_the_one_below(office):
    # proves: J69, J70
    described = (await office.client.get("/openapi.json")).json()["paths"]
    routes = {f"{m.upper()} {path}" for path, methods in described.items() for m in methods}
    assert routes == set(ROLES)
    workspace_id, other = await office.workspace(), await office.workspace()
    keys = {role.value: await office.key(workspace_id, role.value) for role in list(Role)[:4]}
    stranger = await office.key(other, "owner")
    ranks = [role.value for role in Role]
    for route, least in ROLES.items():
        method, path = route.split(" ")
        url = path.replace("{workspace_id}", workspace_id).replace("{ending}", "void")
        url = re.sub(r"\{[a-z_]+\}", str(uuid.uuid4()), url)
        for role, key in keys.items():
            headers = {"Authorization": f"Bearer {key}"}
            answer = await office.client.request(method, url, headers=headers)
            may = ranks.index(role) >= ranks.index(least)
            assert (answer.status_code == 403) is not may, f"{route} as {role}: {answer.text}"
            assert answer.status_code != 401
        headers = {"Authorization": f"Bearer {stranger}"}
        refused = await office.client.request(method, url, headers=headers)
        expected = 403 if least == "administrator" else 404
        assert refused.status_code == expected, f"{route} as a stranger: {refused.text}"
        nobody = await office.client.request(method, url)
        assert nobody.status_code == 401, route
