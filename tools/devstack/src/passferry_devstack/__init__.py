"""Kafka, Postgres and Redis for tests, demo and benchmarks.

    with DevStack() as backends:
        backends.kafka_brokers, backends.postgres_admin_url, backends.redis_url

Each backend is the one named by the environment, else a container when a Docker engine answers, else a
native process of our own.
"""

from passferry_devstack.backends import Backends, BackendUnavailable
from passferry_devstack.server import Server
from passferry_devstack.stack import DevStack
from passferry_devstack.supervision import ServerProcess

__all__ = ["BackendUnavailable", "Backends", "DevStack", "Server", "ServerProcess"]
