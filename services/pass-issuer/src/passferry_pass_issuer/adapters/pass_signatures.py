"""Whether a pass that came from elsewhere was signed by who it says."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from passferry_pass_issuer.domain.pass_import import PassFiles
from passferry_wallet.apple.signature_check import SignatureNotVerified, verify_signature


class WalletPassSignatures:
    def __init__(self, authorities: Sequence[x509.Certificate]) -> None:
        self._authorities = authorities

    def check(
        self, files: PassFiles, manifest: bytes, *, pass_type_identifier: str, team_identifier: str
    ) -> tuple[str, str]:
        """`verified` or `not_verified`, and a sentence."""
        signature = files.files.get("signature")
        if not signature:
            return "not_verified", "the pass has no signature"
        try:
            signer = verify_signature(signature, manifest, self._authorities)
        except SignatureNotVerified as why:
            return "not_verified", str(why)
        if signer.pass_type_identifier != pass_type_identifier:
            return "not_verified", f"the certificate is of {signer.pass_type_identifier}"
        if signer.team_identifier != team_identifier:
            return "not_verified", f"the certificate is of team {signer.team_identifier}"
        return "verified", f"signed at {signer.signed_at:%Y-%m-%dT%H:%M:%SZ}"
