"""The configuration of a session from the settings of a plan."""

from __future__ import annotations

from engine.config import AccountConfig, BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig
from tests.orders.sequences import Settings

__all__ = ["config_of"]

USE = "tests.orders.scripted:Scripted"


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
