"""`engine sandbox`: runs the sandbox exchange in its own process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import click

from adapters.sandbox.faults import FRAME_KINDS, REQUEST_KINDS
from adapters.sandbox.market import INSTRUMENTS_DEFAULT
from adapters.sandbox.run import run_sandbox
from adapters.sandbox.server import PORT_DEFAULT, SandboxOptions
from adapters.sandbox.venue import SandboxVenue
from engine.commands.naming import names_in
from engine.errors import UsageError

__all__ = ["sandbox_command"]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@click.command("sandbox")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=PORT_DEFAULT,
    show_default=True,
    help="0 chooses a free port.",
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
    help="Instruments of the synthetic market.",
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
    metavar="ADDRESS:USDC",
    help="An account and its balance; may be repeated.",
)
@click.option(
    "--volume",
    "volumes",
    multiple=True,
    metavar="ADDRESS:USD",
    help="Volume that an account has traded before; may be repeated.",
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
    """Run a local exchange with Hyperliquid's protocol: /info, /exchange and /ws on one loopback port.

    It plays a tape: the synthetic market or a recorded day. Press Ctrl-C to stop it. To connect the engine:
    `engine live --venue hyperliquid --base-url http://127.0.0.1:PORT`.
    """
    names = SandboxVenue().own_names(names_in(instruments))
    options = SandboxOptions(
        port=port,
        day=tape,
        seed=seed,
        instruments=names,
        clock=clock,
        speed=speed,
        history_s=history_s,
        drop_every_s=drop_every_s,
        accounts=tuple(_pair(text, "--account") for text in accounts),
        volumes=tuple(_pair(text, "--volume") for text in volumes),
        network=network,
        rate_limit=rate_limit == "on",
        faults=faults,
        maker=maker,
    )
    run_sandbox(options, as_json=as_json, until_eof=until_eof)


def _pair(text: str, option: str) -> tuple[str, str]:
    """Return (address, amount) of an option. Raises UsageError."""
    address, colon, amount = text.partition(":")
    if not colon or not _ADDRESS.fullmatch(address):
        raise UsageError(f"{option} {text[:60]!r}: write it as 0x and 40 hex digits, a colon, and an amount")
    return address, amount
