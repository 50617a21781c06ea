"""Upload checks of certificates and service accounts, in our own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from passferry_pass_issuer.application.credential_ports import (
    CheckedIdentity,
    CheckedServiceAccount,
    IdentityUpload,
    MadeRequest,
)
from passferry_pass_issuer.domain.refusals import ContentRejected
from passferry_wallet.apple.certificates import (
    SigningIdentity,
    SigningIdentityRejected,
    load_identity,
    load_identity_p12,
    to_pem,
)
from passferry_wallet.apple.key_material import read_certificates
from passferry_wallet.apple.provider_key import ProviderKeyRejected
from passferry_wallet.apple.provider_key import check_provider_key as check_key
from passferry_wallet.apple.signing_request import KeyKind, make_signing_request
from passferry_wallet.google.save_link import ServiceAccountRejected, load_service_account

MAX_AUTHORITIES = 100

#: Which field of the upload a code of the checks is about; the certificate where none is named.
_FIELDS = {
    "key_unreadable": "private_key_pem",
    "key_mismatch": "private_key_pem",
    "key_unsupported": "private_key_pem",
    "key_too_small": "private_key_pem",
    "password_missing": "password",
    "password_wrong": "password",
    "pass_type_mismatch": "pass_type_identifier",
    "team_mismatch": "team_identifier",
}
_OF_BOTH_FORMS = {"pass_type_identifier", "team_identifier", "password"}


class AuthoritiesUnusable(Exception):
    """The directory of WWDR intermediates cannot be used; the message says why."""


def read_authorities(directory: Path) -> list[x509.Certificate]:
    """The WWDR intermediates that uploads may be issued by: PEM files, and `.cer` as Apple has
    them."""
    files = sorted([*directory.glob("*.pem"), *directory.glob("*.cer")])
    if len(files) > MAX_AUTHORITIES:
        raise AuthoritiesUnusable(f"{directory} holds more than {MAX_AUTHORITIES} files")
    found: list[x509.Certificate] = []
    for file in files:
        try:
            found += read_certificates(file.read_bytes())
        except (SigningIdentityRejected, OSError) as error:
            raise AuthoritiesUnusable(f"{file} is no certificate in PEM or DER") from error
    if not found:
        raise AuthoritiesUnusable(
            f"{directory} holds no *.pem: put Apple's WWDR intermediates there"
        )
    return found


class WalletIdentityChecker:
    def __init__(self, authorities: Sequence[x509.Certificate]) -> None:
        self._authorities = authorities

    def check(self, upload: IdentityUpload, *, now: datetime) -> CheckedIdentity:
        try:
            identity = self._load(upload, now)
        except SigningIdentityRejected as refusal:
            raise _refusal(upload, refusal) from refusal
        certificate, key, wwdr = to_pem(identity)
        return CheckedIdentity(
            pass_type_identifier=identity.pass_type_identifier,
            team_identifier=identity.team_identifier,
            certificate_pem=certificate,
            private_key_pem=key,
            wwdr_pem=wwdr,
            not_after=identity.not_after,
            has_nfc=identity.has_nfc,
            fingerprint_sha256=identity.fingerprint_sha256,
        )

    def _load(self, upload: IdentityUpload, now: datetime) -> SigningIdentity:
        if upload.p12 is not None:
            return load_identity_p12(
                p12=upload.p12,
                password=upload.password,
                authorities=self._authorities,
                pass_type_identifier=upload.pass_type_identifier,
                team_identifier=upload.team_identifier,
                now=now,
            )
        for name in ("certificate_pem", "private_key_pem"):
            if getattr(upload, name) is None:
                raise ContentRejected("required", name, "is required, or a p12_base64")
        return load_identity(
            certificate_pem=upload.certificate_pem or b"",
            private_key_pem=upload.private_key_pem or b"",
            password=upload.password,
            authorities=self._authorities,
            pass_type_identifier=upload.pass_type_identifier,
            team_identifier=upload.team_identifier,
            now=now,
        )


def _refusal(upload: IdentityUpload, refusal: SigningIdentityRejected) -> ContentRejected:
    field = _FIELDS.get(refusal.code, "certificate_pem")
    if upload.p12 is not None and field not in _OF_BOTH_FORMS:
        field = "p12_base64"
    return ContentRejected(refusal.code, field, refusal.detail)


class WalletServiceAccountChecker:
    def check(self, service_account: Mapping[str, Any]) -> CheckedServiceAccount:
        try:
            account = load_service_account(service_account)
        except ServiceAccountRejected as refusal:
            field = "service_account" + (f".{refusal.member}" if refusal.member else "")
            raise ContentRejected(refusal.code, field, refusal.detail) from refusal
        return CheckedServiceAccount(
            client_email=account.client_email, private_key_id=account.private_key_id
        )


def check_provider_key(*, key_id: str, team_id: str, p8: bytes) -> bytes:
    try:
        return check_key(key_id=key_id, team_id=team_id, p8=p8)
    except ProviderKeyRejected as refusal:
        raise ContentRejected(refusal.code, refusal.field, refusal.detail) from refusal


def make_request(pass_type_identifier: str, key_kind: str) -> MadeRequest:
    made = make_signing_request(pass_type_identifier, KeyKind(key_kind))
    return MadeRequest(request_pem=made.request_pem, private_key_pem=made.private_key_pem)
