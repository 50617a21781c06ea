"""Signatures that OpenSSL accepts. proves: A13 (Apple's pass format: P1, P2, P3, P4, P14)"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs7

from passferry_wallet.apple.bundle import BundleTemplate, build_manifest, sha1_hex
from passferry_wallet.apple.pass_json import build_pass_json
from passferry_wallet.apple.signing import ManifestSigner

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCEPTED = "CMS Verification successful"
MANIFEST = b'{"icon.png":"0000","pass.json":"1111"}'


def printed(signature: bytes) -> str:
    command = ["openssl", "cms", "-cmsout", "-print", "-inform", "DER"]
    done = subprocess.run(command, input=signature, capture_output=True, timeout=20, check=True)
    return done.stdout.decode()


@pytest.fixture(params=["rsa", "ec"])
def signer(request, rsa_identity, ec_identity):
    return ManifestSigner(rsa_identity if request.param == "rsa" else ec_identity)


@pytest.mark.parametrize(
    "manifest",
    [MANIFEST, b'{\n  "a": "b",\n  "c": "d"\n}\n', b"{\r\n}\r\n", b"", "ä\n山".encode() * 5000],
    ids=["compact", "indented", "windows", "empty", "large"],
)
def test_openssl_accepts_signatures_over_manifests_of_every_shape(signer, openssl_verify, manifest):
    signature = signer.sign(manifest, signing_time=NOW)
    assert ACCEPTED in openssl_verify(manifest, signature)


def test_openssl_refuses_a_manifest_that_was_changed_by_a_line_end(signer, openssl_verify):
    signature = signer.sign(b"{\n}", signing_time=NOW)
    assert ACCEPTED not in openssl_verify(b"{\r\n}", signature)


def test_openssl_refuses_a_signature_that_was_changed(signer, openssl_verify):
    signature = signer.sign(MANIFEST, signing_time=NOW)
    assert ACCEPTED not in openssl_verify(MANIFEST, signature[:-1] + bytes((signature[-1] ^ 1,)))


def test_the_signature_holds_leaf_intermediate_and_signing_time_but_no_content(
    signer, rsa_identity, ec_identity
):
    signature = signer.sign(MANIFEST, signing_time=NOW)
    fingerprints = {
        certificate.fingerprint(hashes.SHA256())
        for certificate in pkcs7.load_der_pkcs7_certificates(signature)
    }
    leaves = {i.certificate.fingerprint(hashes.SHA256()) for i in (rsa_identity, ec_identity)}
    wwdr = rsa_identity.wwdr.fingerprint(hashes.SHA256())
    assert len(fingerprints) == 2
    assert wwdr in fingerprints
    assert fingerprints - {wwdr} <= leaves
    text = printed(signature)
    assert "Mar  1 12:00:00 2026 GMT" in text
    assert text.index("contentType") < text.index("signingTime") < text.index("messageDigest")
    assert "eContent: <ABSENT>" in text


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (datetime(2026, 7, 8, 1, 30, tzinfo=timezone(timedelta(hours=2))), "Jul  7 23:30:00 2026"),
        (datetime(2049, 12, 31, tzinfo=UTC), "Dec 31 00:00:00 2049"),
        (datetime(2050, 1, 1, tzinfo=UTC), "Jan  1 00:00:00 2050"),
    ],
)
def test_the_signing_time_is_told_in_utc_on_both_sides_of_2050(signer, moment, told):
    assert told in printed(signer.sign(MANIFEST, signing_time=moment))


def test_a_signing_time_without_a_zone_is_refused(signer):
    with pytest.raises(ValueError, match="zone"):
        signer.sign(MANIFEST, signing_time=NOW.replace(tzinfo=None))


def test_rsa_signatures_of_equal_manifests_at_one_time_are_equal(rsa_identity):
    first = ManifestSigner(rsa_identity).sign(MANIFEST, signing_time=NOW)
    assert ManifestSigner(rsa_identity).sign(MANIFEST, signing_time=NOW) == first


def test_one_signer_serves_many_threads(rsa_identity, openssl_verify):
    signer = ManifestSigner(rsa_identity)
    manifests = [f"{{{number}}}".encode() for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        signatures = list(pool.map(lambda m: signer.sign(m, signing_time=NOW), manifests))
    alone = [ManifestSigner(rsa_identity).sign(m, signing_time=NOW) for m in manifests]
    assert signatures == alone
    assert ACCEPTED in openssl_verify(manifests[-1], signatures[-1])


def test_a_whole_pass_is_complete_verified_and_built_the_same_again(
    signer, content, images, openssl_verify
):
    """proves: A13, A24"""

    def build() -> tuple[bytes, bytes, BundleTemplate]:
        template = BundleTemplate(images)
        pass_json = build_pass_json(content())
        digests = {**template.digests, "pass.json": sha1_hex(pass_json)}
        return pass_json, build_manifest(digests), template

    pass_json, manifest, template = build()
    signature = signer.sign(manifest, signing_time=NOW)
    bundle = template.assemble(pass_json=pass_json, manifest=manifest, signature=signature)

    again_json, again_manifest, again = build()
    assert (again_json, again_manifest) == (pass_json, manifest)
    parts = {"pass_json": pass_json, "manifest": manifest, "signature": signature}
    assert again.assemble(**parts) == bundle

    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    listed = json.loads(files["manifest.json"])
    assert files.keys() == listed.keys() | {"manifest.json", "signature"}
    for name, digest in listed.items():
        assert hashlib.sha1(files[name]).hexdigest() == digest
    assert {"icon.png", "icon@2x.png", "icon@3x.png", "de.lproj/logo.png"} <= files.keys()
    assert ACCEPTED in openssl_verify(files["manifest.json"], files["signature"])
