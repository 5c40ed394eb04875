"""What people find in the tables, and that hostile values do no harm there."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.events import (
    BarClosed,
    CandleRead,
    DayOpened,
    EquityMarked,
    FeedDamaged,
    FillBooked,
    InstrumentListed,
    OrderFilled,
    OrderRejected,
    OrderTerms,
    PositionChanged,
    SessionStarted,
    SignalRaised,
    SubmitOrder,
    Trade,
)
from engine.stores.rows.builder import RowBuilder
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import as_float
from engine.stores.sqlite.reading import dump_rows
from engine.values import INT64_MAX

from .record_streams import (
    BTC,
    KPEPE,
    MINUTE_NS,
    ORDER,
    T,
    apply_all,
    booked,
    filled_before_and_after,
    life_of_an_order,
    opened,
    rows,
)

BOOKED = booked(T, 4305997, 100_000, 12_000, 1)

# What people see.


def test_a_flat_window_of_a_warm_up_is_not_a_row_of_the_venues_candles(tmp_path):
    def read(number, purpose, close):
        start = T + number * MINUTE_NS
        prices = (close, close, close, close)
        return CandleRead(T, start + MINUTE_NS, 1, MINUTE_NS, start, *prices, 0, 0, purpose)

    path = tmp_path / "rows.db"
    events = [BTC, read(0, "history", 100), read(0, "flat", 200), read(1, "flat", 100)]
    with opened(path) as writer:
        apply_all(writer, [(seq, 0, event) for seq, event in enumerate(events, start=1)])
    assert rows(path, "select close, purpose from candles") == [(1.0, "history")]


def test_rows_read_as_people_expect_with_plain_sql(tmp_path):
    path = tmp_path / "rows.db"
    with opened(path, with_trades=True) as writer:
        assert apply_all(writer, life_of_an_order()) == 7
    assert rows(
        path, "select instrument, venue, interval, start, open, high, low, close, volume from bars"
    ) == [
        (
            "BTC",
            "hyperliquid",
            "1m",
            "2024-12-05T00:00:00.000000000Z",
            43059.97,
            43060.0,
            43059.9,
            43059.98,
            1.5,
        )
    ]
    assert rows(path, "select price, size, side, trade_id, at_ns, seq from trades") == [
        (43059.97, 0.5, "buy", "77", T + 1, 2)
    ]
    assert rows(
        path, "select state, side, size, limit_price, avg_price, fees, strategy, seq from orders"
    ) == [("PendingNew", "buy", 2.0, 43060.0, 43059.98, 0.0024, "ema", 4)]
    assert rows(path, "select strategy, price, size, value, fee, liquidity, seq, cause from fills") == [
        ("ema", 43059.97, 1.0, 43059.97, 0.0012, "taker", 5, 0),
        ("ema", 43059.99, 1.0, 43059.99, 0.0012, "maker", 6, 0),
    ]
    assert rows(path, "select equity, unrealized, fees, at from latest_equity") == [
        (10001.3, 1.5, 0.2, "2024-12-05T00:00:00.000000004Z")
    ]
    assert rows(path, "select day, equity, pnl from daily_pnl") == [("2024-12-05", 10001.3, 0.0)]
    assert rows(path, "select day, strategy, fills, size from daily_fills") == [("2024-12-05", "ema", 2, 2.0)]
    assert len(rows(path, "select * from open_orders")) == 1


def test_every_table_has_a_seq_and_its_columns_match_their_names(tmp_path):
    path = tmp_path / "rows.db"
    opened(path).close()
    for table, shape in TABLES.items():
        assert any(column.endswith("seq") for column in shape.columns), table
        found = [row[1] for row in rows(path, f"pragma table_info({table})")]
        assert found == list(shape.columns)


def test_what_a_feed_cannot_use_is_a_row(tmp_path):
    path = tmp_path / "rows.db"
    damaged = FeedDamaged(T, "hyperliquid", "trades", 1, "BTC: is zero", 3, True, "{")
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), (2, 0, damaged), (3, 0, FeedDamaged(T, "hyperliquid", "", 0, "x"))])
    assert rows(path, "select event, instrument, channel, reason, count, raw from feed_damages") == [
        ("damaged", "BTC", "trades", "BTC: is zero", 3, "{"),
        ("damaged", None, None, "x", 1, None),
    ]


def test_market_orders_have_no_limit_price(tmp_path):
    path = tmp_path / "rows.db"
    with opened(path) as writer:
        apply_all(
            writer,
            [
                (1, 0, BTC),
                (2, 1, SubmitOrder(T, ORDER, "ema", 1, OrderTerms(-1, 5, tif="Ioc", reduce_only=True))),
            ],
        )
    assert rows(path, "select limit_price, side, reduce_only, state from orders") == [
        (None, "sell", 1, "PendingNew")
    ]


def test_an_order_shows_its_terms_and_what_the_strategy_gave_as_its_reason(tmp_path):
    path = tmp_path / "rows.db"
    terms = OrderTerms(
        -1,
        500_000,
        0,
        "Ioc",
        "close",
        "stop",
        True,
        "sl",
        4200000,
        group="pair",
        bound=3780000,
        handle="ema-3",
    )
    with opened(path) as writer:
        apply_all(
            writer, [(1, 0, BTC), (2, 1, SubmitOrder(T, ORDER, "ema", 1, terms, reason="below the low"))]
        )
    columns = (
        "kind, limit_price, bound, role, purpose, trigger, trigger_price, order_group, handle, asked_for"
    )
    assert rows(path, f"select {columns} from orders") == [
        ("market stop", None, 37800.0, "close", "stop", "sl", 42000.0, "pair", "ema-3", "below the low")
    ]


def test_a_round_trip_is_a_row_with_its_prices_fees_profit_and_reason(tmp_path):
    path = tmp_path / "rows.db"

    def part(at_s: int, side: int, price: int, size: int, fee: int, role: str, purpose: str) -> FillBooked:
        at_ns = T + at_s * 1_000_000_000
        return FillBooked(at_ns, "ema", 1, side, price, size, fee, 4, ORDER, at_s, "taker", role, purpose)

    submit = SubmitOrder(T, ORDER, "ema", 1, OrderTerms(-1, 300_000), reason="crossed down")
    stream = [
        (1, 0, BTC),
        (2, 1, submit),
        # Prices have four decimals more than the instrument's two: 100.5 and 101.25.
        (3, 0, part(0, 1, 100_500000, 100_000, 7 * 10**10, "open", "target")),
        (4, 0, part(1, 1, 101_250000, 200_000, 0, "open", "target")),
        (5, 0, part(3, -1, 102_000000, 300_000, 10**10, "close", "stop")),
        (6, 0, part(9, -1, 102_000000, 100_000, 0, "open", "own")),
    ]
    with opened(path) as writer:
        apply_all(writer, stream)
        apply_all(writer, [(7, 0, part(10, 1, 101_000000, 100_000, 0, "close", "own"))])
    columns = (
        "side, size, entry_price, exit_price, profit, fees, net, seconds, exit_by, entry_seq, reason, seq"
    )
    assert rows(path, f"select {columns} from round_trips order by seq") == [
        ("long", 3.0, 101.0, 102.0, 3.0, 0.8, 2.2, 3.0, "stop", 3, "crossed down", 5),
        ("short", 1.0, 102.0, 101.0, 1.0, 0.0, 1.0, 1.0, "own", 6, "crossed down", 7),
    ]


def test_a_higher_revision_replaces_a_bar_and_a_lower_one_does_not(tmp_path):
    path = tmp_path / "rows.db"
    received = [(100, 0), (200, 1), (300, 0), (400, 1), (500, 0)]
    bars = [
        BarClosed(T, 1, MINUTE_NS, T, 1, 2, 3, close, 5, 1, "trade", number) for close, number in received
    ]
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), *((seq, 1, bar) for seq, bar in enumerate(bars, 2))])
    assert rows(path, "select close, revision, seq from bars") == [(4.0, 1, 5)]


def test_a_reported_fill_is_a_row_once_it_is_booked(tmp_path):
    """I7: a venue that reports a trade id again after a reconnect adds nothing."""
    path = tmp_path / "rows.db"
    placed = SubmitOrder(T, ORDER, "ema", 1, OrderTerms(1, 200_000, role="open"))
    fill = OrderFilled(T, T, ORDER, 1, 1, 4305997, 100_000, 12_000, "taker", 1)
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), (2, 1, placed), (3, 0, fill), (4, 3, BOOKED), (5, 0, fill)])
    assert rows(path, "select seq, role, purpose, external from fills") == [(4, "open", "own", 0)]
    assert rows(path, "select fees from orders") == [(0.0012,)]


def test_a_fill_of_an_earlier_version_is_a_row_and_counted_once(tmp_path):
    path = tmp_path / "rows.db"
    placed = SubmitOrder(T, ORDER, "ema", 1, OrderTerms(1, 200_000))
    fill = OrderFilled(T, T, ORDER, 1, 1, 4305997, 100_000, 12_000, "taker", 1)
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), (2, 1, placed), (3, 0, fill), (4, 0, fill)])
        apply_all(writer, [(5, 0, fill)])
    assert rows(path, "select seq, strategy from fills") == [(3, "ema")]
    assert rows(path, "select fees from orders") == [(0.0012,)]


def test_a_fill_from_outside_belongs_to_the_books_and_to_no_order(tmp_path):
    path = tmp_path / "rows.db"
    outside = msgspec.structs.replace(
        BOOKED, client_order_id="", side=-1, role="close", external=True, cause="liquidation", fee_asset="BNB"
    )
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), (2, 0, outside)])
    assert rows(path, "select strategy, external, why, fee_asset, client_order_id from fills") == [
        ("ema", 1, "liquidation", "BNB", "")
    ]
    assert rows(path, "select * from orders") == []


def test_prices_and_money_finer_than_the_grid_are_stored_as_they_are(tmp_path):
    path = tmp_path / "rows.db"
    changed = PositionChanged(T, "ema", 1, 100_000, 9749025000000, 10_0000, 6_0000, 4, -5)
    marked = EquityMarked(T, 6, 0, 0, 0, 5, 0, 7, -2, (("BNB", "-0.1"),))
    with opened(path) as writer:
        apply_all(
            writer,
            [
                (1, 0, BTC),
                (2, 0, booked(T, 97490250, 100_000, 674_9999, 1, finer=4)),
                (3, 2, changed),
                (4, 2, marked),
            ],
        )
    assert rows(path, "select price, value, fee from fills") == [(97.49025, 97.49025, 0.0000674_9999)]
    columns = "size, avg_price, cost, realized, fees, funding"
    assert rows(path, f"select {columns} from positions") == [
        (1.0, 97.49025, 97.49025, 0.000001, 0.0000006, -0.00000000005)
    ]
    assert rows(path, "select equity, start, adjustments, unvalued from equity") == [
        (0.000005, 0.000007, -0.000002, "-0.1 BNB")
    ]


def test_the_profit_of_a_day_is_without_transfers_and_begins_at_the_start(tmp_path):
    path = tmp_path / "rows.db"
    day = 86_400 * 10**9

    def marked(at_ns: int, equity: int, fees: int, funding: int, adjustments: int) -> EquityMarked:
        return EquityMarked(at_ns, 5, 0, 0, fees, equity, funding, 1000_00000, adjustments)

    with opened(path) as writer:
        apply_all(
            writer,
            [
                (1, 0, marked(T, 999_91000, 9000, 0, 0)),
                (2, 0, marked(T + 1, 1005_86365, 13635, 0, 0)),
                (3, 0, marked(T + day, 1255_86365, 13635, 0, 250_00000)),
                (4, 0, marked(T + day + 1, 1255_36365, 23635, -40000, 250_00000)),
            ],
        )
    columns = "equity, round(pnl, 5), round(fees, 5), funding, adjustments"
    assert rows(path, f"select {columns} from daily_pnl") == [
        (1005.86365, 5.86365, 0.13635, 0.0, 0.0),
        (1255.36365, -0.5, 0.1, -0.4, 250.0),
    ]


def test_an_instrument_that_was_never_listed_has_a_number_for_a_name_and_no_prices(tmp_path):
    path = tmp_path / "rows.db"
    with opened(path, with_trades=True) as writer:
        apply_all(writer, [(1, 0, Trade(T, T, 9, 5, 6, 0))])
    assert rows(path, "select instrument, instrument_id, price, size, side, trade_id from trades") == [
        ("#9", 9, None, None, "", None)
    ]


def test_instruments_come_from_the_snapshot_a_day_opens_with(tmp_path):
    path = tmp_path / "rows.db"
    stream = [
        (10, 9, DayOpened(T, "2024-12-05", b"snapshot", None, (BTC, KPEPE))),
        (11, 0, Trade(T, T, 1, 4305997, 50_000, 1)),
    ]
    with opened(path, with_trades=True) as writer:
        apply_all(writer, stream)
    with opened(path, with_trades=True) as writer:
        apply_all(writer, [(12, 0, Trade(T, T, 1, 4305997, 50_000, 1))])
    assert rows(path, "select instrument, price from trades") == [("BTC", 43059.97)] * 2
    assert rows(path, "select instrument from instruments order by instrument_id") == [("BTC",), ("kPEPE",)]


# Values.


@pytest.mark.parametrize("volume", [INT64_MAX, str(INT64_MAX + 1), str(2**64), "1" + "0" * 40])
def test_volumes_beyond_64_bits_are_real_numbers(tmp_path, volume):
    """V05."""
    path = tmp_path / "rows.db"
    bar = BarClosed(T, 2, MINUTE_NS, T, 1, 1, 1, 1, volume, 1, "trade")
    with opened(path) as writer:
        apply_all(writer, [(1, 0, KPEPE), (2, 1, bar)])
    assert rows(path, "select volume, typeof(volume) from bars") == [(float(int(volume)), "real")]


def test_ids_of_a_venue_beyond_64_bits_are_text(tmp_path):
    """V05."""
    path = tmp_path / "rows.db"
    fill = booked(T, 1, 1, 1, 2**64 - 1)
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), (2, 0, fill)])
    assert rows(path, "select trade_id from fills") == [(str(2**64 - 1),)]


TEXTS = {
    "nul": "a\x00b",
    "control": "".join(map(chr, range(32))) + "\x7f\x9b",
    "markup": "<script>alert(1)</script>[bold]",
    "sql": "'; drop table orders; --",
    "megabyte": "\u20ac" * 350_000,
    "empty": "",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_text_is_stored_as_data(tmp_path, text):
    """V06: through every kind of text field, keys included."""
    path = tmp_path / "rows.db"
    stream = [
        (1, 0, BTC),
        (2, 1, SignalRaised(T, text, 1, text, 1.5)),
        (3, 0, SessionStarted(T, text, "paper", "0", "s", "c", ((text, text, text),), text)),
        (4, 1, SubmitOrder(T, text, text, 1, OrderTerms(1, 1, 1, text))),
        (5, 0, OrderRejected(T, T, text, text)),
    ]
    with opened(path) as writer:
        apply_all(writer, stream)
    by_table = dict(dump_rows(path))
    assert by_table["signals"]["name"] == by_table["signals"]["strategy"] == text
    assert by_table["sessions"]["session"] == by_table["sessions"]["config"] == text
    assert by_table["orders"]["client_order_id"] == by_table["orders"]["strategy"] == text
    assert (by_table["orders"]["reason"] or "") == text


def test_a_fill_that_is_reported_and_booked_for_an_older_order_is_one_row(tmp_path):
    with opened(tmp_path / "rows.db") as writer:
        apply_all(writer, filled_before_and_after())
    assert rows(tmp_path / "rows.db", "select seq, trade_id from fills") == [(3, "1"), (4, "2"), (9, "3")]
    assert rows(tmp_path / "rows.db", "select filled, fees from order_sums") == [("3.00000", "0.0036000")]


@given(
    price=st.integers(0, INT64_MAX),
    size=st.integers(0, INT64_MAX),
    scales=st.tuples(st.integers(0, 18), st.integers(0, 18)),
)
@example(price=4305997, size=1, scales=(2, 0))
def test_numbers_are_the_nearest_to_the_exact_ones(price, size, scales):
    class Empty:
        tables = frozenset(TABLES)
        number = staticmethod(as_float)

        def row(self, table, key):
            return None

        def trade_ids(self, client_order_id):
            return {}

    builder = RowBuilder({}, Empty())
    builder.learn(InstrumentListed(T, 1, "v", "X", *scales))
    builder.add(2, 0, Trade(T, T, 1, price, size, 1))
    builder.add(3, 0, booked(T, price, size + 1, 0, 1))
    row = dict(zip(TABLES["trades"].columns, builder.appended["trades"][0], strict=True))
    assert row["price"] == float(Decimal(price).scaleb(-scales[0]))
    assert row["size"] == float(Decimal(size).scaleb(-scales[1]))
    assert builder.changed["orders"][ORDER]["avg_price"] == row["price"]


@given(
    fills=st.lists(st.tuples(st.integers(1, 10**15), st.integers(1, 10**15)), min_size=1, max_size=12),
    at=st.integers(0, 12),
)
@example(fills=[(10, 3), (20, 7), (70, 1)], at=1)
def test_averages_are_of_exact_sums_also_across_a_restart(tmp_path_factory, fills, at):
    path = tmp_path_factory.mktemp("sums") / "rows.db"
    stream = [(seq, 0, booked(T, price, size, price, seq)) for seq, (price, size) in enumerate(fills, 2)]
    for part in ([(1, 0, BTC)], stream[:at], stream[at:]):
        if part:
            with opened(path) as writer:
                apply_all(writer, part)
    filled = sum(size for _, size in fills)
    cost = sum(price * size for price, size in fills)
    assert rows(path, "select avg_price, fees from orders") == [
        (cost / (filled * 100), sum(price for price, _ in fills) / 10**7)
    ]
