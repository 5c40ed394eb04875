"""The settings of a plan, and the configuration of its session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from engine.config import AccountConfig, BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig

__all__ = ["Settings", "config_of", "with_loss_limits"]

USE = "tests.orders.scripted:Scripted"


@dataclass(frozen=True)
class Settings:
    """The session of a plan: what its configuration and its data are like."""

    data: str = "trades"  # "trades", "quotes" (with trades), "books" (with both), or "candles"
    feed: bool = False  # whether the feed reports that it is up; only then a price can be old
    spot: bool = False  # whether BBB is spot
    latency_ms: int = 100
    taker_fee: str = "0.00045"
    maker_fee: str = "0.00015"
    slippage_bps: int = 1
    fill_on_touch: bool = False
    cash: str = "100000"
    orders_per_minute: int = 600
    position_notional: str = "1000000"
    on_failure: str = "quarantine"
    value_min: str = "0"  # the smallest value of an order that opens
    begin: str = "noon"  # or "eve": the session goes on past midnight
    daily_loss: str = "0"  # loss limits; "0" for none
    drawdown_percent: str = "0"


def with_loss_limits(number: int, settings: Settings) -> Settings:
    """Return the settings of a plan with loss limits in one of eight, small enough to be reached."""
    random = Random(number + 2_000_000_011)
    if number % 8 != 5:
        return settings
    daily, percent = random.choice(("0", "0.2", "1", "5")), random.choice(("0", "0.002", "0.05", "1"))
    return replace(settings, daily_loss=daily, drawdown_percent=percent)


def config_of(settings: Settings, scripts: dict[str, str], begin_ns: int, calm_ms: int = 0) -> Config:
    """Return the configuration of a paper session: each strategy runs its script."""
    return Config(
        strategies=tuple(
            StrategyConfig(
                use=USE,
                name=name,
                params={"script": script, "label": name, "begin_ns": begin_ns, "calm_ms": calm_ms},
                on_failure=settings.on_failure,
            )
            for name, script in scripts.items()
        ),
        bars=BarsConfig(intervals=("1m",)),
        risk=RiskConfig(
            max_order_notional="1000000",
            max_position_notional=settings.position_notional,
            max_orders_per_minute=settings.orders_per_minute,
            max_daily_loss=settings.daily_loss,
            max_drawdown_percent=settings.drawdown_percent,
        ),
        paper=PaperConfig(
            latency_ms=settings.latency_ms,
            taker_fee=settings.taker_fee,
            maker_fee=settings.maker_fee,
            slippage_bps=settings.slippage_bps,
            fill_on_touch=settings.fill_on_touch,
        ),
        account=AccountConfig(cash=settings.cash),
    )
