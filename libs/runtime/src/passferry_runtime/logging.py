"""JSON lines with static events and fields; secrets are taken out whatever put them in."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from passferry_runtime.causes import traceback_of
from passferry_runtime.tracing import current_traceparent

_SECRET_NAMES = re.compile(
    r"authori[sz]ation|password|secret|token$|push_token$|private_key|api_key|write_key|pem$|cookie",
    re.IGNORECASE,
)
_SECRET_TEXTS = re.compile(
    r"ApplePass\s+\S+"
    r"|Bearer\s+[A-Za-z0-9._~+/=-]+"
    r"|Basic\s+[A-Za-z0-9+/=]{8,}"
    r"|pf_live_[A-Za-z0-9_-]+"
    r"|-----BEGIN [A-Z ]+-----[\s\S]*?(?:-----END [A-Z ]+-----|$)"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<![0-9a-fA-F])[0-9a-fA-F]{64,}(?![0-9a-fA-F])"
    # Postgres quotes the row that is there already: names of people.
    r"|DETAIL:\s[^\n]*"
)
REDACTED = "[redacted]"
MAX_FIELD_CHARACTERS = 2_000
MAX_TRACEBACK_CHARACTERS = 8_000
MAX_FIELD_ITEMS = 50
MAX_FIELD_DEPTH = 4


def redact(text: str) -> str:
    """`text` without anything that looks like a credential, shortened to its bound."""
    return _SECRET_TEXTS.sub(REDACTED, text)[:MAX_FIELD_CHARACTERS]


class Logger:
    """`log.info("static_event", workspace_id=…)`: ids, never objects or personal data."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error with the traceback of what is being handled."""
        self._logger.error(event, extra={"fields": fields}, exc_info=True)  # noqa: LOG014  # callers are in a handler

    def _log(self, level: int, event: str, fields: Mapping[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"fields": fields})


def get_logger(name: str) -> Logger:
    return Logger(name)


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str, version: str) -> None:
        super().__init__()
        self._service = service
        self._version = version

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        # Behind the first line libraries print the error once more.
        message = record.getMessage() if error is None else record.getMessage().partition("\n")[0]
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "event": redact(message),
            "service": self._service,
            "version": self._version,
            "logger": record.name,
        }
        traceparent = current_traceparent()
        if traceparent:
            line["trace_id"], line["span_id"] = traceparent[3:35], traceparent[36:52]
        for name, value in getattr(record, "fields", {}).items():
            # A field may add to the line, never replace what the line itself says.
            line[f"{name}_" if name in line else name] = _field(name, value, MAX_FIELD_DEPTH)
        if error is not None:
            # The end of a traceback says what happened.
            traceback = _SECRET_TEXTS.sub(REDACTED, traceback_of(error))
            line["exception"] = traceback[-MAX_TRACEBACK_CHARACTERS:]
        return _dump(line)


def _field(name: str, value: Any, depth: int) -> Any:
    return REDACTED if _SECRET_NAMES.search(name) else _clean(value, depth)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, int | float | None):
        return value
    if isinstance(value, Mapping) and depth:
        items = list(value.items())[:MAX_FIELD_ITEMS]
        return {str(name): _field(str(name), item, depth - 1) for name, item in items}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_clean(each, depth - 1) for each in list(value)[:MAX_FIELD_ITEMS]]
    return redact(str(value))


def _dump(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except TypeError:
        # Half surrogates and integers beyond 64 bits: ASCII escapes hold them.
        return json.dumps(line, default=str)


def configure_logging(service: str, level: str, *, version: str = "0.1.0") -> None:
    """Everything that any library logs becomes one JSON line on stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service, version))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiokafka", "httpx", "httpcore", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
