"""`engine live`: paper trading on the embedded sandbox, or on the market data of a venue."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click
import msgspec
import trio

from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.info import MAINNET_URL, HyperliquidInfo, is_loopback, list_instruments
from adapters.hyperliquid.prints import LastPrint
from adapters.hyperliquid.wire import WireTrade
from engine.clock import SECOND_NS, AdoptedClock, SystemClock, SystemIds
from engine.commands.output import json_option, print_json, table
from engine.commands.wiring import make_builder, make_projector, read_config
from engine.config import Config, nearest
from engine.errors import UsageError, VenueUnreachable
from engine.events import ClockAdopted, ClockChecked, Event, InstrumentListed
from engine.journal import Witness, read_identity
from engine.ports import Clock
from engine.projections import ProjectionError, witness
from engine.runtime.ingress import Ingress
from engine.runtime.live import Live
from engine.runtime.plan import LastPrints, LivePlan, LiveResult
from engine.runtime.supervisor import Edge, Health

__all__ = ["live_command", "run_live"]

SKEW_WARNING_NS: Final = SECOND_NS
SPEED_MAX: Final = 100_000
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


@click.command("live")
@click.option(
    "--for", "duration", metavar="30s", help="Stop after this long (ms, s, m, h) from the first input."
)
@click.option(
    "--journal", "root", type=click.Path(path_type=Path), default=Path("journal"), show_default=True
)
@click.option("--db", type=click.Path(path_type=Path), help="SQLite file. Default: retape.db in the journal.")
@click.option("--no-db", is_flag=True, help="No SQLite projection.")
@click.option("--venue", type=click.Choice(["sandbox", "hyperliquid"]), default="sandbox", show_default=True)
@click.option("--base-url", metavar="URL", help="Of the venue. Default: the embedded sandbox, or mainnet.")
@click.option("--coins", metavar="BTC,ETH", help="Markets to trade. Default: all of a sandbox's.")
@click.option("--strategy", "strategies", multiple=True, metavar="M:C", help="module:Class; may be repeated.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file; see engine/config.py for the keys."
)
@click.option("--speed", type=float, default=1.0, show_default=True, help="Of the embedded sandbox.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the embedded sandbox.")
@json_option
def live_command(
    duration: str | None,
    root: Path,
    db: Path | None,
    no_db: bool,
    venue: str,
    base_url: str | None,
    coins: str | None,
    strategies: tuple[str, ...],
    config: Path | None,
    speed: float,
    seed: int,
    as_json: bool,
) -> None:
    """Trade on paper: real market data, simulated fills, every event in the journal.

    Without options: the embedded sandbox exchange, the example strategy, SQLite. With --venue hyperliquid:
    its public market data, or that of a sandbox at --base-url. Ctrl-C stops in order; a second one at once.
    """
    settings = read_config(config, strategies, coins)
    seconds = None if duration is None else _seconds(duration)
    if not 0 < speed <= SPEED_MAX:
        raise UsageError(f"--speed {speed:g}: give a number above 0, at most {SPEED_MAX:,}")
    database = None if no_db else (db or root / "retape.db")

    def tell(health: Health) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(f"{health.name}: {health.state} {health.detail}".rstrip(), err=True)

    if base_url is None and venue == "hyperliquid":
        base_url = MAINNET_URL
    result = trio.run(run_live, settings, root, database, base_url, seconds, tell, speed, seed)
    if as_json:
        print_json(msgspec.to_builtins(result))
    else:
        _print(result, root, database)


async def run_live(
    config: Config,
    root: Path,
    database: Path | None,
    base_url: str | None,
    seconds: float | None,
    tell: object,
    speed: float = 1.0,
    seed: int = 1,
) -> LiveResult:
    """Run a session and return how it went. Without `base_url`, on an embedded sandbox."""
    async with _venue(base_url, speed, seed) as url:
        plan = await _plan(config, root, database, url)
        plan.for_seconds = seconds
        return await Live(plan, tell).run()  # type: ignore[arg-type]


async def _plan(config: Config, root: Path, database: Path | None, base_url: str) -> LivePlan:
    """Ask the venue what it lists and what time it is, and put the session together.

    Raises UsageError for a coin the venue does not list, before anything is written.
    """
    ids = SystemIds()
    loopback = is_loopback(base_url)
    async with HyperliquidInfo(base_url) as info:
        meta = await info.meta()
        system = SystemClock()
        asked_ns = system.now_ns()
        status = await info.exchange_status()
        answered_ns = system.monotonic_ns()
    coins = config.coins
    if not coins:
        if not loopback:
            raise UsageError("the venue lists hundreds of coins; choose some with --coins BTC,ETH")
        coins = tuple(asset.name for asset in meta.universe)
    chosen = list_instruments(meta, 0, coins, loopback=loopback)
    _check_coins(config, [one.name for one in chosen])
    clock: Clock = system
    speed = 1.0
    venue_ns = status.time * 1_000_000
    events: list[Event]
    if loopback and status.speed is not None:
        speed = status.speed
        clock = AdoptedClock(venue_ns, answered_ns, speed)
        events = [ClockAdopted(venue_ns, base_url, venue_ns, speed)]
    else:
        offset_ns = venue_ns - asked_ns
        events = [ClockChecked(asked_ns, base_url, offset_ns)]
        if abs(offset_ns) > SKEW_WARNING_NS:
            click.echo(
                f"engine: warning: this machine's clock is {abs(offset_ns) / 1e9:.1f} s off the venue's; "
                "real orders are forbidden until it is set right",
                err=True,
            )

    def make_feeds(instruments: Sequence[InstrumentListed], ingress: Ingress, last: LastPrints) -> list[Edge]:
        async def recent(coin: str) -> list[WireTrade]:
            async with HyperliquidInfo(base_url) as info:
                return await info.recent_trades(coin)

        feed = HyperliquidFeed(
            name="hyperliquid",
            base_url=base_url,
            instruments=instruments,
            clock=clock,
            jitter=lambda: int.from_bytes(ids.random_bytes(4), "big") / 2**32,
            send=ingress.send,
            offer=ingress.offer,
            since_ns=clock.now_ns(),
            last_seen={
                number: LastPrint(venue_ns, tuple(int(one) for one in found))
                for number, (venue_ns, found) in last.items()
            },
            recent=recent,
        )

        # Restarted by the supervisor, the same feed goes on from what it has told.
        return [Edge("hyperliquid", feed.run)]

    return LivePlan(
        root=root,
        config=_at_speed(msgspec.structs.replace(config, coins=tuple(one.name for one in chosen)), speed),
        builder=make_builder(),
        clock=clock,
        ids=ids,
        instruments=chosen,
        venue_events=events,
        make_feeds=make_feeds,
        make_projector=functools.partial(make_projector, root, database) if database else None,
        speed=speed,
        witness=_witness(root, database),
    )


def _check_coins(config: Config, names: list[str]) -> None:
    """Raise UsageError for a coin that a strategy or a limit names but this session does not trade."""
    used = [(f"strategy {entry.title}", coin) for entry in config.strategies for coin in entry.coins]
    used += [("risk", coin) for coin in (*config.risk.max_order_size, *config.risk.max_position_size)]
    for where, coin in used:
        if coin not in names:
            raise UsageError(f"{where}: {coin!r} is no coin of this session; {nearest(coin, names)}")


def _at_speed(config: Config, speed: float) -> Config:
    """Return the configuration with the grace of bars in a faster clock: lateness is real time."""
    grace_ms = min(int(config.bars.grace_ms * speed), 3_600_000)
    return msgspec.structs.replace(config, bars=msgspec.structs.replace(config.bars, grace_ms=grace_ms))


def _witness(root: Path, database: Path | None) -> Witness | None:
    """Return how far the projection remembers this journal, so that a shortened journal is noticed."""
    if database is None:
        return None
    with contextlib.suppress(ProjectionError):
        row = witness(database)
        if row is not None and row.journal_id == read_identity(root):
            return Witness(row.seq, row.digest, str(database))
    return None


@asynccontextmanager
async def _venue(base_url: str | None, speed: float, seed: int) -> AsyncIterator[str]:
    """Yield the venue's address; without one, that of a sandbox process that ends with the block."""
    if base_url is not None:
        yield base_url
        return
    command = [sys.executable, "-m", "engine", "sandbox", "--port", "0", "--json", "--until-eof"]
    command += ["--speed", str(speed), "--seed", str(seed)]
    process = await trio.lowlevel.open_process(command, stdin=-1, stdout=-1, start_new_session=True)
    try:
        assert process.stdout is not None
        line = b""
        with trio.move_on_after(30):
            while not line.endswith(b"\n"):
                part = await process.stdout.receive_some(4096)
                if not part:
                    break
                line += part
        if not line.endswith(b"\n"):
            raise VenueUnreachable("the embedded sandbox did not start; try `engine sandbox` to see why")
        yield str(msgspec.json.decode(line)["base_url"])
    finally:
        process.terminate()
        with trio.CancelScope(shield=True), trio.move_on_after(5):
            await process.wait()


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"--for {text!r}: write it as 500ms, 30s, 5m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def _print(result: LiveResult, root: Path, database: Path | None) -> None:
    latency = "no commands were sent"
    if result.latency_p50_ms is not None:
        latency = f"p50 {result.latency_p50_ms:.2f} ms, p99 {result.latency_p99_ms:.2f} ms"
    rows = [
        ("session", f"{result.session}, stopped by {result.stopped_by}"),
        ("journal", f"{root}: seq {result.first_seq} to {result.last_seq}"),
        ("commands", f"{result.commands}, receipt to release: {latency}"),
        ("digest", result.digest),
    ]
    rows += [("repaired", repair) for repair in result.repairs]
    if result.live_orders:
        rows.append(("left over", f"{result.live_orders} orders were not canceled in time"))
    if database is not None:
        rows.append(("sqlite", str(database)))
    if result.days:
        rows.append(("verify", f"engine replay {root / result.days[-1]}"))
    table([(name, value) for name, value in rows])
