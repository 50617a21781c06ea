"""Messages to holders: on one pass, or on every Google pass of a template."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from passferry_contracts.fields import LongText, ShortText
from passferry_contracts.types import Role
from passferry_pass_issuer.application.send_messages import Message
from passferry_pass_issuer.entrypoints.http_work import (
    Body,
    RequestBody,
    answer_once,
    instant,
    issuer_of,
    working,
)
from passferry_runtime.auth import Scope, require
from passferry_runtime.ids import uuid7

router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["messages"])

Member = Annotated[Scope, Depends(require(Role.MEMBER))]
Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
Reference = Annotated[str, Path(min_length=1, max_length=140)]
Text = Annotated[LongText, StringConstraints(min_length=1)]


class MessageBody(RequestBody):
    #: The caller's own: the same one again is told once. Absent: made up.
    message_id: Annotated[ShortText, StringConstraints(min_length=1)] | None = None
    header: Annotated[ShortText, StringConstraints(min_length=1)] | None = None
    body: Text
    notify: bool = True

    def message(self) -> Message:
        return Message(
            message_id=self.message_id or str(uuid7()),
            header=self.header,
            body=self.body,
            notify=self.notify,
        )


class ClassMessageBody(MessageBody):
    #: Everybody with such a pass gets it, so it is asked for twice.
    confirm: Literal[True] = Field(description="must be true")


@router.post("/passes/{reference:path}/messages", status_code=201)
async def send_message(
    request: Request, reference: Reference, body: MessageBody, scope: Member
) -> Response:
    """Put a message on one pass; `issued` is false when it was told before."""
    message = body.message()
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            pass_id, is_new = await issuer_of(request).life.send_message(
                work, scope.workspace_id, reference, message
            )
            told = {"message_id": message.message_id, "pass_id": str(pass_id), "issued": is_new}
            return told | {"issued_at": instant(work.now)}

        return await answer_once(
            request, work, scope.workspace_id, body.model_dump(mode="json"), produce
        )


@router.post("/templates/{template_id}/messages", status_code=201)
async def send_class_message(
    request: Request, template_id: UUID, body: ClassMessageBody, scope: Manager
) -> Response:
    """Tell everybody who has a pass of this template in Google Wallet."""
    message = body.message()
    async with working(request, [scope.workspace_id], actor=scope.principal.actor) as work:

        async def produce() -> Body:
            is_new = await issuer_of(request).life.send_class_message(
                work, scope.workspace_id, template_id, message
            )
            told = {"message_id": message.message_id, "template_id": str(template_id)}
            return told | {"issued": is_new, "issued_at": instant(work.now)}

        return await answer_once(
            request, work, scope.workspace_id, body.model_dump(mode="json"), produce
        )
