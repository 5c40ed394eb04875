"""`engine sandbox`: runs local exchanges in a process of their own."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click
import msgspec

from adapters.exchange.faults import FRAME_KINDS, REQUEST_KINDS
from adapters.exchange.market import INSTRUMENTS_DEFAULT
from adapters.exchange.options import PORT_DEFAULT, SandboxOptions
from adapters.exchange.run import run_exchanges
from adapters.exchange.server import LocalExchange
from engine.commands.naming import names_in
from engine.errors import UsageError
from engine.loading.venues import HISTORY_DEFAULT, find_venue
from engine.venue import Venue

__all__ = ["sandbox_command"]


@click.command("sandbox")
@click.option(
    "--venue",
    "venues",
    multiple=True,
    metavar="NAME",
    default=(HISTORY_DEFAULT,),
    show_default=True,
    help="The venue whose protocol is served; may be repeated. Several have one clock and a port each.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=PORT_DEFAULT,
    show_default=True,
    help="0 chooses a free port. Several venues get this one and those that follow it.",
)
@click.option(
    "--tape", type=click.Path(path_type=Path), help="Journal day to play. Default: the synthetic market."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the synthetic market and the faults."
)
@click.option(
    "--instruments",
    "--coins",
    "instruments",
    default=",".join(INSTRUMENTS_DEFAULT),
    show_default=True,
    help="Instruments of the synthetic market: by these names, those of the venue, or venue:NAME.",
)
@click.option(
    "--clock",
    type=click.Choice(["now", "tape"]),
    default="now",
    show_default=True,
    help="now: shift the tape so that it starts now. tape: keep its times.",
)
@click.option("--speed", type=float, default=1.0, show_default=True, help="Multiple of real time.")
@click.option(
    "--history",
    "history_s",
    type=float,
    default=0.0,
    help="Seconds of the tape to play before the server starts.",
)
@click.option(
    "--drop-every",
    "drop_every_s",
    type=float,
    default=0.0,
    help="Cut a random connection about this often, in seconds.",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="[NAME=]ADDRESS:USDC",
    help="An account, as the venue's protocol names it, and its balance; may be repeated. With several "
    "venues the name of its venue comes first.",
)
@click.option(
    "--volume",
    "volumes",
    multiple=True,
    metavar="[NAME=]ADDRESS:USD",
    help="Volume that an account has traded before, given in the same way; may be repeated.",
)
@click.option(
    "--network",
    type=click.Choice(["testnet", "mainnet"]),
    default="testnet",
    show_default=True,
    help="The network that signatures must be made for.",
)
@click.option(
    "--rate-limit",
    type=click.Choice(["on", "off"]),
    default="on",
    show_default=True,
    help="The venue's limits on weight, connections, messages, posts, subscriptions and users.",
)
@click.option(
    "--faults",
    default="",
    metavar="SPEC",
    help="Faults to inject, drawn with --seed: a comma-separated list of kind:chance[/ms][@scope], such as "
    "lost-reply:0.05@exchange,cut:0.001. The chance (0 to 1) applies to each request or frame. "
    f"Faults of requests (@info, @exchange): {' '.join(REQUEST_KINDS)}. "
    f"Faults of frames (@market, @user, @ws): {' '.join(FRAME_KINDS)}. "
    "At the end, the faults that occurred are counted on standard error.",
)
@click.option(
    "--maker",
    is_flag=True,
    help="Make the synthetic market calm, so that resting orders fill within seconds.",
)
@click.option("--until-eof", is_flag=True, help="Also stop when standard input ends.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print base_url and ws_url as one line of JSON when the server is ready.",
)
def sandbox_command(
    venues: tuple[str, ...],
    port: int,
    tape: Path | None,
    seed: int,
    instruments: str,
    clock: Literal["now", "tape"],
    speed: float,
    history_s: float,
    drop_every_s: float,
    accounts: tuple[str, ...],
    volumes: tuple[str, ...],
    network: Literal["testnet", "mainnet"],
    rate_limit: str,
    faults: str,
    maker: bool,
    until_eof: bool,
    as_json: bool,
) -> None:
    """Run a local exchange with the protocol of a venue, by default Hyperliquid's, on one loopback port.

    It plays a tape: the synthetic market or a recorded day. Press Ctrl-C to stop it. To connect the engine:
    `engine live --venue hyperliquid --base-url http://127.0.0.1:PORT`.
    """
    if len(set(venues)) != len(venues):
        raise UsageError(f"--venue {' --venue '.join(venues)}: give each venue once")
    options = SandboxOptions(
        port=port,
        day=tape,
        seed=seed,
        clock=clock,
        speed=speed,
        history_s=history_s,
        drop_every_s=drop_every_s,
        network=network,
        rate_limit=rate_limit == "on",
        faults=faults,
        maker=maker,
    )
    names = names_in(instruments)
    pairs = _by_venue(accounts, venues, "--account"), _by_venue(volumes, venues, "--volume")
    exchanges = {
        name: _exchange(
            find_venue(name),
            number,
            names,
            msgspec.structs.replace(options, accounts=pairs[0][name], volumes=pairs[1][name]),
        )
        for number, name in enumerate(venues)
    }
    run_exchanges(exchanges, options, as_json=as_json, until_eof=until_eof)


def _exchange(venue: Venue, number: int, names: Sequence[str], options: SandboxOptions) -> LocalExchange:
    """Return the exchange of a venue: the `number`-th, with a port of its own.

    Each has a market of its own, so that prices differ between them. A name `venue:NAME` is for its venue.
    """
    if not venue.sandbox:
        raise UsageError(
            f"--venue {venue.name}: it has no protocol for a local exchange; `engine venues` shows which have"
        )
    prefix = venue.lists_as or venue.name
    others = [name for name in names if ":" in name and not name.startswith(f"{prefix}:")]
    module, _, attribute = venue.sandbox.partition(":")
    protocol = getattr(importlib.import_module(module), attribute)
    own = msgspec.structs.replace(
        options,
        port=options.port and options.port + number,
        seed=options.seed + number,
        instruments=venue.own_names([name for name in names if name not in others]),
    )
    return LocalExchange(own, protocol)


def _by_venue(
    texts: Sequence[str], venues: Sequence[str], option: str
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return (account, amount) by venue. Raises UsageError unless each says whose it is, if that is open."""
    found: dict[str, tuple[tuple[str, str], ...]] = dict.fromkeys(venues, ())
    for text in texts:
        name, equals, own = text.partition("=")
        if not (equals and name in venues):
            if len(venues) > 1:
                raise UsageError(
                    f"{option}: with several venues write the name of one first, {venues[0]}=..."
                )
            name, own = venues[0], text
        found[name] += (_pair(own, option),)
    return found


def _pair(text: str, option: str) -> tuple[str, str]:
    """Return (account, amount) of an option. Raises UsageError."""
    account, colon, amount = text.rpartition(":")
    if not colon or not account:
        raise UsageError(f"{option} {text[:60]!r}: write it as an account, a colon, and an amount")
    return account, amount
