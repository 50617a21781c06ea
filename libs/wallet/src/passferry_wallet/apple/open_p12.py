"""Opens a PKCS#12 file in a process of its own, which is ended when it takes too long.

What an encrypted part asks for shows only once that part is open, and the library holds the
interpreter while it works: in this process, one upload could stop everything.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import subprocess
import sys

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from passferry_wallet.apple.asn1_limits import Asn1Refused, check_asn1
from passferry_wallet.apple.key_material import (
    PrivateKey,
    SigningIdentityRejected,
    bound,
    read_certificates,
    read_key,
    read_p12,
)

TIMEOUT_S = 20
MAX_CPU_S = 3
MAX_MEMORY_BYTES = 512 * 1024 * 1024
MAX_ANSWER_BYTES = 1_000_000


def open_p12(data: bytes, password: bytes | None) -> tuple[list[x509.Certificate], PrivateKey]:
    """As `read_p12`; blocks until the other process has answered or is ended."""
    bound(data, "p12_unreadable")
    try:
        check_asn1(data)
    except Asn1Refused as refusal:
        raise SigningIdentityRejected("p12_unreadable", f"the file {refusal}") from refusal
    answer = _ask(data, password)
    if "code" in answer:
        raise SigningIdentityRejected(answer["code"], answer["detail"])
    certificates = read_certificates(answer["certificates"].encode())
    return certificates, read_key(answer["key"].encode(), None)


def _ask(data: bytes, password: bytes | None) -> dict[str, str]:
    question = {
        "p12": base64.b64encode(data).decode(),
        "password": None if password is None else base64.b64encode(password).decode(),
    }
    # Nothing of our environment but where Python finds its modules.
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603  # our own module, with no argument of anybody
            [sys.executable, "-m", __name__],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
            env=kept,
        )
        answer: dict[str, str] = json.loads(done.stdout[:MAX_ANSWER_BYTES])
    except (subprocess.SubprocessError, ValueError) as error:
        # Without the cause: it quotes what was sent.
        del error
        raise SigningIdentityRejected(
            "p12_unreadable", "the file takes too long to open: export it again"
        ) from None
    return answer


def _answer(question: dict[str, str | None]) -> dict[str, str]:
    password = question["password"]
    try:
        certificates, key = read_p12(
            base64.b64decode(question["p12"] or ""),
            None if password is None else base64.b64decode(password),
        )
    except SigningIdentityRejected as refusal:
        return {"code": refusal.code, "detail": refusal.detail}
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
    return {"certificates": chain.decode(), "key": pem.decode()}


def main() -> None:
    # No core dump holds a key; a bomb ends this process and nothing else.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
