"""Numbered SQL of the schema `ledger`."""
