"""The API of sinks. A write key goes in and never comes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from passferry_contracts.types import Role
from passferry_event_bridge.application.manage_sinks import COUNT_LIMIT, ManageSinks
from passferry_event_bridge.application.ports import Sink, SinkKey
from passferry_runtime.auth import Scope, require

Manager = Annotated[Scope, Depends(require(Role.MANAGER))]
SinkId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class SinkBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    profile: str = Field(max_length=32)
    #: May be left out where the profile knows it.
    base_url: str | None = Field(default=None, max_length=500)
    #: Dittofeed: `<secret id>:<value>`; the others: one key.
    write_key: SecretStr = Field(min_length=1, max_length=500)


class SinkAnswer(BaseModel):
    sink_id: str
    profile: str
    base_url: str
    status: Literal["active", "stopped"]
    stopped_reason: str | None
    updated_at: datetime


class SinkPage(BaseModel):
    data: list[SinkAnswer]


class SinkStatusAnswer(SinkAnswer):
    waiting_events: int = Field(description=f"Counted up to {COUNT_LIMIT}")


def router(manage: ManageSinks, renewed: Callable[[SinkKey], Awaitable[None]]) -> APIRouter:
    """`renewed` is called after a sink was changed, made or resumed."""
    router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}/sinks", tags=["sinks"])

    @router.get("")
    async def list_sinks(scope: Manager) -> SinkPage:
        return SinkPage(
            data=[_answer(sink) for sink in await manage.of_workspace(scope.workspace_id)]
        )

    @router.put("/{sink_id}")
    async def put_sink(scope: Manager, sink_id: SinkId, body: SinkBody) -> SinkAnswer:
        """Make or replace a sink; what waits for it is sent with the new credential."""
        sink = await manage.put(
            scope.workspace_id,
            sink_id,
            profile=body.profile,
            base_url=body.base_url,
            write_key=body.write_key.get_secret_value(),
            actor=scope.principal.actor,
        )
        await renewed(sink.key)
        return _answer(sink)

    @router.get("/{sink_id}")
    async def get_sink(scope: Manager, sink_id: SinkId) -> SinkAnswer:
        return _answer(await manage.get(scope.workspace_id, sink_id))

    @router.delete("/{sink_id}", status_code=204)
    async def delete_sink(scope: Manager, sink_id: SinkId) -> None:
        """Remove a sink with whatever waits for it."""
        await manage.delete(scope.workspace_id, sink_id, actor=scope.principal.actor)

    @router.post("/{sink_id}/resume")
    async def resume_sink(scope: Manager, sink_id: SinkId) -> SinkAnswer:
        """Try a stopped sink again with the credential that it has."""
        sink = await manage.resume(scope.workspace_id, sink_id, actor=scope.principal.actor)
        await renewed(sink.key)
        return _answer(sink)

    @router.get("/{sink_id}/status")
    async def sink_status(scope: Manager, sink_id: SinkId) -> SinkStatusAnswer:
        status = await manage.status(scope.workspace_id, sink_id)
        fields = _answer(status.sink).model_dump()
        return SinkStatusAnswer(**fields, waiting_events=status.waiting)

    return router


def _answer(sink: Sink) -> SinkAnswer:
    return SinkAnswer.model_validate(sink, from_attributes=True)
