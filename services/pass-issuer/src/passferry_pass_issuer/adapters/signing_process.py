"""Signs what its parent asks for: `python -m passferry_pass_issuer.adapters.signing_process`.

Requests come on standard input and answers leave on standard output, as `signing_frames` says. It
ends when its input does, which is also when the parent was killed. Keys are in its memory only.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from passferry_pass_issuer.adapters.recently_used import RecentlyUsed
from passferry_pass_issuer.adapters.signing_frames import (
    SIZE_BYTES,
    body_size,
    frame_of,
    parts_of,
)

#: Loading a key takes longer than a signature, so the last ones are kept.
PR_SET_DUMPABLE = 4
MAX_KEYS, MAX_KEY_BYTES = 1_000, 16_000_000

_PKCS1, _SHA256, _ECDSA = padding.PKCS1v15(), hashes.SHA256(), ec.ECDSA(hashes.SHA256())

Sign = Callable[[bytes], bytes]
Keys = RecentlyUsed[bytes, Sign]


def _signing(pem: bytes) -> Sign:
    key = load_pem_private_key(pem, password=None)
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda message: key.sign(message, _PKCS1, _SHA256)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return lambda message: key.sign(message, _ECDSA)
    raise ValueError("neither an RSA nor an EC key")


def _answer_to(body: bytes, keys: Keys) -> bytes:
    parts = parts_of(body)
    if not parts:
        return frame_of([])
    pem, *messages = parts
    try:
        sign = _signing_with(pem, keys)
        return frame_of([sign(message) for message in messages])
    except Exception:  # whatever a key does, the others are signed with
        return frame_of([])


def _signing_with(pem: bytes, keys: Keys) -> Sign:
    name = hashlib.sha256(pem).digest()
    sign = keys.get(name)
    if sign is None:
        sign = _signing(pem)
        keys.keep(name, sign, size=len(pem))
    return sign


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    keys = Keys(most=MAX_KEYS, most_bytes=MAX_KEY_BYTES)
    while len(head := requests.read(SIZE_BYTES)) == SIZE_BYTES:
        size = body_size(head)
        body = requests.read(size)
        if len(body) < size:
            return
        answers.write(_answer_to(body, keys))
        answers.flush()


def leave_no_key_behind() -> None:
    """Neither in a file nor for another process of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # The limit does not bind dumps that go to a program.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def main() -> None:
    # The parent is asked to end, and still has signatures to get when it drains.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    leave_no_key_behind()
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # The parent was killed; what it did not read is lost, and nothing else is to be done.
        os._exit(0)


if __name__ == "__main__":
    main()
