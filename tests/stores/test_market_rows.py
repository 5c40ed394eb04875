"""Rows of open interest and of liquidations, and the views under names that programs expect."""

from __future__ import annotations

from pathlib import Path

from engine.events import (
    ContextRead,
    FundingRead,
    LiquidationLevelsClosed,
    LiquidationRead,
    OpenInterestRead,
    SessionStarted,
    Trade,
)

from .record_streams import BTC, MINUTE_NS, T, apply_all, digest_at, opened, rows


def context(at_ns: int, interest: int | None) -> ContextRead:
    return ContextRead(at_ns, 1, 3, 43_000_123, 43_000_456, None, 12, -3, interest)


def test_the_newest_context_of_each_minute_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    events = [context(T, 5_000), context(T + 1, 6_000), context(T + 2, None), context(T + MINUTE_NS, 7_000)]
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), *((seq, 0, event) for seq, event in enumerate(events, 2))])
        writer.apply([(6, 0, context(T + MINUTE_NS + 5, 7_500))], seq=6, digest=digest_at(6))
    columns = "time_ns, open_interest, funding, premium, mark, oracle, seq"
    sql = f"select {columns} from open_interest order by time_ns"
    shared = (0.012, -0.003, 43000.123, 43000.456)
    assert rows(path, sql) == [(T, 6.0, *shared, 3), (T + MINUTE_NS, 7.5, *shared, 6)]


def test_open_interest_of_the_past_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    past = [OpenInterestRead(T + at, T + MINUTE_NS, 1, 12, amount * 10**9) for at, amount in ((8, 7), (9, 6))]
    with opened(path) as writer:
        apply_all(
            writer, [(1, 0, BTC), (2, 0, context(T + MINUTE_NS, 5_000)), (3, 0, past[0]), (4, 0, past[1])]
        )
    assert rows(path, "select time_ns, open_interest, seq from open_interest_history") == [
        (T + MINUTE_NS, 0.006, 4)
    ]
    assert rows(path, "select open_interest, funding from open_interest") == [(5.0, 0.012)]


def test_a_liquidation_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    liquidation = LiquidationRead(T + 5, T, 1, -1, 4305997, 50_000, "a7", True)
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), (2, 0, liquidation)])
    sql = "select instrument, side, price, size, trade_id, sampled, venue_ns, at_ns from liquidations"
    assert rows(path, sql) == [("BTC", "sell", 43059.97, 0.5, "a7", 1, T, T + 5)]


def test_a_window_of_liquidations_is_a_row_and_so_is_each_of_its_levels(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    levels = ((4_306_000, 50_000, 0), (4_307_000, 0, 20_000))
    first = LiquidationLevelsClosed(T, 1, MINUTE_NS, T, 1000, levels, 50_000, 20_000, 2, True, 0)
    again = LiquidationLevelsClosed(T, 1, MINUTE_NS, T, 1000, levels[:1], 50_000, 0, 1, True, 1)
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), (2, 1, first), (3, 1, again)])
    sql = "select instrument, interval, start_ns, level, longs, shorts, count, sampled, revision, seq from "
    shared = ("BTC", "1m", T)
    assert rows(path, f"{sql} liquidation_windows order by seq") == [
        (*shared, 10.0, 0.5, 0.2, 2, 1, 0, 2),
        (*shared, 10.0, 0.5, 0.0, 1, 1, 1, 3),
    ]
    sql = "select instrument, interval, start_ns, price, longs, shorts, revision, seq from liquidation_levels"
    assert rows(path, f"{sql} order by seq, price") == [
        (*shared, 43060.0, 0.5, 0.0, 0, 2),
        (*shared, 43070.0, 0.0, 0.2, 0, 2),
        (*shared, 43060.0, 0.5, 0.0, 1, 3),
    ]


def test_a_rate_says_whether_it_is_a_fraction_or_money_for_one_unit(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    events = [FundingRead(T, T - 2, 1, 6, 125, 3), FundingRead(T, T - 1, 1, 6, 218_000, 0, per_unit=True)]
    with opened(path) as writer:
        apply_all(writer, [(1, 0, BTC), *((seq, 0, event) for seq, event in enumerate(events, 2))])
    wanted = [(0.000125, "fraction", 2), (0.218, "money", 3)]
    for name in ("funding_rates", "funding"):
        assert rows(path, f"select rate, unit, seq from {name} order by seq") == wanted


def test_views_show_tables_under_names_that_programs_expect(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    events = [Trade(T, T - 1, 1, 4305997, 50_000, 1, 7), FundingRead(T, T - 2, 1, 6, 125, 3)]
    with opened(path, with_trades=True) as writer:
        apply_all(writer, [(1, 0, BTC), *((seq, 0, event) for seq, event in enumerate(events, 2))])
    assert rows(path, "select symbol, price, size, side, seq from price_ticks") == [
        ("BTC", 43059.97, 0.5, "buy", 2)
    ]
    assert rows(path, "select symbol, rate, seq from funding") == [("BTC", 0.000125, 3)]
    assert rows(path, "select * from ohlcv") == []


def test_the_cursor_has_the_epoch_of_the_newest_opening(tmp_path: Path) -> None:
    """And rows of a later opening are not continued by records of an earlier one."""
    import pytest

    from engine.stores.errors import StoreForeign

    def started(seq: int, epoch: int):
        return seq, 0, SessionStarted(T, f"{seq:016x}", "paper", "0.1.0", "s", "c", (), "{}", epoch=epoch)

    with opened(tmp_path / "rows.db") as writer:
        apply_all(writer, [(1, 0, BTC), started(2, 4), started(3, 6)])
        witness = writer.store.witness()
        assert witness is not None
        assert witness.epoch == 6
        writer.apply([(4, 0, BTC)], seq=4, digest=digest_at(4))
        assert writer.store.witness().epoch == 6
        with pytest.raises(StoreForeign, match="epoch 6, not 5"):
            writer.apply([started(5, 5)], seq=5, digest=digest_at(5))
