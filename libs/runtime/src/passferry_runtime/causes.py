"""What logs, parked records and dead letters say of an error: nothing that was sent.

The texts of foreign errors quote what they failed on: Postgres the keys of the row (`DETAIL: Key
(external_id)=(…)`), parsers their input, a KeyError its key. That may be the name of a person who
was erased since.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import traceback
from collections.abc import Iterator
from types import TracebackType

OWN = "passferry_"
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
#: Errors that one traceback tells.
MAX_CAUSES = 10


def cause_of(error: BaseException, *, names_file: bool = False) -> str:
    """What is told of an error, and of the first one of those that led to it: that a connection
    was refused stands beneath the error of a client. `names_file`: where files are the operator's,
    as when a service starts."""
    *_, first = _chain(error)
    told = _told(error, names_file=names_file)
    return told if first is error else f"{told}, from {_told(first, names_file=names_file)}"


def traceback_of(error: BaseException) -> str:
    """As the interpreter would print it, with causes in place of texts."""
    return "\n\nand then\n\n".join(
        "".join(traceback.format_tb(each.__traceback__)) + _told(each)
        for each in reversed(list(_chain(error)))
    )


def _told(error: BaseException, *, names_file: bool = False) -> str:
    """Class, code and place of an error; its text only where it is one of our own classes."""
    name, place = type(error).__name__, _place_of(error.__traceback__)
    # Of ours the texts are written to be told: they name no values.
    codes = [each for each in _codes_of(error) if each]
    if names_file and isinstance(error, OSError) and isinstance(error.filename, str):
        codes.append(error.filename)
    told = f"{name}: {error}" if _is_own(error) else " ".join([name, *codes])
    return f"{told} at {place}" if place else told


def _codes_of(error: BaseException) -> Iterator[str]:
    sqlstate, number = getattr(error, "sqlstate", None), getattr(error, "errno", None)
    if isinstance(sqlstate, str) and _SQLSTATE.fullmatch(sqlstate):
        yield sqlstate
        # Names of the schema, which say what was violated.
        for name in ("table_name", "constraint_name"):
            if isinstance(given := getattr(error, name, None), str):
                yield given
    elif isinstance(error, ssl.SSLError):
        # Its numbers are of another list than those of the system.
        yield str(getattr(error, "reason", None) or "")
    elif isinstance(number, int):
        yield str(number)
        if isinstance(error, socket.gaierror):
            # Its numbers too are of another list, and its text is of the C library.
            yield str(error.strerror or "")
        elif isinstance(error, OSError) and number in errno.errorcode:
            # Not its own text, into which libraries write what they failed on.
            yield os.strerror(number)


def _place_of(frames: TracebackType | None) -> str:
    """The last of our lines that it came through."""
    place = ""
    while frames is not None:
        module = str(frames.tb_frame.f_globals.get("__name__", ""))
        if module.startswith(OWN):
            place = f"{module}:{frames.tb_lineno}"
        frames = frames.tb_next
    return place


def _is_own(error: BaseException) -> bool:
    return type(error).__module__.startswith(OWN)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it came from, and what a group holds."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < MAX_CAUSES:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        before = each.__cause__
        if before is None and not each.__suppress_context__:
            before = each.__context__
        if before is not None:
            waiting.append(before)
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(each.exceptions)
