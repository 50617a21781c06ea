"""Free ports that stay ours over a restart."""

import os
import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections: a server that was killed
# finds its port still free when it comes back.
FIRST_PORT = 15_000
LAST_PORT = 31_999
# Processes that start together, as those of one test run, have neighbouring numbers: each draws from
# ports of its own, so that no two find the same one free.
SHARES = 64
ATTEMPTS = 200


class NoFreePort(Exception):
    """None of the ports tried could be bound."""


def free_port(*, preferred: int | None = None, taken: set[int]) -> int:
    """Return a port of the loopback interface that nobody listens on, and add it to `taken`."""
    candidates = [preferred] if preferred is not None else []
    share = range(FIRST_PORT + os.getpid() % SHARES, LAST_PORT + 1, SHARES)
    candidates += random.sample(share, ATTEMPTS)
    for port in candidates:
        if port not in taken and _can_listen(port):
            taken.add(port)
            return port
    raise NoFreePort(f"No port between {FIRST_PORT} and {LAST_PORT} is free.")


def _can_listen(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
