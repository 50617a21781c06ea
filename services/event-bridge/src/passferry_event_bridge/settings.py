"""Settings of the bridge."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from passferry_runtime.settings import ServiceSettings


class BridgeSettings(ServiceSettings):
    """`key_ring_file` encrypts the credentials of sinks and nothing else."""

    key_ring_file: Path
    #: Hosts that may be reached although their address is not public, and by plain HTTP.
    sink_allowed_hosts: list[str] = Field(default_factory=list, max_length=32)
    #: The consumer group, after `kafka_group_prefix`.
    consumer_group: str = "dittofeed-pass-bridge"
    #: What `pass.created` is tracked as; older journeys wait for "Pass Created".
    created_event_name: str = Field(default="pass.issued", min_length=1, max_length=100)
    #: One request to a sink, from resolving its name to the end of its answer.
    sink_timeout_s: float = Field(default=10.0, gt=0, le=60)
    #: Requests to sinks at one time, over all workspaces; each sink has one at most.
    sink_concurrency: int = Field(default=32, ge=1, le=512)
    #: Events that may wait for one sink before intake for its workspace is put off.
    sink_backlog_max: int = Field(default=1_000_000, ge=1)
