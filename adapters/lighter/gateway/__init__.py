"""Real orders on Lighter."""
