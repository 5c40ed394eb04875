"""Kraken: market data and history of its spot pairs."""
