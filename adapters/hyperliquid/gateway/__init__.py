"""Real orders: the key, the signed actions, what becomes of them, and the account's own stream."""
