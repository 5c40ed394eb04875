"""Binance's protocol for the local exchange."""
