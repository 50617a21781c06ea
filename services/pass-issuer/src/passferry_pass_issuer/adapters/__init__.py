"""Postgres, keys and signing processes behind the ports."""
