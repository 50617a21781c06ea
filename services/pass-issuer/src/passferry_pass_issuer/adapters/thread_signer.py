"""Signs in threads: RSA releases the interpreter, so that the event loop goes on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, cast

from passferry_pass_issuer.application.ports import GoogleCredential, SigningMaterial
from passferry_wallet.apple.certificates import from_pem
from passferry_wallet.apple.signing import ManifestSigner
from passferry_wallet.google.save_link import ServiceAccount, build_save_link, load_service_account

MAX_SIGNERS = 1_000
#: Handing work to a thread costs more than a part of a signature, so each takes a few.
CHUNK = 8
#: After each signature a thread waits for the interpreter, which a busy event loop gives away once
#: in this time only. By default it is twenty times as long as the signature took.
SWITCH_INTERVAL_S = 0.000_1


class ThreadSigner:
    def __init__(
        self, *, threads: int, google_save_base_url: str, google_save_origins: Sequence[str]
    ) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sign")
        self._signers: OrderedDict[str, ManifestSigner] = OrderedDict()
        self._accounts: OrderedDict[str, ServiceAccount] = OrderedDict()
        self._base_url = google_save_base_url
        self._origins = list(google_save_origins)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def sign_manifests(
        self, jobs: Sequence[tuple[SigningMaterial, str]], *, signing_time: datetime
    ) -> list[bytes]:
        """A detached signature for each manifest, in their order."""
        prepared = [(self._signer(material), manifest.encode()) for material, manifest in jobs]

        def sign(chunk: Sequence[tuple[ManifestSigner, bytes]]) -> list[bytes]:
            return [signer.sign(data, signing_time=signing_time) for signer, data in chunk]

        loop = asyncio.get_running_loop()
        chunks = [prepared[start : start + CHUNK] for start in range(0, len(prepared), CHUNK)]
        signed = await asyncio.gather(
            *(loop.run_in_executor(self._threads, sign, chunk) for chunk in chunks)
        )
        return [signature for chunk in signed for signature in chunk]

    async def sign_save_link(
        self,
        credential: GoogleCredential,
        *,
        vertical: str,
        object_body: Mapping[str, Any],
        now: datetime,
    ) -> tuple[str, bool]:
        """The link, and whether it holds the whole object (or only its ids)."""
        account = self._account(credential)

        def sign() -> tuple[str, bool]:
            link = build_save_link(
                account,
                origins=self._origins,
                vertical=cast("Any", vertical),
                object_body=object_body,
                class_id=str(object_body["classId"]),
                now=now,
                base_url=self._base_url,
            )
            return link.url, not link.is_skinny

        return await asyncio.get_running_loop().run_in_executor(self._threads, sign)

    def _signer(self, material: SigningMaterial) -> ManifestSigner:
        known = self._signers.get(material.fingerprint_sha256)
        if known is None:
            identity = from_pem(
                material.certificate_pem, material.private_key_pem, material.wwdr_pem
            )
            known = self._signers[material.fingerprint_sha256] = ManifestSigner(identity)
        self._signers.move_to_end(material.fingerprint_sha256)
        while len(self._signers) > MAX_SIGNERS:
            self._signers.popitem(last=False)
        return known

    def _account(self, credential: GoogleCredential) -> ServiceAccount:
        # By its whole content: the key's id is public, and another workspace may claim it.
        content = json.dumps(credential.service_account, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        known = self._accounts.get(digest)
        if known is None:
            known = self._accounts[digest] = load_service_account(credential.service_account)
        self._accounts.move_to_end(digest)
        while len(self._accounts) > MAX_SIGNERS:
            self._accounts.popitem(last=False)
        return known
