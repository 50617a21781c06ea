"""Signatures come from processes of their own, with the credentials of the workspace that asks."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from datetime import UTC, datetime
from uuid import UUID

import psutil
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from passferry_pass_issuer.adapters import signing_processes
from passferry_pass_issuer.adapters.process_signer import ProcessSigner
from passferry_pass_issuer.adapters.signing_frames import (
    MAX_FRAME_BYTES,
    SIZE_BYTES,
    body_size,
    frame_of,
    parts_of,
)
from passferry_pass_issuer.adapters.signing_processes import (
    CHUNK,
    MAX_ASKED,
    SigningKeyRefused,
    SigningProcesses,
    given_to_signing,
)
from passferry_pass_issuer.application.ports import GoogleCredential, SigningUnavailable
from passferry_pass_issuer.entrypoints.check_signing import signing_check
from passferry_testing.harness import eventually

pytestmark = pytest.mark.unit

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
OBJECT = {"id": "338.1", "classId": "338.2", "state": "ACTIVE"}
MESSAGES = [f"pass {number}".encode() for number in range(3 * CHUNK + 1)]

#: Starts a signing process, tells its id, and is killed.
PARENT = """
import asyncio, os, signal
from passferry_pass_issuer.adapters.signing_processes import SigningProcesses

async def main():
    signing = SigningProcesses(1)
    running = await signing._processes[0].start()
    print(running.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


DUMPABLE = """
import ctypes, resource
from passferry_pass_issuer.adapters.signing_process import leave_no_key_behind
leave_no_key_behind()
PR_GET_DUMPABLE = 3
print(ctypes.CDLL(None).prctl(PR_GET_DUMPABLE), *resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.fixture
async def signing():
    made = SigningProcesses(2)
    yield made
    await made.close()


@pytest.fixture
def signer(signing):
    return ProcessSigner(
        signing,
        google_save_base_url="https://pay.example/save",
        google_save_origins=["passes.example"],
    )


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def verify(key: rsa.RSAPrivateKey, values: list[bytes], messages: list[bytes]) -> None:
    for value, message in zip(values, messages, strict=True):
        key.public_key().verify(value, message, padding.PKCS1v15(), hashes.SHA256())


def running(signing: SigningProcesses) -> list[psutil.Process]:
    held = [each._running for each in signing._processes]
    return [psutil.Process(each.process.pid) for each in held if each and not each.has_ended]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def credential(number: int) -> tuple[GoogleCredential, rsa.RSAPublicKey]:
    """Of another workspace and another key each, all under one key id."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        "type": "service_account",
        "client_email": f"wallet@shop-{number}.example",
        "private_key_id": "same-key-id",
        "private_key": pem_of(key).decode(),
        "token_uri": "https://oauth2.example/token",
    }
    made = GoogleCredential(workspace_id=UUID(int=number), issuer_id="338", service_account=account)
    return made, key.public_key()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_key_id_that_another_workspace_claims_signs_with_its_own_key_only(signer):
    # proves: J70
    for owner, public_key in (credential(1), credential(2)):
        url, is_whole = await signer.sign_save_link(
            owner, vertical="loyalty", object_body=OBJECT, now=NOON
        )
        head, claims, signature = url.rsplit("/", 1)[1].split(".")
        assert json.loads(decoded(claims))["iss"] == owner.service_account["client_email"]
        signed = f"{head}.{claims}".encode()
        public_key.verify(decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        assert is_whole


async def test_a_link_that_would_be_too_long_names_its_object_only(signer):
    owner, _ = credential(1)
    long = OBJECT | {"textModulesData": [{"body": "x" * 2_000}]}
    url, is_whole = await signer.sign_save_link(
        owner, vertical="loyalty", object_body=long, now=NOON
    )
    [claims] = [json.loads(decoded(url.rsplit("/", 1)[1].split(".")[1]))]
    [[named]] = claims["payload"].values()
    assert not is_whole
    assert named == {"id": "338.1", "classId": "338.2"}


async def test_values_come_in_the_order_of_their_messages_whoever_signs(signing, key):
    other = ec.generate_private_key(ec.SECP256R1())
    values, of_other = await asyncio.gather(
        signing.values(pem_of(key), MESSAGES), signing.values(pem_of(other), MESSAGES[:5])
    )
    verify(key, values, MESSAGES)
    for value, message in zip(of_other, MESSAGES[:5], strict=True):
        other.public_key().verify(value, message, ec.ECDSA(hashes.SHA256()))
    assert len(running(signing)) == 2
    assert await signing.values(pem_of(key), []) == []


async def test_what_a_killed_process_was_asked_is_signed_by_the_next(signing, key):
    await signing.start()
    asked = asyncio.create_task(signing.values(pem_of(key), MESSAGES * 4))
    await asyncio.sleep(0)
    for each in running(signing):
        each.kill()
    verify(key, await asked, MESSAGES * 4)


async def test_a_process_that_hangs_is_replaced(signing, key, monkeypatch):
    await signing.values(pem_of(key), MESSAGES[:1])
    monkeypatch.setattr(signing_processes, "PATIENCE_S", 0.3)
    hung = running(signing)
    for each in hung:
        each.suspend()
    asked = asyncio.create_task(signing.values(pem_of(key), MESSAGES[:3]))
    await eventually(lambda: any(is_gone(each) for each in hung))
    monkeypatch.setattr(signing_processes, "PATIENCE_S", 30.0)
    verify(key, await asked, MESSAGES[:3])


async def test_a_process_that_cannot_start_is_a_passing_fault(signing, key, monkeypatch):
    probe = signing_check(lambda: signing.faults).probe
    for program in ("/bin/false", "/no/such/program"):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(SigningUnavailable) as fault:
            await signing.start()
        # Backends that are away are told as errors of the system, and waited for.
        assert isinstance(fault.value, OSError)
        with pytest.raises(SigningUnavailable):
            await signing.values(pem_of(key), MESSAGES)
        assert (await probe()).state == "degraded"
    monkeypatch.undo()
    verify(key, await signing.values(pem_of(key), MESSAGES), MESSAGES)
    await signing.start()
    assert (await probe()).state == "ok"


async def test_who_gives_up_leaves_no_room_to_others_before_the_answer(key, monkeypatch):
    signing = SigningProcesses(1)
    await signing.start()
    [process] = running(signing)
    process.suspend()
    monkeypatch.setattr(signing_processes, "VALUES_TIMEOUT_S", 0.2)
    for _ in range(3):
        with pytest.raises(SigningUnavailable):
            await signing.values(pem_of(key), MESSAGES * 10)
    [held] = signing._processes
    assert len(held._running._waiting) == held.asked == MAX_ASKED
    process.resume()
    monkeypatch.undo()
    verify(key, await signing.values(pem_of(key), MESSAGES), MESSAGES)
    assert held.asked == 0
    await signing.close()


async def test_a_key_that_signs_nothing_is_refused_and_its_neighbours_go_on(signing, key):
    async def refused(pem: bytes) -> None:
        with pytest.raises(SigningKeyRefused) as refusal:
            await signing.values(pem, MESSAGES)
        assert "PRIVATE" not in str(refusal.value)

    damaged = pem_of(key)[:-400]
    values, *_ = await asyncio.gather(
        signing.values(pem_of(key), MESSAGES), refused(b"no key"), refused(damaged), refused(b"")
    )
    verify(key, values, MESSAGES)


async def test_a_signing_process_outlives_no_parent_that_was_killed():
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    child = psutil.Process(int(await parent.stdout.readline()))
    assert await parent.wait() == -signal.SIGKILL
    await eventually(lambda: is_gone(child))


async def test_a_signing_process_goes_on_while_its_parent_is_asked_to_end(signing, key):
    await signing.values(pem_of(key), MESSAGES)
    [before, *_] = running(signing)
    for each in running(signing):
        each.send_signal(signal.SIGTERM)
        each.send_signal(signal.SIGINT)
    verify(key, await signing.values(pem_of(key), MESSAGES), MESSAGES)
    assert not is_gone(before)
    await signing.close()
    assert is_gone(before)


async def test_a_signing_process_is_told_no_setting_and_leaves_no_key_behind(
    signing, key, monkeypatch
):
    # proves: A14
    monkeypatch.setenv("PASSFERRY_DATABASE_URL", "postgresql://planted-secret")
    await signing.values(pem_of(key), MESSAGES[:1])
    [process] = running(signing)
    if os.geteuid() == 0:  # nobody else may look
        assert "planted-secret" not in str(process.environ())
    assert "planted-secret" not in str(given_to_signing())
    assert "PRIVATE KEY" not in str(process.cmdline())


async def test_a_signing_process_can_leave_no_key_in_a_dump():
    # proves: A14
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DUMPABLE, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await program.communicate()
    assert told.split() == [b"0", b"0", b"0"]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_frame_is_read_as_it_was_written(parts):
    frame = frame_of(parts)
    assert body_size(frame[:SIZE_BYTES]) == len(frame) - SIZE_BYTES
    assert parts_of(frame[SIZE_BYTES:]) == parts


def test_a_frame_beyond_its_bound_is_neither_written_nor_read():
    with pytest.raises(ValueError, match="at most"):
        frame_of([bytes(MAX_FRAME_BYTES)])
    with pytest.raises(ValueError, match="at most"):
        body_size((MAX_FRAME_BYTES + 1).to_bytes(SIZE_BYTES, "big"))
