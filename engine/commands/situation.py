"""How an engine stands, for people: one line, or a screen. Made of the answers of its API.

Owns the layout and the words. `engine status` asks for the answers over the socket, the live view of `engine
live` has them at hand; both show the same. Texts of venues and strategies are escaped. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from engine.events.render import printable
from engine.views.answers import Health, Status
from engine.views.shapes import AccountRow, CommandRow, FeedRow, HaltRow, OrderRow, PositionRow, StrategyRow

__all__ = ["PARTS", "Situation", "numbers", "one_line", "screen", "span_text"]

PARTS: Final = ("status", "positions", "orders", "health", "strategies")
"""The paths of the API whose answers make a situation."""

COMPACT_ROWS: Final = 5
"""Rows of each table in the live view."""

_CENT: Final = Decimal("0.01")
_EXACT: Final = Context(prec=200)

WIDTH_MAX: Final = 300
"""Columns of the widest table."""

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_GOOD, _BAD, _WARN, _DIM = "green", "bold red", "yellow", "dim"


class _Positions(msgspec.Struct):
    positions: list[PositionRow]


class _Orders(msgspec.Struct):
    working: list[OrderRow]


class _Strategies(msgspec.Struct):
    strategies: list[StrategyRow]


class Situation(msgspec.Struct):
    """The answers of `PARTS`, each as it stood at its own seq; `status.seq` is the first."""

    status: Status
    positions: _Positions
    orders: _Orders
    health: Health
    strategies: _Strategies

    @classmethod
    def of(cls, answers: dict[str, Any]) -> Situation:
        """Return the situation of decoded answers, or of their structs."""
        return msgspec.convert(answers, cls, from_attributes=True)

    def age_ms(self, at_ms: int) -> int:
        """Return how long ago a time was, by the engine's clock."""
        return max(self.status.at_ms - at_ms, 0)


def span_text(milliseconds: int) -> str:
    """Return a span of time in its two largest units, such as 2h 5m; below 10 s with a tenth."""
    if milliseconds < 10_000:
        return f"{milliseconds / 1000:.1f}s"
    seconds = milliseconds // 1000
    parts: list[str] = []
    for size, name in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])


def one_line(situation: Situation) -> str:
    """Return the line that a session writes each minute."""
    status, health = situation.status, situation.health
    words = [_money_words(status.account)]
    held = [
        f"{one.instrument} {one.owner} {one.size}" for one in situation.positions.positions if _is_held(one)
    ]
    words.append(f"positions {_listed(held)}" if held else "flat")
    words.append(f"orders {status.orders} working, {status.fills_today} fills today")
    words.append(_feeds_words(situation))
    words.append(f"lag {status.lag_ms} ms")
    if "latency" in health.lines:
        words.append(f"latency {health.lines['latency']}")
    words += [_halt_words(halt) for halt in status.halts]
    return "; ".join(words)


def numbers(situation: Situation) -> dict[str, str]:
    """Return what the line of each minute says as exact values, for programs."""
    status, account = situation.status, situation.status.account
    newest_ms = status.newest_price_ms
    values = {
        "equity": account.equity,
        "day_profit": account.day_profit,
        "currency": account.currency,
        "positions": sum(_is_held(one) for one in situation.positions.positions),
        "orders": status.orders,
        "fills_today": status.fills_today,
        "feeds_up": status.feeds_up,
        "feeds": status.feeds,
        "newest_price_age_ms": situation.age_ms(newest_ms) if newest_ms else None,
        "lag_ms": status.lag_ms,
        "latency": situation.health.lines.get("latency"),
        "halts": len(status.halts),
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def screen(situation: Situation, *, compact: bool = False) -> RenderableType:
    """Return the screen of `engine status`; `compact`: that of the live view, below the lines."""
    status = situation.status
    head = Table.grid(padding=(0, 2))
    head.add_column(style=_DIM, no_wrap=True)
    head.add_column(overflow="ellipsis")
    for name, value, style in _head(situation, compact=compact):
        head.add_row(name, Text(printable(value), style=style, overflow="ellipsis"))
    most = COMPACT_ROWS if compact else None
    parts: list[RenderableType] = [_banner(status), head]
    held = [one for one in situation.positions.positions if _is_held(one)]
    parts += _section("positions", _positions(held[:most]), len(held), most)
    parts += _section("orders", _orders(situation.orders.working[:most]), len(situation.orders.working), most)
    if not compact:
        feeds = situation.health.feeds
        parts += _section("feeds", _feeds(situation, feeds), len(feeds), None)
        strategies = situation.strategies.strategies
        parts += _section("strategies", _strategies(strategies), len(strategies), None)
        commands = status.commands
        parts += _section("commands", _commands(situation, commands), len(commands), None)
    return Group(*parts)


def _banner(status: Status) -> Text:
    """Return the line that says whether orders are real."""
    if status.armed:
        where = " ".join(one for one in (status.network, status.account_id) if one)
        return Text(printable(f" ARMED: ORDERS ARE REAL {where}".rstrip() + " "), style="bold white on red")
    what = "PAPER: no order is real" if status.mode == "paper" else f"{status.mode.upper()}: not armed"
    return Text(printable(f" {what} "), style="black on green")


def _head(situation: Situation, *, compact: bool) -> Iterable[tuple[str, str, str]]:
    """Yield name, value and style of each line of the upper part."""
    status, account = situation.status, situation.status.account
    for halt in status.halts:
        since = f", for {span_text(situation.age_ms(halt.since_ms))}" if halt.since_ms else ""
        kind, _, words = _halt_words(halt).partition(" ")
        yield kind.upper(), f"{words}{since}", _BAD
    if not status.running:
        yield "session", "none is running", _BAD
    else:
        state = ", stopping" if status.stopping else ""
        uptime = span_text(situation.age_ms(status.started_ms))
        yield "session", f"{status.session}, up {uptime}{state}", ""
    yield "journal", situation.health.lines.get("journal") or f"seq {status.seq}", ""
    style = _BAD if (account.day_profit or "").startswith("-") else _GOOD
    yield "equity", _money_words(account).removeprefix("equity "), style if account.day_profit else ""
    for one in account.accounts:
        yield "account", f"{one.venue}: {_money(one.equity)} {one.currency}".rstrip(), ""
    if account.drawdown is not None:
        percent = "" if account.drawdown_percent is None else f" ({account.drawdown_percent:.2f}%)"
        yield "drawdown", f"{_money(account.drawdown)}{percent} from {_money(account.peak)}", ""
    for asset, amount in account.unvalued:
        yield "not valued", f"{amount} {asset}: no price is known", _WARN
    today = f"{status.fills_today} fills, {status.refusals_today} refusals, {status.gaps_today} gaps today"
    if compact:
        lag = f"lag {status.lag_ms} ms"
        yield "engine", f"{_feeds_words(situation)}; {lag}; {today}", ""
    else:
        yield "prices", _feeds_words(situation), ""
        yield "today", today, ""
        handler = f", {situation.health.lag_handler}" if situation.health.lag_handler else ""
        latency = situation.health.lines.get("latency", "")
        yield "lag", f"{status.lag_ms} ms{handler}{f'; latency {latency}' if latency else ''}", ""
        if situation.health.unreconciled:
            yield "account", f"not reconciled: {situation.health.unreconciled}", _WARN
        for _, seq, actor, error in situation.health.failures[:3]:
            yield "failed", f"{actor} at seq {seq}: {error}", _BAD


def _section(name: str, table: Table | None, count: int, most: int | None) -> list[RenderableType]:
    if table is None:
        return []
    more = f", the first {most}" if most is not None and count > most else ""
    return [Text(f"{name} ({count}{more})", style="bold"), _Cropped(table)]


class _Cropped:
    """A table at its natural width, of which a narrow terminal shows the left part."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self._table, options.update(width=WIDTH_MAX), pad=False):
            yield from Segment.adjust_line_length(line, options.max_width, pad=False)
            yield Segment.line()


def _money(text: str | None) -> str:
    """Return an amount as people read it: two decimals, half up, or four digits of a smaller one."""
    if text is None:
        return "?"
    value = Decimal(text)
    if value and abs(value) < _CENT:
        return f"{value:.4g}"
    return f"{value.quantize(_CENT, ROUND_HALF_UP, _EXACT):,f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table | None:
    """Return a table of texts; None without rows. A column with a leading ">" is aligned to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=_DIM, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(one if isinstance(one, Text) else Text(printable(one)) for one in row))
    return table if table.rows else None


def _positions(rows: Sequence[PositionRow]) -> Table | None:
    columns = ("market", "owner", ">size", ">entry", ">mark", ">unrealized", "protected by")
    return _table(
        columns,
        (
            (
                *(
                    _market(one),
                    one.owner,
                    one.size,
                    one.entry or "?",
                    one.mark or "?",
                    _money(one.unrealized),
                ),
                _protection(one),
            )
            for one in rows
        ),
    )


def _market(row: PositionRow | OrderRow) -> str:
    """Return the market of a row; with its venue where there are several and the label does not name it."""
    named = not row.venue or row.instrument.startswith(f"{row.venue}:")
    return row.instrument if named else f"{row.instrument} at {row.venue}"


def _protection(row: PositionRow) -> Text:
    held = [f"{one.kind} {one.size} at {one.price or '?'} ({one.held})" for one in row.protected_by]
    if not held:
        return Text("NOTHING", style=_WARN)
    bare = row.unprotected.strip("-0.")
    return Text(printable(", ".join(held) + (f"; {row.unprotected} by nothing" if bare else "")))


def _orders(rows: Sequence[OrderRow]) -> Table | None:
    columns = ("market", "owner", "side", "kind", ">left", ">price", ">away", "state", "id")
    return _table(
        columns,
        (
            (
                *(_market(one), one.owner, one.side, _kind(one), one.left),
                one.trigger_price or one.price or "market",
                "" if one.distance_percent is None else f"{one.distance_percent:.2f}%",
                one.state,
                one.id or one.handle,
            )
            for one in rows
        ),
    )


def _kind(row: OrderRow) -> str:
    """Return what kind of order it is; of one that takes a profit, that."""
    return row.kind.replace("stop", "take-profit") if row.trigger == "tp" else row.kind


def _feeds(situation: Situation, rows: Sequence[FeedRow]) -> Table | None:
    def age(feed: FeedRow) -> str:
        return span_text(situation.age_ms(feed.heard_ms)) if feed.heard_ms else ""

    columns = ("name", "state", ">heard ago", ">lag", ">downs", "reason")
    return _table(
        columns,
        (
            (
                one.name,
                Text(one.state, style=_BAD if one.state in ("down", "failed", "restarting") else ""),
                *(age(one), f"{one.lag_ms} ms" if one.lag_ms else "", str(one.downs or ""), one.reason),
            )
            for one in rows
        ),
    )


def _strategies(rows: Sequence[StrategyRow]) -> Table | None:
    return _table(
        ("name", "state", ">profit", ">unrealized", ">fills", ">refused", "why"),
        (
            (
                one.name,
                Text(one.state, style="" if one.state == "running" else _WARN),
                *(_money(one.profit), _money(one.unrealized), str(one.fills_today), str(one.refusals_today)),
                one.why,
            )
            for one in rows
        ),
    )


def _commands(situation: Situation, rows: Sequence[CommandRow]) -> Table | None:
    return _table(
        (">seq", ">ago", "command", "who", "outcome"),
        (
            (
                *(str(one.seq), span_text(situation.age_ms(one.at_ms))),
                one.detail,
                *(one.who, ": ".join(word for word in (one.state, one.reason, _left(one)) if word)),
            )
            for one in rows
        ),
    )


def _left(row: CommandRow) -> str:
    return ", ".join(" ".join(words) for words in row.left)


def _is_held(row: PositionRow) -> bool:
    return bool(row.size.strip("-0."))


def _money_words(account: AccountRow) -> str:
    if account.equity is None:
        return "equity is not known yet"
    equity = f"equity {_money(account.equity)} {account.currency}".rstrip()
    if account.day_profit is None:
        return equity
    return f"{equity}, {'' if account.day_profit.startswith('-') else '+'}{_money(account.day_profit)} today"


def _feeds_words(situation: Situation) -> str:
    status = situation.status
    newest_ms = status.newest_price_ms
    price = f"newest price {span_text(situation.age_ms(newest_ms))} old" if newest_ms else "no price yet"
    return f"feeds {status.feeds_up} of {status.feeds} up, {price}"


def _halt_words(halt: HaltRow) -> str:
    """Return "halted" or "paused", what, and why."""
    if halt.what == "pause":
        return f"paused {halt.name or 'all strategies'}, by an operator"
    name = f"{halt.what} {halt.name}".rstrip()
    return f"halted {name}{f': {halt.reason}' if halt.reason else ''}"


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - COMPACT_ROWS} more" if len(words) > COMPACT_ROWS else ""
    return f"{', '.join(words[:COMPACT_ROWS])}{more}"
