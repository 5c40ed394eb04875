"""Connections to the outside: venues, the sandbox exchange, data files."""
