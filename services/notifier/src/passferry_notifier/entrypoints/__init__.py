"""Kafka routes and the HTTP API."""
