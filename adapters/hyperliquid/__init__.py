"""The Hyperliquid venue: feed, gateway and wire formats."""
