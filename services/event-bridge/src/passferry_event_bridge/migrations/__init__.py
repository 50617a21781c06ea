"""The schema of the bridge."""
