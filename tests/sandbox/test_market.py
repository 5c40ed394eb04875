"""The synthetic market: order, grid, activity, and that it is the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice, pairwise, takewhile

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchange.market import INSTRUMENTS_DEFAULT, PROFILES
from adapters.hyperliquid.rules import RULES
from adapters.sandbox.market import SyntheticMarket
from engine.clock import SECOND_NS
from engine.errors import UsageError
from engine.events import Quote, Trade
from engine.values import BUY, grid_step, to_grid
from tests.profiles import examples

START_NS = 1_733_356_800 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS

seeds = st.integers(0, 2**64)
starts = st.integers(0, 2**61)
some_instruments = st.lists(st.sampled_from(sorted(PROFILES)), min_size=1, max_size=4, unique=True)


def first_hour(seed: int = 1, instruments: Sequence[str] = INSTRUMENTS_DEFAULT) -> list[Trade | Quote]:
    market = SyntheticMarket(seed, instruments)
    return list(takewhile(lambda event: event.venue_ns < START_NS + HOUR_NS, market.events(START_NS)))


@given(seeds, starts, some_instruments)
@examples(0.4)
def test_trades_are_at_the_quote_on_the_grid_and_in_order_of_time(
    seed: int, start_ns: int, instruments: list[str]
) -> None:
    market = SyntheticMarket(seed, instruments)
    listed = {instrument.instrument: instrument for instrument in market.instruments(start_ns)}
    quotes: dict[int, Quote] = {}
    latest = start_ns
    for event in islice(market.events(start_ns), 2000):
        assert event.venue_ns >= latest
        assert event.recv_ns == event.venue_ns
        latest = event.venue_ns
        scale = listed[event.instrument].price_scale
        if isinstance(event, Quote):
            assert 0 < event.bid < event.ask
            assert event.bid_size > 0 < event.ask_size
            prices = [event.bid, event.ask]
            quotes[event.instrument] = event
        else:
            quote = quotes[event.instrument]
            assert event.price == (quote.ask if event.aggressor == BUY else quote.bid)
            assert event.size > 0
            prices = [event.price]
        for price in prices:
            assert price % grid_step(price, scale=scale, figures=RULES.price_figures) == 0
            # to_grid takes unscaled numbers, so the price is passed as a whole number with scale 0
            assert (
                to_grid(price, scale=0, figures=RULES.price_figures) == price or len(str(price)) > 5 + scale
            )


@given(seeds, starts)
@examples(0.2)
def test_trade_ids_are_unique_and_use_fifty_bits(seed: int, start_ns: int) -> None:
    trades = [
        event for event in islice(SyntheticMarket(seed).events(start_ns), 3000) if isinstance(event, Trade)
    ]
    ids = {(trade.instrument, trade.trade_id) for trade in trades}
    assert len(ids) == len(trades)
    assert all(isinstance(trade.trade_id, int) and 0 < trade.trade_id < 2**50 for trade in trades)
    assert max(int(trade.trade_id) for trade in trades) > 2**48


@given(seeds)
@examples(0.1)
def test_an_instrument_is_the_same_whichever_others_are_played(seed: int) -> None:
    def eth_events(instruments: Sequence[str]) -> list[tuple[object, ...]]:
        number = instruments.index("ETH") + 1
        events = (
            event
            for event in SyntheticMarket(seed, instruments).events(START_NS)
            if event.instrument == number
        )
        drop = {"instrument"}
        return [
            tuple(value for name, value in msgspec.structs.asdict(event).items() if name not in drop)
            for event in islice(events, 300)
        ]

    assert eth_events(("ETH",)) == eth_events(("BTC", "ETH", "PURR"))


def test_the_same_seed_is_the_same_tape_on_every_machine() -> None:
    digest = blake2b(digest_size=8)
    encode = msgspec.msgpack.Encoder().encode
    for event in islice(SyntheticMarket(7, tuple(PROFILES)).events(START_NS), 20_000):
        digest.update(encode(event))
    # Changes only when the market is changed on purpose.
    assert digest.hexdigest() == "27804b1c884aebdf"


def test_another_seed_is_another_tape() -> None:
    one, two = (list(islice(SyntheticMarket(seed).events(START_NS), 50)) for seed in (1, 2))
    assert one != two


def test_busy_instruments_are_busy_and_the_quiet_one_is_quiet() -> None:
    trades = [event for event in first_hour() if isinstance(event, Trade)]
    per_second = {n: sum(t.instrument == n for t in trades) / 3600 for n in (1, 2, 3)}
    assert 7 < per_second[1] < 11
    assert 3 < per_second[2] < 6
    assert 0 < per_second[3] < 1 / 60
    quiet = [START_NS, *(t.venue_ns for t in trades if t.instrument == 3), START_NS + HOUR_NS]
    silences = [later - sooner for sooner, later in pairwise(quiet)]
    assert sum(silence > 180 * SECOND_NS for silence in silences) >= 3


def test_several_trades_share_a_millisecond() -> None:
    trades = [event for event in first_hour() if isinstance(event, Trade)]
    moments = {(trade.instrument, trade.venue_ns) for trade in trades}
    assert len(moments) < len(trades) * 0.7


def test_averages_cross_several_times_an_hour_on_short_and_long_bars() -> None:
    market = SyntheticMarket(1)
    closes: dict[int, dict[int, int]] = {5: {}, 15: {}, 60: {}}
    for event in market.events(START_NS):
        if event.venue_ns >= START_NS + 3 * HOUR_NS:
            break
        if isinstance(event, Trade) and event.instrument == 1:
            for seconds, bars in closes.items():
                bars[event.venue_ns // (seconds * SECOND_NS)] = event.price
    per_hour = {seconds: crosses(list(bars.values())) / 3 for seconds, bars in closes.items()}
    assert per_hour[60] >= 2
    assert per_hour[15] >= 4
    assert per_hour[5] >= 10


def crosses(closes: list[int]) -> int:
    fast = slow = float(closes[0])
    above = []
    for close in closes:
        fast += (close - fast) * 2 / 11
        slow += (close - slow) * 2 / 21
        above.append(fast > slow)
    return sum(one != two for one, two in pairwise(above[20:]))


@pytest.mark.parametrize("instruments", [(), ("BTC", "BTC"), ("btc",), ("NOPE",)])
def test_invalid_lists_of_instruments_are_refused(instruments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        SyntheticMarket(1, instruments)
