"""Shared by all venues: connections, limits, gap detection, repair of bars, raw recording."""
