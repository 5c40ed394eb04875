"""Probes of silent subscriptions: one HTTP request for each channel of a product.

Trades are compared by their ids, the best bid and ask with those of the last quote. A book and pushed candles
have no probe: the numbers of the connection's messages prove them. Made by `feed.py`, called by
`adapters/transport/silence.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.coinbase.channels import Channel
from adapters.coinbase.decode import Decoder
from adapters.coinbase.info import CoinbaseInfo
from adapters.transport.probing import Arrived, VenueProbes
from adapters.transport.silence import Key, Probe
from engine.events import InstrumentListed

__all__ = ["Probes"]


class Probes(VenueProbes[CoinbaseInfo, Decoder]):
    """The probes of one feed."""

    def of(
        self, channels: Iterable[Channel], instruments: tuple[InstrumentListed, ...]
    ) -> Iterator[tuple[Key, Probe]]:
        """Yield the probe of each channel of a connection that has one."""
        listed = {one.name: one for one in instruments}
        for channel in channels:
            if channel.kind in ("market_trades", "ticker"):
                yield (channel.kind, channel.name), self._probe(listed[channel.name])

    def _probe(self, listed: InstrumentListed) -> Probe:
        async def probe(first: bool) -> Arrived:
            # A ticker follows a trade, so its probe is the same.
            rows = await self._info.newest(listed.name, limit=100)
            pieces = self._decoder.pieces(rows, self._now_ns())
            own = [[one for one in piece if one.instrument == listed.instrument] for piece in pieces]
            return self._trades(listed.name, own)

        return probe
