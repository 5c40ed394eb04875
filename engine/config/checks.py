"""Checks of a configuration. A value that would fail later is refused at once, with its key."""

from __future__ import annotations

import difflib
from typing import Final

import msgspec

from engine.clock import DAY_NS
from engine.config.sections import FEE_SCALE, MONEY_TEXT_SCALE, Config
from engine.config.simulated import check_simulated
from engine.errors import ConfigError, NumberError, UsageError
from engine.values import parse_interval, parse_scaled, parse_span, to_grid

__all__ = ["check", "nearest"]

RESERVED_NAMES: Final = frozenset(
    {
        "activity",
        "aggregator",
        "book-sampler",
        "footprints",
        "imbalances",
        "large-prints",
        "profiles",
        "venue",
        "books",
        "orders",
        "manual",
        "execution",
        "sequencer",
        "external",
    }
)
"""Names of the engine's own actors and accounts; a strategy cannot have them."""


def nearest(name: str, known: list[str]) -> str:
    """Return "did you mean a, b?" or the first known names, for the end of an error message."""
    close = difflib.get_close_matches(name, known, 3, 0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    return f"known: {', '.join(known[:12]) or 'none'}{' ...' if len(known) > 12 else ''}"


def _check_flow(config: Config) -> None:
    flow = config.flow
    for key in ("footprint", "profile", "book", "liquidations"):
        for name in getattr(flow, key) or ():
            try:
                parse_interval(name)
            except UsageError as error:
                raise ConfigError(f"flow.{key}: {error}") from None
    for name in flow.footprint:
        if name not in config.bars.intervals:
            raise ConfigError(f"flow.footprint: {name!r} is not among bars.intervals")
    texts = [("flow.imbalance_ratio", flow.imbalance_ratio)]
    texts += [
        (f"flow.{key}.{name}", text)
        for key in ("level", "large")
        for name, text in getattr(flow, key).items()
    ]
    for where, text in texts:
        try:
            value = parse_scaled(text, MONEY_TEXT_SCALE)
        except NumberError as error:
            raise ConfigError(f"{where}: {error}") from None
        if not value and where != "flow.imbalance_ratio":
            raise ConfigError(f"{where}: must be above 0")
    for key in ("imbalance_run", "depth"):
        if getattr(flow, key) < 1:
            raise ConfigError(f"flow.{key}: must be at least 1")


def check(config: Config) -> None:
    """Raise ConfigError, naming the key, for a value that would fail later."""
    try:
        spans_ns = sorted(parse_interval(name) for name in config.bars.intervals)
    except UsageError as error:
        raise ConfigError(f"bars.intervals: {error}") from None
    # Weeks and months are made of days.
    if not spans_ns or any((min(span, DAY_NS)) % spans_ns[0] for span in spans_ns[1:]):
        raise ConfigError("bars.intervals: give at least one, each a multiple of the shortest")
    _check_flow(config)
    kinds = config.bars.kinds()
    if len(set(config.bars.activity)) != len(kinds):
        raise ConfigError("bars.activity: list each kind only once")
    if config.bars.close not in ("grace", "trade"):
        raise ConfigError(f'bars.close: {config.bars.close!r} is not "grace" or "trade"')
    numbers: list[tuple[str, str, int]] = [
        ("risk.max_order_notional", config.risk.max_order_notional, MONEY_TEXT_SCALE),
        ("risk.max_position_notional", config.risk.max_position_notional, MONEY_TEXT_SCALE),
        ("risk.max_daily_loss", config.risk.max_daily_loss, MONEY_TEXT_SCALE),
        ("risk.max_drawdown_percent", config.risk.max_drawdown_percent, MONEY_TEXT_SCALE),
        ("risk.max_leverage", config.risk.max_leverage, MONEY_TEXT_SCALE),
        ("account.cash", config.account.cash, MONEY_TEXT_SCALE),
        ("paper.taker_fee", config.paper.taker_fee or "0", FEE_SCALE),
        ("paper.maker_fee", config.paper.maker_fee or "0", FEE_SCALE),
    ]
    for key, text, scale in numbers:
        try:
            parse_scaled(text, scale, signed=key == "paper.maker_fee")
        except NumberError as error:
            raise ConfigError(f"{key}: {error}") from None
    for table in ("max_order_size", "max_position_size"):
        for name, size in getattr(config.risk, table).items():
            try:
                to_grid(size, scale=0)  # any number of decimals: sizes are compared exactly
            except NumberError as error:
                raise ConfigError(f"risk.{table}.{name}: {error}") from None
    whole = {
        "bars.grace_ms": config.bars.grace_ms,
        "bars.proof_ms": config.bars.proof_ms,
        "paper.latency_ms": config.paper.latency_ms,
        "paper.slippage_bps": config.paper.slippage_bps,
        "paper.liquidation_bps": config.paper.liquidation_bps,
        "risk.max_orders_per_minute": config.risk.max_orders_per_minute,
        "risk.max_open_positions": config.risk.max_open_positions,
        "risk.max_price_age_ms": config.risk.max_price_age_ms,
        "data.warmup_bars": config.data.warmup_bars,
        "data.check_minutes": config.data.check_minutes,
        "data.poll_after_s": config.data.poll_after_s,
        "data.backfill_minutes": config.data.backfill_minutes,
        "venue.expires_ms": config.venue.expires_ms,
        "venue.exit_expires_ms": config.venue.exit_expires_ms or 0,
        "venue.answer_ms": config.venue.answer_ms,
        "venue.slippage_bps": config.venue.slippage_bps,
        "venue.dead_man_s": config.venue.dead_man_s,
        "limits.handler_s": config.limits.handler_s,
        "limits.lag_ms": config.limits.lag_ms,
    }
    for key, value in whole.items():
        if not 0 <= value <= 3_600_000:
            raise ConfigError(f"{key}: {value} is out of range (0 to 3600000)")
    _check_account(config)
    _check_venue(config)
    _check_stores(config)
    if config.simulated is not msgspec.UNSET:
        check_simulated(config.simulated)
    _check_report(config)
    titles = [strategy.title for strategy in config.strategies]
    for strategy in config.strategies:
        if strategy.title in RESERVED_NAMES:
            raise ConfigError(
                f"strategies: {strategy.title!r} is the name of an actor of the engine; choose another name"
            )
        if titles.count(strategy.title) > 1:
            raise ConfigError(f"strategies: two are named {strategy.title!r}; give one of them another name")
        if strategy.on_failure not in ("halt", "quarantine"):
            raise ConfigError(f"strategies.on_failure: {strategy.on_failure!r} is not 'halt' or 'quarantine'")


def _check_stores(config: Config) -> None:
    """Raise ConfigError for what is invalid in every store. Its kind checks the other keys."""
    names: list[str] = []
    for section in () if config.stores is msgspec.UNSET else config.stores:
        name = section.get("name", section.get("kind"))
        for key, value in (("kind", section.get("kind")), ("name", name)):
            if not isinstance(value, str) or not value:
                raise ConfigError(f'stores.{key}: a store has no valid {key}; write it as {key} = "sqlite"')
        if name in names:
            raise ConfigError(f"stores.name: two are named {name!r}; give one of them another name")
        names.append(str(name))


def _check_report(config: Config) -> None:
    """Raise ConfigError for what no ratio can assume."""
    report = config.report
    if not 1 <= report.annualise <= 366:
        raise ConfigError(f"report.annualise: {report.annualise} is out of range (1 to 366)")
    try:
        percent = parse_scaled(report.risk_free_percent, MONEY_TEXT_SCALE, signed=True)
    except NumberError as error:
        raise ConfigError(f"report.risk_free_percent: {error}") from None
    if not -(10 ** (MONEY_TEXT_SCALE + 2)) < percent <= 10 ** (MONEY_TEXT_SCALE + 3):
        raise ConfigError(
            f"report.risk_free_percent: {report.risk_free_percent} is out of range (above -100, at most 1000)"
        )


def _check_account(config: Config) -> None:
    """Raise ConfigError for invalid bounds of market orders, margin, and choices of the risk section."""
    risk, account = config.risk, config.account
    choices = [
        ("risk.netting", risk.netting, ("allow", "refuse")),
        ("risk.on_stop", risk.on_stop, ("keep", "cancel", "flatten")),
        ("account.margin", account.margin, ("cross", "isolated")),
    ]
    for key, value, allowed in choices:
        if value not in allowed:
            raise ConfigError(f"{key}: {value!r} is not one of {', '.join(allowed)}")
    for key, bps in (("risk.exit_bps", risk.exit_bps), ("risk.protect_bps", risk.protect_bps)):
        if not 0 <= bps < 10_000:
            raise ConfigError(f"{key}: {bps} is out of range (0 to 9999)")
    try:
        parse_span(risk.cooldown)
    except NumberError as error:
        raise ConfigError(f"risk.cooldown: {error}") from None
    for name, leverage in account.leverage.items():
        if not 1 <= leverage <= 1000:
            raise ConfigError(f"account.leverage.{name}: {leverage} is out of range (1 to 1000)")


def _check_venue(config: Config) -> None:
    """Raise ConfigError for values invalid at every venue. `engine.venue.Venue.check` checks the others."""
    modes = ("paper", "live")
    if config.mode not in modes:
        raise ConfigError(f"mode: {config.mode!r} is not one of {', '.join(modes)}")
    titles = [entry.title for entry in config.strategies]
    adopters = {} if isinstance(config.venue.adopt, bool) else config.venue.adopt
    for name, title in adopters.items():
        if title not in titles:
            raise ConfigError(f"venue.adopt.{name}: there is no strategy {title!r}; {nearest(title, titles)}")
    for asset, text in config.account.prices.items():
        if not text:
            raise ConfigError(f"account.prices.{asset}: give a number, or the name of a market")
