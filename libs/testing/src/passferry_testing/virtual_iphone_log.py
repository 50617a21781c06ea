"""The lines that iOS reports to `/v1/log`, by the fragments that identify them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

LogLineId = Literal["L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10"]

#: Ages, in seconds, below which the device says nothing.
UNCHANGED_GRACE_S = 300
SPURIOUS_GRACE_S = 300
UNREGISTERED_GRACE_S = 3600


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: its id in the list of known causes, and the text without the time."""

    line_id: LogLineId
    text: str

    def stamped(self, at: datetime) -> str:
        return f"[{at:%Y-%m-%d %H:%M:%S %z}] {self.text}"


def task_failed(task: str, cause: str) -> LogLine:
    return LogLine("L1", f"{task} encountered error: {cause}")


def tag_unchanged(count: int, tag: str) -> LogLine:
    text = (
        f"Response to 'What changed?' request included {count} serial numbers but the "
        f"lastUpdated tag ({tag}) remained the same."
    )
    return LogLine("L2", text)


def tag_omitted(count: int) -> LogLine:
    text = (
        f"Response to 'What changed?' request included {count} serial numbers "
        "but omitted a lastUpdated tag."
    )
    return LogLine("L3", text)


def list_malformed(task: str) -> LogLine:
    return LogLine("L3", f"{task} encountered error: malformed response")


def last_modified_missing(serial: str) -> LogLine:
    text = (
        f"Server returned the pass data for serial number '{serial}' "
        "but did not provide a 'last-modified' header."
    )
    return LogLine("L4", text)


def if_modified_since_ignored(serial: str, date: str) -> LogLine:
    text = (
        f"Server ignored the 'if-modified-since' header ({date}) and returned the full unchanged "
        f"pass data for serial number '{serial}'."
    )
    return LogLine("L5", text)


def pass_unchanged(serial: str) -> LogLine:
    text = f"Server requested update to serial number '{serial}', but the pass was unchanged."
    return LogLine("L6", text)


def serial_unregistered(serial: str) -> LogLine:
    return LogLine("L7", f"Update requested for unregistered serial number {serial}")


def push_spurious(tag: str, device: str) -> LogLine:
    text = (
        f"Device received spurious push. Request for passesUpdatedSince '{tag}' returned no "
        f"serial numbers. (Device = {device})"
    )
    return LogLine("L8", text)


def identity_differs(requested: str, received: str) -> LogLine:
    return LogLine("L9", f"Requested serial number {requested}, received serial number {received}")


def signing_date_missing(serial: str) -> LogLine:
    text = f"Pass with serial number {serial}: Signature must contain a signing date"
    return LogLine("L10", text)
