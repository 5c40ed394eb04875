"""Random sequences for sessions of two strategies on two markets: one number reproduces a run.

`plan(number)` returns a `Plan`: the settings of the session and its steps. A step is something the market, a
strategy, an operator or time does. Steps are plain values, so a plan can be printed, written by hand and
shortened: leaving a step out leaves a plan that runs. Every plan made here ends calmly: prices are fresh and
deep, an operator resumes, each strategy cancels everything and asks for `target(0)`, and time passes.
Run by `paper.py`, which makes a session of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from engine.values import format_scaled
from tests.orders.faults import FAULTS
from tests.orders.lags import with_lags
from tests.orders.settings import Settings, with_loss_limits

AAA, BBB = 1, 2
NAMES = {AAA: "AAA", BBB: "BBB"}
PRICE_SCALE = {AAA: 2, BBB: 0}
SIZE_SCALE = {AAA: 2, BBB: 1}
FIRST_PRICE = {AAA: 10_000, BBB: 1_500}
UNIT = {AAA: 100, BBB: 3}
"""A usual size of an order, in steps of the market's grid."""

STRATEGIES = ("Long", "Short")
"""Names only: each may be long or short. Their books are in this order."""

CALM_MS = (0, 200, 300, 500, 1000, 1000, 2000, 3000, 5000, 5000, 10_000, 20_000, 30_000, 61_000, 5000, 5000)
"""Pauses between the fresh prices at the end: longer in all than any wait that the rules allow."""


@dataclass(frozen=True)
class Step:
    """What happens `after_ms` after the step before it.

    | kind | market | values |
    |---|---|---|
    | trade | yes | price, size, taker's side |
    | quote | yes | bid, size, ask, size |
    | book | yes | bids, asks: tuples of (price, size), best first |
    | candle | yes | open, high, low, close, volume |
    | context | yes | mark, oracle, hourly funding rate as text |
    | up, down | - | - |
    | gap | yes | milliseconds that are missing |
    | lag | - | engine or feed, milliseconds that it is late; 0: on time again |
    | clock, restart, kill | - | - |
    | operator | - | command, target |
    | command | - | command, its members as a dict, nonce |
    | call | - | strategy, hook, verb, arguments ..., named arguments |
    | venue | yes | with real orders: others, side, size; liquidate; person, which; down; up; transfer, sum |
    | fault | - | on the sandbox: kind, scope, milliseconds, how many times |

    Prices and sizes are whole steps of the market's grid, but decimal text in calls.
    """

    after_ms: int
    kind: str
    market: int = 0
    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        place = f" {NAMES[self.market]}" if self.market else ""
        return f"+{self.after_ms} ms {self.kind}{place} {' '.join(map(str, self.values))}".rstrip()


@dataclass(frozen=True)
class Plan:
    """One session. `number` is that of the generator, -1 for a plan written by hand.

    The last `calm` steps are the calm end; 0: the plan ends otherwise. `real`: with real orders; `sandbox`:
    with those of the sandbox.
    """

    number: int
    settings: Settings
    steps: tuple[Step, ...]
    calm: int = 0
    real: bool = False
    sandbox: bool = False

    def without(self, indexes: set[int]) -> Plan:
        """Return the plan without these steps. Later steps keep their time."""
        kept: list[Step] = []
        owed = 0
        for index, step in enumerate(self.steps):
            if index in indexes:
                owed += step.after_ms
            else:
                kept.append(Step(step.after_ms + owed, step.kind, step.market, step.values))
                owed = 0
        return replace(self, steps=tuple(kept))

    def head(self) -> str:
        """Return the plan as text, without the calm end."""
        steps = self.steps[: len(self.steps) - self.calm]
        lines = [f"plan {self.number}: {self.settings}", *map(str, steps)]
        if self.calm:
            lines.append(f"and {self.calm} steps of a calm end")
        return "\n  ".join(lines)


def plan(number: int) -> Plan:
    """Return the plan of this number."""
    return Author(Random(number)).write(number)


def real_plan(number: int) -> Plan:
    """Return the plan of this number for a session with real orders: the venue does things of its own."""
    return Author(Random(number), real=True).write(number)


def sandbox_plan(number: int) -> Plan:
    """Return the plan of this number for the sandbox, with its faults. The session adds the calm end."""
    return Author(Random(number), real=True, faults=True).write(number)


def price_text(market: int, price: int) -> str:
    """Return a price in steps as a strategy writes it."""
    return format_scaled(price, PRICE_SCALE[market])


def size_text(market: int, size: int) -> str:
    """Return a size in steps as a strategy writes it."""
    return format_scaled(size, SIZE_SCALE[market])


@dataclass
class Author:
    """Writes one plan: keeps the prices as they will be, so that calls are near them."""

    random: Random
    prices: dict[int, int] = field(default_factory=lambda: dict(FIRST_PRICE))
    asked: dict[tuple[str, int], int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)
    is_down: bool = False
    paused: bool = False
    real: bool = False
    faults: bool = False
    more: Random = field(default_factory=Random)
    """For what was added later: numbers keep their plans."""

    def write(self, number: int) -> Plan:
        self.more = Random(number + 1_000_000_007)
        self.settings = self._settings()
        if not self.real and self.more.random() < 0.15:  # so little that margin is refused and called
            self.settings = replace(self.settings, cash=self.more.choice(("12", "40")))
        if self.real:
            data = "quotes" if self.settings.data in ("books", "candles") else self.settings.data
            self.settings = replace(self.settings, data=data, spot=False, begin="noon")
        self.settings = with_loss_limits(number, self.settings)
        if self.faults:
            cash = self.random.choice(("60", "400", "10000"))
            self.settings = replace(self.settings, data="quotes", feed=False, cash=cash)
        self._begin()
        self._steps()
        if not self.faults:
            self.steps = with_lags(number, self.steps, lambda who, ms: Step(0, "lag", 0, (who, ms)))
        random_steps = len(self.steps)
        if not self.faults:
            self._calm()
        return Plan(
            number, self.settings, tuple(self.steps), len(self.steps) - random_steps, self.real, self.faults
        )

    def _settings(self) -> Settings:
        r = self.random
        return Settings(
            data=r.choices(("trades", "quotes", "books", "candles"), (30, 35, 15, 20))[0],
            feed=r.random() < 0.5,
            spot=r.random() < 0.25,
            latency_ms=r.choice((0, 40, 100, 100, 700)),
            taker_fee=r.choice(("0", "0.00045", "0.0007", "0.001")),
            maker_fee=r.choice(("0", "0.00015", "-0.0001")),
            slippage_bps=r.choice((0, 1, 1, 7)),
            fill_on_touch=r.random() < 0.3,
            cash=r.choice(("1000", "10000", "100000", "100000")),
            orders_per_minute=r.choice((2, 10, 600, 600)),
            position_notional=r.choice(("500", "1000000", "1000000")),
            on_failure=r.choice(("quarantine", "quarantine", "halt")),
            begin=r.choice(("noon", "noon", "noon", "eve")),
            value_min="0" if self.real else self.more.choice(("0", "0", "10")),
        )

    # The market.

    def _add(self, after_ms: int, kind: str, market: int = 0, *values: Any) -> None:
        self.steps.append(Step(after_ms, kind, market, values))

    def _begin(self) -> None:
        if self.settings.feed:
            self._add(0, "up")
        for market in NAMES:
            self._prices(market, 5)

    def _pause_ms(self) -> int:
        if self.settings.data == "candles":
            return 60_000
        return self.random.choices(
            (1, 30, 60, 120, 300, 900, 2500, 6000, 31_000, 120_000), (10, 15, 15, 20, 15, 15, 10, 6, 3, 1)
        )[0]

    def _move(self, market: int) -> None:
        """Let the price drift, or now and then jump by 5 to 20 %."""
        r = self.random
        price = self.prices[market]
        if r.random() < 0.06:
            price += round(price * r.choice((-1, 1)) * r.uniform(0.05, 0.2))
        else:
            price += round(price * r.gauss(0, 0.006))
        low, high = FIRST_PRICE[market] // 3, FIRST_PRICE[market] * 3
        self.prices[market] = min(max(price, low), high)

    def _prices(self, market: int, after_ms: int, *, deep: bool = False) -> None:
        """Add the price of a market as the session's data has it."""
        r = self.random
        price, data = self.prices[market], self.settings.data
        size = UNIT[market] * (1000 if deep else r.choice((1, 2, 4, 20))) // (1 if deep else 2) + 1
        spread = max(1, price * r.choice((1, 5, 20)) // 10_000)
        kind = (
            "trade"
            if data == "trades"
            else r.choice(("trade", "quote", "book")[: 3 if data == "books" else 2])
        )
        if data == "candles":
            self._candle(market, after_ms, deep=deep)
            return
        if kind == "trade":
            self._add(after_ms, "trade", market, price, size, r.choice((1, -1)))
        if kind == "quote" or (deep and data != "trades"):
            other = UNIT[market] * (1000 if deep else r.choice((1, 3, 9))) // (1 if deep else 3) + 1
            self._add(after_ms, "quote", market, price - spread, size, price + spread, other)
        if kind == "book" or (deep and data == "books"):
            bids, asks = (
                tuple((price + way * spread * (1 + level), size * (level + 1)) for level in range(4))
                for way in (-1, 1)
            )
            self._add(after_ms, "book", market, bids, asks)

    def _candle(self, market: int, after_ms: int, *, deep: bool) -> None:
        r = self.random
        first = self.prices[market]
        self._move(market)
        last = self.prices[market]
        if r.random() < 0.1:  # it opens with a gap
            first = round(first * r.uniform(0.9, 1.1))
        reach = [max(1, round(first * abs(r.gauss(0, 0.004)))) for _ in range(2)]
        volume = UNIT[market] * (1000 if deep else r.choice((1, 3, 50))) + 1
        high, low = max(first, last) + reach[0], max(1, min(first, last) - reach[1])
        self._add(after_ms, "candle", market, first, high, low, last, volume)

    # One random step.

    def _steps(self) -> None:
        for _ in range(self.random.choice((10, 20, 30, 45, 60))):
            self._one()

    def _one(self) -> None:
        r = self.random
        market = r.choice((AAA, AAA, BBB))
        candles = self.settings.data == "candles"
        quiet = 0 if self.faults else 3
        kinds = {"price": 50, "call": 38, "context": quiet, "feed": 2 * self.settings.feed, "operator": 3}
        kinds |= {"clock": 2, "restart": 1.5, "raise": 0.7, "venue": 6 * self.real, "fault": 8 * self.faults}
        kind = r.choices(list(kinds), list(kinds.values()))[0]
        if kind == "price" and candles:
            for number, each in enumerate(NAMES):
                self._candle(each, 1 if number else 60_000, deep=False)
        elif kind == "price":
            self._move(market)
            self._prices(market, self._pause_ms())
        elif kind == "call":
            self._call(r.choice(STRATEGIES), market)
        elif kind == "context":
            self._context(market)
        elif kind == "feed":
            self._feed(market)
        elif kind == "operator":
            self._operator()
        elif kind == "clock":
            self._add(self._pause_ms(), "clock")
        elif kind == "restart":
            self._add(r.choice((10, 3000, 90_000)), r.choice(("restart", "kill")))
            if self.settings.feed:
                self._add(100, "up")
                self.is_down = False
        elif kind == "venue":
            self._venue(market)
        elif kind == "fault":
            self._add(1, "fault", 0, *r.choice(FAULTS), r.choice((1, 1, 1, 3)))
        elif kind == "raise":
            self._add(0, "call", 0, r.choice(STRATEGIES), self._hook(), "raise", {})

    def _context(self, market: int) -> None:
        r = self.random
        mark = round(self.prices[market] * (1 + r.gauss(0, 0.002)))
        oracle = round(self.prices[market] * (1 + r.gauss(0, 0.001)))
        rate = r.choice(("0.0000125", "0.0001", "-0.00005"))
        self._add(1, "context", market, mark, oracle, rate)
        if r.random() < 0.3:  # past the next hour
            self._add(3_600_000, "clock")

    def _venue(self, market: int) -> None:
        r = self.random
        kinds = ("others", "liquidate", "person", "down", "up", "transfer")
        kind = r.choices(kinds, (40, 4, 20, 12, 18, 6))[0]
        values: list[Any] = []
        if kind == "others":
            values = [r.choice((1, -1)), self._size(market)]
        elif kind in ("person", "transfer"):
            values = [r.randint(0, 9) if kind == "person" else r.choice((100, -50))]
        self._add(3, "venue", market, kind, *values)

    def _feed(self, market: int) -> None:
        if self.is_down:
            self._add(500, "up")
        elif self.random.random() < 0.4:
            self._add(1, "gap", market, 2000)
            return
        else:
            self._add(5, "down")
        self.is_down = not self.is_down

    def _operator(self) -> None:
        r = self.random
        if self.paused:
            self._add(5, "operator", 0, "resume", "")
            self.paused = False
            return
        command = r.choice(("pause", "pause", "halt", "flatten"))
        self._add(5, "operator", 0, command, r.choice(STRATEGIES) if command == "pause" else "")
        self.paused = True

    # Calls of a strategy.

    def _hook(self) -> str:
        if self.settings.data == "candles":
            return self.random.choices(("bar", "fill", "order"), (70, 15, 15))[0]
        hooks = (
            ("trade", "fill", "order")
            if self.settings.data == "trades"
            else ("trade", "fill", "order", "quote")
        )
        return self.random.choices(hooks, (60, 15, 10, 15)[: len(hooks)])[0]

    def _size(self, market: int) -> int:
        return max(1, round(UNIT[market] * self.random.choice((0.1, 0.3, 0.5, 1, 1, 2, 3))))

    def _near(self, market: int, side: int, *, better: bool) -> int:
        """Return a price on the better side for an order (below for a buy), or on the other one."""
        way = -side if better else side
        price = round(self.prices[market] * (1 + way * abs(self.random.gauss(0, 0.01))))
        return max(1, price + way)

    def _call(self, strategy: str, market: int) -> None:
        r = self.random
        verb = r.choices(
            ("target", "order", "stop", "trail", "untrail", "modify", "cancel", "cancel_all"),
            (34, 26, 13, 8, 2, 6, 5, 6),
        )[0]
        name = NAMES[market]
        hook = self._hook()
        call: tuple[Any, ...]
        if verb == "target":
            call = self._target(strategy, market)
        elif verb == "order":
            call = self._order(market)
        elif verb == "stop":
            call = self._stop(market)
        elif verb == "trail":
            distance = max(1, round(self.prices[market] * r.uniform(0.002, 0.02)))
            short = {"short": True} if r.random() < 0.4 else {}
            call = ("trail", name, size_text(market, self._size(market)), price_text(market, distance), short)
        elif verb == "modify":
            changes: dict[str, str] = {}
            if r.random() < 0.6:
                changes["limit"] = price_text(market, self._near(market, r.choice((1, -1)), better=True))
            if not changes or r.random() < 0.5:
                changes["size"] = size_text(market, self._size(market))
            call = ("modify", -r.randint(1, 4), changes)
        elif verb == "cancel":
            call = ("cancel", -r.randint(1, 4), {})
        else:
            call = (verb, name, {})
        self._add(0, "call", 0, strategy, hook, *call)

    def _target(self, strategy: str, market: int) -> tuple[Any, ...]:
        r = self.random
        if r.random() < 0.05:
            return ("target", NAMES[market], None, {})
        last = self.asked.get((strategy, market), 0)
        ways = {
            "flat": 0,
            "same": last,
            "more": last + self._size(market),
            "less": last // 2,
            "other": -last or -self._size(market),
            "new": self._size(market) * r.choice((1, -1)),
        }
        wanted = ways[r.choices(list(ways), (25, 15, 15, 10, 15, 20))[0]]
        self.asked[strategy, market] = wanted
        return ("target", NAMES[market], size_text(market, wanted), {})

    def _order(self, market: int) -> tuple[Any, ...]:
        r = self.random
        side = r.choice((1, -1))
        named: dict[str, Any] = {}
        kind = r.choices(("market", "limit", "crossing", "entry"), (35, 45, 12, 8))[0]
        price = self.prices[market]
        if kind in ("limit", "crossing"):
            price = self._near(market, side, better=kind == "limit")
            named["limit"] = price_text(market, price)
            named["tif"] = r.choices(("Gtc", "Ioc", "Alo"), (70, 15, 15))[0]
        if kind == "entry":
            price = self._near(market, side, better=r.random() < 0.3)
            named["trigger"] = price_text(market, price)
        if r.random() < 0.2:
            named["reduce_only"] = True
        elif r.random() < 0.3:
            gap = max(2, price // 100)
            if r.random() < 0.8:
                named["stop_loss"] = price_text(market, price - side * r.randint(1, gap))
            if r.random() < 0.7 or "stop_loss" not in named:
                named["take_profit"] = price_text(market, price + side * r.randint(1, gap))
        if price != self.prices[market] and self.more.random() < 0.5:
            named["group"] = "one"
        size = self._size(market)
        if "take_profit" in named and size > 1 and self.more.random() < 0.3:  # one for each half
            far = price_text(market, price + side * max(3, price // 50))
            halves = (size_text(market, size // 2), size_text(market, size - size // 2))
            named["take_profit"] = [(named["take_profit"], halves[0]), (far, halves[1])]
        return ("buy" if side > 0 else "sell", NAMES[market], size_text(market, size), named)

    def _stop(self, market: int) -> tuple[Any, ...]:
        r = self.random
        side = r.choice((1, -1))
        kind = r.choice(("sl", "sl", "tp"))
        # A stop-loss of a sell waits below the price, its take-profit above; now and then on the wrong side.
        below = (side < 0) == (kind == "sl")
        if r.random() < 0.1:
            below = not below
        trigger = self._near(market, 1 if below else -1, better=True)
        named: dict[str, Any] = {"kind": kind}
        if r.random() < 0.15:
            named["limit"] = price_text(market, max(1, trigger + side * max(1, trigger // 200)))
        size = size_text(market, self._size(market) * r.choice((1, 1, 3)))
        side_name = "buy" if side > 0 else "sell"
        return ("stop", NAMES[market], side_name, size, price_text(market, trigger), named)

    # The end.

    def _calm(self) -> None:
        """Make prices fresh, resume, and let every strategy cancel everything and ask for `target(0)`."""
        candles = self.settings.data == "candles"
        self._add(50, "clock")
        if self.settings.feed:
            self._add(100, "up")
        for strategy in STRATEGIES * 3:  # one that failed several times fails again in its restart
            self._add(1, "operator", 0, "restart", strategy)
        self._add(10, "operator", 0, "resume", "")
        hook = "bar" if candles else "trade"
        for strategy in STRATEGIES:
            for name in NAMES.values():
                self._add(0, "call", 0, strategy, hook, "cancel_all", name, {})
                self._add(0, "call", 0, strategy, hook, "target", name, "0", {})
        for pause_ms in CALM_MS if not candles else (60_000,) * 8:
            for number, market in enumerate(NAMES):
                after_ms = 5 if number else pause_ms + 10
                if candles:
                    self._candle(market, 1 if number else 60_000, deep=True)
                    continue
                self._add(after_ms, "trade", market, self.prices[market], UNIT[market] * 1000, 1)
                if self.settings.data != "trades":
                    self._prices_deep(market)

    def _prices_deep(self, market: int) -> None:
        price, size = self.prices[market], UNIT[market] * 1000
        spread = max(1, price // 2000)
        self._add(5, "quote", market, price - spread, size, price + spread, size)
        if self.settings.data == "books":
            self._add(5, "book", market, ((price - spread, size),), ((price + spread, size),))
