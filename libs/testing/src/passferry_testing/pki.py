"""A throw-away certificate authority that issues what Apple's would, for tests and the demo.

The chain has the real shape (root, a WWDR-like intermediate, pass-type leaves) and the names that
upload checks look for, but its root says that it is a demo: nothing real trusts it.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

WWDR_COMMON_NAME = "Apple Worldwide Developer Relations Certification Authority"
PASS_TYPE_EXTENSION = x509.ObjectIdentifier("1.2.840.113635.100.6.1.16")
PASS_SIGNING_USAGE = x509.ObjectIdentifier("1.2.840.113635.100.4.14")
WWDR_EXTENSION = x509.ObjectIdentifier("1.2.840.113635.100.6.2.1")

KeyKind = Literal["rsa", "ec"]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_AUTHORITY_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)
_DEFAULT_NAMES = ("localhost", "127.0.0.1")
_DER_UTF8_STRING = 0x0C
_DER_SHORT_FORM_MAX = 127


class IssuedCertificate(NamedTuple):
    """A certificate and its unencrypted PKCS#8 key, both PEM."""

    certificate_pem: bytes
    private_key_pem: bytes


class AuthorityIncomplete(Exception):
    """The directory does not hold a demo authority (code `authority_incomplete`)."""

    code = "authority_incomplete"


@dataclass(frozen=True, slots=True)
class _Signer:
    certificate: x509.Certificate
    key: PrivateKey


class DemoAuthority:
    """Root, intermediate and the means to issue below them; kept as PEM files in one directory."""

    def __init__(self, root: _Signer, wwdr: _Signer) -> None:
        self._root = root
        self._wwdr = wwdr

    @classmethod
    def create(cls, directory: Path) -> "DemoAuthority":
        """Make a new authority and write it to `directory` (mode 0700, keys 0600)."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = _new_root()
        wwdr = _new_wwdr(root)
        for name, signer in (("root", root), ("wwdr", wwdr)):
            write_private_file(directory / f"{name}.key", _key_pem(signer.key))
            (directory / f"{name}.pem").write_bytes(_certificate_pem(signer.certificate))
        return cls(root, wwdr)

    @classmethod
    def load(cls, directory: Path) -> "DemoAuthority":
        """Read an authority that `create` wrote; raises AuthorityIncomplete if a file is absent."""
        try:
            root, wwdr = (_load_signer(directory, name) for name in ("root", "wwdr"))
        except FileNotFoundError as absent:
            raise AuthorityIncomplete(f"no demo authority in {directory}") from absent
        return cls(root, wwdr)

    @classmethod
    def load_or_create(cls, directory: Path) -> "DemoAuthority":
        try:
            return cls.load(directory)
        except AuthorityIncomplete:
            return cls.create(directory)

    @property
    def root_pem(self) -> bytes:
        return _certificate_pem(self._root.certificate)

    @property
    def wwdr_pem(self) -> bytes:
        return _certificate_pem(self._wwdr.certificate)

    def issue_pass_certificate(
        self,
        pass_type_identifier: str,
        team_identifier: str,
        *,
        key: KeyKind = "rsa",
        not_after: datetime | None = None,
        nfc: bool = False,
        user_id: str | None = None,
        extension_value: str | None = None,
        common_name: str | None = None,
    ) -> IssuedCertificate:
        """Issue a pass-type certificate below the intermediate.

        `not_after` in the past makes an expired one. `user_id`, `extension_value` and
        `common_name` replace what is normally derived from the pass type identifier, for
        certificates whose parts disagree.
        """
        private_key = _new_key(key)
        prefix = "Pass Type ID with NFC" if nfc else "Pass Type ID"
        subject = _name(
            (NameOID.USER_ID, user_id or pass_type_identifier),
            (NameOID.COMMON_NAME, common_name or f"{prefix}: {pass_type_identifier}"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, team_identifier),
            (NameOID.ORGANIZATION_NAME, "Passferry Demo"),
            (NameOID.COUNTRY_NAME, "US"),
        )
        marker = _der_utf8(extension_value or pass_type_identifier)
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, PASS_SIGNING_USAGE])
        builder = (
            _leaf_builder(subject, private_key, self._wwdr, not_after)
            .add_extension(usages, critical=False)
            .add_extension(x509.UnrecognizedExtension(PASS_TYPE_EXTENSION, marker), critical=False)
        )
        return _issued(builder, private_key, self._wwdr)

    def answer_signing_request(
        self, request_pem: bytes, pass_type_identifier: str, team_identifier: str
    ) -> bytes:
        """The certificate, DER as Apple gives it, for the key of a PKCS#10 request; the names are
        ours, as Apple's are its own."""
        request = x509.load_pem_x509_csr(request_pem)
        if not request.is_signature_valid:
            raise ValueError("the request is not signed by its key")
        subject = _name(
            (NameOID.USER_ID, pass_type_identifier),
            (NameOID.COMMON_NAME, f"Pass Type ID: {pass_type_identifier}"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, team_identifier),
            (NameOID.COUNTRY_NAME, "US"),
        )
        now = datetime.now(UTC)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._wwdr.key.public_key())
        marker = x509.UnrecognizedExtension(PASS_TYPE_EXTENSION, _der_utf8(pass_type_identifier))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._wwdr.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(certificate_authority=False), critical=True)
            .add_extension(authority, critical=False)
            .add_extension(marker, critical=False)
            .sign(self._wwdr.key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.DER)

    def issue_server_certificate(
        self,
        names: Sequence[str] = _DEFAULT_NAMES,
        *,
        key: KeyKind = "ec",
        not_after: datetime | None = None,
    ) -> IssuedCertificate:
        """Issue a TLS server certificate for host names and addresses, signed by the root."""
        private_key = _new_key(key)
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = (
            _leaf_builder(
                _name((NameOID.COMMON_NAME, names[0])), private_key, self._root, not_after
            )
            .add_extension(alternatives, critical=False)
            .add_extension(usages, critical=False)
        )
        return _issued(builder, private_key, self._root)


def export_p12(
    issued: IssuedCertificate, password: str, *, wwdr_pem: bytes | None = None, name: str = "pass"
) -> bytes:
    """Pack a certificate and its key as PKCS#12, with the intermediate if given."""
    key = _load_key(issued.private_key_pem)
    chain = [x509.load_pem_x509_certificate(wwdr_pem)] if wwdr_pem else None
    return pkcs12.serialize_key_and_certificates(
        name.encode(),
        key,
        x509.load_pem_x509_certificate(issued.certificate_pem),
        chain,
        BestAvailableEncryption(password.encode()),
    )


def new_provider_key() -> tuple[bytes, bytes]:
    """Make an APNs provider key: (.p8 private key PEM, public key PEM), P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _key_pem(key), public_key_pem(_key_pem(key))


def public_key_pem(private_key_pem: bytes) -> bytes:
    """Return the public half of a PEM private key as SubjectPublicKeyInfo PEM."""
    key = _load_key(private_key_pem)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write_private_file(path: Path, content: bytes) -> None:
    """Write a secret so that it is never readable by others, not even for a moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _new_root() -> _Signer:
    key = _new_key("rsa")
    name = _name(
        (NameOID.COMMON_NAME, "Passferry Demo Root (stands in for Apple Root CA)"),
        (NameOID.ORGANIZATION_NAME, "Passferry Demo"),
    )
    return _Signer(_authority_certificate(name, key, name, key, path_length=1), key)


def _new_wwdr(root: _Signer) -> _Signer:
    key = _new_key("rsa")
    name = _name(
        (NameOID.COMMON_NAME, WWDR_COMMON_NAME),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "G4"),
        (NameOID.ORGANIZATION_NAME, "Apple Inc."),
        (NameOID.COUNTRY_NAME, "US"),
    )
    issuer = root.certificate.subject
    certificate = _authority_certificate(name, key, issuer, root.key, path_length=0)
    return _Signer(certificate, key)


def _authority_certificate(
    subject: x509.Name, key: PrivateKey, issuer: x509.Name, issuer_key: PrivateKey, path_length: int
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = _key_usage(certificate_authority=True)
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        _builder(subject, issuer, key, now - timedelta(days=1), now + _AUTHORITY_LIFE)
        .add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(subject_key, critical=False)
        .add_extension(authority_key, critical=False)
    )
    if path_length == 0:
        null = x509.UnrecognizedExtension(WWDR_EXTENSION, b"\x05\x00")
        builder = builder.add_extension(null, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _leaf_builder(
    subject: x509.Name, key: PrivateKey, issuer: _Signer, not_after: datetime | None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    end = not_after or now + _LEAF_LIFE
    start = min(now - timedelta(days=1), end - _LEAF_LIFE)
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    no_authority = x509.BasicConstraints(ca=False, path_length=None)
    return (
        _builder(subject, issuer.certificate.subject, key, start, end)
        .add_extension(no_authority, critical=True)
        .add_extension(_key_usage(certificate_authority=False), critical=True)
        .add_extension(subject_key, critical=False)
        .add_extension(issuer_key_id, critical=False)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _key_usage(*, certificate_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_authority,
        key_cert_sign=certificate_authority,
        crl_sign=certificate_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued(
    builder: x509.CertificateBuilder, key: PrivateKey, issuer: _Signer
) -> IssuedCertificate:
    certificate = builder.sign(issuer.key, hashes.SHA256())
    return IssuedCertificate(_certificate_pem(certificate), _key_pem(key))


def _name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _der_utf8(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > _DER_SHORT_FORM_MAX:
        raise ValueError("identifier too long for a short-form DER length")
    return bytes([_DER_UTF8_STRING, len(encoded)]) + encoded


def _new_key(kind: KeyKind) -> PrivateKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _load_signer(directory: Path, name: str) -> _Signer:
    certificate = x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes())
    return _Signer(certificate, _load_key((directory / f"{name}.key").read_bytes()))


def _load_key(pem: bytes) -> PrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TypeError("the demo authority uses RSA and EC keys only")
    return key


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
