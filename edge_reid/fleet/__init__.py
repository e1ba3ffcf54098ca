"""Many devices, one memory: the galleries of a fleet in PostgreSQL with pgvector, and how they get there."""
