"""Coinbase's protocol for the local exchange."""
