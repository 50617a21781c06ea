"""Signing identities through the API with the real checks: uploads, requests, renewals."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from passferry_contracts.events.directory import OperationReported, WorkspaceCredentialsChanged
from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.types import Platform
from passferry_pass_issuer.app import expiry_rounds
from passferry_pass_issuer.application.request_certificates import MAX_WAITING_REQUESTS
from passferry_pass_issuer.metrics import CERTIFICATE_DAYS_LEFT
from passferry_runtime.postgres import Database
from passferry_testing.cms_reader import verify_detached
from passferry_testing.pki import DemoAuthority, export_p12, new_provider_key

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest_asyncio.fixture
async def bureau(harness, make, authority):
    """An office whose checks and signatures are the real ones."""
    async with make.open_office(harness, authority=authority) as opened:
        yield opened


def opened_credentials(office, event: WorkspaceCredentialsChanged):
    ring = office.issuer.desk.store_identity.announce.seal
    sealed = base64.b64decode(event.ciphertext)
    context = f"workspace.credentials:{event.workspace_id}"
    return json.loads(ring.decrypt(sealed, context=context))


async def newest_credentials(office, workspace_id):
    told = await office.events(WorkspaceCredentialsChanged)
    return opened_credentials(
        office, [each for each in told if str(each.workspace_id) == workspace_id][-1]
    )


async def test_an_upload_is_taken_as_json_and_as_a_form(bureau, authority, make):
    # proves: J78 (Apple's pass format: P12)
    issued = authority.issue_pass_certificate(make.pass_type, make.team)
    p12 = export_p12(issued, "planted-password", wwdr_pem=authority.wwdr_pem)
    both = issued.certificate_pem + issued.private_key_pem
    encoded = base64.b64encode(p12).decode()
    forms = [
        {"json": {"p12_base64": encoded, "password": "planted-password"}},
        {"files": {"p12": ("pass.p12", p12)}, "data": {"password": "planted-password"}},
        {"json": {"certificate_pem": both.decode()}},
        {
            "files": {
                "certificate": ("pass.pem", authority.wwdr_pem + issued.certificate_pem),
                "private_key": ("pass.key", issued.private_key_pem),
            },
            "data": {"pass_type_identifier": make.pass_type, "team_identifier": make.team},
        },
    ]
    workspace_id = await bureau.workspace()
    path = f"/workspaces/{workspace_id}/signing-identities"
    answers = [await bureau.call("POST", path, status=201, **form) for form in forms]
    assert len({each["signing_identity_id"] for each in answers}) == 1, "the same identity"
    assert answers[0]["pass_type_identifier"] == make.pass_type
    assert answers[0]["state"] == "active"


async def test_a_refused_upload_names_the_field_and_repeats_nothing(bureau, authority, make):
    # proves: J78, J2 (Apple's pass format: P12)
    issued = authority.issue_pass_certificate(make.pass_type, make.team, key="ec")
    text = {"certificate_pem": issued.certificate_pem.decode()}
    key = {"private_key_pem": issued.private_key_pem.decode()}
    p12 = export_p12(issued, "planted-password")
    big = "A" * 100_000
    cases = [
        ({"json": {**text}}, "private_key_pem"),
        ({"json": {**text, **key, "team_identifier": "OTHERTEAM1"}}, "team_identifier"),
        ({"json": {"p12_base64": "%%planted%%"}}, "p12_base64"),
        ({"json": {"p12_base64": base64.b64encode(p12).decode(), "password": "x"}}, "password"),
        ({"json": {"p12_base64": big}}, "p12_base64"),
        ({"json": {**text, **key, "planted": "x"}}, "planted"),
        ({"json": {**text, "private_key_pem": 7}}, "private_key_pem"),
        ({"content": b"{planted", "headers": {"content-type": "application/json"}}, "body"),
        ({"files": {"p12": ("a", p12), "p12_base64": ("b", b"x")}}, "p12_base64"),
        ({"files": {"p12": ("a", b"x" * 70_000)}}, "p12"),
        ({"files": {"certificate": ("a", b"\xff\xfe")}}, "certificate"),
        ({"files": [("p12", (str(n), b"x")) for n in range(20)]}, "body"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
            "body",
        ),
    ]
    workspace_id = await bureau.workspace()
    path = f"/workspaces/{workspace_id}/signing-identities"
    for given, field in cases:
        problem = await bureau.call("POST", path, status=422, **given)
        assert problem["errors"][0]["field"] == field, problem
        shown = json.dumps(problem).replace('"planted"', "").replace("planted is", "")
        shown = shown.replace("not valid: planted", "")
        assert "planted" not in shown
        assert "BEGIN" not in shown
    assert (await bureau.call("GET", path))["data"] == []
    assert await bureau.events(WorkspaceCredentialsChanged) == []


async def test_a_key_that_is_born_here_gets_its_certificate_and_signs(bureau, authority, make):
    # proves: A13, A14
    workspace_id = await bureau.workspace()
    program_id = await bureau.program(workspace_id)
    path = f"/workspaces/{workspace_id}/signing-identities"
    asked = {"pass_type_identifier": make.pass_type, "key": "p256"}
    headers = {"Idempotency-Key": "request-1"}
    made, again = [
        await bureau.call("POST", f"{path}/requests", status=201, json=asked, headers=headers)
        for _ in range(2)
    ]
    assert made == again
    assert "PRIVATE" not in json.dumps(made)
    certificate = authority.answer_signing_request(
        made["request_pem"].encode(), make.pass_type, make.team
    )
    complete = f"{path}/requests/{made['signing_request_id']}/certificate"
    identity = await bureau.call(
        "POST", complete, status=201, files={"certificate": ("pass.cer", certificate)}
    )
    body = {"certificate_base64": base64.b64encode(certificate).decode()}
    assert await bureau.call("POST", complete, status=201, json=body) == identity
    [listed] = (await bureau.call("GET", f"{path}/requests"))["data"]
    assert listed["state"] == "completed"
    assert listed["signing_identity_id"] == identity["signing_identity_id"]
    [row] = await bureau.rows("SELECT private_key_ciphertext FROM pass_issuer.signing_request")
    assert row["private_key_ciphertext"] is None, "the key has moved, and is there once"
    signed = await first_signature(bureau, workspace_id, program_id)
    verify_detached(
        base64.b64decode(signed.apple.signature),
        signed.apple.manifest.encode(),
        root_pem=authority.root_pem,
        now=datetime.now(UTC),
    )


async def first_signature(office, workspace_id, program_id, external_id="one") -> PassRendered:
    issued = await office.call(
        "POST",
        f"/workspaces/{workspace_id}/passes",
        status=201,
        json={"program_id": program_id, "external_id": external_id},
    )
    pass_id = uuid.UUID(issued["pass_id"])
    await office.hear(
        PassLinkOpened(
            workspace_id=uuid.UUID(workspace_id),
            pass_id=pass_id,
            platform=Platform.APPLE,
            needs_rendering=True,
            occurred_at=office.clock.now(),
        )
    )
    told = [each for each in await office.events(PassRendered) if each.pass_id == pass_id]
    return told[-1]


async def test_a_certificate_that_does_not_fit_its_request_is_refused(bureau, authority, make):
    # proves: J70 (Apple's pass format: P12)
    workspace_id, other = await bureau.workspace(), await bureau.workspace()
    path = f"/workspaces/{workspace_id}/signing-identities/requests"
    asked = {"pass_type_identifier": make.pass_type, "key": "p256"}
    made = await bureau.call("POST", path, status=201, json=asked)
    request_pem = made["request_pem"].encode()
    strange = authority.issue_pass_certificate(make.pass_type, make.team, key="ec")
    wrong_type = authority.answer_signing_request(request_pem, "pass.com.example.no", make.team)
    complete = f"{path}/{made['signing_request_id']}/certificate"
    for certificate, code in (
        (strange.certificate_pem, "key_mismatch"),
        (wrong_type, "pass_type_mismatch"),
        (b"garbage", "certificate_unreadable"),
    ):
        files = {"certificate": ("pass.cer", certificate)}
        problem = await bureau.call("POST", complete, status=422, files=files)
        assert problem["code"] == code
    right = authority.answer_signing_request(request_pem, make.pass_type, make.team)
    foreign = f"/workspaces/{other}/signing-identities/requests/{made['signing_request_id']}"
    files = {"certificate": ("pass.cer", right)}
    await bureau.call("POST", f"{foreign}/certificate", status=404, files=files)
    await bureau.call("DELETE", foreign, status=404)
    await bureau.call("DELETE", f"{path}/{made['signing_request_id']}", status=204)
    await bureau.call("POST", complete, status=404, files=files)


async def test_requests_are_few_and_end(bureau, make):
    workspace_id = await bureau.workspace()
    path = f"/workspaces/{workspace_id}/signing-identities/requests"
    asked = {"pass_type_identifier": make.pass_type, "key": "p256"}
    for _ in range(MAX_WAITING_REQUESTS):
        made = await bureau.call("POST", path, status=201, json=asked)
    refused = await bureau.call("POST", path, status=409, json=asked)
    assert refused["code"] == "too_many_requests_waiting"
    bureau.clock.advance(timedelta(days=31))
    complete = f"{path}/{made['signing_request_id']}/certificate"
    late = await bureau.call("POST", complete, status=409, json={"certificate_pem": "x"})
    assert late["code"] == "signing_request_expired"
    await look_round(bureau)
    assert (await bureau.call("GET", path))["data"] == []
    assert await bureau.rows("SELECT 1 FROM pass_issuer.signing_request") == []


async def test_a_renewal_takes_over_at_once_and_one_call_goes_back(bureau, authority, make):
    # proves: J78, J2
    workspace_id = await bureau.workspace()
    program_id = await bureau.program(workspace_id)
    path = f"/workspaces/{workspace_id}/signing-identities"
    await bureau.give_identity(workspace_id, authority)
    before = await first_signature(bureau, workspace_id, program_id)
    await bureau.give_identity(workspace_id, authority)
    new, old = (await bureau.call("GET", path))["data"]
    assert (new["state"], old["state"]) == ("active", "retired")
    assert old["retired_at"] is not None
    told = await newest_credentials(bureau, workspace_id)
    assert len(told["apple"]) == 1
    kept = [each for each in await bureau.events(PassRendered) if each.pass_id == before.pass_id]
    assert kept[-1] == before, "what is signed stays as it is"
    back = await bureau.call("POST", f"{path}/{old['signing_identity_id']}/activate")
    assert back["state"] == "active"
    assert await newest_credentials(bureau, workspace_id) != told
    stranger = await bureau.workspace()
    foreign = f"/workspaces/{stranger}/signing-identities/{new['signing_identity_id']}/activate"
    await bureau.call("POST", foreign, status=404)
    kept = await bureau.call("DELETE", f"{path}/{back['signing_identity_id']}", status=409)
    assert kept["code"] == "signing_identity_in_use"
    await bureau.call("DELETE", foreign.removesuffix("/activate"), status=404)
    await bureau.call("DELETE", f"{path}/{new['signing_identity_id']}", status=204)
    assert len((await bureau.call("GET", path))["data"]) == 1
    unknown = f"{path}/{uuid.uuid4()}/activate"
    assert (await bureau.call("POST", unknown, status=404))["code"] == "signing_identity_not_found"


async def test_a_provider_key_is_told_for_pass_types_of_its_own_team_only(bureau, authority, make):
    # proves: A14, J2
    workspace_id = await bureau.workspace()
    path = f"/workspaces/{workspace_id}/provider-keys"
    p8 = new_provider_key()[0].decode()
    body = {"key_id": "KEY0000001", "team_id": make.team, "p8": p8}
    first = await bureau.call("POST", path, status=201, json=body)
    assert first["pass_type_identifiers"] == []
    assert (await newest_credentials(bureau, workspace_id))["apple"] == []
    await bureau.give_identity(workspace_id, authority)
    other = "pass.com.example.other"
    await bureau.give_identity(workspace_id, authority, pass_type=other, team="OTHERTEAM1")
    told = (await newest_credentials(bureau, workspace_id))["apple"]
    kinds = [(each["kind"], each["pass_type_identifier"]) for each in told]
    assert sorted(kinds) == [
        ("certificate", make.pass_type),
        ("certificate", other),
        ("token", make.pass_type),
    ]
    [token] = [each for each in told if each["kind"] == "token"]
    assert (token["key_id"], token["team_identifier"]) == ("KEY0000001", make.team)
    second = {**body, "key_id": "KEY0000002", "p8": new_provider_key()[0].decode()}
    files = {"p8": ("AuthKey.p8", second.pop("p8"))}
    await bureau.call("POST", path, status=201, files=files, data=second)
    listed = (await bureau.call("GET", path))["data"]
    assert [(each["key_id"], each["active"]) for each in listed] == [
        ("KEY0000002", True),
        ("KEY0000001", False),
    ]
    await bureau.call("DELETE", f"{path}/{make.team}/KEY0000002", status=204)
    told = (await newest_credentials(bureau, workspace_id))["apple"]
    assert {each["kind"] for each in told} == {"certificate"}
    stranger = await bureau.workspace()
    foreign = f"/workspaces/{stranger}/provider-keys/{make.team}/KEY0000001"
    await bureau.call("DELETE", foreign, status=404)


async def test_a_wrong_provider_key_is_refused_with_its_field(bureau, make):
    # proves: J2
    workspace_id = await bureau.workspace()
    path = f"/workspaces/{workspace_id}/provider-keys"
    right = {"key_id": "KEY0000001", "team_id": make.team, "p8": new_provider_key()[0].decode()}
    for changes in ({"key_id": "x"}, {"team_id": "x"}, {"p8": "planted-garbage"}):
        problem = await bureau.call("POST", path, status=422, json=right | changes)
        assert problem["errors"][0]["field"] == next(iter(changes))
        assert "planted" not in json.dumps(problem)
    problem = await bureau.call("POST", path, status=422, json={"key_id": "KEY0000001"})
    assert {each["field"] for each in problem["errors"]} == {"team_id", "p8"}


def service_account(key_id: str, **changes):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "private_key_id": key_id,
        "private_key": pem,
        "client_email": "wallet@cafe.example",
        "token_uri": "https://oauth2.googleapis.com/token",
        **changes,
    }


async def test_two_keys_of_google_live_and_one_call_goes_back(bureau, make):
    # proves: J2, J70
    workspace_id, stranger = await bureau.workspace(), await bureau.workspace()
    path = f"/workspaces/{workspace_id}/google-accounts"

    async def upload(key_id):
        body = {"issuer_id": make.issuer_id, "service_account": service_account(key_id)}
        return await bureau.call("POST", path, status=201, json=body)

    async def keys():
        listed = (await bureau.call("GET", path))["data"]
        return [(each["private_key_id"], each["active"]) for each in listed]

    async def signing():
        [told] = (await newest_credentials(bureau, workspace_id))["google"]
        return told["service_account"]["private_key_id"]

    for key_id in ("k1", "k2"):
        await upload(key_id)
    assert await keys() == [("k2", True), ("k1", False)]
    assert await signing() == "k2"
    await bureau.call("POST", f"{path}/{make.issuer_id}/keys/k1/activate")
    assert await keys() == [("k1", True), ("k2", False)]
    assert await signing() == "k1"
    await upload("k3")
    assert await keys() == [("k3", True), ("k1", False)], "there are two at most"
    await upload("k3")
    assert await keys() == [("k3", True), ("k1", False)], "the same again changes nothing"
    in_use = await bureau.call("DELETE", f"{path}/{make.issuer_id}/keys/k3", status=409)
    assert in_use["code"] == "key_in_use"
    foreign = f"/workspaces/{stranger}/google-accounts/{make.issuer_id}/keys/k1"
    await bureau.call("POST", f"{foreign}/activate", status=404)
    await bureau.call("DELETE", foreign, status=404)
    await bureau.call("DELETE", f"{path}/{make.issuer_id}/keys/k1", status=204)
    await bureau.call("POST", f"{path}/{make.issuer_id}/keys/k1/activate", status=404)


async def test_a_wrong_service_account_is_refused_with_its_member(bureau, make):
    # proves: J2
    workspace_id = await bureau.workspace()
    path = f"/workspaces/{workspace_id}/google-accounts"
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    weak = small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    cases = [
        ({"type": "authorized_user"}, "type"),
        ({"private_key": weak}, "private_key"),
        ({"private_key": "planted"}, "private_key"),
        ({"private_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"}, "private_key"),
        ({"private_key_id": "a b"}, "private_key_id"),
        ({"private_key_id": None}, "private_key_id"),
        ({"client_email": "planted"}, "client_email"),
        ({"token_uri": "file:///etc/passwd"}, "token_uri"),
    ]
    for changes, member in cases:
        body = {"issuer_id": make.issuer_id, "service_account": service_account("k1", **changes)}
        problem = await bureau.call("POST", path, status=422, json=body)
        assert problem["errors"][0]["field"] == f"service_account.{member}", problem
        assert "planted" not in json.dumps(problem)
    body = {"issuer_id": "BCR2DN", "service_account": service_account("k1")}
    problem = await bureau.call("POST", path, status=422, json=body)
    assert problem["errors"][0]["field"] == "issuer_id"


async def look_round(office):
    """One round, as the replica whose turn it is does it; gives how many notices were told."""
    url = office.harness.app_url("pass-issuer")
    async with Database.open(url, service="pass-issuer", clock=office.clock) as database:
        rounds = expiry_rounds(database, office.stores, office.clock)
        return await rounds._once()


async def test_the_end_of_a_certificate_is_told_once_for_each_threshold(bureau, authority, make):
    # proves: J78
    workspace_id = await bureau.workspace()
    ends = datetime.now(UTC) + timedelta(days=40)
    issued = authority.issue_pass_certificate(make.pass_type, make.team, key="ec", not_after=ends)
    path = f"/workspaces/{workspace_id}/signing-identities"
    body = {"certificate_pem": (issued.certificate_pem + issued.private_key_pem).decode()}
    identity = await bureau.call("POST", path, status=201, json=body)
    start = bureau.clock.now()
    for day in (0, 9, 10.5, 11, 20, 27, 34, 38.5, 39.5, 40.5, 41):
        bureau.clock.advance(start + timedelta(days=day) - bureau.clock.now())
        await look_round(bureau)
        await look_round(bureau)
    told = await bureau.events(OperationReported)
    assert [each.details["threshold_days"] for each in told] == [30, 14, 7, 1, 0]
    assert [each.severity for each in told] == ["warning"] * 3 + ["error"] * 2
    assert told[-1].kind == "signing_identity_expired"
    assert {str(each.operation_id) for each in told} == {identity["signing_identity_id"]}
    assert "pass.com.example.cafe" in told[0].message


async def test_who_is_late_hears_of_the_narrowest_threshold_only_and_a_renewed_one_of_none(
    bureau, authority, make
):
    # proves: J78
    workspace_id = await bureau.workspace()
    ends = datetime.now(UTC) + timedelta(days=5)
    issued = authority.issue_pass_certificate(make.pass_type, make.team, key="ec", not_after=ends)
    path = f"/workspaces/{workspace_id}/signing-identities"
    body = {"certificate_pem": (issued.certificate_pem + issued.private_key_pem).decode()}
    identity = await bureau.call("POST", path, status=201, json=body)
    assert await look_round(bureau) == 1
    assert shown_days(identity) == pytest.approx(5, abs=0.1)
    [told] = await bureau.events(OperationReported)
    assert told.details["threshold_days"] == 7
    await bureau.give_identity(workspace_id, authority)
    bureau.clock.advance(timedelta(days=4.5))
    assert await look_round(bureau) == 0
    assert shown_days(identity) is None, "only certificates in use are shown"
    assert len((await bureau.call("GET", path))["data"]) == 2
    bureau.clock.advance(timedelta(days=1))
    await look_round(bureau)
    left = (await bureau.call("GET", path))["data"]
    assert [each["state"] for each in left] == ["active"], "a retired one goes at its end"


async def test_replicas_that_look_at_once_tell_once(bureau, authority, make):
    # proves: J78
    workspace_id = await bureau.workspace()
    ends = datetime.now(UTC) + timedelta(days=5)
    issued = authority.issue_pass_certificate(make.pass_type, make.team, key="ec", not_after=ends)
    path = f"/workspaces/{workspace_id}/signing-identities"
    body = {"certificate_pem": (issued.certificate_pem + issued.private_key_pem).decode()}
    await bureau.call("POST", path, status=201, json=body)
    told = await asyncio.gather(*(look_round(bureau) for _ in range(4)))
    assert sum(told) == 1
    assert len(await bureau.events(OperationReported)) == 1


async def test_uploads_at_once_leave_one_active_and_the_newest_told_last(bureau, authority, make):
    # proves: J78
    workspace_id = await bureau.workspace()
    await asyncio.gather(*(bureau.give_identity(workspace_id, authority) for _ in range(5)))
    listed = await bureau.call("GET", f"/workspaces/{workspace_id}/signing-identities")
    states = [each["state"] for each in listed["data"]]
    assert sorted(states) == ["active"] + ["retired"] * 4
    told = await bureau.events(WorkspaceCredentialsChanged)
    assert [each.revision for each in told] == [1, 2, 3, 4, 5]
    [row] = await bureau.rows(
        "SELECT certificate_pem FROM pass_issuer.signing_identity WHERE is_active"
    )
    [entry] = opened_credentials(bureau, told[-1])["apple"]
    assert entry["certificate_pem"] == row["certificate_pem"]


def shown_days(identity):
    for metric in CERTIFICATE_DAYS_LEFT.collect():
        for sample in metric.samples:
            if sample.labels["signing_identity_id"] == identity["signing_identity_id"]:
                return sample.value
    return None


def test_an_authority_in_der_is_read_too(tmp_path, authority):
    from passferry_pass_issuer.adapters.wallet_identities import read_authorities

    wwdr = x509.load_pem_x509_certificate(authority.wwdr_pem)
    (tmp_path / "AppleWWDRCAG4.cer").write_bytes(wwdr.public_bytes(Encoding.DER))
    assert read_authorities(tmp_path) == [wwdr]
