"""Rows of markets: prices, bars, books, trades, order flow, contexts. Units: see `shapes.py`.

Called by `View`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.clock import window_end, window_start
from engine.events import BarCorrected, CandleRead, InstrumentListed, OpenInterestRead
from engine.values import Amount, format_scaled, interval_name, side_name
from engine.views.market_shapes import (
    BarRow,
    BookLevel,
    ContextPoint,
    FootprintLevel,
    FootprintRow,
    ForcedLevel,
    ForcedRow,
    InstrumentRow,
    LargeTradeRow,
    LiquidationWindow,
    PriceRow,
    ProfileLevel,
    ProfileRow,
    SampleRow,
    SettledRate,
    TradeRow,
)
from engine.views.markets import Kept, Market
from engine.views.units import finite, ms, price_text, size_text

__all__ = [
    "bar_row",
    "book_levels",
    "context_point",
    "footprint_row",
    "forced_row",
    "forced_window",
    "forming_row",
    "instrument_row",
    "large_row",
    "price_row",
    "profile_row",
    "sample_row",
    "settled_rate",
    "trade_row",
]


def price_row(market: Market, label: str) -> PriceRow:
    """Return the newest prices of a market."""
    listed = market.listed
    row = PriceRow(label, 0)
    if market.last is not None:
        row.seq, last = market.last
        row.last = price_text(listed, getattr(last, "price", 0) or getattr(last, "close", 0))
        row.last_size = size_text(listed, last.size) if hasattr(last, "size") else None
        row.last_side = side_name(last.aggressor) if hasattr(last, "aggressor") else ""
        row.price_ms = ms(last.recv_ns)
    best = market.best()
    if best is not None:
        seq, at_ns, bid, bid_size, ask, ask_size = best
        row.seq, row.price_ms = max(row.seq, seq), max(row.price_ms, ms(at_ns))
        row.bid, row.ask = price_text(listed, bid), price_text(listed, ask)
        row.bid_size = size_text(listed, bid_size) if bid else None
        row.ask_size = size_text(listed, ask_size) if ask else None
    if market.context is not None:
        seq, context = market.context
        row.seq = max(row.seq, seq)
        scale = context.scale
        row.mark, row.oracle, row.open_interest = (
            _text(value, scale) for value in (context.mark, context.oracle, context.open_interest)
        )
        row.funding, row.premium = (_ratio(value, scale) for value in (context.funding, context.premium))
    return row


def instrument_row(market: Market, label: str, *, traded: bool, halted: str) -> InstrumentRow:
    """Return an instrument with its grid and its newest prices."""
    listed, rules = market.listed, market.listed.rules
    return InstrumentRow(
        label,
        listed.key,
        listed.instrument,
        listed.venue,
        listed.kind,
        rules.base,
        rules.quote,
        listed.price_scale,
        listed.size_scale,
        format_scaled(listed.price_step, listed.price_scale),
        size_text(listed, listed.size_step),
        listed.price_figures,
        rules.value_min,
        rules.on_margin,
        rules.leverage,
        rules.leverage_max,
        rules.taker_fee,
        rules.maker_fee,
        traded,
        halted,
        [*map(interval_name, market.built()), *sorted(market.activity)],
        _intervals(market.footprints),
        _intervals(market.profiles),
        price_row(market, label),
    )


def bar_row(listed: InstrumentListed, seq: int, bar: Any) -> BarRow:
    """Return a bar of time or of activity, or a candle of the time before the session."""
    history = isinstance(bar, CandleRead)
    volumes = (None, None) if history else (bar.buy_volume, bar.sell_volume)
    return BarRow(
        ms(bar.start_ns),
        open=format_scaled(bar.open, listed.price_scale),
        high=format_scaled(bar.high, listed.price_scale),
        low=format_scaled(bar.low, listed.price_scale),
        close=format_scaled(bar.close, listed.price_scale),
        volume=size_text(listed, bar.volume),
        trades=bar.trades,
        buy_volume=None if volumes[0] is None else size_text(listed, volumes[0]),
        sell_volume=None if volumes[1] is None else size_text(listed, volumes[1]),
        incomplete=not history and bar.incomplete,
        because="" if history else bar.because,
        corrected=isinstance(bar, BarCorrected),
        source="history" if history else getattr(bar, "source", "trades"),
        seq=seq,
        at_ms=ms(bar.recv_ns if history else bar.at_ns),
    )


def forming_row(market: Market, interval_ns: int, at_ns: int) -> BarRow | None:
    """Return the bar of an interval that is under way, None if nothing of it is known.

    It has the bars of the shortest interval since its start, and the trades after them.
    """
    short, listed = market.shortest, market.listed
    forming = market.fold()
    if not short or interval_ns % short:
        return None
    newest = next(reversed(market.bars[short].values()))[1] if short in market.bars else None
    if forming is not None:
        start_ns = window_start(interval_ns, forming.start_ns)
    elif newest is not None:
        start_ns = window_start(interval_ns, window_end(short, newest.start_ns))
    else:
        return None
    end_ns = window_end(interval_ns, start_ns)
    parts = []
    for at, (_, bar) in reversed(market.bars.get(short, {}).items()):
        if at < start_ns:
            break
        if at < end_ns:
            parts.append(bar)
    parts.reverse()
    opens = [bar.open for bar in parts] + ([forming.open] if forming is not None else [])
    if not opens:
        return None
    highs = [bar.high for bar in parts] + ([forming.high] if forming is not None else [])
    lows = [bar.low for bar in parts] + ([forming.low] if forming is not None else [])
    close = forming.close if forming is not None else parts[-1].close
    volume = sum(int(bar.volume) for bar in parts) + (forming.volume if forming is not None else 0)
    trades = sum(bar.trades for bar in parts) + (forming.trades if forming is not None else 0)
    return BarRow(
        ms(start_ns),
        open=format_scaled(opens[0], listed.price_scale),
        high=format_scaled(max(highs), listed.price_scale),
        low=format_scaled(min(lows), listed.price_scale),
        close=format_scaled(close, listed.price_scale),
        volume=size_text(listed, volume),
        trades=trades,
        buy_volume=None,
        sell_volume=None,
        incomplete=False,
        because="",
        corrected=False,
        source="trades",
        seq=forming.seq if forming is not None else 0,
        at_ms=ms(at_ns),
    )


def book_levels(listed: InstrumentListed, levels: Iterable[tuple[int, int, int]]) -> list[BookLevel]:
    """Return one side of a book, best first."""
    return [
        BookLevel(format_scaled(price, listed.price_scale), size_text(listed, size), orders)
        for price, size, orders in levels
    ]


def trade_row(listed: InstrumentListed, kept: Kept) -> TradeRow:
    """Return a public trade."""
    seq, trade = kept
    return TradeRow(
        seq,
        ms(trade.venue_ns),
        ms(trade.recv_ns),
        format_scaled(trade.price, listed.price_scale),
        size_text(listed, trade.size),
        side_name(trade.aggressor),
        str(trade.trade_id) if trade.trade_id else "",
    )


def footprint_row(listed: InstrumentListed, kept: Kept) -> FootprintRow:
    """Return a footprint."""
    seq, event = kept
    return FootprintRow(
        ms(event.start_ns),
        format_scaled(event.level, listed.price_scale),
        [
            FootprintLevel(
                format_scaled(price, listed.price_scale),
                size_text(listed, bought),
                size_text(listed, sold),
                size_text(listed, other),
            )
            for price, bought, sold, other in event.levels
        ],
        size_text(listed, event.delta),
        size_text(listed, event.day_delta),
        event.revision,
        seq,
    )


def profile_row(listed: InstrumentListed, kept: Kept) -> ProfileRow:
    """Return a volume profile."""
    seq, event = kept
    scale = listed.price_scale
    return ProfileRow(
        ms(event.start_ns),
        format_scaled(event.level, scale),
        [
            ProfileLevel(format_scaled(price, scale), size_text(listed, volume))
            for price, volume in event.levels
        ],
        size_text(listed, event.volume),
        format_scaled(event.point, scale),
        format_scaled(event.value_low, scale),
        format_scaled(event.value_high, scale),
        seq,
    )


def large_row(listed: InstrumentListed, kept: Kept) -> LargeTradeRow:
    """Return a large trade."""
    seq, event = kept
    price, size = format_scaled(event.price, listed.price_scale), size_text(listed, event.size)
    return LargeTradeRow(seq, ms(event.venue_ns), price, size, side_name(event.aggressor))


def sample_row(listed: InstrumentListed, kept: Kept) -> SampleRow:
    """Return a sample of the book."""
    seq, event = kept
    return SampleRow(
        ms(event.start_ns),
        price_text(listed, event.bid),
        price_text(listed, event.ask),
        finite(event.imbalance),
        finite(event.depth_imbalance),
        seq,
    )


def forced_row(listed: InstrumentListed, kept: Kept) -> ForcedRow:
    """Return a liquidation of others."""
    seq, read = kept
    price, size = format_scaled(read.price, listed.price_scale), size_text(listed, read.size)
    return ForcedRow(seq, ms(read.venue_ns), price, size, side_name(read.side), read.sampled)


def forced_window(listed: InstrumentListed, kept: Kept) -> LiquidationWindow:
    """Return a window of the heat map of liquidations."""
    seq, event = kept
    return LiquidationWindow(
        ms(event.start_ns),
        ms(window_end(event.interval_ns, event.start_ns)),
        format_scaled(event.level, listed.price_scale),
        [
            ForcedLevel(
                format_scaled(price, listed.price_scale), size_text(listed, longs), size_text(listed, shorts)
            )
            for price, longs, shorts in event.levels
        ],
        size_text(listed, event.longs),
        size_text(listed, event.shorts),
        event.count,
        event.sampled,
        event.revision,
        seq,
    )


def context_point(kept: Kept) -> ContextPoint:
    """Return a context, or open interest of the past, as a point of a series."""
    seq, context = kept
    if isinstance(context, OpenInterestRead):
        return ContextPoint(ms(context.venue_ns), _text(context.open_interest, context.scale), None, seq)
    interest, funding = context.open_interest, context.funding
    return ContextPoint(
        ms(context.recv_ns), _text(interest, context.scale), _ratio(funding, context.scale), seq
    )


def settled_rate(kept: Kept) -> SettledRate:
    """Return a settled funding rate as a point of a series."""
    seq, read = kept
    return SettledRate(ms(read.venue_ns), int(read.rate) / 10**read.scale, seq, read.unit)


def _intervals(series: dict[int, Any]) -> list[str]:
    return [interval_name(span) for span in sorted(series)]


def _text(value: Amount | None, scale: int) -> str | None:
    return None if value is None else format_scaled(value, scale)


def _ratio(value: Amount | None, scale: int) -> float | None:
    return None if value is None else int(value) / 10**scale
