"""Kafka for all services: the only place that imports the client library."""
