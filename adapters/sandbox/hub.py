"""Who listens to what, and what they are sent and when.

Owns the subscriptions and the venue's clocks of delivery. Promises: an acknowledgement comes before the
first data; a frame is encoded once however many listen; nobody waits for a slow listener, which is cut
off when its queue is full; nothing here awaits, so what one call does is never seen half done. The
server calls `handle` with what a client sent, `add_trade`, `add_quote`, `flush` and `tick` with the tape.

What the venue does is in its reference; what that leaves open is decided here: a bbo subscription
is sent the standing touch at once, a trades subscription of a coin without prints gets an empty first
frame, a candle subscription gets nothing before the next print.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from adapters.sandbox.exchange.desk import Desk
from adapters.sandbox.exchange.questions import first_user_frame
from adapters.sandbox.exchange.refusals import BadRequest
from adapters.sandbox.info import Info, book_options_known
from adapters.sandbox.played import Coin, PlayedMarket
from adapters.sandbox.wire import (
    ERROR_PARSE,
    PONG,
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

__all__ = ["FAST_DEPTH", "Hub", "Peer", "post_error"]

FAST_DEPTH: Final = 5

_BOOK_NS: Final = 5_400_000_000
_FAST_BOOK_NS: Final = 540_000_000
_MIDS_NS: Final = 5_000_000_000
_CONTEXT_NS: Final = 1_000_000_000
_STATE_NS: Final = 5_000_000_000
"""How often whole account states are pushed. The venue's own period is not known."""

_USER_TOPICS: Final[dict[str, Callable[[str], list[Subscription]]]] = {
    "orderUpdates": lambda user: [OrderUpdates(user)],
    "userFills": lambda user: [UserFills(user), UserFills(user, aggregate_by_time=True)],
    "userEvents": lambda user: [UserEvents(user)],
    "userFundings": lambda user: [UserFundings(user)],
    "userNonFundingLedgerUpdates": lambda user: [UserLedger(user)],
}
_CANDLE_NS: Final = 500_000_000
_PUSH_REAL_NS: Final = 50_000_000
"""A clock never runs faster than this in real time, however fast the tape plays."""

_STATUS_TEXTS: Final = {400: "Bad Request", 422: "Unprocessable Entity"}


class Peer(Protocol):
    """A connection as the hub sees it."""

    def send(self, text: str) -> None:
        """Queue a frame; cuts the connection off when the queue is full."""

    def abort(self) -> None:
        """End the connection abruptly: no close frame."""


class Hub:
    """The streams of one sandbox."""

    def __init__(
        self,
        market: PlayedMarket,
        info: Info,
        desk: Desk,
        *,
        speed: float,
        subscriptions_max: int,
        users_max: int,
    ) -> None:
        self._market = market
        self._info = info
        self._desk = desk
        self._subscriptions_max = subscriptions_max
        self._users_max = users_max
        self._count = 0
        self._peers: dict[Peer, dict[Subscription, None]] = {}
        self._topics: dict[Subscription, dict[Peer, None]] = {}
        # What the tape brought since the last flush, in its order. Bounded by the events between two flushes.
        self._fresh_trades: dict[Coin, list[Trade]] = {}
        self._fresh_quotes: dict[Coin, Quote] = {}
        # Candle streams by coin, and those whose candle has grown since it was last sent.
        self._candle_streams: dict[Coin, list[Candles]] = {}
        self._grown: dict[Candles, None] = {}
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

    # --- who listens ----------------------------------------------------------------------------------

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are, over all connections."""
        return self._count

    @property
    def peers(self) -> list[Peer]:
        """The connections, oldest first."""
        return list(self._peers)

    def connect(self, peer: Peer) -> None:
        """Take a new connection."""
        self._peers[peer] = {}

    def disconnect(self, peer: Peer) -> None:
        """Forget a connection and its subscriptions."""
        for subscription in self._peers.pop(peer, {}):
            self._drop(peer, subscription)

    def handle(self, peer: Peer, text: str, now_ms: int) -> Post | None:
        """Do what a client's frame asks; a post is returned, for the caller to have answered."""
        request = parse_client_frame(text)
        if request is None:
            peer.send(error_frame(ERROR_PARSE + text))
        elif isinstance(request, Ping):
            peer.send(PONG)
        elif isinstance(request, Post):
            return request
        elif isinstance(request, Subscribe):
            self._subscribe(peer, _lowered(request.subscription), now_ms)
        else:
            self._unsubscribe(peer, _lowered(request.subscription))
        return None

    def act(self, body: bytes | msgspec.Raw, now_ms: int) -> str:
        """Do a signed action and return the answer; what it caused is sent before. Raises BadRequest."""
        answer = encode(self._desk.act(body, now_ms)).decode()
        self._send_reports()
        return answer

    def _send_reports(self) -> None:
        """Send accounts what happened to them."""
        for kind, user, text in self._desk.reports.drain():
            for topic in _USER_TOPICS[kind](user):
                listeners = self._topics.get(topic)
                if listeners:
                    _publish(listeners, text)

    def _subscribe(self, peer: Peer, subscription: Subscription, now_ms: int) -> None:
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

    def _unsubscribe(self, peer: Peer, subscription: Subscription) -> None:
        held = self._peers.get(peer, {})
        if subscription not in held:
            peer.send(error_frame("Already unsubscribed: " + encode(subscription).decode()))
            return
        del held[subscription]
        self._drop(peer, subscription)
        peer.send(subscription_frame("unsubscribe", subscription))

    def _drop(self, peer: Peer, subscription: Subscription) -> None:
        self._count -= 1
        listeners = self._topics[subscription]
        del listeners[peer]
        if listeners:
            return
        del self._topics[subscription]
        if isinstance(subscription, Candles):
            self._candle_streams[self._market.by_name[subscription.coin]].remove(subscription)
            self._grown.pop(subscription, None)

    def _known(self, subscription: Subscription) -> bool:
        """Whether the venue has what is asked for; where it has not, it closes the whole connection."""
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
        """Return the frame that follows the acknowledgement at once."""
        market = self._market
        if isinstance(subscription, AllMids):
            return self._mids_frame()
        if isinstance(subscription, UserSubscription):
            return first_user_frame(self._desk, subscription, now_ms)
        coin = market.by_name[subscription.coin]
        if isinstance(subscription, Trades):
            return frame("trades", coin.replay())
        if isinstance(subscription, Bbo):
            return None if coin.touch is None else frame("bbo", coin.wire.bbo(coin.touch))
        if isinstance(subscription, L2Book):
            return self._book_frame(subscription, now_ms)
        if isinstance(subscription, ActiveAssetCtx):
            return self._context_frame(coin, now_ms)
        return None

    def answer_post(self, post: Post, now_ms: int) -> str:
        """Do what a post asks and return the frame that answers it."""
        if post.request.type == "info":
            answer = self._info.answer(post.request.payload, now_ms)
            if answer.text:
                return post_error(post, f"{answer.status} {_STATUS_TEXTS[answer.status]}: {answer.body}")
            return _post_frame(post, "info", f'{{"type":"{answer.type}","data":{answer.body}}}')
        try:
            return _post_frame(post, "action", self.act(post.request.payload, now_ms))
        except BadRequest as refused:
            return post_error(post, f"{refused.status} {_STATUS_TEXTS[refused.status]}: {refused}")

    # --- what they are sent ---------------------------------------------------------------------------

    def add_trade(self, trade: Trade) -> None:
        """Take a print from the tape; it is sent with the next flush."""
        coin = self._market.by_number[trade.instrument]
        streams = self._candle_streams.get(coin)
        if streams and coin.candles.begins_minute(trade.venue_ns // 1_000_000):
            # The last frame before a candle's `t` changes is its closing state.
            self._send_candles([stream for stream in streams if stream in self._grown])
        coin.add_trade(trade)
        self._desk.add_trade(trade, coin)
        if streams:
            self._grown.update(dict.fromkeys(streams))
        self._fresh_trades.setdefault(coin, []).append(trade)

    def add_quote(self, quote: Quote) -> None:
        """Take a touch from the tape; the latest one is sent with the next flush if it changed."""
        coin = self._market.by_number[quote.instrument]
        if coin.add_quote(quote):
            self._fresh_quotes[coin] = quote
            self._desk.add_quote(quote, coin)

    def flush(self) -> None:
        """Send what came since the last flush, as the venue sends a block: prints first, a frame per coin."""
        for coin, trades in self._fresh_trades.items():
            listeners = self._topics.get(Trades(coin.name))
            if listeners:
                _publish(listeners, frame("trades", coin.wire.trades(trades)))
        self._fresh_trades.clear()
        for coin, quote in self._fresh_quotes.items():
            listeners = self._topics.get(Bbo(coin.name))
            if listeners:
                _publish(listeners, frame("bbo", coin.wire.bbo(quote)))
        self._fresh_quotes.clear()
        self._send_reports()

    def tick(self, now_ns: int) -> int:
        """Push what the venue pushes by the clock; return the time (ns) when something is due again."""
        self._desk.advance(now_ns // 1_000_000)
        self._send_reports()
        for clock in self._clocks:
            if now_ns >= clock.due_ns:
                clock.due_ns = now_ns + clock.period_ns
                clock.push(now_ns // 1_000_000)
        return min(clock.due_ns for clock in self._clocks)

    def _push_candles(self, now_ms: int) -> None:
        self._send_candles(list(self._grown))

    def _send_candles(self, streams: list[Candles]) -> None:
        for stream in streams:
            del self._grown[stream]
            text = self._market.by_name[stream.coin].candle(stream.interval)
            if text is not None:
                _publish(self._topics[stream], frame("candle", text))

    def _push_books(self, now_ms: int, *, fast: bool) -> None:
        for topic, listeners in list(self._topics.items()):
            if isinstance(topic, L2Book) and topic.fast == fast:
                _publish(listeners, self._book_frame(topic, now_ms))

    def _push_contexts(self, now_ms: int) -> None:
        for topic, listeners in list(self._topics.items()):
            if isinstance(topic, ActiveAssetCtx):
                _publish(listeners, self._context_frame(self._market.by_name[topic.coin], now_ms))

    def _push_mids(self, now_ms: int) -> None:
        for topic, listeners in list(self._topics.items()):
            if isinstance(topic, AllMids):
                _publish(listeners, self._mids_frame())

    def _push_states(self, now_ms: int) -> None:
        for topic, listeners in list(self._topics.items()):
            if isinstance(topic, UserState | UserOrders | UserSpot | UserAsset):
                text = first_user_frame(self._desk, topic, now_ms)
                if text is not None:
                    _publish(listeners, text)

    def _users_full(self, user: str) -> bool:
        """Return whether one more user would be too many."""
        users = {topic.user for topic in self._topics if isinstance(topic, UserSubscription)}
        return user not in users and len(users) >= self._users_max

    def _mids_frame(self) -> str:
        return frame("allMids", f'{{"mids":{self._market.mids()}}}')

    def _context_frame(self, coin: Coin, now_ms: int) -> str:
        return frame("activeAssetCtx", coin.wire.context(coin.context(now_ms)))

    def _book_frame(self, topic: L2Book, now_ms: int) -> str:
        coin = self._market.by_name[topic.coin]
        depth = FAST_DEPTH if topic.fast else 20
        return frame(
            "l2Book",
            coin.book(
                now_ms, depth=depth, figures=topic.n_sig_figs, mantissa=topic.mantissa, fast=topic.fast
            ),
        )


class _PushClock:
    """Something that is pushed every `period_ns` of the sandbox's time; `push` is given the time in ms."""

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
    """Return the frame that answers a post with an error: one string, HTTP's status and text."""
    return _post_frame(post, "error", encode(text).decode())


def _post_frame(post: Post, kind: str, payload: str) -> str:
    return frame("post", f'{{"id":{post.id},"response":{{"type":"{kind}","payload":{payload}}}}}')


def _publish(listeners: dict[Peer, None], text: str) -> None:
    """Queue a frame to every listener; one that is cut off by it leaves the others alone."""
    for peer in list(listeners):
        peer.send(text)
