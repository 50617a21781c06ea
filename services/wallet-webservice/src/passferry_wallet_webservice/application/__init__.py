"""What the web service does."""
