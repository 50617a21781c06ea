"""All entries of a workspace as one file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from passferry_ledger.application.export_entries import ExportEntries
from passferry_ledger.application.searches import ExportSelection
from passferry_ledger.entrypoints.export_lines import FORMATS, CsvLines, JsonLines, Lines
from passferry_ledger.entrypoints.read_parameters import (
    ManagerScope,
    PeriodParameters,
    unavailable_when_passing,
)
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["export"])


class ExportFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


class ExportCutShort(Exception):
    """The export had to end before its end."""


class ExportResponse(Response):
    """Sends while it reads, one page in memory. What is cut short has no last line, and the
    connection is closed without the end of the body."""

    def __init__(
        self,
        export: ExportEntries,
        workspace_id: UUID,
        selection: ExportSelection,
        lines: Lines,
        *,
        file_name: str,
    ) -> None:
        super().__init__(media_type=lines.media_type)
        del self.headers["Content-Length"]
        self.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
        self.headers["Cache-Control"] = "no-store"
        self._export = export
        self._workspace_id = workspace_id
        self._selection = selection
        self._lines = lines
        self._is_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait(
                (sending, gone), timeout=self._export.limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            is_sent, is_gone = sending.done(), gone.done()
        finally:
            await _end(sending, gone)
        if is_sent:
            await sending
        elif is_gone:
            log.info("export_abandoned", workspace_id=str(self._workspace_id))
        else:
            raise ExportCutShort(f"an export took longer than {self._export.limit_s} s")

    async def _send(self, send: Send) -> None:
        async with (
            unavailable_when_passing(),
            self._export(self._workspace_id, self._selection) as pages,
        ):
            head = self._lines.head()
            async for entries in pages:
                await self._send_part(send, head + self._lines.entries(entries))
                head = b""
            await self._send_part(send, head + self._lines.tail())
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_part(self, send: Send, part: bytes) -> None:
        """The headers go with the first part: until then, the answer may be a refusal."""
        if not self._is_begun:
            self._is_begun = True
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
        await send({"type": "http.response.body", "body": part, "more_body": True})


async def _disconnected(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The entries, oldest first; the last line says that nothing is missing.",
        "content": {
            lines.media_type.partition(";")[0]: {"schema": {"type": "string"}}
            for lines in (CsvLines, JsonLines)
        },
    }
}


@router.get("/export", response_class=Response, responses=_RESPONSES)
async def export_entries(
    request: Request,
    scope: ManagerScope,
    period: PeriodParameters,
    file_format: Annotated[ExportFormat, Query(alias="format")],
    program_id: UUID | None = None,
) -> Response:
    """The workspace's entries as of one moment, oldest first, one line for each pass of each."""
    return ExportResponse(
        request.state.export_entries,
        scope.workspace_id,
        ExportSelection(period=period, program_id=program_id),
        FORMATS[file_format](),
        file_name=f"entries.{file_format}",
    )
