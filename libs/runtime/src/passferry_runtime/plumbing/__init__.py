"""SQL of the tables that every service's schema has: outbox, parked records, inbox, audit."""
