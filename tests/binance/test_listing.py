"""Symbols as instruments: filters to grid and rules, names that are not traded, renamed assets."""

from __future__ import annotations

import msgspec
import pytest

from adapters.binance.listing import ExchangeInfo, Filter, Symbol, list_instruments
from adapters.binance.markets import SPOT, USDM, Market, websocket_root
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed
from tests.binance.samples import info

GRID = [
    Filter("PRICE_FILTER", tick_size="0.00500000"),
    Filter("LOT_SIZE", step_size="0.10000000", max_qty="900.00000000"),
    Filter("NOTIONAL", min_notional="5.00000000"),
    Filter("SOMETHING_NEW"),
]
SYMBOLS = [
    Symbol("ABCUSDT", "TRADING", "ABC", "USDT", filters=GRID, base_asset_precision=8),
    Symbol("OLDUSDT", "BREAK", "OLD", "USDT", filters=GRID),
    Symbol("POLUSDT", "TRADING", "POL", "USDT", filters=GRID),
    Symbol("MATICUSDT", "BREAK", "MATIC", "USDT", filters=GRID),
    Symbol("币安人生USDT", "TRADING", "币安人生", "USDT", filters=GRID),
]


def one(market: Market, symbols: list[Symbol], name: str, **hours: int) -> InstrumentListed:
    return list_instruments(market, symbols, [name], hours)[0]


def test_filters_become_grid_and_rules() -> None:
    found = one(SPOT, SYMBOLS, "ABCUSDT")
    # Sizes may be finer than the step: orders from before it became coarser rest in the book.
    assert (found.price_scale, found.price_step, found.size_scale, found.size_step) == (3, 5, 8, 10_000_000)
    assert found.rules.value_min == "5"
    assert found.rules.size_max == 90_000_000_000
    assert (found.kind, found.ids, found.silence) == ("spot", "sequence", "flat")
    assert (found.rules.base, found.rules.quote) == ("ABC", "USDT")


def test_recorded_listings_of_both_markets() -> None:
    spot = one(SPOT, info("spot").symbols, "BTCUSDT")
    assert (spot.price_scale, spot.price_step, spot.size_scale, spot.size_step) == (2, 1, 8, 1000)
    assert (spot.rules.far_percent, spot.rules.on_margin) == (80, False)
    perp = one(USDM, info("futures").symbols, "BTCUSDT", BTCUSDT=4)
    assert (perp.price_scale, perp.price_step, perp.size_scale, perp.size_step) == (2, 10, 3, 1)
    assert (perp.rules.value_min, perp.rules.funding_s, perp.rules.size_max) == ("10", 4 * 3600, 1_000_000)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OLDUSDT", "OLDUSDT is not traded (status 'BREAK') on Binance spot"),
        ("MATICUSDT", "its asset is POL now: POLUSDT"),
        ("abcusdt", "did you mean ABCUSDT?"),
        ("ABC-PERP", "has no symbol"),
        ("XYZ", "it has ABCUSDT, POLUSDT"),
    ],
)
def test_a_name_that_is_not_traded_is_refused_with_what_may_be_meant(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=r"Binance spot") as error:
        one(SPOT, SYMBOLS, name)
    assert words in str(error.value)


def test_assets_name_a_symbol_too_and_names_need_not_be_ascii() -> None:
    assert one(SPOT, SYMBOLS, "ABC/USDT").name == "ABCUSDT"
    assert one(SPOT, SYMBOLS, "币安人生USDT").key == "binance:币安人生USDT"


def test_without_names_all_that_are_traded_are_listed() -> None:
    found = list_instruments(SPOT, SYMBOLS, [], {})
    assert [listed.name for listed in found] == ["ABCUSDT", "POLUSDT", "币安人生USDT"]
    assert [listed.instrument for listed in found] == [1, 2, 3]


def test_a_contract_that_ends_is_refused() -> None:
    quarterly = Symbol("BTCUSDT_240927", "TRADING", "BTC", "USDT", "CURRENT_QUARTER", filters=GRID)
    with pytest.raises(UsageError, match="a contract that ends"):
        one(USDM, [quarterly], "BTCUSDT_240927")


@pytest.mark.parametrize("tick", ["0", "0.0", "-1", "x", "0.0000000000000000000001"])
def test_a_grid_that_cannot_be_is_refused(tick: str) -> None:
    broken = Symbol("ABCUSDT", "TRADING", filters=[Filter("PRICE_FILTER", tick_size=tick), *GRID[1:]])
    with pytest.raises(VenueProtocolError, match="ABCUSDT"):
        one(SPOT, [broken], "ABCUSDT")


def test_a_listing_with_members_that_are_not_known_is_read() -> None:
    text = b'{"new":1,"symbols":[{"symbol":"A","status":"TRADING","filters":[{"filterType":"X","y":1}]}]}'
    assert msgspec.json.decode(text, type=ExchangeInfo).symbols[0].filters == [Filter("X")]


def test_each_network_has_its_own_streams() -> None:
    assert websocket_root(SPOT, "https://api.binance.com/") == "wss://stream.binance.com:9443"
    assert websocket_root(USDM, "https://demo-fapi.binance.com") == "wss://demo-fstream.binance.com"
    assert websocket_root(SPOT, "http://127.0.0.1:3001") == "ws://127.0.0.1:3001"
    with pytest.raises(UsageError, match="not an address of Binance spot"):
        websocket_root(SPOT, "https://fapi.binance.com")
