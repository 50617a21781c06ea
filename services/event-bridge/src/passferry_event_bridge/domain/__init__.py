"""What an event becomes at a sink, and what its answers mean. No I/O."""
