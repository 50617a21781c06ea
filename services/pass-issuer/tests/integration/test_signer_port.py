"""Passes are signed by whoever keeps the key: here by another process, over a Unix socket."""

from __future__ import annotations

import asyncio
import base64
import sys
import uuid
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from cryptography import x509

from passferry_contracts.events.rendered import PassRendered
from passferry_contracts.events.wallet import PassLinkOpened
from passferry_contracts.types import Platform
from passferry_pass_issuer.application.ports import SigningMaterial
from passferry_pass_issuer.domain import secret_contexts
from passferry_testing.pki import DemoAuthority
from passferry_wallet.apple.signing import SignatureFrame

pytestmark = pytest.mark.integration

KEEPER = Path(__file__).parents[1] / "key_keeper.py"
KEY_NAME = b"keeper:cafe-2026"


class SocketSigner:
    """The shape of an adapter to a key elsewhere: only the signature value is asked for."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.names_seen: set[bytes] = set()

    async def sign_manifests(
        self, jobs: Sequence[tuple[SigningMaterial, str]], *, signing_time: datetime
    ) -> list[bytes]:
        return list(await asyncio.gather(*(self._signed(*job, signing_time) for job in jobs)))

    async def _signed(self, material: SigningMaterial, manifest: str, at: datetime) -> bytes:
        self.names_seen.add(material.private_key_pem)
        frame = SignatureFrame(
            x509.load_pem_x509_certificate(material.certificate_pem),
            x509.load_pem_x509_certificate(material.wwdr_pem),
        )
        attributes = frame.attributes(manifest.encode(), signing_time=at)
        return frame.completed(attributes, await self._value(frame.to_be_signed(attributes)))

    async def _value(self, to_be_signed: bytes) -> bytes:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                writer.write(len(to_be_signed).to_bytes(4, "big") + to_be_signed)
                size = int.from_bytes(await reader.readexactly(4), "big")
                return await reader.readexactly(size)
            finally:
                writer.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return DemoAuthority.create(tmp_path_factory.mktemp("pki"))


@asynccontextmanager
async def keeper(socket: Path, key_pem: bytes):
    key_file = socket.with_suffix(".key")
    key_file.write_bytes(key_pem)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(KEEPER), str(socket), str(key_file), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            await process.stdout.readline()
        # Whatever signs from now on has the key from nowhere else.
        key_file.unlink()
        yield
    finally:
        process.kill()
        await process.wait()


async def leave_only_the_name(office, workspace_id: str) -> None:
    """As an identity is stored whose key is kept elsewhere."""
    [row] = await office.rows("SELECT signing_identity_id AS id FROM pass_issuer.signing_identity")
    context = secret_contexts.signing_key(uuid.UUID(workspace_id), row["id"])
    sealed = office.issuer.desk.store_identity.cipher.encrypt(KEY_NAME, context=context)
    await office.rows("UPDATE pass_issuer.signing_identity SET private_key_ciphertext = $1", sealed)
    office.stores.credentials.forget(uuid.UUID(workspace_id))


def opening(office, workspace_id: str, pass_id: str) -> PassLinkOpened:
    return PassLinkOpened(
        workspace_id=uuid.UUID(workspace_id),
        pass_id=uuid.UUID(pass_id),
        platform=Platform.APPLE,
        needs_rendering=True,
        occurred_at=office.clock.now(),
    )


async def openssl_says(directory: Path, rendered: PassRendered, root_pem: bytes) -> str:
    (directory / "manifest.json").write_text(rendered.apple.manifest)
    (directory / "signature").write_bytes(base64.b64decode(rendered.apple.signature))
    (directory / "root.pem").write_bytes(root_pem)
    command = (
        "cms -verify -binary -inform DER -in signature -content manifest.json"
        " -CAfile root.pem -purpose any -out verified"
    )
    process = await asyncio.create_subprocess_exec(
        "openssl",
        *command.split(),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return told.decode().strip()


@pytest.mark.parametrize("kind", ["rsa", "ec"])
async def test_a_pass_that_another_process_signed_is_accepted_by_openssl(
    harness, make, authority, tmp_path, kind
):
    # proves: A14 (Apple's pass format: P1)
    issued = authority.issue_pass_certificate(make.pass_type, make.team, key=kind)
    socket = tmp_path / "keeper"
    signer = SocketSigner(socket)
    async with make.open_office(harness, authority=authority, manifest_signer=signer) as office:
        workspace_id = await office.workspace()
        program_id = await office.program(workspace_id)
        both = (issued.certificate_pem + issued.private_key_pem).decode()
        path = f"/workspaces/{workspace_id}/signing-identities"
        await office.call("POST", path, status=201, json={"certificate_pem": both})
        await leave_only_the_name(office, workspace_id)
        made = await office.call(
            "POST",
            f"/workspaces/{workspace_id}/passes",
            status=201,
            json={"program_id": program_id, "external_id": f"{kind}-1"},
        )
        event = opening(office, workspace_id, made["pass_id"])
        # Nobody keeps the key yet: the event fails, to be tried again, and nothing is half done.
        with pytest.raises(OSError):
            await office.hear(event)
        assert all(each.apple.signature is None for each in await office.events(PassRendered))
        async with keeper(socket, issued.private_key_pem):
            await office.hear(event)
        rendered = (await office.events(PassRendered))[-1]
        said = await openssl_says(tmp_path, rendered, authority.root_pem)
    assert "Verification successful" in said, said
    assert signer.names_seen == {KEY_NAME}


async def test_a_change_that_cannot_be_signed_is_told_so_and_goes_through_later(
    harness, make, authority, monkeypatch
):
    async with make.open_office(harness, authority=authority) as office:
        workspace_id = await office.workspace()
        program_id = await office.program(workspace_id)
        await office.give_identity(
            workspace_id, authority, pass_type=make.pass_type, team=make.team
        )
        base = f"/workspaces/{workspace_id}/passes"
        made = await office.call(
            "POST", base, status=201, json={"program_id": program_id, "external_id": "A-1"}
        )
        await office.hear(opening(office, workspace_id, made["pass_id"]))
        with monkeypatch.context() as away:
            away.setattr(sys, "executable", "/no/such/program")
            for each in psutil.Process().children():
                if any("signing_process" in part for part in each.cmdline()):
                    each.kill()
            refused = await office.call("POST", f"{base}/{made['pass_id']}/void", status=503)
        assert refused["code"] == "signing_unavailable"
        voided = await office.call("POST", f"{base}/{made['pass_id']}/void")
        assert voided["status"] == "voided"
        rendered = (await office.events(PassRendered))[-1]
        assert rendered.apple.signature is not None
        assert '"voided":true' in rendered.apple.pass_json
