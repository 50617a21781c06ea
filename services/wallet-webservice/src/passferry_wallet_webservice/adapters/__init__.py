"""Postgres and outgoing HTTP."""
