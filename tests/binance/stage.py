"""A local exchange that speaks Binance's protocol, and sessions on it, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from adapters.binance.sandbox.protocol import BinanceProtocol, BinanceUsdmProtocol
from adapters.binance.venue import BinanceUsdmVenue, BinanceVenue
from adapters.exchange.options import SandboxOptions
from adapters.exchange.server import LocalExchange
from adapters.exchange.tape import Tape
from engine.commands.planning import LiveOptions, make_plan
from engine.config import BarsConfig, Config, DataConfig
from engine.events import Event
from engine.journal import list_days
from engine.loading.strategies import make_builder
from engine.records import JournalHistory, open_day, read_records
from engine.runtime.live import Live
from replay.verification import replay_day
from tests.pacing import pacing

__all__ = ["KINDS", "Stage", "events", "replays", "session", "staged"]

KINDS: dict[str, tuple[type[BinanceProtocol], type[BinanceVenue]]] = {
    "binance": (BinanceProtocol, BinanceVenue),
    "binance-usdm": (BinanceUsdmProtocol, BinanceUsdmVenue),
}


class Stage:
    """The exchange at `base_url`."""

    def __init__(self, kind: str, exchange: LocalExchange, base_url: str) -> None:
        self.kind = kind
        self.exchange = exchange
        self.base_url = base_url

    @property
    def protocol(self) -> BinanceProtocol:
        found = self.exchange.protocol
        assert isinstance(found, BinanceProtocol)
        return found


@asynccontextmanager
async def staged(kind: str, tape: Tape | None = None, **options: Any) -> AsyncIterator[Stage]:
    settings = SandboxOptions(**{"port": 0, "instruments": ("BTC",), **options})
    exchange = LocalExchange(settings, KINDS[kind][0], tape)
    async with pacing(), trio.open_nursery() as nursery:
        address = await nursery.start(exchange.serve)
        yield Stage(kind, exchange, address.base_url)
        nursery.cancel_scope.cancel()


def settings_of(stage: Stage, channels: tuple[str, ...], trades: str, **data: Any) -> Config:
    own = {stage.kind: {"trades": trades}}
    return Config(
        bars=BarsConfig(intervals=("1m",)),
        data=DataConfig(**{"channels": channels, "warmup_bars": 0, "check_minutes": 1, **data}),
        venues=own,  # type: ignore[arg-type]
    )


async def session(
    stage: Stage,
    root: Path,
    script: Callable[[], Awaitable[None]],
    *,
    channels: tuple[str, ...] = (),
    trades: str = "aggregate",
    raw: bool = False,
    changes: Mapping[str, Any] | None = None,
    **data: Any,
) -> None:
    """Run a paper session until the script ends. `changes` are of the configuration."""
    options = LiveOptions(
        config=msgspec.structs.replace(settings_of(stage, channels, trades, **data), **changes or {}),
        root=root,
        venue=KINDS[stage.kind][1](),
        raw=raw,
    )
    live = Live(await make_plan(options, stage.base_url), lambda _: None)

    async def drive() -> None:
        await script()
        live.stop("script")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drive)
        await live.run()
        nursery.cancel_scope.cancel()


def events(root: Path) -> list[Event]:
    """The events of all days."""
    return [event for day in list_days(root) for _, _, event in read_records(day.path)]


def replays(root: Path) -> None:
    """Assert that each day of a journal replays identical."""
    for day in list_days(root):
        report, _ = replay_day(open_day(day.path), make_builder(), history=JournalHistory(root))
        assert report.identical, (day.path.name, report.divergence)
