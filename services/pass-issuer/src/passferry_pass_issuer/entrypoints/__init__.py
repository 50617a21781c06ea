"""HTTP routes and Kafka handlers."""
