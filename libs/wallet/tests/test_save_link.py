"""Save links and token requests, read back as Google would."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from passferry_wallet.google.save_link import (
    MAX_JWT_CHARACTERS,
    ServiceAccountRejected,
    build_save_link,
    load_service_account,
    token_assertion,
)
from passferry_wallet.google.service_account import WALLET_SCOPE

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PREFIX = "https://pay.google.com/gp/v/save/"
BODY = {"id": "1.pass", "classId": "1.template", "state": "ACTIVE", "accountName": "Zoë 山田"}


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def info(key):
    return {
        "type": "service_account",
        "project_id": "cafe",
        "private_key_id": "key-1",
        "private_key": pem(key),
        "client_email": "wallet@cafe.example.org",
        "token_uri": "https://oauth2.example.org/token",
    }


@pytest.fixture(scope="module")
def account(info):
    return load_service_account(info)


@pytest.fixture(scope="module")
def read(key):
    """Verifies a token and gives its header and claims."""

    def verify(token: str):
        header, claims, signature = (
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")
        )
        signed = token.rpartition(".")[0].encode()
        key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        return json.loads(header), json.loads(claims)

    return verify


def link_to(account, body, **changes):
    given = {
        "origins": ["https://passes.example.org"],
        "vertical": "loyalty",
        "object_body": body,
        "class_id": "1.template",
        "now": NOW,
    }
    unsigned = build_save_link(account, **(given | changes))
    return unsigned.completed(account.signer.sign(unsigned.to_be_signed))


def test_a_save_link_carries_the_whole_object_and_the_claims_that_google_reads(account, read):
    link = link_to(account, BODY)
    header, claims = read(link.url.removeprefix(PREFIX))
    assert not link.is_skinny
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert claims == {
        "iss": "wallet@cafe.example.org",
        "aud": "google",
        "typ": "savetowallet",
        "iat": int(NOW.timestamp()),
        "origins": ["https://passes.example.org"],
        "payload": {"loyaltyObjects": [BODY]},
    }


def test_a_link_that_browsers_would_cut_names_the_object_only(account, read):
    lengths = {}
    for size in range(0, 1600, 3):
        link = link_to(account, BODY | {"accountName": "x" * size})
        token = link.url.removeprefix(PREFIX)
        assert len(token) <= MAX_JWT_CHARACTERS
        lengths[link.is_skinny] = max(lengths.get(link.is_skinny, 0), len(token))
        if link.is_skinny:
            _, claims = read(token)
            assert claims["payload"] == {
                "loyaltyObjects": [{"id": "1.pass", "classId": "1.template"}]
            }
            break
    # Whole as long as it can be: the next four characters would have been too many.
    assert lengths[False] > MAX_JWT_CHARACTERS - 8


def test_the_length_of_a_link_is_known_before_it_is_signed_whatever_the_key(info):
    # A key of 2,049 bits signs with 257 bytes.
    odd = rsa.generate_private_key(public_exponent=65537, key_size=2049)
    account = load_service_account(info | {"private_key": pem(odd)})
    assert account.signature_size == len(account.signer.sign(b"anything"))


def test_links_lead_to_another_page_where_one_is_given(account):
    for base in ("http://127.0.0.1:9/save", "http://127.0.0.1:9/save/"):
        assert link_to(account, BODY, base_url=base).url.startswith("http://127.0.0.1:9/save/ey")


def test_a_token_request_is_valid_for_an_hour(account, read):
    header, claims = read(token_assertion(account, now=NOW))
    assert header["kid"] == "key-1"
    assert claims == {
        "iss": "wallet@cafe.example.org",
        "scope": WALLET_SCOPE,
        "aud": "https://oauth2.example.org/token",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "authorized_user"}, "service_account_invalid"),
        ({"client_email": None}, "service_account_invalid"),
        ({"client_email": "nobody"}, "service_account_invalid"),
        ({"private_key_id": ""}, "service_account_invalid"),
        ({"token_uri": "file:///etc/passwd"}, "service_account_invalid"),
        ({"private_key": None}, "key_unreadable"),
        ({"private_key": "hello"}, "key_unreadable"),
        ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "key_unsupported"),
    ],
)
def test_an_unfit_service_account_is_refused_with_its_reason(info, changes, code):
    with pytest.raises(ServiceAccountRejected) as refusal:
        load_service_account(info | changes)
    assert refusal.value.code == code


def test_neither_account_nor_refusal_prints_the_key(info):
    assert "PRIVATE" not in repr(load_service_account(info))
    with pytest.raises(ServiceAccountRejected) as refusal:
        load_service_account(info | {"private_key": info["private_key"][:-40]})
    assert info["private_key"][100:120] not in str(refusal.value)
