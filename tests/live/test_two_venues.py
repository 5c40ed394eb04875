"""Real orders at two venues in one session: each account is its own, the gate is one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from engine.commands.screen import rendered
from engine.commands.situation import PARTS, Situation, screen
from engine.commands.sources import Source, check_currencies
from engine.config import AccountConfig, Config
from engine.errors import SafetyRefusal, VenueUnreachable
from engine.events import (
    AccountAdjusted,
    AccountMarked,
    AccountRead,
    EquityMarked,
    FeedDown,
    FillBooked,
    GatewayDown,
    GatewayUp,
    InstrumentListed,
    MarketHalted,
    MarketRules,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderUnknown,
    PositionChanged,
    PositionDiffers,
    SessionStarted,
    SetLeverage,
    SubmitOrder,
    engine_time,
)
from engine.journal import list_days
from engine.loading.venues import find_venue
from engine.operator.requests import Flatten
from engine.records import read_records
from engine.runtime.live import Live
from engine.venue import Listing, VenueTime
from engine.views.view import View
from tests.docs_pages import ROOT, blocks
from tests.live.kit import assert_replays, events, of
from tests.live.two_venues import BINANCE, HYPERLIQUID, config, two_venues
from tests.profiles import pick

SPREAD = "strategies/spread.py"
BOTH = "tests.live.traders:Both"


def slept(seconds: float) -> Callable[[Live], Awaitable[None]]:
    async def script(_live: Live) -> None:
        await trio.sleep(seconds)

    return script


async def test_orders_go_to_both_venues_and_the_equity_is_their_sum(paced_clock: Any, tmp_path: Path) -> None:
    async with two_venues(speed=20.0) as two:
        result = await two.live(tmp_path, config(BOTH, on_stop="keep"), slept(1.5))
        assert result.live_orders == 0
        await two.agrees(tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    assert {listed[one.instrument] for one in of(OrderFilled, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert {one.venue for one in of(GatewayUp, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert {one.venue for one in of(AccountRead, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert not of(PositionDiffers, tmp_path)
    assert not of(AccountAdjusted, tmp_path)
    first, last = of(EquityMarked, tmp_path)[0], of(EquityMarked, tmp_path)[-1]
    assert int(first.equity) == 150_000 * 10**first.scale
    marks = {one.venue: one for one in of(AccountMarked, tmp_path)}
    assert int(last.equity) == sum(int(one.equity) for one in marks.values())
    assert {one.venue: one.currency for one in marks.values()} == {HYPERLIQUID: "USDC", BINANCE: "USDT"}
    books = {str(one).partition(" Both")[0] for one in result.positions}
    assert books == {"BTC at hyperliquid", "BTCUSDT at binance-usdm"}
    shown = shown_status(tmp_path)
    for words in (r"account +hyperliquid: [0-9,.]+ USDC", r"account +binance-usdm: [0-9,.]+ USDT", *books):
        assert re.search(words, shown), words


def shown_status(root: Path) -> str:
    """Return what `engine status` shows at the end of a journal."""
    view = View(bytes(16))
    for day in list_days(root):
        view.apply(read_records(day.path))
    answers = {name: msgspec.to_builtins(getattr(view, name)()) for name in PARTS}
    return "\n".join(rendered(screen(Situation.of(answers)), 160, colors=False))


async def test_a_journal_of_two_venues_goes_on_with_one_while_the_other_is_away(
    paced_clock: Any, tmp_path: Path
) -> None:
    """What it holds at the other stays in its books, and is equal there when both are back."""
    both = config(BOTH, on_stop="keep")
    names = ("hyperliquid:BTC", "binance-usdm:BTCUSDT")
    async with two_venues(speed=20.0) as two:
        await two.live(tmp_path, both, slept(1.5))
        held = await two.positions(BINANCE)
        assert held
        away = two.urls.pop(BINANCE)
        one = {"venues": [HYPERLIQUID], "armed": [HYPERLIQUID]}
        result = await two.live(tmp_path, both, slept(1.5), **one)
        assert [str(book).split()[2] for book in result.positions][1:] == [BINANCE]
        sent = len(of(SubmitOrder, tmp_path))
        two.urls[BINANCE] = away
        await two.live(tmp_path, both, slept(1.5))
        assert len(of(SubmitOrder, tmp_path)) > sent
        await two.agrees(tmp_path)
    assert {one.key for one in of(InstrumentListed, tmp_path)} == set(names)
    assert not of(MarketHalted, tmp_path)
    starts = [seq for seq, one in enumerate(events(tmp_path)) if isinstance(one, SessionStarted)]
    alone = events(tmp_path)[starts[1] : starts[2]]
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    assert {listed[one.instrument] for one in alone if isinstance(one, OrderFilled)} == {HYPERLIQUID}
    equity = [one for one in alone if isinstance(one, EquityMarked)][-1]
    assert int(equity.equity) > 149_000 * 10**equity.scale, "the other account still counts"


async def test_a_session_begins_while_one_venue_cannot_be_reached_and_takes_it_up_when_it_answers(
    paced_clock: Any, tmp_path: Path
) -> None:
    """Meanwhile the other one opens and closes; `flatten all` says what is left, and ends with both there."""
    both = config(BOTH, on_stop="keep", answer_ms=500, expires_ms=1000)
    answers = []

    async def script(live: Live) -> None:
        await trio.sleep(2.0)
        asked = Flatten(nonce="close", all=True, journal=live.desk.journal, wait_s=0.5)
        answers.append(await live.desk.submit(asked))
        await trio.sleep(4.0)
        answers.append(await live.desk.submit(asked))

    async with two_venues(speed=20.0) as two:
        await two.live(tmp_path, both, slept(1.5))
        assert await two.positions(BINANCE)
        begun = len(events(tmp_path))
        two.exchanges[BINANCE].restart(5.0)
        await two.live(tmp_path, both, script)
        await two.agrees(tmp_path)
        assert [await two.positions(venue) for venue in (BINANCE, HYPERLIQUID)] == [{}, {}]
    assert [one.state for one in answers] == ["working", "done"]
    assert {market for _, market, _ in answers[0].left} == {"BTCUSDT"}
    rest = events(tmp_path)[begun:]
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    assert len(listed) == 2, "what the journal has of a venue is not listed again"
    (down,) = [
        one for one in rest if isinstance(one, GatewayDown) and "since the session began" in one.reason
    ]
    (feed,) = [one for one in rest if isinstance(one, FeedDown) and "since the session began" in one.reason]
    assert (down.venue, feed.feed) == (BINANCE, BINANCE)
    back = next(at for at, one in enumerate(rest) if isinstance(one, GatewayUp) and one.venue == BINANCE)
    away = [one for one in rest[:back] if isinstance(one, FillBooked)]
    assert {listed[one.instrument] for one in away} == {HYPERLIQUID}
    assert {one.role for one in away} == {"open", "close"}, "exits and openings of the other venue go on"
    unsent = [one for one in rest[:back] if isinstance(one, OrderRejected)]
    assert unsent
    assert all("not sent: not reached since the session began" in one.reason for one in unsent)
    exits = [one for one in rest[back:] if isinstance(one, FillBooked)]
    assert {listed[one.instrument] for one in exits if one.role == "close"} == {BINANCE}


async def test_a_venue_that_the_journal_does_not_know_has_to_be_there_at_the_start(
    paced_clock: Any, tmp_path: Path
) -> None:
    async with two_venues(speed=20.0) as two:
        two.exchanges[BINANCE].restart(30.0)
        with pytest.raises(VenueUnreachable):
            await two.live(tmp_path, config(BOTH), slept(0.1))
    assert not list_days(tmp_path)


async def test_accounts_in_two_currencies_are_summed_at_the_configured_price(
    paced_clock: Any, tmp_path: Path
) -> None:
    """0.01 BTC is worth about 1,000 USDC at one and 495 at the other: together below 0.014 times 125,000."""
    settings = config(BOTH, on_stop="flatten", risk={"max_leverage": "0.014"})
    half = msgspec.structs.replace(settings.account, prices={"USDT": "0.5"})
    async with two_venues(speed=20.0) as two:
        await two.live(tmp_path, msgspec.structs.replace(settings, account=half), slept(1.5))
        await two.agrees(tmp_path)
    first, last = of(EquityMarked, tmp_path)[0], of(EquityMarked, tmp_path)[-1]
    assert int(first.equity) == int(first.start) == 125_000 * 10**first.scale
    marks = {one.venue: int(one.equity) for one in of(AccountMarked, tmp_path)}
    exact = 2 * marks[HYPERLIQUID] + marks[BINANCE]
    assert abs(2 * int(last.equity) - exact) <= 6, "one rounding for each sum"
    assert not of(AccountAdjusted, tmp_path), "each account is compared in its own currency"
    assert not [one for one in of(OrderRefused, tmp_path) if one.limit == "max_leverage"]


@pytest.mark.parametrize(
    ("currency", "prices", "words"),
    [
        ("", {}, "USDC at hyperliquid, USDT at binance-usdm"),
        ("USDC", {}, 'prices = { USDT = "1" }'),
        ("EUR", {"USDT": "1"}, "the account at hyperliquid is in USDC"),
    ],
)
def test_accounts_that_cannot_be_summed_are_refused(
    currency: str, prices: dict[str, str], words: str
) -> None:
    def source(name: str, quote: str) -> Any:
        listed = InstrumentListed(0, 1, name, "X", 2, 3, rules=MarketRules(quote=quote))
        return Source(find_venue(name), "", None, Listing([listed], VenueTime(0, 0, 0)), False)  # type: ignore[arg-type]

    sources = [source(HYPERLIQUID, "USDC"), source(BINANCE, "USDT")]
    check_currencies(sources, Config(account=AccountConfig(currency="USDC", prices={"USDT": "1"})))
    with pytest.raises(SafetyRefusal, match=words):
        check_currencies(sources, Config(account=AccountConfig(currency=currency, prices=prices)))


async def test_while_one_venue_is_down_the_other_trades_and_closes(paced_clock: Any, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    async def script(live: Live) -> None:
        await trio.sleep(1.5)
        two.exchanges[BINANCE].restart(1.5)
        await trio.sleep(0.6)
        asked.extend(live._account(venue).working() for venue in (BINANCE, HYPERLIQUID))
        await trio.sleep(1.9)

    async with two_venues(speed=20.0) as two:
        settings = config(BOTH, on_stop="flatten", answer_ms=500, expires_ms=1000)
        result = await two.live(tmp_path, settings, script)
        await two.agrees(tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    first, *_ = of(GatewayDown, tmp_path)
    assert {one.venue for one in of(GatewayDown, tmp_path)} == {BINANCE}
    *_, back = [one for one in of(GatewayUp, tmp_path) if one.venue == BINANCE]
    within = [one for one in events(tmp_path) if first.recv_ns < engine_time(one) < back.recv_ns]
    filled = [one for one in within if isinstance(one, OrderFilled)]
    assert {listed[one.instrument] for one in filled} == {HYPERLIQUID}
    booked = {one.role for one in within if isinstance(one, FillBooked)}
    assert booked == {"open", "close"}, "exits and openings of the other venue go on"
    refused = {listed[one.instrument] for one in within if isinstance(one, OrderRefused)}
    assert refused <= {BINANCE}
    where = {one.client_order_id: listed[one.instrument] for one in of(SubmitOrder, tmp_path)}
    assert {where[name] for name in asked[0]} == {BINANCE}, "its order is unknown"
    assert not {where[name] for name in asked[1]} - {HYPERLIQUID}, "no gateway is asked about another's order"
    assert (result.live_orders, result.owed, result.positions) == (0, [], [])


async def test_a_venue_that_is_not_armed_is_watched_only(paced_clock: Any, tmp_path: Path) -> None:
    async with two_venues(speed=20.0) as two:
        await two.live(tmp_path, config(BOTH), slept(1.5), armed=[HYPERLIQUID])
        assert await two.fills(BINANCE) == []
        await two.agrees(tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    assert {one.venue for one in of(GatewayUp, tmp_path)} == {HYPERLIQUID}
    assert {listed[one.instrument] for one in of(SubmitOrder, tmp_path)} == {HYPERLIQUID}
    refused = {(listed[one.instrument], one.limit) for one in of(OrderRefused, tmp_path)}
    assert (BINANCE, "watched") in refused
    assert not {limit for _, limit in refused} - {"watched", "unreconciled", "stale"}


async def test_margin_is_that_of_the_venue_of_the_order(paced_clock: Any, tmp_path: Path) -> None:
    """At a leverage of 1, 0.01 BTC needs about 100: more than 50 at one venue, whatever is at the other."""
    settings = config(BOTH)
    ones = {"hyperliquid:BTC": 1, "binance-usdm:BTCUSDT": 1}
    settings = msgspec.structs.replace(
        settings, account=msgspec.structs.replace(settings.account, leverage=ones)
    )
    async with two_venues(cash={BINANCE: "50"}, speed=20.0) as two:
        await two.live(tmp_path, settings, slept(1.5))
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    short = [one for one in of(OrderRefused, tmp_path) if one.limit == "margin"]
    assert {listed[one.instrument] for one in short} == {BINANCE}
    assert "the account has 50" in short[0].reason
    assert {listed[one.instrument] for one in of(OrderFilled, tmp_path)} == {HYPERLIQUID}
    assert {listed[one.instrument] for one in of(SetLeverage, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert_replays(tmp_path)


async def test_the_spread_of_the_docs_holds_both_legs_for_real(
    paced_clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = next(one.text for one in blocks(ROOT / "docs" / "venues.md") if one.file == SPREAD)
    (tmp_path / "spread.py").write_text(source, encoding="utf-8")
    settings = config("spread:Spread", on_stop="flatten")
    root = tmp_path / "j"
    async with two_venues(speed=20.0) as two:
        result = await two.live(root, settings, slept(3))
        await two.agrees(root)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, root)}
    held: dict[str, int] = {}
    legs = set()
    for one in of(PositionChanged, root):
        held[listed[one.instrument]] = one.size
        legs.add((held.get(HYPERLIQUID, 0), held.get(BINANCE, 0)))
    assert any(one * other < 0 and one == -other for one, other in legs), legs
    assert result.positions == []


FAULTS = "lost-reply:0.1@exchange,5xx:0.1@exchange,swallow:0.05@exchange,drop:0.1@user,cut:0.005@user"
ARMED = (("lost-reply", "exchange"), ("swallow", "exchange"), ("drop", "user"), ("cut", "user"))
CALM_S = 2
KILLS = pick(1, deep=6)


class Killed(Exception):
    """Breaks a session off where it is."""


async def test_faults_at_both_venues_double_nothing_and_lose_nothing(
    paced_clock: Any, tmp_path: Path
) -> None:
    """Lost answers, cuts, each venue down for a while in turn, and kills, then a calm end."""
    settings = config("tests.live.traders:Busy", on_stop="flatten", answer_ms=500, expires_ms=2000)
    async with two_venues({HYPERLIQUID: FAULTS, BINANCE: FAULTS}, speed=20.0) as two:

        async def hit() -> None:
            for _ in range(2):
                await trio.sleep(0.8)
                for one in two.exchanges.values():
                    for kind, scope in ARMED:
                        one.faults.arm(kind, scope=scope)

        async def broken(_live: Live) -> None:
            await hit()
            raise Killed

        async def down(_live: Live) -> None:
            await hit()
            for venue in (BINANCE, HYPERLIQUID):
                two.exchanges[venue].restart(1.0)
                await trio.sleep(2)
            for one in two.exchanges.values():
                one.faults.disarm()
                one.drop_connections()
            await trio.sleep(CALM_S)

        for _ in range(KILLS):
            with pytest.RaisesGroup(Killed, flatten_subgroups=True, allow_unwrapped=True):
                await two.live(tmp_path, settings, broken)
            for one in two.exchanges.values():  # what is armed still would hit the start of the next session
                one.faults.disarm()
        result = await two.live(tmp_path, settings, down)
        for venue, one in two.exchanges.items():
            assert {kind for kind, _ in ARMED} <= {*one.faults.fired}, (venue, one.faults.fired)
            assert await two.positions(venue) == {}
        await two.agrees(tmp_path)
    assert (result.live_orders, result.owed, result.positions) == (0, [], [])
    assert of(OrderUnknown, tmp_path)
    listed = {one.instrument: one.venue for one in of(InstrumentListed, tmp_path)}
    filled = [listed[one.instrument] for one in of(OrderFilled, tmp_path)]
    assert min(filled.count(HYPERLIQUID), filled.count(BINANCE)) > 2
    assert {one.venue for one in of(GatewayDown, tmp_path)} == {HYPERLIQUID, BINANCE}
    assert not of(MarketHalted, tmp_path)
