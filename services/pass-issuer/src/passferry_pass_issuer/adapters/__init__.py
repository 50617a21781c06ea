"""Postgres, keys and threads behind the ports."""
