"""Use cases of the bridge, and what they need from outside."""
