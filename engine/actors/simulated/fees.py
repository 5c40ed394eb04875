"""Fees by volume at the simulated venue: the tiers of `[simulated] fee_tiers`.

Owns the account's volume of each day UTC, in quote currency. The tier of a day is that of the volume of the
30 days before it; the volume that the configuration states counts for the first 30 days. Called by the venue
and by `fills`. Its state is the venue's `volumes`, at the scale of the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.clock import DAY_NS
from engine.config.simulated import MONEY_TEXT_SCALE, SimulatedConfig
from engine.values import parse_scaled, rescale

if TYPE_CHECKING:
    from engine.actors.simulated.venue import SimulatedVenue

__all__ = ["Fees"]

DAYS: Final = 30


class Fees:
    """See the module."""

    def __init__(self, venue: SimulatedVenue, config: SimulatedConfig) -> None:
        self.v = venue
        self.tiers = config.tiers()
        self._start = parse_scaled(config.volume, MONEY_TEXT_SCALE)

    def rate(self, liquidity: str) -> int:
        """Return the rate of a "taker" or a "maker" now."""
        volume = self._volume(self.v.now_ns // DAY_NS)
        reached = [one for one in self.tiers if rescale(one.volume, MONEY_TEXT_SCALE, self.v.scale) <= volume]
        return reached[-1].taker if liquidity == "taker" else reached[-1].maker

    def note(self, value: int) -> None:
        """Count the value of a fill."""
        today, volumes = self.v.now_ns // DAY_NS, self.v.volumes
        volumes[today] = volumes.get(today, 0) + value
        # The first day stays: the volume that is stated counts from there.
        for day in [one for one in list(volumes)[1:] if one < today - DAYS]:
            del volumes[day]

    def _volume(self, today: int) -> int:
        volumes = self.v.volumes
        counted = sum(value for day, value in volumes.items() if today - DAYS <= day < today)
        if today < next(iter(volumes), today) + DAYS:
            counted += rescale(self._start, MONEY_TEXT_SCALE, self.v.scale)
        return counted
