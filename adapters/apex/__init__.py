"""ApeX Omni: market data of its perps, and their history. It takes no orders."""
