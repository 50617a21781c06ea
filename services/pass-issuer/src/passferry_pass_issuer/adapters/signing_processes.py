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
from collections.abc import Sequence

from passferry_pass_issuer.adapters.signing_frames import (
    SIZE_BYTES,
    body_size,
    frame_of,
    parts_of,
)
from passferry_pass_issuer.application.ports import SigningUnavailable
from passferry_pass_issuer.metrics import SIGNING_PROCESSES_ENDED
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

#: Their answer fits into a pipe, so that a process goes on while the event loop is busy.
CHUNK = 32
#: Requests in the pipe of one process, with or without somebody who still waits for the answer.
MAX_ASKED = 64
TRIES = 3
PAUSE_S = 0.05
#: A process that gives no answer for so long, while it is asked, is ended.
PATIENCE_S = 10.0
#: For everything that is asked for at once: who asks has rows of the database locked meanwhile.
VALUES_TIMEOUT_S = 20.0
END_TIMEOUT_S = 5.0

#: What an interpreter and OpenSSL are found and set up by. Nothing else of the service's
#: environment is told: it names databases, key rings and tokens.
ENVIRONMENT = (
    *("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"),
    *("OPENSSL_CONF", "OPENSSL_MODULES"),
)

#: Asks for nothing, to see that a process answers.
GREETING = frame_of([])


class SigningKeyRefused(Exception):
    """No signature can be made with this key."""


class SigningProcesses:
    """Each is started when first needed (or by `start`) and again when it ended."""

    def __init__(self, number: int) -> None:
        self._processes = [_SigningProcess() for _ in range(number)]

    @property
    def faults(self) -> int:
        """How many could not be started when they were last needed."""
        return sum(each.is_faulty for each in self._processes)

    async def start(self) -> None:
        """Raises `SigningUnavailable` when one of them does not answer."""
        await asyncio.gather(*(each.start() for each in self._processes))

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._processes))

    async def values(self, private_key_pem: bytes, messages: Sequence[bytes]) -> list[bytes]:
        """A signature value over each message, in their order: PKCS#1 v1.5 or ECDSA, SHA-256.

        Raises `SigningKeyRefused`, or `SigningUnavailable` when trying again did not help.
        """
        chunks = [messages[start : start + CHUNK] for start in range(0, len(messages), CHUNK)]
        try:
            async with asyncio.timeout(VALUES_TIMEOUT_S), asyncio.TaskGroup() as group:
                asked = [group.create_task(self._chunk(private_key_pem, each)) for each in chunks]
        except TimeoutError:
            raise SigningUnavailable("no signatures in time") from None
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [value for chunk in asked for value in chunk.result()]

    async def _chunk(self, private_key_pem: bytes, messages: Sequence[bytes]) -> list[bytes]:
        request = frame_of([private_key_pem, *messages])
        for attempt in range(1, TRIES + 1):
            process = min(self._processes, key=lambda each: each.asked)
            try:
                values = parts_of(await process.ask(request))
            except SigningUnavailable:
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
        self._running: _Running | None = None
        self.is_faulty = False
        #: Requests that wait for room or in the pipe.
        self.asked = 0

    async def ask(self, request: bytes) -> bytes:
        """The answer's body. Raises `SigningUnavailable` when the process ends first."""
        self.asked += 1
        try:
            await self._room.acquire()
        except BaseException:
            self.asked -= 1
            raise
        try:
            running = await self.start()
        except BaseException:
            self._answered()
            raise
        answer = running.write(request)
        # Who asked may be gone by then: the request is in the pipe all the same.
        answer.add_done_callback(lambda _: self._answered())
        return _body(await asyncio.shield(answer))

    def _answered(self) -> None:
        self.asked -= 1
        self._room.release()

    async def start(self) -> _Running:
        async with self._starting:
            if self._running is None or self._running.has_ended:
                try:
                    self._running = await _start()
                except SigningUnavailable:
                    self.is_faulty = True
                    raise
                self.is_faulty = False
            return self._running

    async def close(self) -> None:
        if self._running is not None:
            await self._running.close()


class _Running:
    """A process; answers come in the order of the requests."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101  # for the type checker: it has pipes
        assert process.stdout is not None  # noqa: S101  # for the type checker
        self.process = process
        self._requests, self._answers = process.stdin, process.stdout
        #: None: it ended before it answered.
        self._waiting: deque[asyncio.Future[bytes | None]] = deque()
        self._is_closing = False
        self._patience: asyncio.TimerHandle | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def has_ended(self) -> bool:
        return self._reader.done()

    def write(self, request: bytes) -> asyncio.Future[bytes | None]:
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        if self.has_ended:
            answer.set_result(None)
            return answer
        if not self._waiting:
            self._wait_anew()
        self._waiting.append(answer)
        try:
            self._requests.write(request)
        except RuntimeError:
            # The pipe is closed already, so the process ends, and its reader says so.
            self.kill()
        return answer

    def _wait_anew(self) -> None:
        self._stop_waiting()
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self.kill)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    async def _read(self) -> None:
        """Hand answers out until the process ends, and tell those who wait that it has."""
        try:
            while True:
                size = body_size(await self._answers.readexactly(SIZE_BYTES))
                body = await self._answers.readexactly(size)
                _settle(self._waiting.popleft(), body)
                if self._waiting:
                    self._wait_anew()
                else:
                    self._stop_waiting()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, IndexError):
            # It ended, or says what nobody asked for.
            pass
        finally:
            self._stop_waiting()
            self.kill()
            if not self._is_closing:
                SIGNING_PROCESSES_ENDED.inc()
                log.warning("signing_process_ended", requests=len(self._waiting))
            while self._waiting:
                _settle(self._waiting.popleft(), None)

    async def close(self) -> None:
        """It answers what it was asked, and ends as its input does."""
        self._is_closing = True
        self._requests.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await asyncio.shield(self._reader)
        except TimeoutError:
            self.kill()
        await self.process.wait()

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()


async def _start() -> _Running:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"{__package__}.signing_process",
            stdin=PIPE,
            stdout=PIPE,
            env=given_to_signing(),
        )
    except OSError as error:
        raise SigningUnavailable("a signing process cannot be started") from error
    running = _Running(process)
    try:
        _body(await running.write(GREETING))
    except BaseException:
        running.kill()
        raise
    return running


def given_to_signing() -> dict[str, str]:
    """The environment of a signing process."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def _settle(answer: asyncio.Future[bytes | None], body: bytes | None) -> None:
    # Who greeted the process may have given up.
    if not answer.done():
        answer.set_result(body)


def _body(answer: bytes | None) -> bytes:
    if answer is None:
        raise SigningUnavailable("the signing process ended")
    return answer
