"""Sessions with several venues: one clock, one gate, one journal; each venue's loss is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from adapters.exchange.run import shared_start
from adapters.exchange.server import LocalExchange
from adapters.hyperliquid.venue import HyperliquidVenue
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine.clock import SECOND_NS
from engine.commands.live import addresses_of
from engine.commands.planning import LiveOptions, make_plan
from engine.commands.sources import Source, connect, session_clock
from engine.config import BarsConfig, Config, DataConfig, StrategyConfig
from engine.errors import UsageError
from engine.events import BarClosed, CandleRead, FeedDown, FeedUp, InstrumentListed, OrderFilled, Quote, Trade
from engine.loading.venues import find_venue
from engine.runtime.ingress import Ingress
from engine.runtime.live import Live
from engine.venue import Listing, Venue, VenueTime
from replay.runs import verify
from tests.docs_pages import ROOT, blocks
from tests.exchange.kit import protocol_of
from tests.live.kit import events, of
from tests.profiles import pick
from tests.venues.kit import exchange
from tests.venues.toy import ToyVenue

PATIENCE_S = 300
CROSSING_5S = StrategyConfig("engine.strategies.crossover:Crossover", params={"interval": "5s"})
CROSSING = StrategyConfig("engine.strategies.crossover:Crossover", params={"interval": "1s"})
ARBITRAGE = "strategies/arbitrage.py"
VENUES = ROOT / "docs" / "venues.md"


@pytest.fixture(scope="module")
def toy() -> Iterator[str]:
    with exchange() as address:
        yield address


async def session(
    root: Path, toy: str, settings: Config, script: Callable[[Live, Sandbox], Any]
) -> dict[str, str]:
    """Run a paper session on a sandbox and the toy venue; it stops when the script ends."""
    sandbox = Sandbox(SandboxOptions(port=0, instruments=("BTC",), history_s=20, maker=True))
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(sandbox.serve)
            options = LiveOptions(config=settings, root=root, venue=HyperliquidVenue())
            live = Live(await make_plan(options, address.base_url, [(ToyVenue(), toy)]), lambda _: None)

            async def drive() -> None:
                await script(live, sandbox)
                live.stop("script")

            nursery.start_soon(drive)
            result = await live.run()
            nursery.cancel_scope.cancel()
    return result.health


async def until(root: Path, condition: Callable[[list[Any]], bool]) -> None:
    """Wait until what is recorded meets a condition."""
    while not condition(events(root)):  # noqa: ASYNC110
        await trio.sleep(0.2)


def config(*names: str, **more: Any) -> Config:
    return Config(
        instruments=names,
        bars=BarsConfig(intervals=("1s",), grace_ms=200),
        data=DataConfig(warmup_bars=3),
        **more,
    )


def test_one_session_trades_on_two_venues_and_replays(
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arbitrage of the docs reads one venue and trades another."""
    root = tmp_path / "j"
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "arbitrage.py"
    source.write_text(next(one.text for one in blocks(VENUES) if one.file == ARBITRAGE), encoding="utf-8")
    entry = StrategyConfig(
        "arbitrage:Arbitrage", params={"reads": "hyperliquid:BTC", "trades": "toy:AAA", "size": 0.5}
    )

    async def script(_live: Live, _sandbox: Sandbox) -> None:
        def enough(seen: list[Any]) -> bool:
            bars = {one.instrument for one in seen if isinstance(one, BarClosed)}
            return len(bars) == 2 and any(isinstance(one, OrderFilled) for one in seen)

        await until(root, enough)

    settings = config("hyperliquid:BTC", "toy:AAA", strategies=(entry,))
    health = trio.run(session, root, toy, settings, script)
    assert {"hyperliquid feed", "toy feed"} <= health.keys()
    listed = {one.instrument: one.key for one in of(InstrumentListed, root)}
    assert sorted(listed.values()) == ["hyperliquid:BTC", "toy:AAA"]
    for kind in (Trade, Quote, BarClosed):
        assert {listed[one.instrument] for one in of(kind, root)} == set(listed.values()), kind
    assert {listed[one.instrument] for one in of(CandleRead, root)} == {"toy:AAA"}, (
        "no candles of 1s elsewhere"
    )
    assert {one.feed for one in of(FeedUp, root)} == {"hyperliquid", "toy"}
    assert {listed[one.instrument] for one in of(OrderFilled, root)} == {"toy:AAA"}
    before = len(of(FeedUp, root))

    async def goes_on(_live: Live, _sandbox: Sandbox) -> None:
        await until(root, lambda seen: len([one for one in seen if isinstance(one, FeedUp)]) >= before + 2)

    trio.run(session, root, toy, settings, goes_on)
    assert {one.key for one in of(InstrumentListed, root)} == set(listed.values())
    assert all(verify(day).identical for day in sorted(root.glob("2*")))


def test_the_loss_of_one_venue_touches_only_its_instruments(tmp_path: Path, toy: str) -> None:
    root = tmp_path / "j"

    async def script(_live: Live, sandbox: Sandbox) -> None:
        await until(
            root, lambda seen: {one.feed for one in seen if isinstance(one, FeedUp)} == {"hyperliquid", "toy"}
        )
        await until(root, lambda seen: len([one for one in seen if isinstance(one, BarClosed)]) >= 6)
        sandbox.restart(3.0)
        await until(root, lambda seen: any(isinstance(one, FeedDown) for one in seen))
        down = len(events(root))
        await until(root, lambda seen: len([one for one in seen[down:] if isinstance(one, BarClosed)]) >= 6)

    trio.run(session, root, toy, config("hyperliquid:BTC", "toy:AAA", strategies=(CROSSING,)), script)
    listed = {one.instrument: one.key for one in of(InstrumentListed, root)}
    bars = of(BarClosed, root)
    assert all(one.feed == "hyperliquid" for one in of(FeedDown, root))
    toys = [one for one in bars if listed[one.instrument] == "toy:AAA"][1:]
    assert toys
    assert all(not one.incomplete for one in toys)
    lost_ns = of(FeedDown, root)[0].recv_ns
    others = [
        one
        for one in bars
        if listed[one.instrument] == "hyperliquid:BTC" and one.start_ns + one.interval_ns > lost_ns
    ]
    assert any(one.incomplete for one in others)
    assert all(verify(day).identical for day in sorted(root.glob("2*")))


MARKET_S = pick(60, deep=600)
FAULTS = "cut:0.003,drop:0.0005,duplicate:0.01,delay:0.01/200,5xx:0.05@info"


async def three(root: Path) -> None:
    """Run a paper session on the protocols of three venues, with one clock, on a bad network."""
    names = ("hyperliquid", "binance-usdm", "kraken")
    options = {
        name: SandboxOptions(
            port=0, seed=seed, instruments=("BTC",), speed=20.0, history_s=90, faults=FAULTS, rate_limit=False
        )
        for seed, name in enumerate(names)
    }
    exchanges = {name: LocalExchange(options[name], protocol_of(name)) for name in names}
    start = shared_start(exchanges, options["kraken"])
    with trio.fail_after(PATIENCE_S + MARKET_S):
        async with trio.open_nursery() as nursery:
            urls = {}
            for name, one in exchanges.items():
                serve = partial(one.serve, start=start)
                urls[name] = (await nursery.start(serve)).base_url
            settings = Config(
                bars=BarsConfig(intervals=("5s", "1m")),
                strategies=(CROSSING_5S,),
                data=DataConfig(warmup_bars=0),
            )
            live_options = LiveOptions(config=settings, root=root, venue=find_venue(names[0]))
            others = [(find_venue(name), urls[name]) for name in names[1:]]
            live = Live(await make_plan(live_options, urls[names[0]], others), lambda _: None)

            async def script() -> None:
                await trio.sleep(MARKET_S / 20)
                await until(root, lambda seen: {one.instrument for one in whole_of(seen)} == {1, 2, 3})
                live.stop("script")

            nursery.start_soon(script)
            await live.run()
            nursery.cancel_scope.cancel()


def whole_of(seen: list[Any]) -> list[BarClosed]:
    """Return the newest state of bars of 5 s that were made of trades and miss none."""
    newest: dict[tuple[int, int], BarClosed] = {}
    for one in seen:
        if isinstance(one, BarClosed) and one.interval_ns == 5 * SECOND_NS:
            newest[one.instrument, one.start_ns] = one
    return [one for one in newest.values() if not one.incomplete and one.source == "trades"]


def test_three_venues_on_a_bad_network_lose_and_double_nothing(tmp_path: Path) -> None:
    root = tmp_path / "j"
    trio.run(three, root)
    listed = {one.instrument: one for one in of(InstrumentListed, root)}
    assert len({one.venue for one in listed.values()}) == 3
    trades: dict[int, dict[Any, Trade]] = {number: {} for number in listed}
    for one in of(Trade, root):
        key = (one.venue_ns, one.trade_id)
        assert key not in trades[one.instrument], "a trade is recorded twice"
        trades[one.instrument][key] = one
    whole = whole_of(events(root))
    assert {one.instrument for one in whole} == set(listed)
    for bar in whole:
        within = [
            one
            for one in trades[bar.instrument].values()
            if bar.start_ns <= one.venue_ns < bar.start_ns + bar.interval_ns
        ]
        assert (int(bar.volume), bar.trades) == (sum(one.size for one in within), len(within))
    assert all(verify(day).identical for day in sorted(root.glob("2*")))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("BTC", "toy:AAA"), "written as venue:NAME, such as hyperliquid:BTC"),
        (("hyperliquid:BTC",), "--venue toy: no instrument of it is named"),
        (("hyperliquid:BTC", "binance:X"), "binance:X: with several venues"),
    ],
)
def test_each_name_says_whose_it_is(names: tuple[str, ...], words: str) -> None:
    venues = [(HyperliquidVenue(), "http://127.0.0.1:1"), (ToyVenue(), "ws://127.0.0.1:1")]
    with pytest.raises(UsageError, match=words):
        trio.run(connect, venues, Config(instruments=names))


def test_two_venues_that_list_the_same_names_are_refused() -> None:
    venues = [(ToyVenue(), "ws://127.0.0.1:1"), (ToyVenue(), "ws://127.0.0.1:2")]
    with pytest.raises(UsageError, match="both list toy:NAME"):
        trio.run(connect, venues, Config())


def source(venue: Any, time: VenueTime) -> Source:
    return Source(venue, f"http://{venue.name}", None, Listing([], time), False)  # type: ignore[arg-type]


AT = 1_800_000_000 * SECOND_NS


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (VenueTime(AT + 21 * SECOND_NS, 0, SECOND_NS, 20.0), None),
        (VenueTime(AT + 70 * SECOND_NS, 0, SECOND_NS, 20.0), "they are 50.0 s apart"),
        (
            VenueTime(AT + 20 * SECOND_NS, 0, SECOND_NS, 10.0),
            "20 times real time and toy has a clock of its own, 10",
        ),
        (VenueTime(AT + 20 * SECOND_NS, 0, SECOND_NS), "toy keeps real time"),
    ],
)
def test_the_clocks_of_venues_are_one_clock_or_the_session_does_not_begin(
    other: VenueTime, words: str | None
) -> None:
    sources = [source(HyperliquidVenue(), VenueTime(AT, 0, 0, 20.0)), source(ToyVenue(), other)]
    if words is None:
        _, speed, (adopted,) = session_clock(sources)
        assert (speed, adopted.venue) == (20.0, "http://hyperliquid")  # type: ignore[attr-defined]
        return
    with pytest.raises(UsageError, match=words) as caught:
        session_clock(sources)
    assert "engine sandbox --venue hyperliquid --venue toy" in str(caught.value)


def test_edges_of_a_venue_bear_its_name_if_there_are_several() -> None:
    async def names(venues: Sequence[tuple[Venue, str]], chosen: tuple[str, ...]) -> list[list[str]]:
        config = Config(instruments=chosen, data=DataConfig(backfill_minutes=5))
        sources = await connect(venues, config)
        clock = session_clock(sources)[0]
        found = []
        for one in sources:
            listed = one.listing.instruments
            edges = one.feeds(config, clock, lambda: 0.5, listed, Ingress(), {}, None)
            found.append([edge.name for edge in edges])
        return found

    async def both() -> None:
        made = {name: protocol_of(name) for name in ("kraken", "coinbase")}
        options = {name: SandboxOptions(port=0, instruments=("BTC",), history_s=1) for name in made}
        exchanges = {name: LocalExchange(options[name], one) for name, one in made.items()}
        start = shared_start(exchanges, options["kraken"])
        async with trio.open_nursery() as nursery:
            at = {
                name: (await nursery.start(partial(one.serve, start=start))).base_url
                for name, one in exchanges.items()
            }
            two = [(find_venue(name), at[name]) for name in at]
            assert await names(two, ("kraken:BTC/USD", "coinbase:BTC-USD")) == [
                ["kraken", "kraken history"],
                ["coinbase", "coinbase history"],
            ]
            assert await names(two[:1], ("BTC/USD",)) == [["kraken", "history"]]
            nursery.cancel_scope.cancel()

    trio.run(both)


def test_addresses_are_given_by_venue() -> None:
    assert addresses_of(("http://x",), ("toy",)) == {"toy": "http://x"}
    assert addresses_of(("toy=ws://a", "b=http://c/?d=e"), ("toy", "b")) == {
        "toy": "ws://a",
        "b": "http://c/?d=e",
    }
    for texts in (("http://x",), ("nope=http://x",), ("b=x", "b=y")):
        with pytest.raises(UsageError, match="--base-url"):
            addresses_of(texts, ("toy", "b"))
