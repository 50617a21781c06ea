"""A throw-away certificate authority and the images that the tests put into passes."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from PIL import Image

from passferry_wallet.apple.certificates import SigningIdentity, load_identity
from passferry_wallet.apple.pass_content import (
    Barcode,
    CurrencyAmount,
    Location,
    PassColours,
    PassContent,
    PassField,
    PassIdentity,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PASS_TYPE = "pass.org.example.cafe"
TEAM = "TEAM123456"
WWDR_NAME = "Apple Worldwide Developer Relations Certification Authority"
MARKER = x509.ObjectIdentifier("1.2.840.113635.100.6.1.16")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Leaf:
    certificate: x509.Certificate
    key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """A root, and intermediates of several generations below it."""

    def __init__(self) -> None:
        self._root_key = rsa.generate_private_key(65537, 2048)
        name = name_of((NameOID.COMMON_NAME, "Test Root"))
        self.root = self._certify(name, self._root_key, name, self._root_key)
        self.wwdr, self._wwdr_key = self._generation("G4")
        self.old_wwdr, self._old_wwdr_key = self._generation("G1")
        self._spare_rsa_key = rsa.generate_private_key(65537, 2048)

    def leaf(self, key: str = "rsa", **changes: Any) -> Leaf:
        """A pass certificate; `changes` replace the parts that are derived from the defaults."""
        private_key = self._spare_rsa_key if key == "rsa" else ec.generate_private_key(CURVES[key])
        subject = name_of(
            (NameOID.USER_ID, changes.get("user_id", PASS_TYPE)),
            (NameOID.COMMON_NAME, changes.get("common_name", f"Pass Type ID: {PASS_TYPE}")),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, TEAM),
            (NameOID.ORGANIZATION_NAME, "Café Ünïcode"),
        )
        marker = changes.get("marker", bytes((0x0C, len(PASS_TYPE))) + PASS_TYPE.encode())
        issuer, issuer_key = self.wwdr, self._wwdr_key
        if changes.get("is_of_old_generation"):
            issuer, issuer_key = self.old_wwdr, self._old_wwdr_key
        builder = (
            unsigned(subject, private_key, issuer.subject, changes.get("not_after"))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(authority_key_identifier(issuer_key), critical=False)
        )
        if marker is not None:
            builder = builder.add_extension(x509.UnrecognizedExtension(MARKER, marker), False)
        signing_key = changes.get("signed_with", issuer_key)
        return Leaf(builder.sign(signing_key, hashes.SHA256()), private_key)

    def _generation(self, generation: str) -> tuple[x509.Certificate, PrivateKey]:
        key = rsa.generate_private_key(65537, 2048)
        name = name_of(
            (NameOID.COMMON_NAME, WWDR_NAME),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, generation),
            (NameOID.ORGANIZATION_NAME, "Apple Inc."),
        )
        return self._certify(name, key, self.root.subject, self._root_key), key

    def _certify(
        self, subject: x509.Name, key: PrivateKey, issuer: x509.Name, issuer_key: PrivateKey
    ) -> x509.Certificate:
        return (
            unsigned(subject, key, issuer, NOW + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(authority_key_identifier(issuer_key), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )


CURVES = {"ec": ec.SECP256R1(), "weak-ec": ec.SECP224R1()}


def unsigned(
    subject: x509.Name, key: PrivateKey, issuer: x509.Name, not_after: datetime | None
) -> x509.CertificateBuilder:
    end = not_after or NOW + timedelta(days=365)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(NOW, end) - timedelta(days=365))
        .not_valid_after(end)
    )


def name_of(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def authority_key_identifier(key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def another_authority() -> Authority:
    """Of the same names, with other keys."""
    return Authority()


@pytest.fixture(scope="session")
def load(authority: Authority) -> Callable[..., SigningIdentity]:
    """Uploads a leaf as an operator would; keyword arguments replace parts of the upload."""

    def upload(leaf: Leaf, **changes: Any) -> SigningIdentity:
        given: dict[str, Any] = {
            "certificate_pem": leaf.certificate_pem,
            "private_key_pem": leaf.key_pem,
            "password": None,
            "authorities": [authority.old_wwdr, authority.wwdr],
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "now": NOW,
        }
        return load_identity(**(given | changes))

    return upload


@pytest.fixture(scope="session")
def rsa_identity(authority: Authority, load: Callable[..., SigningIdentity]) -> SigningIdentity:
    return load(authority.leaf())


@pytest.fixture(scope="session")
def ec_identity(authority: Authority, load: Callable[..., SigningIdentity]) -> SigningIdentity:
    return load(authority.leaf("ec"))


@pytest.fixture
def openssl_verify(tmp_path: Path, authority: Authority) -> Callable[[bytes, bytes], str]:
    """Verifies a detached signature with the command line; gives what it says, or fails."""

    def verify(manifest: bytes, signature: bytes) -> str:
        for name, data in (
            ("manifest.json", manifest),
            ("signature", signature),
            ("root.pem", authority.root.public_bytes(Encoding.PEM)),
        ):
            (tmp_path / name).write_bytes(data)
        command = (
            "openssl cms -verify -binary -inform DER -in signature -content manifest.json "
            f"-CAfile root.pem -purpose any -attime {int(NOW.timestamp())} -out verified"
        )
        done = subprocess.run(
            command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stderr.strip()

    return verify


def draw_png(width: int, height: int, mode: str = "RGBA") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), 128).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """`png(width, height, mode)` draws one."""
    return draw_png


@pytest.fixture(scope="session")
def images() -> dict[str, bytes]:
    """Icon and logo at every scale, and one translated logo."""
    scales = (("", 1), ("@2x", 2), ("@3x", 3))
    icons = {f"icon{name}.png": draw_png(38 * scale, 38 * scale) for name, scale in scales}
    logos = {f"logo{name}.png": draw_png(160 * scale, 50 * scale) for name, scale in scales}
    return icons | logos | {"de.lproj/logo.png": draw_png(100, 40, "RGB")}


@pytest.fixture(scope="session")
def identity() -> Callable[..., PassIdentity]:
    """A pass identity; keyword arguments replace its parts."""

    def build(**changes: Any) -> PassIdentity:
        given: dict[str, Any] = {
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "serial_number": "serial-number-0001",
            "organization_name": "Kaffee Ferry",
            "description": "Gift card",
            "web_service_url": "https://passes.example.org/w/1",
            "authentication_token": "a-token-of-more-than-sixteen-characters",
        }
        return PassIdentity(**(given | changes))

    return build


@pytest.fixture(scope="session")
def content(identity: Callable[..., PassIdentity]) -> Callable[..., PassContent]:
    """A gift card with money on it; keyword arguments replace its parts."""

    def build(**changes: Any) -> PassContent:
        given: dict[str, Any] = {
            "identity": identity(),
            "style": "storeCard",
            "fields": {
                "header": (
                    PassField(
                        key="balance",
                        label="Balance",
                        value=CurrencyAmount(1250, "EUR"),
                        change_message="Now %@",
                    ),
                ),
                "secondary": (PassField(key="holder", label="Holder", value="Zoë O'Hara 山田"),),
                "back": (PassField(key="terms", value="None.\nReally."),),
            },
            "colours": PassColours(background="rgb(10, 20, 30)", label="#fff"),
            "logo_text": "Kaffee Ferry",
            "barcodes": (Barcode(format="code128", message="CARD0001", alternate_text="CARD0001"),),
            "locations": (Location(latitude=Decimal("52.5200"), longitude=Decimal("13.4050")),),
            "expires_at": datetime(2030, 1, 31, 12, tzinfo=UTC),
        }
        return PassContent(**(given | changes))

    return build
