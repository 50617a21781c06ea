"""Puts signatures of passes and save links together; the values come from signing processes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from cryptography.x509 import load_pem_x509_certificate

from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_pass_issuer.adapters.signing_processes import SigningProcesses
from passferry_pass_issuer.application.ports import GoogleCredential, SigningMaterial
from passferry_wallet.apple.signing import SignatureFrame
from passferry_wallet.google.save_link import ServiceAccount, build_save_link, load_service_account

MAX_CREDENTIALS = 1_000
#: Of a certificate with its chain, or of a service account, nearly.
CREDENTIAL_BYTES = 16_384


class ProcessSigner:
    def __init__(
        self,
        processes: SigningProcesses,
        *,
        google_save_base_url: str,
        google_save_origins: Sequence[str],
    ) -> None:
        self._processes = processes
        most_bytes = MAX_CREDENTIALS * CREDENTIAL_BYTES
        self._frames = RecentlyUsed[str, SignatureFrame](
            most=MAX_CREDENTIALS, most_bytes=most_bytes
        )
        self._accounts = RecentlyUsed[str, ServiceAccount](
            most=MAX_CREDENTIALS, most_bytes=most_bytes
        )
        self._base_url = google_save_base_url
        self._origins = list(google_save_origins)

    async def sign_manifests(
        self, jobs: Sequence[tuple[SigningMaterial, str]], *, signing_time: datetime
    ) -> list[bytes]:
        """A detached signature for each manifest, in their order."""
        by_identity: dict[str, list[int]] = {}
        for index, (material, _) in enumerate(jobs):
            by_identity.setdefault(material.fingerprint_sha256, []).append(index)
        signed: list[bytes] = [b""] * len(jobs)
        found = await asyncio.gather(
            *(
                self._signed([jobs[index] for index in places], signing_time)
                for places in by_identity.values()
            )
        )
        for places, signatures in zip(by_identity.values(), found, strict=True):
            for index, signature in zip(places, signatures, strict=True):
                signed[index] = signature
        return signed

    async def _signed(
        self, jobs: Sequence[tuple[SigningMaterial, str]], signing_time: datetime
    ) -> list[bytes]:
        """Of one identity."""
        material = jobs[0][0]
        frame = self._frame(material)
        attributes = [
            frame.attributes(manifest.encode(), signing_time=signing_time) for _, manifest in jobs
        ]
        values = await self._processes.values(
            material.private_key_pem, [frame.to_be_signed(each) for each in attributes]
        )
        return [
            frame.completed(each, value) for each, value in zip(attributes, values, strict=True)
        ]

    async def sign_save_link(
        self,
        credential: GoogleCredential,
        *,
        vertical: str,
        object_body: Mapping[str, Any],
        now: datetime,
    ) -> tuple[str, bool]:
        """The link, and whether it holds the whole object (or only its ids)."""
        unsigned = build_save_link(
            self._account(credential),
            origins=self._origins,
            vertical=cast("Any", vertical),
            object_body=object_body,
            class_id=str(object_body["classId"]),
            now=now,
            base_url=self._base_url,
        )
        private_key = str(credential.service_account["private_key"]).encode()
        [value] = await self._processes.values(private_key, [unsigned.to_be_signed])
        return unsigned.completed(value).url, not unsigned.is_skinny

    def _frame(self, material: SigningMaterial) -> SignatureFrame:
        known = self._frames.get(material.fingerprint_sha256)
        if known is None:
            known = SignatureFrame(
                load_pem_x509_certificate(material.certificate_pem),
                load_pem_x509_certificate(material.wwdr_pem),
            )
            self._frames.keep(material.fingerprint_sha256, known, size=CREDENTIAL_BYTES)
        return known

    def _account(self, credential: GoogleCredential) -> ServiceAccount:
        # By its whole content: the key's id is public, and another workspace may claim it.
        content = json.dumps(credential.service_account, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        known = self._accounts.get(digest)
        if known is None:
            known = load_service_account(credential.service_account)
            self._accounts.keep(digest, known, size=CREDENTIAL_BYTES)
        return known
