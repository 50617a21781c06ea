"""Is a server ready? Each is asked in its own protocol, with a few bytes on a plain socket."""

import socket
import struct
from urllib.parse import urlsplit

PROBE_TIMEOUT_S = 1.0
MAX_ANSWER_BYTES = 1 << 20

_METADATA_KEY = 3
_METADATA_VERSION = 1
_POSTGRES_PROTOCOL = 196_608  # 3.0


def kafka_answers(host: str, port: int) -> bool:
    """True when the broker has registered: its own metadata lists a broker."""
    client = b"passferry-devstack"
    request = struct.pack(">hhih", _METADATA_KEY, _METADATA_VERSION, 1, len(client)) + client
    request += struct.pack(">i", 0)  # an empty list of topics
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _read(connection, 4))
            answer = _read(connection, min(length, MAX_ANSWER_BYTES))
        correlation_id, brokers = struct.unpack_from(">ii", answer)
    except (OSError, struct.error):
        return False
    return bool(correlation_id == 1 and brokers >= 1)


def postgres_answers(host: str, port: int) -> bool:
    """True when a connection gets past "starting up": to a log-in, or to the question for a password."""
    body = struct.pack(">i", _POSTGRES_PROTOCOL) + b"user\0postgres\0database\0postgres\0\0"
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(body) + 4) + body)
            kind = _read(connection, 1)
            if kind == b"R":
                connection.sendall(b"X" + struct.pack(">i", 4))
    except OSError:
        return False
    return kind == b"R"


def redis_answers(host: str, port: int) -> bool:
    """True when PING is answered, be it with the demand for a password."""
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError:
        return False
    return answer.startswith((b"+PONG", b"-NOAUTH"))


def host_and_port(address: str, *, default_port: int) -> tuple[str, int]:
    """Read "host:port" or a URL."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    return parts.hostname or "127.0.0.1", parts.port or default_port


def _read(connection: socket.socket, length: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < length:
        chunk = connection.recv(length - len(chunks))
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        chunks += chunk
    return bytes(chunks)
