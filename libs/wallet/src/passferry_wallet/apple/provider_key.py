"""Provider keys (`.p8`): what Apple gives for tokens of its push service."""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from passferry_wallet.apple.key_material import SigningIdentityRejected, read_key

MAX_PROVIDER_KEY_BYTES = 4_096
_KEY_ID = re.compile(r"[A-Z0-9]{10}")


class ProviderKeyRejected(Exception):
    """`code` is stable, `detail` is a sentence, `field` is key_id, team_id or p8.

    Codes: key_id_invalid, team_id_invalid, key_unreadable, key_unsupported.
    """

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.field = field
        self.detail = detail


def check_provider_key(*, key_id: str, team_id: str, p8: bytes) -> bytes:
    """The key as PKCS#8 in PEM, for encrypted storage only. Raises ProviderKeyRejected."""
    for name, value in (("key_id", key_id), ("team_id", team_id)):
        if not _KEY_ID.fullmatch(value):
            raise ProviderKeyRejected(
                f"{name}_invalid", name, "must be 10 capital letters and digits, as Apple shows it"
            )
    if len(p8) > MAX_PROVIDER_KEY_BYTES:
        raise ProviderKeyRejected(
            "key_unreadable", "p8", f"is larger than {MAX_PROVIDER_KEY_BYTES} bytes"
        )
    # Apple's files are PKCS#8 without a password; a key of another form is another key.
    if b"-----BEGIN PRIVATE KEY-----" not in p8:
        raise ProviderKeyRejected(
            "key_unreadable", "p8", "is no unencrypted PKCS#8 key: send the .p8 file as it came"
        )
    try:
        key = read_key(p8, None)
    except SigningIdentityRejected as refusal:
        code = "key_unsupported" if refusal.code == "key_unsupported" else "key_unreadable"
        raise ProviderKeyRejected(code, "p8", "holds no key that can be read") from refusal
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ProviderKeyRejected(
            "key_unsupported", "p8", "is no P-256 key: is it a pass certificate's?"
        )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
