"""Rate limits of a venue for one IP address, counted for all connections and requests together.

Counts everything a venue limits: REST weight, orders, messages and new connections within a time; open
connections, subscriptions and posts in flight. The numbers are data of each venue (`Limits`). Promises: no
span of time holds more than its rate allows; a fifth of weight, messages and posts is kept for cancels and
exits; beside an account a fifth each is kept for queries of orders and for readings of the account, so that
neither waits for the other, nor for the market's requests;
requests that wait are served by priority, then first in, first out; a refusal by the venue (429, 418,
403) halves the budget of weight for a minute, and its `Retry-After` is honoured; a wait that would last too
long raises `BudgetSpent`, and nothing is sent.

Shared by the feed, the HTTP client and the gateway. Not for threads: called by trio tasks only.
"""

from __future__ import annotations

import enum
import math
from bisect import insort
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

import msgspec
import trio

from engine.errors import UsageError, VenueUnreachable

__all__ = [
    "Budget",
    "BudgetSpent",
    "Governor",
    "Limits",
    "Priority",
    "Rate",
    "order_query",
]

MINUTE_S: Final = 60
RESERVE: Final = 0.2
"""The share of messages, weight and posts that only cancels and exits may use."""

CUT_MIN: Final = 0.125
"""Lower bound on the fraction of the weight budget that refusals leave."""

RETRY_AFTER_S_MAX: Final = 300.0
"""The longest `Retry-After` that is honoured."""

WAITING_MAX: Final = 1000
"""Upper bound on tasks waiting for one resource; each holds one request."""

_PAUSES_S: Final = {429: 5.0, 418: 60.0, 403: 60.0}


class Priority(enum.IntEnum):
    """The order of service: the lowest number first. An exit is an order that closes a position.

    A query asks about one order; requests of the account within `order_query` are queries.
    """

    CANCEL = 0
    EXIT = 1
    ORDER = 2
    QUERY = 3
    ACCOUNT = 4
    MARKET = 5
    HISTORY = 6


KEPT: Final = {Priority.QUERY: 0.2, Priority.ACCOUNT: 0.2}
"""The shares of weight that are kept for these kinds where there is an account."""

_querying: ContextVar[bool] = ContextVar("querying", default=False)


@contextmanager
def order_query() -> Iterator[None]:
    """Count the requests of the account that this task makes as those of a query of an order."""
    token = _querying.set(True)
    try:
        yield
    finally:
        _querying.reset(token)


class BudgetSpent(VenueUnreachable):
    """The venue's limits did not allow the request in time. It was not sent, so its outcome is known."""


class Rate(msgspec.Struct, frozen=True):
    """At most `amount` within any `per_s` seconds."""

    amount: int
    per_s: int = MINUTE_S


class Limits(msgspec.Struct, frozen=True):
    """A venue's limits for one IP address. `connections` are new ones.

    `orders` are those of an account's orders, each within its own time; () where the venue has none.
    """

    weight: Rate
    messages: Rate
    connections: Rate
    connections_open: int
    subscriptions: int
    posts_in_flight: int
    orders: tuple[Rate, ...] = ()

    def at_speed(self, speed: float) -> Limits:
        """Return the limits of a sandbox whose time runs `speed` times as fast."""
        faster = {
            name: Rate(int(rate.amount * speed), rate.per_s)
            for name, rate in (
                ("weight", self.weight),
                ("messages", self.messages),
                ("connections", self.connections),
            )
        }
        orders = tuple(Rate(int(rate.amount * speed), rate.per_s) for rate in self.orders)
        return msgspec.structs.replace(self, **faster, orders=orders)


class Budget(msgspec.Struct, frozen=True):
    """Current usage and limits, for people. `paused_s`: how long no requests are sent."""

    weight: int
    weight_limit: int
    messages: int
    connections_new: int
    connections_open: int
    subscriptions: int
    posts: int
    waiting: int
    waiting_high: int
    refusals: int
    paused_s: float

    def __str__(self) -> str:
        """Return one line."""
        paused = f", paused for {self.paused_s:.0f} s" if self.paused_s else ""
        return (
            f"weight {self.weight}/{self.weight_limit}, messages {self.messages}, "
            f"connections {self.connections_open}, subscriptions {self.subscriptions}, "
            f"posts {self.posts}, waiting {self.waiting}, refused {self.refusals}{paused}"
        )


class Governor:
    """The limits of one address. Every `async` method waits at most `within_s`, then raises BudgetSpent."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._weight = _Window(limits.weight.per_s)
        self._messages = _Window(limits.messages.per_s)
        self._new_connections = _Window(limits.connections.per_s)
        self._orders = tuple(_Window(rate.per_s) for rate in limits.orders)
        self._open = 0
        self._subscriptions = 0
        self._posts = 0
        self._weight_queue = _Queue("REST weight")
        self._message_queue = _Queue("messages per minute")
        self._connection_queue = _Queue("connections")
        self._post_queue = _Queue("posts in flight")
        self._order_queue = _Queue("orders")
        self._refusals = 0
        self._kinds: dict[Priority, _Window] = {}
        self._cut = 1.0
        self._cut_at = -math.inf
        self._closed_until = -math.inf  # no request is sent before this
        self._cancels_until = -math.inf  # only cancels and exits are sent before this

    async def weigh(self, weight: int, priority: Priority, within_s: float = 120.0) -> None:
        """Wait until a REST request of this weight may be sent, and count it. Raises BudgetSpent."""
        kind = _kind(priority)
        await self._weight_queue.wait(
            kind, lambda: self._weight_in(weight, kind), within_s, lambda: self._kept_in(weight, kind)
        )
        self.charge(weight, priority)

    def charge(self, weight: int, priority: Priority = Priority.MARKET) -> None:
        """Count additional weight, such as that of an answer's rows."""
        self._weight.add(weight)
        if own := self._kinds.get(_kind(priority)):
            own.add(weight)

    def keep_for_account(self) -> None:
        """Keep weight for queries of orders and for readings of the account: orders are sent from here."""
        for kind in KEPT:
            self._kinds.setdefault(kind, _Window(self.limits.weight.per_s))

    def note_weight(self, used: int) -> None:
        """Take over the weight that the venue says is used, if it counts more than we do."""
        self._weight.add(max(0, used - self._weight.used()))

    async def order(self, priority: Priority, within_s: float = 120.0) -> None:
        """Wait until one more order may be sent, and count it. Raises BudgetSpent."""
        await self._order_queue.wait(priority, lambda: self._orders_in(priority), within_s)
        for window in self._orders:
            window.add(1)

    def note_orders(self, used: int, per_s: int) -> None:
        """Take over the number of orders within `per_s` that the venue counts, if it is more than ours."""
        for rate, window in zip(self.limits.orders, self._orders, strict=True):
            if rate.per_s == per_s:
                window.add(max(0, used - window.used()))

    async def message(self, priority: Priority = Priority.MARKET, within_s: float = 120.0) -> None:
        """Wait until one websocket message may be sent, and count it. Raises BudgetSpent."""
        limit = _share(self.limits.messages.amount, priority)
        await self._message_queue.wait(priority, lambda: self._messages.room_in(1, limit), within_s)
        self._messages.add(1)

    @asynccontextmanager
    async def connection(
        self, priority: Priority = Priority.MARKET, within_s: float = 120.0
    ) -> AsyncIterator[None]:
        """Hold one of the open connections, from before dialing to after closing. Raises BudgetSpent."""
        await self._connection_queue.wait(priority, self._connection_in, within_s)
        self._new_connections.add(1)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._connection_queue.stir()

    @asynccontextmanager
    async def post(self, priority: Priority, within_s: float = 120.0) -> AsyncIterator[None]:
        """Hold one post in flight, from before sending to the answer or its timeout. Raises BudgetSpent.

        Its message and its weight are counted by their own calls.
        """
        limit = _share(self.limits.posts_in_flight, priority)
        await self._post_queue.wait(priority, lambda: 0.0 if self._posts < limit else math.inf, within_s)
        self._posts += 1
        try:
            yield
        finally:
            self._posts -= 1
            self._post_queue.stir()

    @contextmanager
    def subscriptions(self, count: int) -> Iterator[None]:
        """Hold `count` subscriptions for the life of a connection. Raises UsageError."""
        if self._subscriptions + count > self.limits.subscriptions:
            raise UsageError(
                f"{self._subscriptions + count} subscriptions are more than the {self.limits.subscriptions} "
                "that the venue allows one address; choose fewer instruments or channels"
            )
        self._subscriptions += count
        try:
            yield
        finally:
            self._subscriptions -= count

    def refused(self, status: int, retry_after_s: float | None = None) -> None:
        """Apply a refusal for too many requests: HTTP 429, or a ban (418, 403).

        Halves the weight for a minute. With a `Retry-After` or a ban, no request is sent until it is over.
        After a plain 429 cancels and exits are still sent: they are worth the risk of another refusal.
        """
        now = trio.current_time()
        self._refusals += 1
        self._cut = max(CUT_MIN, self._factor() / 2)
        self._cut_at = now
        if retry_after_s is not None or status != 429:
            pause_s = _PAUSES_S.get(status, MINUTE_S) if retry_after_s is None else retry_after_s
            self._closed_until = max(self._closed_until, now + min(pause_s, RETRY_AFTER_S_MAX))
        else:
            self._cancels_until = max(self._cancels_until, now + _PAUSES_S[429])
        self._weight_queue.stir()

    @property
    def closed_s(self) -> float:
        """For how many seconds no request may be sent because of a refusal; 0 if they may."""
        return max(0.0, self._closed_until - trio.current_time())

    def budget(self) -> Budget:
        """Return the current usage."""
        queues = (
            self._weight_queue,
            self._message_queue,
            self._connection_queue,
            self._post_queue,
            self._order_queue,
        )
        paused_s = max(0.0, max(self._closed_until, self._cancels_until) - trio.current_time())
        return Budget(
            weight=self._weight.used(),
            weight_limit=int(self.limits.weight.amount * self._factor()),
            messages=self._messages.used(),
            connections_new=self._new_connections.used(),
            connections_open=self._open,
            subscriptions=self._subscriptions,
            posts=self._posts,
            waiting=sum(len(queue) for queue in queues),
            waiting_high=max(queue.high for queue in queues),
            refusals=self._refusals,
            paused_s=paused_s,
        )

    def _factor(self) -> float:
        """Return the fraction of the budget that refusals leave; it doubles with each minute without one."""
        quiet_s = min(trio.current_time() - self._cut_at, 10.0 * MINUTE_S)
        return min(1.0, math.ldexp(self._cut, int(quiet_s / MINUTE_S)))

    def _weight_in(self, weight: int, priority: Priority) -> float:
        closed_s = self._closed_until - trio.current_time()
        if priority > Priority.EXIT:
            closed_s = max(closed_s, self._cancels_until - trio.current_time())
        if closed_s > 0:
            return closed_s
        whole = int(self.limits.weight.amount * self._factor())
        limit = _share(whole, priority)
        if priority > Priority.EXIT:
            for kind, own in self._kinds.items():
                limit -= max(0, int(whole * KEPT[kind]) - own.used()) if kind != priority else 0
        room_s = self._weight.room_in(weight, limit)
        # A reduced budget grows every minute, possibly before entries leave the window.
        return min(room_s, MINUTE_S) if self._factor() < 1 else room_s

    def _kept_in(self, weight: int, priority: Priority) -> float:
        """Return in how many seconds a request fits into what is kept for its kind; infinity if never."""
        own = self._kinds.get(priority)
        if own is None:
            return math.inf
        return own.room_in(weight, int(self.limits.weight.amount * self._factor() * KEPT[priority]))

    def _orders_in(self, priority: Priority) -> float:
        rates = zip(self.limits.orders, self._orders, strict=True)
        return max((window.room_in(1, _share(rate.amount, priority)) for rate, window in rates), default=0.0)

    def _connection_in(self) -> float:
        if self._open >= self.limits.connections_open:
            return math.inf
        return self._new_connections.room_in(1, self.limits.connections.amount)


class _Window:
    """A sum over the last `per_s` seconds, kept by the second: at most `per_s` + 2 entries."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._seconds: deque[list[int]] = deque()  # [second, amount], oldest first
        self._sum = 0

    def add(self, amount: int) -> None:
        """Count `amount` now."""
        second = int(trio.current_time())
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += amount
        else:
            self._seconds.append([second, amount])
        self._sum += amount

    def used(self) -> int:
        """Return the sum. Entries of one second are dropped together, once the whole second is old enough."""
        now = trio.current_time()
        while self._seconds and self._seconds[0][0] + 1 + self._per_s <= now:
            self._sum -= self._seconds.popleft()[1]
        return self._sum

    def room_in(self, amount: int, limit: int) -> float:
        """Return in how many seconds `amount` more fits; 0 for now, infinity if never."""
        over = self.used() + amount - limit
        if over <= 0:
            return 0.0
        for second, gone in self._seconds:
            over -= gone
            if over <= 0:
                return second + 1 + self._per_s - trio.current_time()
        return math.inf


class _Queue:
    """The tasks that wait for one resource, by priority, then first in, first out."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tickets: list[tuple[int, int]] = []  # sorted; at most WAITING_MAX
        self._number = 0
        self._stirred = trio.Event()
        self.high = 0

    def __len__(self) -> int:
        """Return the number of waiting tasks."""
        return len(self._tickets)

    def stir(self) -> None:
        """Wake the first task in the queue to check again."""
        self._stirred.set()
        self._stirred = trio.Event()

    async def wait(
        self,
        priority: Priority,
        room_in: Callable[[], float],
        within_s: float,
        kept_in: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Wait until this is the first of the queue and `room_in` returns 0. Raises BudgetSpent.

        The first of its priority passes those before it while `kept_in` returns 0: what it takes is its own.
        Returns without a checkpoint after the last check, so that the caller can count it at once.
        """
        if not self._tickets and room_in() <= 0:
            return
        if len(self._tickets) >= WAITING_MAX:
            raise BudgetSpent(f"{WAITING_MAX} requests wait for {self._what}; this one is not sent")
        self._number += 1
        ticket = (int(priority), self._number)
        insort(self._tickets, ticket)
        self.high = max(self.high, len(self._tickets))
        deadline = trio.current_time() + within_s
        try:
            while True:
                wait_s = room_in() if self._tickets[0] == ticket else math.inf
                if wait_s > 0 and next(one for one in self._tickets if one[0] == ticket[0]) == ticket:
                    wait_s = min(wait_s, max(room_in(), kept_in()))
                if wait_s <= 0:
                    return
                if trio.current_time() >= deadline:
                    raise BudgetSpent(
                        f"no room within {within_s:g} s in the venue's limit of {self._what}; not sent"
                    )
                with trio.move_on_at(min(deadline, trio.current_time() + wait_s)):
                    await self._stirred.wait()
        finally:
            self._tickets.remove(ticket)
            self.stir()


def _kind(priority: Priority) -> Priority:
    return Priority.QUERY if priority is Priority.ACCOUNT and _querying.get() else priority


def _share(limit: int, priority: Priority) -> int:
    """Return the part of a limit that a priority may use: cancels and exits all of it, others four fifths."""
    return limit if priority <= Priority.EXIT else int(limit * (1 - RESERVE))
