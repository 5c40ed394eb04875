"""Coinbase: market data and history of its spot products (Advanced Trade)."""
