"""Random sessions with real orders of the sandbox: its exchange, wire and faults, and the real gateway.

    async with running(plans, root) as run:
        await run.play()
    run.verify()

One session plays several plans (`sequences.sandbox_plan`), one after the other on one account: the plain
exchange of `wire.py` is not involved, nothing of the engine is replaced but its random bytes, and time is
virtual (`tests/pacing.py`). A plan ends at a *rest*: faults stop, connections are cut once, prices are
fresh and deep, an operator resumes, and each strategy cancels everything and asks for `target(0)`. Then its
book has to be flat, no order may be open at the venue, and position, cash and fees are those of the venue.
After the last plan the model follows the records as in every other session, and they are derived again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import msgspec
import trio

from adapters.exchange.tape import Tape
from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.listing import perp_rules
from adapters.hyperliquid.venue import HyperliquidVenue
from adapters.sandbox.market import max_leverage
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine.commands.planning import LiveOptions, make_plan
from engine.config import Config, DataConfig, VenueConfig
from engine.errors import SafetyRefusal, VenueUnreachable
from engine.events import (
    ENDED,
    AccountAdjusted,
    AccountRead,
    ActorFailed,
    EquityMarked,
    Event,
    GatewayDown,
    GatewayUp,
    InstrumentListed,
    OperatorCommand,
    OrderChanged,
    OrderFilled,
    PositionChanged,
    Quote,
    Trade,
)
from engine.events.codec import Derived
from engine.journal import JournalWriter, list_days
from engine.records import read_records
from engine.runtime.committer import Committer
from engine.runtime.live import Live
from engine.sequencer import Sequencer
from engine.values import BUY, SELL
from tests.live.kit import ACCOUNT, KEY
from tests.orders import scripted
from tests.orders.checking import assert_replays, check
from tests.orders.facts import Broken, Read
from tests.orders.ledger import EXTERNAL, MANUAL
from tests.orders.sandbox_account import BANK, CENT, FINER, SCALE, SandboxAccount
from tests.orders.scripted import Action, Scripted
from tests.orders.sequences import (
    FIRST_PRICE,
    NAMES,
    SIZE_SCALE,
    STRATEGIES,
    UNIT,
    Plan,
    Step,
)
from tests.orders.session import BUILDER, MS, reading_of
from tests.orders.settings import config_of
from tests.pacing import START_NS, VirtualTime, make_clock, pacing
from tests.replay.kit import Memory

__all__ = ["SandboxRun", "broken_by", "running"]

ROUNDS_S = (1, 1, 1, 2, 3, 5, 5, 10, 20, 30, 61, 61)
"""Pauses between the fresh prices of a rest: longer in all than any wait that the rules allow."""

LONG_S = 30
"""In pauses from this one on the prices are high."""

Fill = tuple[str, Decimal, Decimal, Decimal]
"""A fill as it is compared: market, price, size, fee."""


class Ids:
    """Random bytes of a seed, in place of the machine's."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def random_bytes(self, count: int) -> bytes:
        """Return `count` bytes."""
        return self._random.randbytes(count)


class SandboxRun(SandboxAccount):
    """One session, or several in one journal after restarts, that plays plans on one account.

    `memory` has the records, `reads` what strategies read and called, `rests` the seqs of the rests.
    """

    mode = "live"

    def __init__(self, plans: list[Plan], root: Path, sandbox: Sandbox, base_url: str) -> None:
        super().__init__(sandbox, base_url)
        scripted.begin()
        self.plans = plans
        self.settings = plans[0].settings
        self.names = STRATEGIES
        self.root = root
        self.memory = Memory()
        self.reads: dict[int, list[Read]] = {}
        self.rests: set[int] = set()
        self.fired: Counter[str] = Counter()
        self.spoken = {name: scripted.new_script() for name in STRATEGIES}
        self.config = self._config()
        self._nursery: trio.Nursery
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._refused = False
        self._forgotten: list[Any] = []  # a record is known by its id: what a kill forgot stays in memory
        self._far: dict[str, dict[str, int]] = {}
        self._ids = Ids(plans[0].number)

    async def play(self) -> None:
        """Play the plans, each with its rest, then stop."""
        async with self.client, trio.open_nursery() as self._nursery:
            with self._replaced():
                await self._begin()
                for plan in self.plans:
                    await self._play(plan)
                await self._end(orderly=True)

    def verify(self) -> None:
        """Follow the records with the model, and derive them again. Raises AssertionError."""
        failed = [one for one in self.memory.events(ActorFailed) if "the script says so" not in one.error]
        assert not failed, failed[0]
        broken = check(self, calm=True, rests=self.rests)
        if broken is not None:
            raise broken
        recorded = [record for day in list_days(self.root) for record in read_records(day.path)]
        assert recorded == self.memory.all(), "the journal has other records than the session derived"
        assert_replays(self, Random(self.plans[0].number))

    # Sessions.

    async def _begin(self) -> None:
        """Begin a session in a new process, as far as the engine is concerned."""
        options = LiveOptions(
            config=self.config, root=self.root, venue=HyperliquidVenue(), signer=Signer(KEY)
        )
        while True:
            try:
                plan = await make_plan(options, self.base_url)
            except VenueUnreachable:  # a fault
                await trio.sleep(1)
                continue
            self.live = Live(plan, lambda _: None)
            self._scope, self._ended = trio.CancelScope(), trio.Event()
            self._refused = False
            self._nursery.start_soon(self._run, self.live)
            await trio.sleep(1)
            if not self._refused:
                return
            # One that failed begins without its state, and that has to be said.
            options = msgspec.structs.replace(options, fresh=STRATEGIES)

    async def _run(self, live: Live) -> None:
        with self._scope:
            try:
                ended = await live.run()
                assert ended.stopped_by == "test", f"the session was stopped by {ended.stopped_by}"
            except SafetyRefusal:
                assert not self._refused
                self._refused = True
        self._ended.set()

    async def _end(self, *, orderly: bool) -> None:
        """End the session: by its own stop, or as a killed process does."""
        if orderly:
            self.live.stop("test")
        else:
            self._scope.cancel()
        await self._ended.wait()

    @contextmanager
    def _replaced(self) -> Iterator[None]:
        """Replace random bytes by seeded ones, and keep records and what strategies read."""
        run = self

        class Kept(Committer):
            """The sink of the session, which also keeps the records in memory."""

            def __init__(self, writer: JournalWriter, *more: Any) -> None:
                super().__init__(writer, *more)
                run._forget_after(writer.seq)

            def open_day(self, day: str) -> None:
                if run.memory.days[-1:] != [day]:
                    run.memory.open_day(day)
                super().open_day(day)

            def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
                run.memory.append(first_seq, inputs, derived)
                super().append(first_seq, inputs, derived)

        class Watched(Sequencer):
            """The sequencer, whose strategies are watched while it runs, not while it follows."""

            def run(self, inputs: list[Event]) -> None:
                again = any(isinstance(one, OperatorCommand) and one.command == "restart" for one in inputs)
                scripted.watch_with(None if again else run._watch)
                try:
                    super().run(inputs)
                finally:
                    scripted.watch_with(None)

        with (
            patch("engine.runtime.live.Committer", Kept),
            patch("engine.runtime.live.Sequencer", Watched),
            patch("engine.commands.planning.SystemIds", lambda: self._ids),
            # As for hypothesis: which task runs first follows from a seed.
            patch("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True),
            patch("trio._core._run._r", Random(self.plans[0].number)),
            patch("engine.commands.planning.make_builder", lambda **_: BUILDER),
        ):
            yield

    def _forget_after(self, seq: int) -> None:
        """Forget the records that were not durable when the process was killed."""
        frames = self.memory.frames
        while frames and frames[-1][1] > seq:
            self._forgotten.append(frames.pop())

    def _watch(self, strategy: Scripted, what: str, event: Any, action: Action) -> None:
        self._far[strategy.label] = strategy.done
        self.reads.setdefault(id(event), []).append(reading_of(strategy, what, event, action))

    def _config(self) -> Config:
        scripts: dict[str, str] = dict(self.spoken)
        return msgspec.structs.replace(
            config_of(self.settings, scripts, START_NS),
            mode="live",
            venue=VenueConfig(network="sandbox", account=ACCOUNT, answer_ms=1000, expires_ms=3000),
            data=DataConfig(warmup_bars=0, check_minutes=0, channels=()),
        )

    # Plans.

    async def _play(self, plan: Plan) -> None:
        await self.fund(Decimal(plan.settings.cash))
        for market, price in FIRST_PRICE.items():
            self.deep(market, price)
        await trio.sleep(1)
        due_s = trio.current_time()
        for step in plan.steps:
            due_s += step.after_ms / 1000
            if due_s > trio.current_time():
                await trio.sleep(due_s - trio.current_time())
            await self.step(step)
        await self.rest(plan)

    async def step(self, step: Step) -> None:
        kind, market, values = step.kind, step.market, step.values
        if kind == "trade":
            self.trade(market, *values)
        elif kind == "quote":
            self.quote(market, *values)
        elif kind == "call":
            strategy, hook, *call = values
            self._say(strategy, hook, *call)
        elif kind == "operator":
            self._operate(*values)
        elif kind in ("restart", "kill"):
            await self._end(orderly=kind == "restart")
            await self._begin()
        elif kind == "fault":
            fault, scope, ms, count = values
            self.sandbox.faults.arm(fault, count, scope=scope, ms=ms)
        elif kind == "venue":
            await self._venue(market, *values)
        else:
            assert kind == "clock", kind

    async def _venue(self, market: int, kind: str, *values: Any) -> None:
        if kind == "others":
            await self.others(market, *values)
        elif kind == "person":
            opened = await self.ask("openOrders")
            if opened:
                one = opened[values[0] % len(opened)]
                asset = list(NAMES.values()).index(one["coin"])
                await self.act({"type": "cancel", "cancels": [{"a": asset, "o": one["oid"]}]})
        elif kind == "transfer":
            await self.transfer(Decimal(values[0]))
        elif kind == "down":
            self.sandbox.drop_connections()
        # What is up stays up, and the exchange liquidates by itself.

    # The rest after a plan.

    async def rest(self, plan: Plan) -> None:
        """Let everything come to its end, and compare it with the venue."""
        faults = self.sandbox.faults
        self.fired += faults.fired
        faults.fired.clear()
        faults.disarm()
        self.sandbox.drop_connections()
        await trio.sleep(3)
        await self.fund(Decimal(10_000))
        for script in self.spoken.values():
            scripted.call_off(script, self._soon_ms())
        for strategy in STRATEGIES * 3:  # one that failed several times fails again in its restart
            self._operate("restart", strategy)
        self._operate("resume", "")
        for strategy in STRATEGIES:
            for name in NAMES.values():
                self._say(strategy, "trade", "cancel_all", name, {})
                self._say(strategy, "trade", "target", name, "0", {})
        for pause_s in ROUNDS_S:
            for market, first in FIRST_PRICE.items():
                # Opposite positions of two strategies may both be too small to be sold for this price.
                self.deep(market, self.price(market) if pause_s < LONG_S else first * 3)
            await trio.sleep(pause_s)
            # A strategy's exit that nets against what others hold opens at the venue: it may be too small.
            await self._close_external()
            if self._is_quiet() and not any(self._books().values()):
                break
        await trio.sleep(1)
        await self._compare(plan)
        self.rests.add(self.memory.all()[-1][0])

    async def _close_external(self) -> None:
        """Let others close what they opened."""
        for market in NAMES:
            held = self._external(market)
            closes = held * self._books()[market] > 0
            if held:
                await self.others(market, BUY if held < 0 else SELL, abs(held), closes=closes)

    def _external(self, market: int) -> int:
        """Return what others hold in a market, in steps."""
        found = [one for one in self.memory.events(PositionChanged) if one.strategy == EXTERNAL]
        sizes = {one.instrument: one.size for one in found}
        return sizes.get(market, 0)

    def _is_quiet(self) -> bool:
        """Return whether every strategy has done its calls and is flat, and no order is live."""
        for name, script in self.spoken.items():
            if len(scripted.queues_of(script)["trade"]) > self._far.get(name, {}).get("trade", 0):
                return False
        states = self.memory.events(GatewayUp, GatewayDown, AccountRead)
        read = bool(states) and isinstance(states[-1], AccountRead)
        return read and not self._live() and not any(self._books(strategies=True).values())

    async def _compare(self, plan: Plan) -> None:
        """Assert that the books, orders, fills, fees and money are those of the venue."""
        place = f"plan {plan.number}: "
        assert self._live() == [], place + "an order is live"
        assert await self.ask("openOrders") == [], place + "an order is open at the venue"
        books = self._books(strategies=True)
        assert not any(books.values()), place + f"the strategies hold {books}"
        state = await self.ask("clearinghouseState")
        held = {one["position"]["coin"]: one["position"]["szi"] for one in state["assetPositions"]}
        held = {name: size for name, size in held.items() if Decimal(size)}
        assert held == {}, place + f"the account holds {held}"
        marked = self.memory.events(EquityMarked)[-1]
        equity = Decimal(int(marked.equity)).scaleb(-marked.scale)
        value = Decimal(state["marginSummary"]["accountValue"])
        assert abs(equity - value) < CENT, place + f"equity {equity}, venue {value}"
        unexplained = [one for one in self.memory.events(AccountAdjusted) if one.reason == "unexplained"]
        assert not unexplained, place + str(unexplained[0])
        theirs: dict[tuple[int, int], Fill] = {
            (one["tid"], one["oid"]): (
                one["coin"],
                Decimal(one["px"]),
                Decimal(one["sz"]),
                Decimal(one["fee"]),
            )
            for one in await self.ask("userFills")
        }
        listed = {one.instrument: one for one in self.memory.events(InstrumentListed)}
        ours: dict[tuple[int, int], Fill] = {}
        for fill in self.memory.events(OrderFilled):
            one = listed[fill.instrument]
            price = Decimal(int(fill.price)).scaleb(-one.price_scale - fill.finer)
            size = Decimal(int(fill.size)).scaleb(-one.size_scale)
            fee = Decimal(int(fill.fee)).scaleb(-one.price_scale - one.size_scale - fill.finer)
            ours[fill.trade_id, fill.venue_order_id] = (one.name, price, size, fee)
        assert ours == theirs, place + f"fills {set(ours.items()) ^ set(theirs.items())}"

    def _books(self, *, strategies: bool = False) -> dict[int, int]:
        """Return the sum of a market's books in steps; `strategies`: of their absolute sizes, theirs only."""
        newest = {(one.strategy, one.instrument): one.size for one in self.memory.events(PositionChanged)}
        found = dict.fromkeys(NAMES, 0)
        for (owner, market), size in newest.items():
            if not strategies:
                found[market] += size
            elif owner not in (MANUAL, EXTERNAL):
                found[market] += abs(size)
        return found

    def _live(self) -> list[str]:
        states = {one.client_order_id: one.state for one in self.memory.events(OrderChanged)}
        return [name for name, state in states.items() if state not in ENDED]

    # Calls and operators.

    def _say(self, strategy: str, hook: str, *call: Any) -> None:
        scripted.add(self.spoken[strategy], [self._soon_ms(), hook, *call])

    def _soon_ms(self) -> int:
        """Return the next millisecond of the strategies' time."""
        return (self.live.sequencer.now_ns - START_NS) // MS + 1

    def _operate(self, command: str, target: str) -> None:
        self.live.ingress.put([OperatorCommand(self.live.sequencer.now_ns, command, target)])


@asynccontextmanager
async def running(
    plans: list[Plan], root: Path, make: type[SandboxRun] = SandboxRun
) -> AsyncIterator[SandboxRun]:
    """Run a sandbox with an account for these plans, and a session of this class."""
    listed = [
        InstrumentListed(
            START_NS,
            number,
            "sandbox",
            name,
            SCALE[number],
            SIZE_SCALE[number],
            price_figures=5,
            rules=perp_rules(name, max_leverage(name)),
        )
        for number, name in NAMES.items()
    ]

    def opening(shift_ns: int) -> Iterator[Trade | Quote]:
        now = START_NS + shift_ns
        for number in NAMES:
            price, size = FIRST_PRICE[number], UNIT[number] * 1000
            bid, last, ask = ((price + way) * FINER[number] for way in (-1, 0, 1))
            yield Trade(now, now, number, last, size, BUY, (1 << 40) + number)
            yield Quote(now, now, number, bid, size, ask, size)

    options = SandboxOptions(
        port=0,
        accounts=((ACCOUNT, plans[0].settings.cash), (BANK, "100000000")),
        rate_limit=False,
        seed=plans[0].number,
    )
    sandbox = Sandbox(options, Tape(listed, START_NS, opening))
    async with pacing(), trio.open_nursery() as nursery:
        address = await nursery.start(sandbox.serve)
        yield make(plans, root, sandbox, address.base_url)
        nursery.cancel_scope.cancel()


def broken_by(
    plans: list[Plan], make: type[SandboxRun] = SandboxRun
) -> tuple[tuple[str, str] | None, SandboxRun]:
    """Play plans in one session outside of a test; return the rule they break, its words, and the session."""
    begun: list[SandboxRun] = []

    async def main(root: Path) -> None:
        async with running(plans, root, make) as run:
            begun.append(run)
            await run.play()
        run.verify()

    found: tuple[str, str] | None = None
    with TemporaryDirectory() as folder, patch("engine.clock.time", VirtualTime()):
        try:
            trio.run(main, Path(folder), clock=make_clock())
        except* Exception as group:
            found = _first(group)
    return found, begun[0]


def _first(error: BaseException) -> tuple[str, str]:
    """Return the rule of the first error in a group, and its words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Broken):
        return error.rule, str(error)
    words = f"{type(error).__name__}: {error}"
    return re.sub(r"[^a-zA-Z: ]+", "#", words)[:60], words
