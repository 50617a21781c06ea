"""Signatures and save links are made with the credentials of the workspace that asks."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from passferry_pass_issuer.adapters.thread_signer import ThreadSigner
from passferry_pass_issuer.application.ports import GoogleCredential

pytestmark = pytest.mark.unit

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
OBJECT = {"id": "338.1", "classId": "338.2", "state": "ACTIVE"}


@pytest.fixture
def signer():
    made = ThreadSigner(
        threads=2,
        google_save_base_url="https://pay.example/save",
        google_save_origins=["passes.example"],
    )
    yield made
    made.close()


def credential(number: int) -> tuple[GoogleCredential, rsa.RSAPublicKey]:
    """Of another workspace and another key each, all under one key id."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": f"wallet@shop-{number}.example",
        "private_key_id": "same-key-id",
        "private_key": pem.decode(),
        "token_uri": "https://oauth2.example/token",
    }
    made = GoogleCredential(workspace_id=UUID(int=number), issuer_id="338", service_account=account)
    return made, key.public_key()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_key_id_that_another_workspace_claims_signs_with_its_own_key_only(signer):
    # proves: J70
    for owner, public_key in (credential(1), credential(2)):
        url, is_whole = await signer.sign_save_link(
            owner, vertical="loyalty", object_body=OBJECT, now=NOON
        )
        head, claims, signature = url.rsplit("/", 1)[1].split(".")
        assert json.loads(decoded(claims))["iss"] == owner.service_account["client_email"]
        signed = f"{head}.{claims}".encode()
        public_key.verify(decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        assert is_whole


async def test_a_link_that_would_be_too_long_names_its_object_only(signer):
    owner, _ = credential(1)
    long = OBJECT | {"textModulesData": [{"body": "x" * 2_000}]}
    url, is_whole = await signer.sign_save_link(
        owner, vertical="loyalty", object_body=long, now=NOON
    )
    [claims] = [json.loads(decoded(url.rsplit("/", 1)[1].split(".")[1]))]
    [[named]] = claims["payload"].values()
    assert not is_whole
    assert named == {"id": "338.1", "classId": "338.2"}
