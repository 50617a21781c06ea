"""Schema of the notifier."""
