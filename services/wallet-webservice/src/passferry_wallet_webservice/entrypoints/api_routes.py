"""What operators may ask of the web service."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from passferry_contracts.types import Role
from passferry_runtime.auth import Scope, require
from passferry_runtime.errors import NotFound
from passferry_wallet_webservice.application.ports import RegistrationStore, VisitStore

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]


class DeviceCount(BaseModel):
    pass_id: UUID
    devices: int


class DeviceLogLine(BaseModel):
    line: str
    received_at: datetime


class DeviceLogPage(BaseModel):
    data: list[DeviceLogLine]


def router(registrations: RegistrationStore, visits: VisitStore) -> APIRouter:
    router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["devices"])

    @router.get("/passes/{pass_id}/devices")
    async def count_devices(scope: Viewer, pass_id: UUID) -> DeviceCount:
        """On how many Apple devices the pass is."""
        number = await registrations.count(scope.workspace_id, pass_id)
        if number is None:
            raise NotFound("pass_not_found", "no revision of such a pass is published here")
        return DeviceCount(pass_id=pass_id, devices=number)

    @router.get("/devices/log")
    async def read_device_log(
        scope: Viewer, limit: Annotated[int, Query(ge=1, le=200)] = 100
    ) -> DeviceLogPage:
        """What devices complained of last."""
        lines = await visits.recent_log_lines(scope.workspace_id, limit)
        return DeviceLogPage(data=[DeviceLogLine(line=line, received_at=at) for line, at in lines])

    return router
