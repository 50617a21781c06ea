"""Asks processes of their own for signatures, so that RSA and the event loop have a core each.

In threads of this process each signature would wait for the interpreter, which a busy event loop
gives away now and then only.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Mapping, Sequence

from passferry_pass_issuer.adapters.signing_frames import (
    SIZE_BYTES,
    body_size,
    frame_of,
    parts_of,
)
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: Their answer fits into a pipe, so that a process goes on while the event loop is busy.
CHUNK = 32
#: Chunks that wait at one process or are being signed there.
MAX_ASKED = 64
TRIES = 3
PAUSE_S = 0.05
#: For all that may wait there, with the slowest keys.
ANSWER_TIMEOUT_S = 30.0
END_TIMEOUT_S = 5.0


class SigningInterrupted(ConnectionError):
    """The process ended or gave no answer; what was asked may be asked again."""


class SigningKeyRefused(Exception):
    """No signature can be made with this key."""


class SigningProcesses:
    """Each is started when first needed (or by `start`) and again when it ended."""

    def __init__(self, number: int) -> None:
        self._processes = [_SigningProcess() for _ in range(number)]

    async def start(self) -> None:
        await asyncio.gather(*(each.start() for each in self._processes))

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._processes))

    async def values(self, private_key_pem: bytes, messages: Sequence[bytes]) -> list[bytes]:
        """A signature value over each message, in their order: PKCS#1 v1.5 or ECDSA, SHA-256.

        Raises `SigningKeyRefused`, or `SigningInterrupted` when trying again did not help.
        """
        chunks = [messages[start : start + CHUNK] for start in range(0, len(messages), CHUNK)]
        signed = await asyncio.gather(*(self._chunk(private_key_pem, chunk) for chunk in chunks))
        return [value for chunk in signed for value in chunk]

    async def _chunk(self, private_key_pem: bytes, messages: Sequence[bytes]) -> list[bytes]:
        request = frame_of([private_key_pem, *messages])
        for attempt in range(1, TRIES + 1):
            process = min(self._processes, key=lambda each: each.asked)
            try:
                values = parts_of(await process.ask(request))
            except SigningInterrupted:
                if attempt == TRIES:
                    raise
                await asyncio.sleep(PAUSE_S * 2**attempt)
                continue
            if len(values) != len(messages):
                raise SigningKeyRefused
            return values
        raise AssertionError("unreachable")


class _SigningProcess:
    def __init__(self) -> None:
        self._starting = asyncio.Lock()
        self._room = asyncio.Semaphore(MAX_ASKED)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        #: Requests without an answer yet, also those that wait for room.
        self.asked = 0

    async def ask(self, request: bytes) -> bytes:
        """The answer's body. Answers come in the order of the requests."""
        self.asked += 1
        try:
            async with self._room:
                process = await self.start()
                answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
                self._waiting.append(answer)
                _input_of(process).write(request)
                try:
                    async with asyncio.timeout(ANSWER_TIMEOUT_S):
                        return await answer
                except TimeoutError:
                    _kill(process)
                    raise SigningInterrupted("no answer in time") from None
        finally:
            self.asked -= 1

    async def start(self) -> Process:
        async with self._starting:
            if self._process is None or self._reader is None or self._reader.done():
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    f"{__package__}.signing_process",
                    stdin=PIPE,
                    stdout=PIPE,
                    env=_without_settings(os.environ),
                )
                self._waiting = deque()
                self._reader = asyncio.create_task(_read(self._process, self._waiting))
            return self._process

    async def close(self) -> None:
        """It ends as soon as its input does."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        _input_of(process).close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await asyncio.shield(reader)
                await process.wait()
        except TimeoutError:
            _kill(process)
            await process.wait()


async def _read(process: Process, waiting: deque[asyncio.Future[bytes]]) -> None:
    """Hand answers out until the process ends, and tell those who wait that it has."""
    assert process.stdout is not None  # noqa: S101  # for the type checker: it has a pipe
    try:
        while True:
            size = body_size(await process.stdout.readexactly(SIZE_BYTES))
            body = await process.stdout.readexactly(size)
            answer = waiting.popleft()
            if not answer.done():
                answer.set_result(body)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError, IndexError):
        # It ended, or says what nobody asked for.
        pass
    finally:
        _kill(process)
        if waiting:
            log.warning("signing_process_ended", requests=len(waiting))
        for answer in waiting:
            if not answer.done():
                answer.set_exception(SigningInterrupted("the signing process ended"))


def _input_of(process: Process) -> asyncio.StreamWriter:
    assert process.stdin is not None  # noqa: S101  # for the type checker: it has a pipe
    return process.stdin


def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """It needs no database and no key ring, so it shall not know them."""
    return {name: value for name, value in environment.items() if not name.startswith("PASSFERRY_")}
