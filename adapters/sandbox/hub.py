"""Websocket subscriptions: which client gets which frames, and when.

Owns the subscriptions and the schedule of periodic frames. Promises: a subscription is acknowledged before
its first data; a frame is encoded once for all its subscribers; a slow client delays no other client and is
disconnected when its queue is full. No method awaits, so every call is atomic. The server calls `handle` with
client frames, and `add_trade`, `add_quote`, `flush` and `tick` as the tape is played.

Where the venue's documentation is silent, the sandbox behaves like this: a bbo subscription immediately gets
the current quote; a trades subscription to an instrument without trades gets an empty first frame; a candle
subscription gets nothing until the next trade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from adapters.exchange.grid import DEPTH
from adapters.exchange.protocol import Client
from adapters.sandbox.exchange.exchange import Exchange
from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.exchange.user_info import first_user_frame
from adapters.sandbox.info import Info, book_options_known
from adapters.sandbox.market_state import InstrumentState, MarketState
from adapters.sandbox.wire import (
    ERROR_PARSE,
    ActiveAssetCtx,
    AllMids,
    Bbo,
    Candles,
    L2Book,
    OrderUpdates,
    Ping,
    Post,
    Subscribe,
    Subscription,
    Trades,
    UserAsset,
    UserEvents,
    UserFills,
    UserFundings,
    UserLedger,
    UserOrders,
    UserSpot,
    UserState,
    UserSubscription,
    encode,
    error_frame,
    frame,
    parse_client_frame,
    subscription_frame,
)
from engine.events import Quote, Trade

__all__ = ["FAST_DEPTH", "Hub", "post_error"]

FAST_DEPTH: Final = 5

_BOOK_NS: Final = 5_400_000_000
_FAST_BOOK_NS: Final = 540_000_000
_MIDS_NS: Final = 5_000_000_000
_CONTEXT_NS: Final = 1_000_000_000
_STATE_NS: Final = 5_000_000_000
"""Period of the frames with a full account state. The venue's own period is not known."""

_USER_TOPICS: Final[dict[str, Callable[[str], list[Subscription]]]] = {
    "orderUpdates": lambda user: [OrderUpdates(user)],
    "userFills": lambda user: [UserFills(user), UserFills(user, aggregate_by_time=True)],
    "userEvents": lambda user: [UserEvents(user)],
    "userFundings": lambda user: [UserFundings(user)],
    "userNonFundingLedgerUpdates": lambda user: [UserLedger(user)],
}
_CANDLE_NS: Final = 500_000_000
_PUSH_REAL_NS: Final = 50_000_000
"""Shortest real time between two periodic frames of a kind, however fast the tape is played."""

_STATUS_TEXTS: Final = {400: "Bad Request", 422: "Unprocessable Entity"}


class Hub:
    """The websocket streams of one sandbox."""

    def __init__(
        self,
        market: MarketState,
        info: Info,
        exchange: Exchange,
        *,
        speed: float,
        subscriptions_max: int,
        users_max: int,
    ) -> None:
        self._market = market
        self._info = info
        self._exchange = exchange
        self._subscriptions_max = subscriptions_max
        self._users_max = users_max
        self._count = 0
        self._peers: dict[Client, dict[Subscription, None]] = {}
        self._topics: dict[Subscription, dict[Client, None]] = {}
        # Tape events since the last flush, in order. Bounded by the events of one round of the tape player.
        self._pending_trades: dict[InstrumentState, list[Trade]] = {}
        self._pending_quotes: dict[InstrumentState, Quote] = {}
        # Candle subscriptions by instrument, and those whose candle changed since it was last sent.
        self._candle_streams: dict[InstrumentState, list[Candles]] = {}
        self._changed_candles: dict[Candles, None] = {}
        floor_ns = int(_PUSH_REAL_NS * speed)
        pushes: list[tuple[int, Callable[[int], None]]] = [
            (_CANDLE_NS, self._push_candles),
            (_FAST_BOOK_NS, lambda now_ms: self._push_books(now_ms, fast=True)),
            (_BOOK_NS, lambda now_ms: self._push_books(now_ms, fast=False)),
            (_CONTEXT_NS, self._push_contexts),
            (_MIDS_NS, self._push_mids),
            (_STATE_NS, self._push_states),
        ]
        self._clocks = [_PushClock(max(period_ns, floor_ns), push) for period_ns, push in pushes]

    # --- clients and subscriptions --------------------------------------------------------------------

    @property
    def subscriptions(self) -> int:
        """The number of subscriptions on all connections."""
        return self._count

    @property
    def peers(self) -> list[Client]:
        """The connections, oldest first."""
        return list(self._peers)

    def connect(self, peer: Client) -> None:
        """Add a connection."""
        self._peers[peer] = {}

    def disconnect(self, peer: Client) -> None:
        """Remove a connection and its subscriptions."""
        for subscription in self._peers.pop(peer, {}):
            self._drop(peer, subscription)

    def handle(self, peer: Client, text: str, now_ms: int) -> Post | Ping | None:
        """Process a client's frame. A post or ping is returned, for the caller to answer."""
        request = parse_client_frame(text)
        if request is None:
            peer.send(error_frame(ERROR_PARSE + text))
        elif isinstance(request, Post | Ping):
            return request
        elif isinstance(request, Subscribe):
            self._subscribe(peer, _lowered(request.subscription), now_ms)
        else:
            self._unsubscribe(peer, _lowered(request.subscription))
        return None

    def act(self, body: bytes | msgspec.Raw, now_ms: int) -> str:
        """Execute a signed action, send the resulting reports, return the answer. Raises BadRequest."""
        answer = encode(self._exchange.act(body, now_ms)).decode()
        self._send_reports()
        return answer

    def _send_reports(self) -> None:
        """Send the exchange's pending account reports to their subscribers."""
        for kind, user, text in self._exchange.reports.drain():
            for topic in _USER_TOPICS[kind](user):
                subscribers = self._topics.get(topic)
                if subscribers:
                    _publish(subscribers, text)

    def _subscribe(self, peer: Client, subscription: Subscription, now_ms: int) -> None:
        held = self._peers.get(peer)
        if held is None:
            return
        if not self._known(subscription):
            peer.abort()
            return
        if subscription in held:
            peer.send(error_frame("Already subscribed: " + encode(subscription).decode()))
            return
        if isinstance(subscription, UserSubscription) and self._users_full(subscription.user):
            peer.send(error_frame(f"Cannot track more than {self._users_max} total users."))
            return
        if self._count >= self._subscriptions_max:
            peer.send(error_frame(f"Cannot track more than {self._subscriptions_max} total subscriptions."))
            return
        held[subscription] = None
        self._count += 1
        self._topics.setdefault(subscription, {})[peer] = None
        if isinstance(subscription, Candles):
            streams = self._candle_streams.setdefault(self._market.by_name[subscription.coin], [])
            if subscription not in streams:
                streams.append(subscription)
        peer.send(subscription_frame("subscribe", subscription))
        first = self._first(subscription, now_ms)
        if first is not None:
            peer.send(first)

    def _unsubscribe(self, peer: Client, subscription: Subscription) -> None:
        held = self._peers.get(peer, {})
        if subscription not in held:
            peer.send(error_frame("Already unsubscribed: " + encode(subscription).decode()))
            return
        del held[subscription]
        self._drop(peer, subscription)
        peer.send(subscription_frame("unsubscribe", subscription))

    def _drop(self, peer: Client, subscription: Subscription) -> None:
        self._count -= 1
        subscribers = self._topics[subscription]
        del subscribers[peer]
        if subscribers:
            return
        del self._topics[subscription]
        if isinstance(subscription, Candles):
            self._candle_streams[self._market.by_name[subscription.coin]].remove(subscription)
            self._changed_candles.pop(subscription, None)

    def _known(self, subscription: Subscription) -> bool:
        """Return whether the subscription exists on the venue, which cuts the connection if it does not."""
        if isinstance(subscription, AllMids):
            return not subscription.dex
        if isinstance(subscription, UserState | UserOrders):
            return not subscription.dex
        if isinstance(subscription, UserSubscription) and not isinstance(subscription, UserAsset):
            return True
        if subscription.coin not in self._market.by_name:
            return False
        if isinstance(subscription, L2Book):
            return book_options_known(subscription.n_sig_figs, subscription.mantissa)
        return True

    def _first(self, subscription: Subscription, now_ms: int) -> str | None:
        """Return the frame sent right after the acknowledgement, or None."""
        market = self._market
        if isinstance(subscription, AllMids):
            return self._mids_frame()
        if isinstance(subscription, UserSubscription):
            return first_user_frame(self._exchange, subscription, now_ms)
        instrument = market.by_name[subscription.coin]
        if isinstance(subscription, Trades):
            return frame("trades", instrument.replay())
        if isinstance(subscription, Bbo):
            return None if instrument.quote is None else frame("bbo", instrument.wire.bbo(instrument.quote))
        if isinstance(subscription, L2Book):
            return self._book_frame(subscription, now_ms)
        if isinstance(subscription, ActiveAssetCtx):
            return self._context_frame(instrument, now_ms)
        return None

    def answer_post(self, post: Post, now_ms: int) -> str:
        """Process a post and return the frame that answers it."""
        if post.request.type == "info":
            answer = self._info.answer(post.request.payload, now_ms)
            if answer.text:
                return post_error(post, f"{answer.status} {_STATUS_TEXTS[answer.status]}: {answer.body}")
            return _post_frame(post, "info", f'{{"type":"{answer.type}","data":{answer.body}}}')
        try:
            return _post_frame(post, "action", self.act(post.request.payload, now_ms))
        except BadRequest as refused:
            return post_error(post, f"{refused.status} {_STATUS_TEXTS[refused.status]}: {refused}")

    # --- frames to clients ----------------------------------------------------------------------------

    def add_trade(self, trade: Trade) -> None:
        """Add a trade from the tape. It is sent with the next flush."""
        instrument = self._market.by_number[trade.instrument]
        streams = self._candle_streams.get(instrument)
        if streams and instrument.candles.begins_minute(trade.venue_ns // 1_000_000):
            # The last frame of a candle must show its final state.
            self._send_candles([stream for stream in streams if stream in self._changed_candles])
        instrument.add_trade(trade)
        self._exchange.add_trade(trade, instrument)
        if streams:
            self._changed_candles.update(dict.fromkeys(streams))
        self._pending_trades.setdefault(instrument, []).append(trade)

    def add_quote(self, quote: Quote) -> None:
        """Add a quote from the tape. The latest one is sent with the next flush, if it changed."""
        instrument = self._market.by_number[quote.instrument]
        if instrument.add_quote(quote):
            self._pending_quotes[instrument] = quote
            self._exchange.add_quote(quote, instrument)

    def flush(self) -> None:
        """Send the events since the last flush, trades before quotes, one frame per instrument and kind."""
        for instrument, trades in self._pending_trades.items():
            subscribers = self._topics.get(Trades(instrument.name))
            if subscribers:
                _publish(subscribers, frame("trades", instrument.wire.trades(trades)))
        self._pending_trades.clear()
        for instrument, quote in self._pending_quotes.items():
            subscribers = self._topics.get(Bbo(instrument.name))
            if subscribers:
                _publish(subscribers, frame("bbo", instrument.wire.bbo(quote)))
        self._pending_quotes.clear()
        self._send_reports()

    def tick(self, now_ns: int) -> int:
        """Send the periodic frames that are due; return when the next one is due (ns)."""
        self._exchange.advance(now_ns // 1_000_000)
        self._send_reports()
        for clock in self._clocks:
            if now_ns >= clock.due_ns:
                clock.due_ns = now_ns + clock.period_ns
                clock.push(now_ns // 1_000_000)
        return min(clock.due_ns for clock in self._clocks)

    def _push_candles(self, now_ms: int) -> None:
        self._send_candles(list(self._changed_candles))

    def _send_candles(self, streams: list[Candles]) -> None:
        for stream in streams:
            del self._changed_candles[stream]
            text = self._market.by_name[stream.coin].candle(stream.interval)
            if text is not None:
                _publish(self._topics[stream], frame("candle", text))

    def _push_books(self, now_ms: int, *, fast: bool) -> None:
        for topic, subscribers in list(self._topics.items()):
            if isinstance(topic, L2Book) and topic.fast == fast:
                _publish(subscribers, self._book_frame(topic, now_ms))

    def _push_contexts(self, now_ms: int) -> None:
        for topic, subscribers in list(self._topics.items()):
            if isinstance(topic, ActiveAssetCtx):
                _publish(subscribers, self._context_frame(self._market.by_name[topic.coin], now_ms))

    def _push_mids(self, now_ms: int) -> None:
        for topic, subscribers in list(self._topics.items()):
            if isinstance(topic, AllMids):
                _publish(subscribers, self._mids_frame())

    def _push_states(self, now_ms: int) -> None:
        for topic, subscribers in list(self._topics.items()):
            if isinstance(topic, UserState | UserOrders | UserSpot | UserAsset):
                text = first_user_frame(self._exchange, topic, now_ms)
                if text is not None:
                    _publish(subscribers, text)

    def _users_full(self, user: str) -> bool:
        """Return whether subscribing to `user` would exceed the limit of users."""
        users = {topic.user for topic in self._topics if isinstance(topic, UserSubscription)}
        return user not in users and len(users) >= self._users_max

    def _mids_frame(self) -> str:
        return frame("allMids", f'{{"mids":{self._market.mids()}}}')

    def _context_frame(self, instrument: InstrumentState, now_ms: int) -> str:
        return frame("activeAssetCtx", instrument.wire.context(instrument.context_row(now_ms)))

    def _book_frame(self, topic: L2Book, now_ms: int) -> str:
        instrument = self._market.by_name[topic.coin]
        depth = FAST_DEPTH if topic.fast else DEPTH
        return frame(
            "l2Book",
            instrument.book(
                now_ms, depth=depth, figures=topic.n_sig_figs, mantissa=topic.mantissa, fast=topic.fast
            ),
        )


class _PushClock:
    """A frame sent every `period_ns` of the sandbox's time. `push` is called with the time in ms."""

    def __init__(self, period_ns: int, push: Callable[[int], None]) -> None:
        self.due_ns = 0
        self.period_ns = period_ns
        self.push = push


def _lowered(subscription: Subscription) -> Subscription:
    """Return a subscription with its address in lower case, as the venue echoes it."""
    if isinstance(subscription, UserSubscription):
        return msgspec.structs.replace(subscription, user=subscription.user.lower())
    return subscription


def post_error(post: Post, text: str) -> str:
    """Return the frame that answers a post with an error: HTTP status and text in one string."""
    return _post_frame(post, "error", encode(text).decode())


def _post_frame(post: Post, kind: str, payload: str) -> str:
    return frame("post", f'{{"id":{post.id},"response":{{"type":"{kind}","payload":{payload}}}}}')


def _publish(subscribers: dict[Client, None], text: str) -> None:
    """Queue a frame for every subscriber. Sending may disconnect one, so iterate over a copy."""
    for peer in list(subscribers):
        peer.send(text)
