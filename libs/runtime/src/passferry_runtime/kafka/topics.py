"""Creates the topics of the registry."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from passferry_contracts.registry import TOPICS, Topic
from passferry_runtime.logging import get_logger

log = get_logger(__name__)

ALREADY_EXISTS = 36


class TopicsNotCreated(Exception):
    """The broker refused some topics; the message names each with the broker's error."""


async def create_topics(
    brokers: str,
    *,
    replication_factor: int = 1,
    topic_prefix: str = "",
    topics: Iterable[Topic] | None = None,
) -> list[str]:
    """Create what is missing; returns the names of the new topics."""
    wanted = list(TOPICS.values() if topics is None else topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers, client_id="passferry-bootstrap")
    await admin.start()
    try:
        response = await admin.create_topics(
            [
                NewTopic(
                    topic_prefix + topic.name,
                    num_partitions=topic.partitions,
                    replication_factor=replication_factor,
                    topic_configs=topic.configuration(),
                )
                for topic in wanted
            ]
        )
    finally:
        await admin.close()
    created, refused = [], []
    # The client does not raise for a single topic's error: each has its own code.
    for name, code, *message in response.topic_errors:
        if code == 0:
            created.append(name)
        elif code != ALREADY_EXISTS:
            refused.append(f"{name}: error {code} {' '.join(str(part) for part in message)}")
    if refused:
        raise TopicsNotCreated("; ".join(refused))
    log.info("topics_created", created=len(created), known=len(wanted) - len(created))
    return created
