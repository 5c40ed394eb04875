"""The newest rows in Redis, for programs that ask often, and streams of bars and signals."""
