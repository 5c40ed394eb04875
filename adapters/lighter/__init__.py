"""Lighter: market data of its perps and spot markets, and their history. It takes no orders."""
