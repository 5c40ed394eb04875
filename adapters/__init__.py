"""Edges that speak to the outside: venues, the sandbox exchange and files."""
