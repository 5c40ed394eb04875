"""The simulated venue: what paper trading and backtests trade at."""

from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["SimulatedVenue"]
