"""Use cases; their dependencies are the protocols of `ports`."""
