"""Postgres, Redis, Kafka and HTTP behind the ports."""
