"""Our own API: what became of deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from passferry_contracts.types import Role
from passferry_notifier.application.ports import DeliveryStore, RingStore
from passferry_runtime.auth import Scope, require

Viewer = Annotated[Scope, Depends(require(Role.VIEWER))]
State = Literal["pending", "delivered", "dropped", "failed"]


class DeliveryView(BaseModel):
    """`target` is a device library identifier or a Google object id."""

    model_config = ConfigDict(from_attributes=True)

    delivery_id: UUID
    pass_id: UUID
    channel: str
    target: str
    revision: int
    notification_type: str
    state: str
    is_silent: bool
    attempts: int
    reason: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    completed_at: datetime | None


class DeliveryPage(BaseModel):
    """Newest first; `next_cursor` is absent on the last page."""

    data: list[DeliveryView]
    next_cursor: UUID | None


class DeliveryCount(BaseModel):
    channel: str
    state: str
    reason: str
    count: int


class DeliverySummary(BaseModel):
    data: list[DeliveryCount]


class DeviceCount(BaseModel):
    pass_id: UUID
    devices: int


def router(deliveries: DeliveryStore, rings: RingStore) -> APIRouter:
    router = APIRouter(prefix="/api/v1/workspaces/{workspace_id}", tags=["deliveries"])

    @router.get("/deliveries")
    async def list_deliveries(
        scope: Viewer,
        pass_id: UUID | None = None,
        state: State | None = None,
        cursor: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> DeliveryPage:
        """Deliveries of the last days, newest first."""
        rows = await deliveries.listed(
            scope.workspace_id, pass_id=pass_id, state=state, after=cursor, limit=limit + 1
        )
        page = rows[:limit]
        more = len(rows) > limit
        return DeliveryPage(
            data=[DeliveryView.model_validate(row) for row in page],
            next_cursor=page[-1].delivery_id if more else None,
        )

    @router.get("/deliveries/summary")
    async def summarise_deliveries(scope: Viewer) -> DeliverySummary:
        """Counts of the last days, by channel, state and reason."""
        rows = await deliveries.summary(scope.workspace_id)
        return DeliverySummary(
            data=[
                DeliveryCount(channel=channel, state=state, reason=reason, count=count)
                for channel, state, reason, count in rows
            ]
        )

    @router.get("/passes/{pass_id}/devices/count")
    async def count_devices(scope: Viewer, pass_id: UUID) -> DeviceCount:
        """How many Apple devices are rung for the pass."""
        number = await rings.count_devices(scope.workspace_id, pass_id)
        return DeviceCount(pass_id=pass_id, devices=number)

    return router
