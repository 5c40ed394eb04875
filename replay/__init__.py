"""Re-deriving a recorded day and comparing it with its record."""
