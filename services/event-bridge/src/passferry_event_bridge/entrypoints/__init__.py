"""Kafka routes, HTTP routes and the forwarding worker."""
