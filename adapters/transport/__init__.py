"""What every venue needs between its servers and its decoder: connections, limits, gaps, repair, raw."""
