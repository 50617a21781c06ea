"""Tells marketing tools what happened to passes; in order per pass, each event at least once."""
