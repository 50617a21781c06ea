"""Plumbing that all services share. Knows nothing of passes."""
