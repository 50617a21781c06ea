"""Makes what an installation needs once: secrets, topics, schemas, the first administrator."""
