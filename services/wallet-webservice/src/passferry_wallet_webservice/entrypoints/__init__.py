"""Kafka topics and HTTP routes that lead in."""
