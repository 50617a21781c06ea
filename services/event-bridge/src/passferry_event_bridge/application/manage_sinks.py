"""Set up, look at, resume and remove a workspace's sinks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from passferry_event_bridge.application.ports import Backlog, Sink, SinkStore
from passferry_event_bridge.domain.addresses import UrlRefused, parse_base_url
from passferry_event_bridge.domain.profiles import PROFILES
from passferry_runtime.clock import Clock
from passferry_runtime.errors import Conflict, FieldError, Invalid, NotFound

MAX_SINKS = 8
COUNT_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class SinkStatus:
    sink: Sink
    #: Events that wait, counted up to `COUNT_LIMIT`.
    waiting: int


@dataclass(frozen=True, kw_only=True)
class ManageSinks:
    sinks: SinkStore
    backlog: Backlog
    clock: Clock
    allowed_hosts: Collection[str]

    async def put(
        self,
        workspace_id: UUID,
        sink_id: str,
        *,
        profile: str,
        base_url: str | None,
        write_key: str,
        actor: str,
    ) -> Sink:
        """Make or replace a sink; a stopped one goes on with it. Raises `Invalid`, `Conflict`."""
        known = PROFILES.get(profile)
        if known is None:
            raise _invalid("profile", f"must be one of {', '.join(PROFILES)}")
        address = base_url or known.default_base_url
        if address is None:
            raise _invalid("base_url", f"the profile {profile} needs one")
        try:
            url = parse_base_url(address, allowed_hosts=self.allowed_hosts)
        except UrlRefused as refused:
            raise _invalid("base_url", str(refused)) from refused
        if not known.accepts(write_key):
            form = "<secret id>:<value>" if known.has_password else "one key, without a colon"
            raise _invalid("write_key", f"must be {form}")
        sink = Sink(
            workspace_id=workspace_id,
            sink_id=sink_id,
            profile=profile,
            base_url=url.text,
            status="active",
            stopped_reason=None,
            updated_at=self.clock.now(),
        )
        stored = await self.sinks.put(sink, credential=write_key, actor=actor, limit=MAX_SINKS)
        if stored is None:
            raise Conflict("too_many_sinks", f"a workspace may have {MAX_SINKS} sinks")
        return stored

    async def get(self, workspace_id: UUID, sink_id: str) -> Sink:
        return _found(await self.sinks.get(workspace_id, sink_id))

    async def of_workspace(self, workspace_id: UUID) -> list[Sink]:
        return await self.sinks.of_workspace(workspace_id)

    async def status(self, workspace_id: UUID, sink_id: str) -> SinkStatus:
        sink = await self.get(workspace_id, sink_id)
        return SinkStatus(sink, await self.backlog.count(sink.key, COUNT_LIMIT))

    async def resume(self, workspace_id: UUID, sink_id: str, *, actor: str) -> Sink:
        return _found(await self.sinks.resume(workspace_id, sink_id, actor=actor))

    async def delete(self, workspace_id: UUID, sink_id: str, *, actor: str) -> None:
        """With whatever still waits for it."""
        if not await self.sinks.delete(workspace_id, sink_id, actor=actor):
            _found(None)


def _found(sink: Sink | None) -> Sink:
    if sink is None:
        raise NotFound("sink_not_found", "there is no such sink")
    return sink


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("sink_invalid", message, errors=[FieldError(field, message)])
