"""What the stack hands out: three addresses, or one sentence that says why not."""

from dataclasses import dataclass

KAFKA_VARIABLE = "PASSFERRY_KAFKA_BROKERS"
POSTGRES_VARIABLE = "PASSFERRY_POSTGRES_ADMIN_URL"
REDIS_VARIABLE = "PASSFERRY_REDIS_URL"


class BackendUnavailable(Exception):
    """One clear sentence that names the command that would help."""


@dataclass(frozen=True, slots=True)
class Backends:
    """The addresses of the three engines."""

    #: "127.0.0.1:PORT"
    kafka_brokers: str
    #: DSN of a superuser, "postgresql://postgres@127.0.0.1:PORT/postgres"
    postgres_admin_url: str
    #: "redis://127.0.0.1:PORT/0"
    redis_url: str
    #: one line that says which way each was found, with versions
    chosen: str

    def environment(self) -> dict[str, str]:
        """The variables under which another process finds the same backends."""
        return {
            KAFKA_VARIABLE: self.kafka_brokers,
            POSTGRES_VARIABLE: self.postgres_admin_url,
            REDIS_VARIABLE: self.redis_url,
        }
