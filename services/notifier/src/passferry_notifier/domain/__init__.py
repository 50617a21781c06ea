"""What the notifier decides, without I/O."""
