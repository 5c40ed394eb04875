"""The store in PostgreSQL, with TimescaleDB where the database has that extension."""
