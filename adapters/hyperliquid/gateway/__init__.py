"""Real orders: the key, signed actions, their outcomes, and the account's stream."""
