"""`engine live`: paper trading on the embedded sandbox or a venue's market data; armed, real orders."""

from __future__ import annotations

import re
import sys
from collections import ChainMap
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final

import click
import msgspec
import trio

from engine.api.server import Dashboard
from engine.api.sockets import check_socket_name
from engine.commands.arming import ARMED_ALONE, armed_venues
from engine.commands.configuration import read_config, warn_of_intervals
from engine.commands.mirror import check_mirror
from engine.commands.output import (
    check_outputs,
    config_option,
    json_option,
    param_option,
    print_json,
    refuse_failures,
    strategy_option,
    table,
)
from engine.commands.planning import LiveOptions, make_plan
from engine.commands.serving import dashboard_options, make_server, opened_dashboard, read_options
from engine.commands.sources import check_channels, own_config
from engine.commands.speaking import Speaker, errors_as_json, speaking
from engine.commands.stores import session_stores
from engine.config import nearest
from engine.errors import ConfigError, SafetyRefusal, UsageError, VenueUnreachable
from engine.loading.venues import check_sections, find_venue
from engine.runtime.live import Live
from engine.runtime.notices import refusals_text
from engine.runtime.plan import LiveResult
from engine.stores.store import Store

__all__ = ["live_command", "run_live"]

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
@click.option("--no-db", is_flag=True, help="No SQLite database.")
@click.option(
    "--venue",
    "venue_names",
    multiple=True,
    default=("sandbox",),
    show_default=True,
    metavar="NAME",
    help="A venue (`engine venues` lists them); may be repeated for a session with several.",
)
@click.option(
    "--base-url",
    "base_urls",
    multiple=True,
    metavar="[NAME=]URL",
    help="A venue's address, with its name if there are several. Default: its own, or the sandbox.",
)
@click.option(
    "--instruments",
    "--coins",
    "instruments",
    metavar="BTC,ETH",
    help="Instruments to trade. Default: all that a sandbox lists.",
)
@strategy_option
@param_option
@config_option
@click.option("--speed", type=float, default=1.0, show_default=True, help="Of the embedded sandbox.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the embedded sandbox.")
@click.option("--mode", type=click.Choice(["paper", "live"]), help="Default: the file's, or paper.")
@click.option(
    "--arm",
    "armed",
    multiple=True,
    is_flag=False,
    flag_value=ARMED_ALONE,
    metavar="[NAME]",
    help="Send real orders; needs --mode live and the account's key. With several venues, the name of one "
    "that they go to; may be repeated.",
)
@click.option("--resume", is_flag=True, help="Lift a halt that an earlier session left.")
@click.option(
    "--fresh",
    multiple=True,
    metavar="NAME",
    help="With real orders: let this strategy begin without its state although it has a position.",
)
@click.option(
    "--move",
    "moves",
    multiple=True,
    metavar="OLD=NEW",
    help="Give what a strategy of an earlier name holds to the strategy NEW.",
)
@click.option(
    "--csv", type=click.Path(path_type=Path), metavar="DIR", help="Also append closed bars to CSV files."
)
@click.option("--raw", is_flag=True, help="Record the feed's messages unchanged, in raw/ of the journal.")
@dashboard_options
@click.option("--quiet", is_flag=True, help="Lines on standard error: only errors and halts.")
@click.option("--log-json", is_flag=True, help="Lines on standard error as JSON objects, one on each line.")
@json_option
def live_command(
    duration: str | None,
    root: Path,
    db: Path | None,
    no_db: bool,
    venue_names: tuple[str, ...],
    base_urls: tuple[str, ...],
    instruments: str | None,
    strategies: tuple[str, ...],
    params: tuple[str, ...],
    config: Path | None,
    speed: float,
    seed: int,
    mode: str | None,
    armed: tuple[str, ...],
    resume: bool,
    fresh: tuple[str, ...],
    moves: tuple[str, ...],
    csv: Path | None,
    raw: bool,
    dashboard: str | None,
    dashboard_names: tuple[str, ...],
    dashboard_password: str | None,
    read_only: bool,
    quiet: bool,
    log_json: bool,
    as_json: bool,
) -> None:
    """Trade: market data in, bars, strategies, orders, every event in the journal. On paper by default.

    Without options: the embedded sandbox exchange, the example strategy, SQLite. With --venue hyperliquid:
    its public market data, or that of a sandbox at --base-url.

    While it runs, standard error has a line for each fill, refusal, halt, gap, reconnect, error and command
    of an operator, and each minute one on how things stand; on a terminal there is a live view below the
    lines. Standard output has the result. docs/operating.md says how to look and act from another terminal.

    The first Ctrl-C (or SIGTERM) stops gracefully; a second one, a second later or more, at once. A handler
    of a strategy that does not return is reported with its line ([limits] handler_s), and a second Ctrl-C
    ends the session even then.

    Real orders need three things at once: mode live, the key of the account in the file's [venue] section
    (or [venues.NAME]), and --arm. Otherwise nothing is sent and the exit code is 6. See docs/hyperliquid.md.
    With several venues each that real orders go to is named, --arm NAME; the others are watched only.
    """
    settings = read_config(config, strategies, instruments, params)
    warn_of_intervals(settings)
    if mode is not None:
        settings = msgspec.structs.replace(settings, mode=mode)
    seconds = None if duration is None else _seconds(duration)
    if not 0 < speed <= SPEED_MAX:
        raise UsageError(f"--speed {speed:g}: give a number above 0, at most {SPEED_MAX:,}")
    page = read_options(dashboard, dashboard_names, dashboard_password, read_only=read_only)
    if page is not None:
        check_socket_name(root)
    check_outputs(csv, None if no_db else db)
    stores = session_stores(settings, root, db=db, no_db=no_db, csv=csv)
    check_mirror(settings, stores)
    venues = [find_venue(name) for name in venue_names]
    venue = venues[0]
    urls = addresses_of(base_urls, venue_names)
    if settings.named_accounts:
        raise ConfigError("accounts is written by the engine; name the venues that are armed with --arm NAME")
    real = armed_venues(venues, settings.mode, armed)
    named = bool(real) and ARMED_ALONE not in armed
    try:
        if len(venues) > 1:
            check_channels(settings, venues)
        for one in venues:
            check_sections(settings, one)
            one.check(settings if len(venues) == 1 else own_config(settings, one))
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}" if config is not None else str(error)) from None
    found = [one.address(settings, urls.get(one.name), real=one in real) for one in venues]

    options = LiveOptions(
        config=settings,
        root=root,
        venue=venue,
        base_url=found[0],
        others=tuple(zip(venues[1:], found[1:], strict=True)),
        signer=venue.load_signer(settings) if real and not named else None,
        signers={one.name: one.load_signer(settings) for one in real} if named else {},
        stores=stores,
        raw=raw,
        resume=resume,
        fresh=fresh,
        moves=tuple(_move(text) for text in moves),
        seconds=seconds,
        speed=speed,
        seed=seed,
    )
    with errors_as_json() if log_json else nullcontext():
        with speaking(quiet=quiet, as_json=log_json, live_view=not as_json) as speaker:

            def announce(link: str) -> None:
                if as_json:
                    print_json({"dashboard": link})
                else:
                    speaker.result(f"dashboard: {link}")

            with opened_dashboard(page, announce) as opened:
                result = trio.run(run_live, options, speaker, opened)
        if as_json:
            print_json(msgspec.to_builtins(result))
        else:
            _print(result, root, stores)
        _refuse_rest(result)


def _refuse_rest(result: LiveResult) -> None:
    """Raise EngineError for what a session leaves undone."""
    if result.owed:
        more = f" (and {len(result.owed) - 1} more)" if len(result.owed) > 1 else ""
        raise SafetyRefusal(
            f"the session ended with an exit that is not done, of {result.owed[0]}{more}; close it at the "
            "venue, or start again"
        )
    refuse_failures(result.failures)


async def run_live(options: LiveOptions, speaker: Speaker, dashboard: Dashboard | None = None) -> LiveResult:
    """Run a session that speaks by `speaker`, and return its result. Raises EngineError."""
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(_address(options, options.base_url))
        others = [
            (venue, await stack.enter_async_context(_address(options, url))) for venue, url in options.others
        ]
        plan = await make_plan(options, base_url, others)
        live = Live(plan, speaker)
        effects = live.effects
        latency = {"latency": lambda: _latency(effects.percentile_ms(50), effects.percentile_ms(99))}
        lines = ChainMap(latency, plan.health)
        plan.make_server = make_server(options.root, dashboard, lines, speaker)
        return await live.run()


@asynccontextmanager
async def _address(options: LiveOptions, base_url: str | None) -> AsyncIterator[str]:
    """Yield a venue's address; without one, that of a sandbox process that ends with the block."""
    if base_url is not None:
        yield base_url
        return
    command = [sys.executable, "-P", "-m", "engine", "sandbox", "--port", "0", "--json", "--until-eof"]
    command += ["--speed", str(options.speed), "--seed", str(options.seed)]
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


def addresses_of(texts: Sequence[str], venues: Sequence[str]) -> dict[str, str]:
    """Return the addresses that are given, by venue. Raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, url = text.partition("=")
        if not (equals and name in venues):
            if len(venues) > 1:
                raise UsageError(
                    f"--base-url {text}: with several venues write NAME=URL; {nearest(name, list(venues))}"
                )
            name, url = venues[0], text
        if name in found:
            raise UsageError(f"--base-url {text}: {name} has an address already")
        found[name] = url
    return found


def _move(text: str) -> tuple[str, str]:
    old, _, new = text.partition("=")
    if not old or not new:
        raise UsageError(f"--move {text!r}: write it as OLD=NEW, two names of strategies")
    return old, new


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"--for {text!r}: write it as 500ms, 30s, 5m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def _latency(p50_ms: float | None, p99_ms: float | None) -> str:
    """Return the latency of commands, from the receipt of an input to the release of what came of it."""
    if p50_ms is None or p99_ms is None:
        return "no commands were sent"
    return f"p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms"


def _print(result: LiveResult, root: Path, stores: dict[str, Store]) -> None:
    latency = _latency(result.latency_p50_ms, result.latency_p99_ms)
    rows = [
        ("session", f"{result.session}, stopped by {result.stopped_by}"),
        ("journal", f"{root}: seq {result.first_seq} to {result.last_seq}"),
        ("commands", f"{result.commands}, receipt to release: {latency}"),
        ("digest", result.digest),
    ]
    rows += list(result.health.items())
    rows += [("repaired", repair) for repair in result.repairs]
    rows += [("failed", failure) for failure in result.failures]
    if result.refused:
        rows.append(("refused", refusals_text(result.refused)))
    if result.halted:
        rows.append(("halted", f"{result.halted}; --resume lifts it"))
    rows += [
        ("halted", f"{market}: {reason}; --resume lifts it")
        for market, reason in result.halted_markets.items()
    ]
    rows += [("paused", f"{name or 'all strategies'}; --resume lifts it") for name in result.paused]
    if result.live_orders:
        rows.append(("left over", f"{result.live_orders} orders did not end in time"))
    rows += [("position", str(book)) for book in result.positions]
    rows += [("owed", f"an exit of {owed}") for owed in result.owed]
    rows += [("not valued", f"{one}: account.prices has no price for it") for one in result.unvalued]
    rows += [("funding", f"that of {one} is left out: the data has no rates") for one in result.unfunded]
    rows += [(store.kind, store.place) for store in stores.values()]
    if result.days:
        rows.append(("verify", f"engine replay {root / result.days[-1]}"))
    table([(name, value) for name, value in rows])
