"""Uploads against the wallet library's real checks, with a throw-away authority."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from passferry_contracts.events.directory import TemplatePublished
from passferry_pass_issuer.adapters.google_classes import WalletGoogleClasses
from passferry_pass_issuer.adapters.wallet_identities import (
    WalletIdentityChecker,
    WalletServiceAccountChecker,
    read_authorities,
)
from passferry_pass_issuer.adapters.wallet_images import check_image
from passferry_pass_issuer.adapters.wallet_renderer import WalletRenderer
from passferry_pass_issuer.application.credential_ports import IdentityUpload
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_testing.pki import DemoAuthority, export_p12

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
PASS_TYPE, TEAM = "pass.com.example.cafe", "CAFE123456"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def issued(authority):
    return authority.issue_pass_certificate(PASS_TYPE, TEAM)


@pytest.fixture(scope="module")
def checker(authority):
    return WalletIdentityChecker([x509.load_pem_x509_certificate(authority.wwdr_pem)])


def upload(issued, **changes):
    given = {
        "certificate_pem": issued.certificate_pem,
        "private_key_pem": issued.private_key_pem,
        "pass_type_identifier": PASS_TYPE,
        "team_identifier": TEAM,
    }
    return IdentityUpload(**(given | changes))


def refusal_of(checker, given):
    with pytest.raises(ContentRejected) as refused:
        checker.check(given, now=NOW)
    return refused.value.code, refused.value.field


def test_a_right_upload_is_taken_as_pem_and_as_p12(checker, issued):
    # proves: J78
    checked = checker.check(upload(issued), now=NOW)
    assert (checked.pass_type_identifier, checked.team_identifier) == (PASS_TYPE, TEAM)
    p12 = IdentityUpload(p12=export_p12(issued, "secret"), password=b"secret")
    assert checker.check(p12, now=NOW).fingerprint_sha256 == checked.fingerprint_sha256


def test_each_wrong_upload_is_refused_with_code_and_field(checker, issued, authority):
    # proves: J78
    other = authority.issue_pass_certificate("pass.com.example.other", TEAM)
    expired = authority.issue_pass_certificate(PASS_TYPE, TEAM, not_after=NOW - timedelta(days=1))
    server = authority.issue_server_certificate()
    cases = [
        (upload(issued, private_key_pem=other.private_key_pem), "key_mismatch", "private_key_pem"),
        (upload(other), "pass_type_mismatch", "pass_type_identifier"),
        (upload(issued, team_identifier="OTHER"), "team_mismatch", "team_identifier"),
        (upload(expired), "certificate_expired", "certificate_pem"),
        (
            upload(server, pass_type_identifier=None, team_identifier=None),
            "not_a_pass_certificate",
            "certificate_pem",
        ),
        (upload(issued, certificate_pem=b"x"), "certificate_unreadable", "certificate_pem"),
        (upload(issued, private_key_pem=b"x"), "key_unreadable", "private_key_pem"),
        (upload(issued, private_key_pem=None), "required", "private_key_pem"),
        (
            IdentityUpload(p12=export_p12(issued, "secret"), password=b"wrong"),
            "password_wrong",
            "password",
        ),
        (IdentityUpload(p12=b"x", password=b"secret"), "p12_unreadable", "p12_base64"),
    ]
    for given, code, field in cases:
        assert refusal_of(checker, given) == (code, field)


def test_a_certificate_of_an_unknown_authority_is_refused(checker, tmp_path):
    # proves: J78
    stranger = DemoAuthority.create(tmp_path).issue_pass_certificate(PASS_TYPE, TEAM)
    assert refusal_of(checker, upload(stranger)) == ("wwdr_not_found", "certificate_pem")


def test_authorities_are_read_from_a_directory(tmp_path, authority):
    (tmp_path / "wwdr.pem").write_bytes(authority.wwdr_pem + authority.wwdr_pem)
    assert len(read_authorities(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("../icon.png", None),
        ("icon.gif", None),
        ("secret.png", None),
        ("icon.png", b"GIF89a"),
        ("icon.png", base64.b64decode("iVBORw0KGgo=") + b"\x00" * 60),
    ],
)
def test_what_is_no_image_of_a_bundle_is_refused(make, name, content):
    with pytest.raises(ContentRejected):
        check_image(name, content if content is not None else make.png())


def test_an_image_of_the_right_size_is_taken_and_a_larger_one_refused(make):
    check_image("logo@2x.png", make.png(320, 100))
    with pytest.raises(ContentRejected):
        check_image("logo.png", make.png(161, 50))


def service_account(**changes):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "cafe",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": "wallet@cafe.example",
        "token_uri": "https://oauth2.googleapis.com/token",
        **changes,
    }


def test_a_service_account_is_checked_before_it_is_stored():
    checker = WalletServiceAccountChecker()
    assert checker.check(service_account()).client_email == "wallet@cafe.example"
    for changes in ({"type": "user"}, {"private_key": "x"}, {"client_email": None}):
        with pytest.raises(ContentRejected) as refused:
            checker.check(service_account(**changes))
        assert refused.value.field == f"service_account.{next(iter(changes))}"
        assert "PRIVATE KEY" not in refused.value.detail


async def test_a_published_template_carries_a_google_class_of_its_vertical(harness, make):
    classes = WalletGoogleClasses("https://passes.example")
    async with make.open_office(
        harness, google_classes=classes, renderer=WalletRenderer()
    ) as office:
        workspace_id = await office.workspace()
        template_id = await office.template(workspace_id)
        [event] = await office.events(TemplatePublished)
    body = event.google_class.class_body
    assert body["id"] == f"3388000000012345678.{workspace_id}-{template_id}"
    assert body["id"] == event.google_class.class_id
    assert body["programName"] == "Card"
    callback = f"https://passes.example/w/{workspace_id}/google/callback"
    assert body["callbackOptions"] == {"url": callback}
