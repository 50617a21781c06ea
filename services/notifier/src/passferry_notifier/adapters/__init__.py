"""Postgres, Redis, APNs, Google and Kafka behind the ports."""
