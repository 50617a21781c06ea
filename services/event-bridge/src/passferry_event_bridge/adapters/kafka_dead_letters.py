"""Events that a sink refused alone go to the service's dead letters."""

from __future__ import annotations

from passferry_event_bridge.application.ports import PendingEvent
from passferry_runtime.kafka.dead_letters import DeadLetters
from passferry_runtime.logging import get_logger

log = get_logger(__name__)


class KafkaDeadLetters:
    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    async def give_up(self, event: PendingEvent, *, code: str, detail: str) -> None:
        await self._letters.give_up(event.record, code=code, detail=detail)
        log.warning(
            "event_dead_lettered",
            workspace_id=event.workspace_id,
            sink_id=event.sink_id,
            event_id=event.event_id,
            code=code,
        )
