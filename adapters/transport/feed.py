"""A market data feed of one venue: several streams that the engine sees as one feed.

Owns the newest state of the market and the queue of events for the engine. Promises: `run` ends only by
cancellation or when the engine no longer takes events; each trade is emitted once, in batches, with `recv_ns`
never going back (as long as the clock does not); FeedUp is emitted when every subscription is confirmed,
and from then on FeedHeard at intervals and at the ends of windows, if every connection answers (`proof.py`);
every loss of a connection is a FeedDown with the reason and the wait; after every reconnect each instrument
gets at least one FeedGap that reports whether trades are missing. What cannot be used, and a subscription
that is set aside or renewed, is a FeedDamaged; if it is about trades, a FeedGap of that instrument follows. A
venue's feed derives from it, adds its streams, and handles frames (`receive`). Run by the runtime, which
supervises it and reads `health`.

The streams are one feed, not several: bars are in doubt while any part is down, so a FeedDown names the
instruments of the lost connection, FeedUp waits for all, and then the instruments of the others get a closed
gap.

If the venue has an HTTP API, `watch` also starts: the probes of silent subscriptions
(`silence.py`), the repair of windows with trades missing and the comparison of closed bars (`repair.py`), and
polling while a stream stays down (`polling.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar

import trio

from adapters.transport.candles import CandleSource, PushedCandles
from adapters.transport.connection import Loss
from adapters.transport.context import FeedContext
from adapters.transport.damage import Damages
from adapters.transport.gaps import GapHost, GapTracker, Pieces, Proof, RecentTrades
from adapters.transport.health import FeedHealth
from adapters.transport.latest import Latest, Reading
from adapters.transport.polling import Polling
from adapters.transport.probing import ProbeParts
from adapters.transport.proof import AHEAD_S, Proofs, VenueClock
from adapters.transport.protocol import Damage, StreamProtocol, Subscription
from adapters.transport.repair import Checks, Repairs
from adapters.transport.setup import FeedSetup
from adapters.transport.silence import Key, Probe, Silences
from adapters.transport.stream import Stream
from adapters.transport.trades import TradeMemory
from engine.errors import UsageError
from engine.events import CandleRead, ClockJumped, Event, FeedDown, FeedGap, FeedUp, InstrumentListed

__all__ = ["Feed"]

_NAMES_MAX = 3
_WINDOWS_MAX = 60
"""A jump of the clock over more windows than this leaves no bars (`engine.actors.skipping`)."""
_SETTLE_EVERY_S = 0.5
"""How often a connection is pinged after a jump until it has answered."""


class Feed(ABC):
    """Base of a venue's feed of `instruments` (at least one).

    `name` is the feed's own in its events; the rest is in `FeedSetup`.

    `TRADES` and `CANDLES` are the venue's names of these channels.
    """

    TRADES: ClassVar[str] = "trades"
    CANDLES: ClassVar[str] = "candle"

    def __init__(self, name: str, setup: FeedSetup) -> None:
        assert setup.instruments, "a feed without instruments would never be confirmed"
        clock, limits, governor = setup.clock, setup.limits, setup.governor
        self._setup = setup
        self.governor = governor
        self.health = FeedHealth()
        self._name = name
        self._instruments = setup.instruments
        self._clock = clock
        self._send = setup.send
        self._offer = setup.offer
        self._limits = limits
        self._context = context = FeedContext(
            clock, setup.jitter, limits, self.health, governor, name, self._emit, self.catch_up
        )
        self._delivering = False
        # Filled by decoding, emptied by `_deliver`; at most pending_max and one frame's events.
        self._pending: list[Event] = []
        self._filled = trio.Event()
        self._emptied = trio.Event()
        self._interrupted: dict[int, int] = {}  # by instrument, its last trade when the feed went down
        self._started = False
        self._streams: list[Stream] = []
        self._trackers: dict[int, GapTracker] = {}
        self._latest = Latest(self.health)
        self._candles = PushedCandles(lambda end_ns: context.seconds_since(end_ns) >= limits.grace_s)
        self._silences = Silences(context, self._renew, self.TRADES)
        self._damages = Damages(context)
        self._named = {listed.name: listed for listed in setup.instruments}
        self._venue_clock = setup.venue_clock or VenueClock(clock)
        self._proofs = Proofs(context, self._venue_clock, self._streams, self._is_held, lambda: self.behind)
        self.ahead_ns = 0  # see `bound_times`
        # Started with the streams; more of them if the venue has an HTTP API.
        self._watchers: list[Callable[[], Awaitable[None]]] = [self._damages.run]
        self._repairs: Repairs | None = None
        self._polling: Polling | None = None

    # ---- implemented by a venue

    @abstractmethod
    def receive(self, stream: Stream, frame: Any, recv_ns: int) -> None:
        """Emit the events of a frame that are new; report what cannot be used to `note_damages`."""

    @abstractmethod
    def pieces_of(self, frame: Any, recv_ns: int) -> Pieces:
        """Return the trades of a frame of any kind, in pieces without a gap; report nothing."""

    @abstractmethod
    def key_of(self, subscription: Subscription) -> Key:
        """Return the channel of a subscription and the name of its instrument, "" for one without."""

    def bound_times(self) -> None:
        """Compute how far the venue's times may lie ahead of their receipt; a venue's decoders refuse others.

        Called again when the engine's clock was set.
        """
        self.ahead_ns = self._venue_clock.ahead_ns(AHEAD_S)

    def probes(self, stream: Stream) -> Iterable[tuple[Key, Probe]]:
        """Return the probe of each confirmed subscription of a stream that has one."""
        return ()

    def track(
        self, recent: RecentTrades | None, proof: Proof, tracker: type[GapTracker] = GapTracker
    ) -> None:
        """Watch the trades of every instrument for gaps.

        `recent` reads missed trades, `proof` returns whether trades join the known ones.
        """
        since_ns, seen = self._setup.since_ns, self._setup.last_seen
        for listed in self._instruments:
            memory = TradeMemory(self.health, since_ns, seen.get(listed.instrument))
            host = GapHost(self.request_repair, self.report_print)
            self._trackers[listed.instrument] = tracker(self._context, listed, memory, recent, host, proof)

    def probe_parts(self) -> ProbeParts:
        """Return what probes have of this feed."""
        memories = {listed.name: self._trackers[listed.instrument].memory for listed in self._instruments}
        return ProbeParts(self._clock.now_ns, self._latest, memories, self.take_reading)

    def stream(
        self,
        url: str | Callable[[], str],
        protocol: StreamProtocol,
        subscriptions: Sequence[Subscription],
        instruments: Sequence[InstrumentListed],
        merge: Callable[[list[str]], list[str]] | None = None,
    ) -> Stream:
        """Return a stream of market data for `carry`, at an address or at one made for each connection."""
        return Stream(
            *(self._context, self, protocol, subscriptions, url),
            self._setup.dials(url if isinstance(url, str) else url()),
            instruments=tuple(instruments),
            tap=self._setup.tap,
            partial=self,
            venue_now_ns=self._venue_clock.now_ns,
            on_answer=self._proofs.note_answer,
            merge=merge,
        )

    def carry(self, streams: Sequence[Stream]) -> None:
        """Add the streams of this feed. Raises UsageError for more subscriptions than the venue allows."""
        asked = sum(len(one.subscriptions) for one in streams)
        if asked > self.governor.limits.subscriptions:
            raise UsageError(
                f"{asked} subscriptions are more than the {self.governor.limits.subscriptions} "
                "that the venue allows; choose fewer instruments or channels"
            )
        self._streams += streams

    def watch(
        self,
        source: CandleSource,
        poll_quote: Callable[[InstrumentListed], Awaitable[None]],
    ) -> None:
        """Start the probes, repairs, comparisons and polls with the streams. `poll_quote` emits a quote."""
        context, data = self._context, self._setup.data
        self._repairs = Repairs(context, source, self._instruments)
        self._watchers += [self._silences.run, self._repairs.run]
        if data.check_minutes and source.intervals_ns:
            checks = Checks(
                context, source, self._instruments, data.check_minutes * 60.0, self._setup.since_ns
            )
            self._watchers.append(checks.run)
        if data.poll_after_s:
            self._polling = Polling(
                context, source, self._streams, data.poll_after_s, poll_quote, self.request_repair
            )
            self._watchers.append(self._polling.run)

    def request_repair(self, instrument: int, from_ns: int, to_ns: int) -> None:
        """Request repair of the bars between two venue times."""
        if self._repairs is not None:
            self._repairs.add_windows(instrument, from_ns, to_ns)

    def take_trades(self, pieces: Pieces, recv_ns: int, stream: Stream) -> None:
        """Emit the trades of a message that are new."""
        if len(pieces) == 1 and len(pieces[0]) == 1:
            self._trackers[pieces[0][0].instrument].receive(pieces, recv_ns, stream)
            return
        for instrument in _instruments_of(pieces):
            own = [[trade for trade in piece if trade.instrument == instrument] for piece in pieces]
            self._trackers[instrument].receive(own, recv_ns, stream)

    def note_damages(self, stream: Stream, damages: Iterable[Damage], recv_ns: int, pieces: Pieces) -> None:
        """Report what cannot be used of a message, before its usable trades are taken (`pieces`)."""
        used = _instruments_of(pieces)
        for damage in damages:
            self.health.damages += 1
            listed = self._named.get(damage.name)
            concerned = [listed] if listed is not None else list(stream.instruments)
            if damage.channel in ("", self.TRADES):
                for one in concerned:
                    self._doubt_trades(stream, one, damage, placed=damage.placed and one.instrument in used)
            else:
                number = 0 if listed is None else listed.instrument
                self._damages.note(damage.channel, number, damage.reason, stream.message)
            if damage.channel in ("", self.CANDLES):
                # The lost message may have been the last of its candle.
                numbers = {one.instrument for one in concerned}
                self._candles.lose(numbers)
                for key in [key for key in self._latest.candles if key[0] in numbers]:
                    del self._latest.candles[key]
            name = "" if listed is None else listed.name
            self._silences.note_damage(stream, damage.channel, name, recv_ns)

    def _doubt_trades(
        self, stream: Stream, listed: InstrumentListed, damage: Damage, *, placed: bool = False
    ) -> None:
        """Report that trades of an instrument may be missing; `placed`: its tracker finds the place."""
        tracker = self._trackers[listed.instrument]
        begins = not tracker.in_doubt
        if not placed:
            tracker.damage(stream)
        self._damages.note(
            *(damage.channel, listed.instrument, damage.reason, stream.message), in_doubt=True, always=begins
        )

    def report_print(self, instrument: int, reason: str, begins: bool) -> None:
        """Report a print that is left out; `begins`: it leaves trades in doubt that were not."""
        self.health.damages += 1
        self._damages.note(self.TRADES, instrument, reason, in_doubt=begins, always=begins)

    def take_reading(self, reading: Reading) -> None:
        """Emit a reading if it is new."""
        if self._latest.is_new(reading):
            self._emit(reading)

    def take_candle(self, candle: CandleRead) -> None:
        """Add a pushed candle; emit the candles that are now closed."""
        self._latest.candles[candle.instrument, candle.interval_ns] = candle
        self._emit(*self._candles.take(candle))

    # ---- life cycle

    async def run(self) -> None:
        """Keep the feed up until cancelled. Raises what `send` raises, and no error of the network.

        May be called again after it raised; it continues with the events that were not sent.
        """
        self._delivering = False
        if self._started:
            for tracker in self._trackers.values():
                tracker.lose()
            for stream in self._streams:
                self._silences.unwatch(stream)
        self._started = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver)
            if self._limits.heard_s:
                nursery.start_soon(self._proofs.run)
            if self._limits.heard_s and self._limits.window_ns:
                nursery.start_soon(self._proofs.prove_windows)
            for watcher in self._watchers:
                nursery.start_soon(watcher)
            for stream in self._streams:
                nursery.start_soon(stream.run)

    def note_jump(self, jumped: ClockJumped) -> None:
        """Prove what was sent before the end of a jump of the clock, and have the bars of a hole repaired.

        The bars of a short jump have all that the connections deliver; longer ones are repaired where they
        include windows without bars.
        """
        self.bound_times()
        if not jumped.ahead:
            return
        for stream in self._streams:
            if stream.live:
                stream.start_soon(self._settle_jump, stream, jumped.from_ns)
        window_ns = self._limits.window_ns
        if window_ns and (jumped.to_ns - jumped.from_ns) // window_ns > _WINDOWS_MAX:
            for listed in self._instruments:
                self.request_repair(listed.instrument, jumped.from_ns, jumped.to_ns)

    async def _settle_jump(self, stream: Stream, from_ns: int) -> None:
        """Report that nothing is missing, once the connection has delivered what was sent before now.

        Ends with the connection; then its instruments are settled by the next one.
        """
        sent_ns = self._venue_clock.now_ns()
        while stream.reached_ns < sent_ns:
            await stream.ping()
            await trio.sleep(_SETTLE_EVERY_S)
        await self.catch_up()
        recv_ns = self._clock.now_ns()
        for listed in stream.instruments:
            tracker = self._trackers[listed.instrument]
            if not tracker.memory.resuming and not tracker.in_doubt:
                self._emit(FeedGap(recv_ns, self._name, listed.instrument, from_ns, recv_ns, True))

    async def stream_up(self, stream: Stream, recv_ns: int) -> None:
        """See `StreamHost`. The feed is up once all streams are: all subscriptions but those set aside."""
        for one in stream.subscriptions:
            if one not in stream.confirmed:
                self._miss_trades(stream, one, f"{one.label} is not confirmed yet")
        self._silences.watch(stream, self.probes(stream), recv_ns)
        if self._resuming(stream):
            stream.start_soon(self._check_silent, stream)
        if not all(one.live for one in self._streams):
            for number in [listed.instrument for listed in stream.instruments]:
                tracker = self._trackers[number]
                if tracker.doubt_since(self._interrupted.get(number, tracker.memory.last_ns)):
                    self._interrupted[number] = recv_ns  # a gap follows; a later doubt begins here
            return
        self.health.live = True
        subscriptions = sum(len(one.confirmed) for one in self._streams)
        attempts = sum(one.take_attempts() for one in self._streams)
        heard_ms = round(self._limits.heard_s * 1000)
        self._proofs.note_up()
        self._emit(FeedUp(recv_ns, self._name, subscriptions, attempts, heard_ms, heard_ms > 0))
        if self._polling is not None:
            self._polling.stream_up()
        for number, from_ns in self._interrupted.items():
            if not self._trackers[number].doubt_since(from_ns):
                self._emit(FeedGap(recv_ns, self._name, number, from_ns, recv_ns, True))
        self._interrupted.clear()

    async def stream_down(self, stream: Stream, loss: Loss, backoff_ms: int) -> None:
        """See `StreamHost`."""
        for number, tracker in self._trackers.items():
            self._interrupted.setdefault(number, tracker.memory.last_ns)
        for channel, name in map(self.key_of, stream.subscriptions):
            if channel == self.TRADES:
                self._trackers[self._named[name].instrument].lose()
        self._keep_held(stream)
        self._candles.lose(listed.instrument for listed in stream.instruments)
        self._silences.unwatch(stream)
        self.health.live = False
        reason = loss.reason
        lost: tuple[int, ...] = ()
        if len(self._streams) > 1:
            lost = tuple(listed.instrument for listed in stream.instruments)
            names = [listed.name for listed in stream.instruments]
            more = f" and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else ""
            reason = f"{', '.join(names[:_NAMES_MAX])}{more}: {reason}"
        self._emit(FeedDown(self._clock.now_ns(), self._name, reason, backoff_ms, lost))

    def subscribed(self, stream: Stream, subscription: Subscription, recv_ns: int) -> None:
        """See `PartialHost`. Watch a subscription that is confirmed late; its trades are joined."""
        key = self.key_of(subscription)
        if not self._silences.has(key):
            self._silences.watch(stream, [one for one in self.probes(stream) if one[0] == key], recv_ns)
        if key[0] == self.TRADES:
            stream.start_soon(self._check_silent, stream)

    def set_aside(self, stream: Stream, subscription: Subscription, reason: str) -> None:
        """See `PartialHost`."""
        self.health.damages += 1
        channel, name = self.key_of(subscription)
        reason = f"{subscription.label} {reason}; it is set aside, and tried again later"
        if channel == self.TRADES:
            self._miss_trades(stream, subscription, reason, report=True)
        else:
            number = self._named[name].instrument if name in self._named else 0
            self._damages.note(channel, number, reason, always=True)

    def _miss_trades(
        self, stream: Stream, subscription: Subscription, reason: str, *, report: bool = False
    ) -> None:
        """Leave the trades of a subscription in doubt until it is confirmed and they are joined."""
        channel, name = self.key_of(subscription)
        if channel != self.TRADES:
            return
        number = self._named[name].instrument
        tracker = self._trackers[number]
        begins = not tracker.in_doubt
        tracker.lose()
        tracker.damage(stream)
        if begins or report:
            self._damages.note(channel, number, reason, in_doubt=True, always=True)

    def _renew(self, stream: Stream, key: Key, reason: str) -> bool:
        """End the subscriptions of a key and request them again; return False if that is not possible."""
        own = [one for one in stream.confirmed if self.key_of(one) == key]
        if not stream.renew(own):
            return False
        reason = f"{reason}; subscribed again"
        if key[0] == self.TRADES:
            self._miss_trades(stream, own[0], reason, report=True)
        else:
            listed = self._named.get(key[1])
            self._damages.note(key[0], 0 if listed is None else listed.instrument, reason, always=True)
        return True

    def _keep_held(self, stream: Stream) -> None:
        """Keep the trades that came before the lost connection was up: they are joined with the next."""
        recv_ns = self._clock.now_ns()
        kept: dict[int, Pieces] = {}
        for frame in stream.take_held():
            for place, piece in enumerate(self.pieces_of(frame, recv_ns)):
                if place:
                    for pieces in kept.values():
                        pieces.append([])
                for trade in piece:
                    kept.setdefault(trade.instrument, [[]])[-1].append(trade)
        for number, pieces in kept.items():
            self._trackers[number].memory.carry(pieces)

    @property
    def behind(self) -> bool:
        """Whether the engine is behind."""
        return len(self._pending) >= self._limits.pending_max

    async def catch_up(self) -> None:
        """Wait while the engine is behind."""
        while self.behind:
            await self._emptied.wait()

    def _is_held(self, stream: Stream) -> bool:
        """Return whether trades of a stream are held until missed ones are read."""
        return any(self._trackers[one.instrument].memory.waiting is not None for one in stream.instruments)

    def _resuming(self, stream: Stream) -> list[InstrumentListed]:
        """Return the instruments whose trades are subscribed to and must still be joined."""
        keys = [self.key_of(one) for one in stream.confirmed]
        own = [self._named[name] for kind, name in keys if kind == self.TRADES]
        return [listed for listed in own if self._trackers[listed.instrument].memory.resuming]

    async def _check_silent(self, stream: Stream) -> None:
        """Check instruments that sent nothing since a reconnect: they are quiet, or trades are missing."""
        await trio.sleep(self._limits.replay_s)
        for listed in self._resuming(stream):
            await self._trackers[listed.instrument].check_if_silent(stream)

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
        """Send the decoded events to the engine, all that are queued at a time."""
        while True:
            if not self._pending:
                self._filled = trio.Event()
                await self._filled.wait()
            batch, self._pending = self._pending, []
            self._emptied.set()
            self._emptied = trio.Event()
            self.health.batches += 1
            self._delivering = True
            try:
                await self._send(batch)
            except BaseException:
                self._pending = batch + self._pending  # not sent: the next run sends the whole batch
                raise
            self._delivering = False


def _instruments_of(pieces: Pieces) -> dict[int, None]:
    return dict.fromkeys(trade.instrument for piece in pieces for trade in piece)
