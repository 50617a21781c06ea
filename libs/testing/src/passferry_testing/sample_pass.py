"""Makes small valid .pkpass files for tests, with the library's own CMS builder."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7

from passferry_testing.pki import DemoAuthority, IssuedCertificate

SAMPLE_PASS_TYPE = "pass.org.example.sample"
SAMPLE_TEAM = "SAMPLE1234"

#: Changes the files of a pass between manifest and zip, to spoil it.
Spoil = Callable[[dict[str, bytes]], None]


class SamplePress:
    """Signs sample passes under a demo authority."""

    def __init__(
        self,
        authority: DemoAuthority,
        *,
        pass_type_identifier: str = SAMPLE_PASS_TYPE,
        team_identifier: str = SAMPLE_TEAM,
        issued: IssuedCertificate | None = None,
    ) -> None:
        issued = issued or authority.issue_pass_certificate(pass_type_identifier, team_identifier)
        key = load_pem_private_key(issued.private_key_pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise TypeError("the demo authority issues RSA and EC keys only")
        self._key = key
        self._leaf = x509.load_pem_x509_certificate(issued.certificate_pem)
        self._wwdr = x509.load_pem_x509_certificate(authority.wwdr_pem)
        self.pass_type_identifier = pass_type_identifier
        self.team_identifier = team_identifier

    def pass_json(self, serial: str = "sample-serial-0001", **changes: Any) -> dict[str, Any]:
        """A store card's content with one header field `balance`."""
        return {
            "formatVersion": 1,
            "passTypeIdentifier": self.pass_type_identifier,
            "teamIdentifier": self.team_identifier,
            "serialNumber": serial,
            "organizationName": "Sample",
            "description": "Sample pass",
            "storeCard": {"headerFields": [{"key": "balance", "label": "Points", "value": 0}]},
        } | changes

    def press(
        self,
        content: Mapping[str, Any],
        *,
        files: Mapping[str, bytes] | None = None,
        spoil: Spoil | None = None,
    ) -> bytes:
        """Return the .pkpass; `spoil` may change any file after manifest and signature exist."""
        entries = {"pass.json": json.dumps(content).encode(), "icon.png": sample_png()}
        entries |= files or {}
        digests = {name: _sha1(body) for name, body in entries.items()}
        entries["manifest.json"] = json.dumps(digests, indent=1).encode()
        entries["signature"] = self.sign(entries["manifest.json"])
        if spoil is not None:
            spoil(entries)
        return archive(list(entries.items()))

    def sign(self, manifest: bytes) -> bytes:
        """A detached CMS signature, DER."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(manifest)
        builder = builder.add_signer(self._leaf, self._key, hashes.SHA256())
        builder = builder.add_certificate(self._wwdr)
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        return builder.sign(Encoding.DER, options)


def archive(entries: list[tuple[str, bytes]]) -> bytes:
    """A zip of these entries as they are, twins included."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, body in entries:
            file.writestr(zipfile.ZipInfo(name), body)
    return buffer.getvalue()


def sample_png(width: int = 2, height: int = 2) -> bytes:
    """A tiny white PNG."""
    rows = b"".join(b"\x00" + b"\xff" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def _sha1(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()
