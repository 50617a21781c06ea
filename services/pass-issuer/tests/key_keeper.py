"""A process that keeps a key and signs what it is sent over a Unix socket: what a KMS is.

python key_keeper.py <socket> <key file>

A request is 4 bytes of length and what is to be signed; the answer 4 bytes of length and the
signature value. The key never crosses the socket.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key


async def main(socket: str, key_pem: bytes) -> None:
    key = load_pem_private_key(key_pem, None)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4), "big")
        asked = await reader.readexactly(min(size, 4_096))
        if isinstance(key, rsa.RSAPrivateKey):
            value = key.sign(asked, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            value = key.sign(asked, ec.ECDSA(hashes.SHA256()))
        else:
            raise TypeError("RSA or EC")
        writer.write(len(value).to_bytes(4, "big") + value)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path=socket)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes()))
