"""A toy venue: everything that a package of somebody else's must bring, against a small exchange of its own.

It has a feed, history, a raw decoder and one setting; it takes no real orders. `BareVenue` has the feed only.
The wire is JSON over a websocket (`toy_exchange.py`):

    {"do": "list"}                      -> {"now": ms, "list": [[name, price decimals, size decimals], ...]}
    {"do": "candles", "name": "AAA", "every": ms, "from": ms, "to": ms}
                                        -> {"candles": [[start, o, h, l, c, volume, trades], ...]}
    {"do": "watch", "names": ["AAA"]}   -> {"watching": 1}, then one message for each trade and quote:
    {"trade": ["AAA", id, ms, price, size, "buy"]}    {"quote": ["AAA", ms, bid, size, ask, size]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import trio
from trio_websocket import HandshakeError, open_websocket_url

from engine.clock import SystemClock
from engine.config import Config, nearest
from engine.errors import ConfigError, UsageError, VenueProtocolError, VenueUnreachable
from engine.events import (
    CandleRead,
    Event,
    FeedDown,
    FeedGap,
    FeedUp,
    InstrumentListed,
    MarketRules,
    Quote,
    Trade,
)
from engine.ports import Edge
from engine.values import BUY, SELL, parse_interval, parse_scaled
from engine.venue import (
    Listing,
    RawDecoder,
    Rules,
    SessionContext,
    Settings,
    Signer,
    Venue,
    VenueClient,
    VenueTime,
)

MS = 1_000_000
ANSWER_S = 5


class ToySettings(Settings, frozen=True, forbid_unknown_fields=True):
    """`[venues.toy]`: `quotes` subscribes to the best bid and ask."""

    quotes: bool = True


class ToyVenue(Venue):
    """See `engine.venue.Venue`."""

    name = "toy"
    rules = Rules(
        silence="none",
        ids="sequence",
        markets={"perp": MarketRules(stated=True, quote="USD", value_min="1")},
    )
    settings = ToySettings
    has_history = True
    has_raw = True

    def check(self, config: Config) -> None:
        self.section(config)
        if config.data.channels:
            raise ConfigError(f"data.channels: the toy venue has no {config.data.channels[0]!r}")

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        if base_url is None:
            raise UsageError("the toy venue has no address of its own; give its --base-url")
        return base_url

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> VenueClient:
        return ToyClient(self, base_url)

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        return ToyDecoder(instruments)


class BareVenue(ToyVenue):
    """The same with a feed, and nothing else."""

    name = "bare"
    has_history = False
    has_raw = False


class ToyDecoder:
    """See `engine.venue.RawDecoder`."""

    books_every_ns = 0

    def __init__(self, instruments: Sequence[InstrumentListed]) -> None:
        self._listed = {one.name: one for one in instruments}

    def decode(self, message: str | bytes, recv_ns: int) -> list[Event]:
        try:
            data = json.loads(message)
            if "trade" in data:
                name, number, ms, price, size, side = data["trade"]
                one = self._listed[name]
                taker = {"buy": BUY, "sell": SELL}[side]
                grid = (parse_scaled(price, one.price_scale), parse_scaled(size, one.size_scale))
                return [Trade(recv_ns, ms * MS, one.instrument, *grid, taker, number)]
            if "quote" in data:
                name, ms, bid, bid_size, ask, ask_size = data["quote"]
                one = self._listed[name]
                prices = [parse_scaled(text, one.price_scale) for text in (bid, ask)]
                sizes = [parse_scaled(text, one.size_scale) for text in (bid_size, ask_size)]
                return [Quote(recv_ns, ms * MS, one.instrument, prices[0], sizes[0], prices[1], sizes[1])]
        except (ValueError, TypeError, KeyError) as error:
            raise VenueProtocolError(f"toy: {message[:80]!r}: {error}") from error
        return []


class ToyClient(VenueClient):
    """See `engine.venue.VenueClient`."""

    def __init__(self, venue: ToyVenue, base_url: str) -> None:
        super().__init__()
        self._venue = venue
        self._url = base_url

    async def listing(self, names: Sequence[str]) -> Listing:
        clock, rules = SystemClock(), self._venue.rules
        sent_ns = clock.now_ns()
        answer = await self._ask({"do": "list"})
        time = VenueTime(answer["now"] * MS, sent_ns, clock.monotonic_ns())
        known = {
            name: InstrumentListed(
                0,
                0,
                self._venue.name,
                name,
                price,
                size,
                silence=rules.silence,
                ids=rules.ids,
                rules=rules.markets["perp"],
            )
            for name, price, size in answer["list"]
        }
        for name in names:
            if name not in known:
                raise UsageError(f"the toy venue lists no {name!r}; {nearest(name, list(known))}")
        return Listing([known[name] for name in names or known], time)

    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        frames = 0
        decoder = ToyDecoder(context.instruments)
        # The newest trade of each instrument: after a loss it says from when on trades may be missing.
        reached_ns = {number: venue_ns for number, (venue_ns, _) in context.last.items()}
        settings = self._venue.section(context.config)
        assert isinstance(settings, ToySettings)
        name, send, clock = self._venue.name, context.inputs.send, context.clock
        names = [one.name for one in context.instruments]
        self.health["feed"] = lambda: f"frames {frames}"

        async def read() -> None:
            """Read until the connection is lost; the supervisor waits, and runs it again."""
            nonlocal frames
            try:
                async with open_websocket_url(self._url, disconnect_timeout=1) as socket:
                    await socket.send_message(json.dumps({"do": "watch", "names": names}))
                    with trio.fail_after(ANSWER_S):
                        await socket.get_message()
                    now_ns = clock.now_ns()
                    gaps = [FeedGap(now_ns, name, *one, now_ns) for one in sorted(reached_ns.items())]
                    await send([FeedUp(now_ns, name, len(names)), *gaps])
                    while True:
                        message = await socket.get_message()
                        recv_ns, frames = clock.now_ns(), frames + 1
                        if context.tap is not None:
                            context.tap(recv_ns, message)
                        for event in decoder.decode(message, recv_ns):
                            if isinstance(event, Trade):
                                reached_ns[event.instrument] = event.venue_ns
                            if settings.quotes or not isinstance(event, Quote):
                                await send([event])
            except Exception as error:
                await send([FeedDown(clock.now_ns(), name, f"{type(error).__name__}: {error}")])
                raise

        return [Edge(name, read)]

    async def warm_up(
        self, instruments: Sequence[InstrumentListed], intervals: Sequence[str], count: int, now_ns: int
    ) -> list[Event]:
        found: list[CandleRead] = []
        for span_ns in map(parse_interval, intervals):
            end_ns = now_ns // span_ns * span_ns
            for one in instruments:
                found += await self.candles(one, span_ns, end_ns - count * span_ns, end_ns)
        return sorted(found, key=lambda one: (one.venue_ns, one.interval_ns, one.instrument))  # type: ignore[return-value]

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> list[CandleRead]:
        span = {"every": interval_ns // MS, "from": from_ns // MS, "to": to_ns // MS}
        answer = await self._ask({"do": "candles", "name": listed.name, **span})
        recv_ns, scale = SystemClock().now_ns(), listed.price_scale
        return [
            CandleRead(
                recv_ns,
                start * MS + interval_ns,
                listed.instrument,
                interval_ns,
                start * MS,
                *(parse_scaled(price, scale) for price in prices),
                parse_scaled(volume, listed.size_scale),
                trades,
                "history",
            )
            for start, *prices, volume, trades in answer["candles"]
        ]

    async def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with trio.fail_after(ANSWER_S):
                async with open_websocket_url(self._url, disconnect_timeout=1) as socket:
                    await socket.send_message(json.dumps(question))
                    answer: dict[str, Any] = json.loads(await socket.get_message())
                    return answer
        except (OSError, HandshakeError, trio.TooSlowError) as error:
            raise VenueUnreachable(f"{self._url}: {type(error).__name__}") from error
