"""SQL of this schema, in order."""
