"""Kraken's protocol for the local exchange."""
