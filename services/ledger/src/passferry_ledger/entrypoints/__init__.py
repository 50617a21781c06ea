"""HTTP and Kafka in front of the use cases."""
