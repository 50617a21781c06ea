"""Every event's payload, one module for each topic family."""
