"""Lighter's protocol on the local exchange."""
