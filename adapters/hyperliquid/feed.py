"""The Hyperliquid market data feed: trades and the touch of a few coins, for as long as the session lasts.

Owns one websocket at a time and what is believed of it. Promises: run() ends only by cancellation or when
the engine no longer takes events; each print is told once, in batches, with `recv_ns` never going back (as
long as the clock does not); FeedUp comes when every subscription is confirmed and before any of its data;
every loss is a FeedDown with the reason and the wait; every reconnect gives each instrument a FeedGap that
says whether prints are missing. Called by the runtime, which supervises it and reads `health`.

    dial -> subscribe -> all confirmed -> FeedUp -> frames -> loss -> FeedDown -> backoff -> dial

A frame that cannot be decoded ends the connection like any loss; the backoff grows while that repeats, so a
poisonous frame is met once per backoff, never in a busy loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import trio

from adapters.hyperliquid.connection import Connection, Dial, Loss, dial_url
from adapters.hyperliquid.decode import Decoder, by_time
from adapters.hyperliquid.health import FeedHealth, FeedLimits
from adapters.hyperliquid.info import websocket_url
from adapters.hyperliquid.prints import LastPrint, Prints
from adapters.hyperliquid.wire import (
    Ack,
    AckFrame,
    BboFrame,
    ErrorFrame,
    Frame,
    PongFrame,
    TradesFrame,
    WireTrade,
    clip,
    decode_message,
    subscribe_text,
)
from engine.errors import VenueError, VenueProtocolError
from engine.events import Event, FeedDown, FeedGap, FeedUp, InstrumentListed, Trade
from engine.ports import Clock

__all__ = ["KINDS", "HyperliquidFeed"]

KINDS = ("trades", "bbo")
"""What is subscribed to, for each coin."""

Recent = Callable[[str], Awaitable[list[WireTrade]]]
"""Returns the newest prints of a coin, newest first; raises VenueError: `HyperliquidInfo.recent_trades`."""


class HyperliquidFeed:
    """A feed of `instruments` (at least one) from the venue at `base_url`.

    `send` takes a batch of events and may wait: that is the backpressure. `offer`, if given, takes one at
    once or says no; it saves the way through a task when nothing waits. `jitter` returns 0 to 1.

    `since_ns` is when the session started, in the venue's time: a print from before is never told, since a
    bar must not be built from part of its prints, and the venue replays prints of minutes ago on subscribing.
    `last_seen` gives, by instrument number, the last print in the journal: for these the limit is that
    print, and the first replay tells whether prints are missing since, as after a loss.

    `recent`, if given, is asked for missed prints when the replay does not reach back far enough.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        instruments: Sequence[InstrumentListed],
        clock: Clock,
        jitter: Callable[[], float],
        send: Callable[[list[Event]], Awaitable[None]],
        offer: Callable[[list[Event]], bool] | None = None,
        since_ns: int,
        last_seen: Mapping[int, LastPrint] | None = None,
        recent: Recent | None = None,
        limits: FeedLimits | None = None,
        dial: Dial | None = None,
    ) -> None:
        assert instruments, "a feed without instruments would never be confirmed"
        self._name = name
        self._url = websocket_url(base_url)
        self._dial = dial or dial_url(self._url)
        self._instruments = tuple(instruments)
        self._clock = clock
        self._jitter = jitter
        self._send = send
        self._offer = offer
        self._delivering = False
        self._recent = recent
        self._limits = limits or FeedLimits()
        self.health = FeedHealth()
        self._decoder = Decoder(self._instruments, self.health.dropped)
        seen = last_seen or {}
        self._prints = {
            listed.instrument: Prints(self.health, since_ns, seen.get(listed.instrument))
            for listed in instruments
        }
        self._coins = {listed.instrument: listed.name for listed in instruments}
        self._quote_ns = dict.fromkeys(self._prints, 0)
        # Filled by decoding, emptied by `_deliver`; at most pending_max and one frame's events.
        self._pending: list[Event] = []
        self._filled = trio.Event()
        self._emptied = trio.Event()
        # Of one connection:
        self._connection: Connection | None = None
        self._unconfirmed: dict[tuple[str, str], None] = {}
        self._held: list[Frame] = []
        self._held_bytes = 0
        self._backfills = 0
        self._live_at: float | None = None  # trio's clock
        self._attempt = 0  # connections tried since the feed was last up
        self._started = False

    async def run(self) -> None:
        """Keep the feed up until cancelled. Raises what `send` raises, and nothing of the network's.

        May be called again after it raised: it goes on from the last print it told.
        """
        self._delivering = False
        if self._started:
            for prints in self._prints.values():
                prints.lose()
        self._started = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver)
            failures = 0
            while True:
                loss = await self._connect()
                if self._live_at is not None:
                    self._attempt = 0
                    if trio.current_time() - self._live_at >= self._limits.stable_s:
                        failures = 0
                backoff_ms = self._backoff_ms(failures, loss)
                self._lost(loss, backoff_ms)
                failures += 1
                await trio.sleep(backoff_ms / 1000)

    # ---- one connection

    async def _connect(self) -> Loss:
        self._attempt += 1
        self.health.connections += 1
        self._unconfirmed = {(kind, listed.name): None for listed in self._instruments for kind in KINDS}
        self._held = []
        self._held_bytes = 0
        self._backfills = 0
        self._live_at = None
        self._connection = Connection(self._url, self._dial, self._limits, self._subscribe, self._take)
        return await self._connection.run()

    async def _subscribe(self) -> None:
        """Ask for everything, and give up on a venue that does not confirm it in time."""
        connection = self._line()
        deadline = trio.current_time() + self._limits.confirm_s
        for kind, coin in tuple(self._unconfirmed):
            await connection.send(subscribe_text(kind, coin))
        await trio.sleep_until(deadline)
        if self._live_at is None:
            connection.lose(
                Loss(f"{self._first_unconfirmed()} was not confirmed within {self._limits.confirm_s:g} s")
            )

    async def _take(self, message: str | bytes) -> None:
        """Take one message of the venue; waits while the engine is behind."""
        recv_ns = self._clock.now_ns()  # before decoding
        self.health.frames += 1
        self.health.last_frame_ns = recv_ns
        try:
            self._act_on(decode_message(message), recv_ns, len(message))
        except VenueProtocolError as error:
            self.health.frames_refused += 1
            data = message.encode("utf-8", "replace") if isinstance(message, str) else message
            digest = hashlib.blake2b(data, digest_size=4).hexdigest()
            self._line().lose(
                Loss(f"a message of {len(data)} bytes (blake2b {digest}) cannot be used: {error}")
            )
        while len(self._pending) >= self._limits.pending_max:
            await self._emptied.wait()

    def _act_on(self, frame: Frame, recv_ns: int, size: int) -> None:
        if isinstance(frame, TradesFrame | BboFrame):
            if self._live_at is not None:
                self._tell(frame, recv_ns)
            else:
                self._hold(frame, size)
        elif isinstance(frame, PongFrame):
            pass
        elif isinstance(frame, AckFrame):
            self._confirm(frame.data, recv_ns)
        elif isinstance(frame, ErrorFrame):
            self._complaint(frame.data)
        else:
            self.health.dropped["channel"] += 1

    def _hold(self, frame: Frame, size: int) -> None:
        """Keep what came before the feed is confirmed: it is told then, and not believed before."""
        self._held.append(frame)
        self._held_bytes += size
        if self._held_bytes > self._limits.held_bytes_max:
            self._line().lose(Loss(f"too much data before {self._first_unconfirmed()} was confirmed"))

    def _confirm(self, ack: Ack, recv_ns: int) -> None:
        """Match an acknowledgement: by kind and coin only, since the venue adds members of its own."""
        asked = (ack.subscription.type, ack.subscription.coin or "")
        if ack.method != "subscribe" or asked not in self._unconfirmed:
            self.health.dropped["channel"] += 1
            return
        del self._unconfirmed[asked]
        if self._unconfirmed:
            return
        self._live_at = trio.current_time()
        self.health.live = True
        self._emit(FeedUp(recv_ns, self._name, len(KINDS) * len(self._instruments), self._attempt))
        held, self._held = self._held, []
        for frame in held:
            self._tell(frame, recv_ns)
        if any(prints.resuming for prints in self._prints.values()):
            self._line().start_soon(self._ask_about_silent)

    def _complaint(self, text: str) -> None:
        """The venue refuses something. Before the feed is up that can only be a subscription."""
        self.health.venue_errors += 1
        if self._live_at is None:
            self._line().lose(Loss(f"a subscription is refused: {clip(text)}"))

    def _tell(self, frame: Frame, recv_ns: int) -> None:
        if isinstance(frame, BboFrame):
            quote = self._decoder.quote(frame.data, recv_ns)
            if quote is None:
                return
            if quote.venue_ns < self._quote_ns[quote.instrument]:
                self.health.dropped["stale-quote"] += 1
                return
            self._quote_ns[quote.instrument] = quote.venue_ns
            self._emit(quote)
        elif isinstance(frame, TradesFrame):
            trades = self._decoder.trades(frame.data, recv_ns)
            for instrument in dict.fromkeys(trade.instrument for trade in trades):
                own = [trade for trade in trades if trade.instrument == instrument]
                self._tell_trades(instrument, own, recv_ns)

    def _tell_trades(self, instrument: int, trades: list[Trade], recv_ns: int) -> None:
        prints = self._prints[instrument]
        if prints.waiting is not None:
            prints.waiting += trades
            if len(prints.waiting) > self._limits.waiting_max:
                self._give_up_asking(instrument, recv_ns)
        elif not prints.resuming:
            self._emit(*prints.take(trades))
            self._check(instrument)
        elif prints.reaches(trades):
            self._close_gap(instrument, trades, True, recv_ns)
        elif prints.doubtful or not self._may_ask():
            self._close_gap(instrument, trades, False, recv_ns)
        else:
            prints.waiting = trades
            self._line().start_soon(self._backfill, instrument)

    def _check(self, instrument: int) -> None:
        """A print that came again with other content: not to be trusted until everything is read anew."""
        if self._prints[instrument].doubtful:
            self._line().lose(Loss(f"{self._coins[instrument]}: a print came again with other content"))

    # ---- after a loss

    def _close_gap(self, instrument: int, trades: list[Trade], closed: bool, recv_ns: int) -> None:
        """Join a replay to what was seen before: say what is known of the hole, then tell the new prints."""
        prints = self._prints[instrument]
        from_ns = prints.last_ns
        prints.join()
        carried = [msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in prints.carried]
        prints.carried = []
        fresh = prints.take(by_time(carried + trades))
        nearest_ns = from_ns if closed else max(from_ns, recv_ns)
        # There may be another hole between what an earlier connection left and this replay: spanned too.
        beyond = {(trade.venue_ns, trade.trade_id) for trade in (fresh if closed else trades)}
        to_ns = next(
            (
                trade.venue_ns
                for trade in fresh
                if trade.venue_ns >= from_ns and (trade.venue_ns, trade.trade_id) in beyond
            ),
            nearest_ns,
        )
        if closed:
            self.health.gaps_closed += 1
        else:
            self.health.gaps_open += 1
        self._emit(FeedGap(recv_ns, self._name, instrument, from_ns, to_ns, closed), *fresh)
        self._check(instrument)

    async def _ask_about_silent(self) -> None:
        """A coin that stays silent after a reconnect may be quiet, or have prints we missed."""
        await trio.sleep(self._limits.replay_s)
        for instrument, prints in self._prints.items():
            if prints.resuming and prints.waiting is None and self._may_ask():
                prints.waiting = []
                await self._backfill(instrument)

    def _may_ask(self) -> bool:
        return self._recent is not None and self._backfills < self._limits.backfills_max

    async def _backfill(self, instrument: int) -> None:
        """Ask the venue for the newest prints of one coin; what it prints meanwhile is held in `waiting`."""
        assert self._recent is not None, "asked for only where there is somebody to ask"
        self._backfills += 1
        rows: list[WireTrade] | None = None
        with trio.move_on_after(self._limits.backfill_s):
            try:
                rows = await self._recent(self._coins[instrument])
            except VenueError:
                self.health.venue_errors += 1
        recv_ns = self._clock.now_ns()
        prints = self._prints[instrument]
        if prints.waiting is None:
            return  # given up meanwhile
        if rows is None:
            self._give_up_asking(instrument, recv_ns)
            return
        try:
            recovered = self._decoder.trades(reversed(rows), recv_ns)
        except VenueProtocolError:
            self.health.venue_errors += 1
            self._give_up_asking(instrument, recv_ns)
            return
        recovered = [trade for trade in recovered if trade.instrument == instrument]
        closed = prints.reaches(recovered) or (not rows and not prints.proved)
        self._close_gap(instrument, by_time(recovered + self._release(prints, recv_ns)), closed, recv_ns)

    def _give_up_asking(self, instrument: int, recv_ns: int) -> None:
        waiting = self._release(self._prints[instrument], recv_ns)
        self._close_gap(instrument, waiting, False, recv_ns)

    @staticmethod
    def _release(prints: Prints, recv_ns: int) -> list[Trade]:
        """Return what was held, stamped anew: the engine learns of it only now, and time never goes back."""
        waiting, prints.waiting = prints.waiting or [], None
        return by_time([msgspec.structs.replace(trade, recv_ns=recv_ns) for trade in waiting])

    def _lost(self, loss: Loss, backoff_ms: int) -> None:
        recv_ns = self._clock.now_ns()
        for prints in self._prints.values():
            prints.lose()
        health = self.health
        health.live = False
        health.losses += 1
        health.last_loss = loss.reason
        health.frames_oversize += loss.oversize
        self._emit(FeedDown(recv_ns, self._name, loss.reason, backoff_ms))

    def _backoff_ms(self, failures: int, loss: Loss) -> int:
        """Return the wait: half of a bound that doubles with each failure, and chance for the other half."""
        limits = self._limits
        bound: float = min(limits.backoff_s_max, limits.backoff_s_min * 2.0 ** (min(failures, 20) + 1))
        if loss.patient:
            bound = limits.backoff_s_max
        chance = min(1.0, max(0.0, self._jitter()))
        return round(1000 * bound * (1 + chance) / 2)

    # ---- to the engine

    def _emit(self, *events: Event) -> None:
        if not events:
            return
        idle = not self._pending and not self._delivering
        if self._offer is not None and idle and self._offer(list(events)):
            self.health.batches += 1
            return
        self._pending += events
        self.health.events += len(events)
        self.health.pending_high = max(self.health.pending_high, len(self._pending))
        self._filled.set()

    async def _deliver(self) -> None:
        """Hand over what is decoded, as much as there is at a time."""
        while True:
            if not self._pending:
                self._filled = trio.Event()
                await self._filled.wait()
            batch, self._pending = self._pending, []
            self._emptied.set()
            self._emptied = trio.Event()
            self.health.batches += 1
            self._delivering = True
            await self._send(batch)
            self._delivering = False

    def _line(self) -> Connection:
        assert self._connection is not None, "called by a connection's own tasks only"
        return self._connection

    def _first_unconfirmed(self) -> str:
        kind, coin = next(iter(self._unconfirmed))
        return f"the subscription to {kind} of {coin}"
