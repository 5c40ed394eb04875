"""The options of a local exchange, and its addresses.

Shared by the server, the protocols and the command line.
"""

from __future__ import annotations

import math
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

import msgspec

from adapters.exchange.market import INSTRUMENTS_DEFAULT
from engine.errors import SafetyRefusal, UsageError

__all__ = ["PORT_DEFAULT", "SandboxAddress", "SandboxOptions", "check_options", "loopback"]

PORT_DEFAULT: Final = 3001
"""The port of the official SDK's local URL."""

_SPEED_MAX: Final = 100_000


class SandboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a local exchange.

    Tape: `day` is the folder of a journal day; without it, the synthetic market plays `instruments` from
    `seed`. `clock` "now" shifts the times of the tape so that it starts now, "tape" keeps them. `history_s`
    seconds of the tape are played before the server accepts connections, as if it had been running that long.
    `maker` makes the synthetic market calm, so that resting orders fill.

    Connections: `drop_every_s` cuts a connection chosen by the seed about that often (real seconds; 0:
    never). `idle_s` (real seconds), `connections_max` and `subscriptions_max` default to Hyperliquid's
    limits. `queue_max` is the number of frames that may wait for a slow client.

    Accounts: `accounts` are (account, amount) pairs, `volumes` (account, USD traded so far) pairs; what an
    account is, the protocol says. `network` decides which signatures are valid. If `rate_limit` is off, none
    of the venue's limits apply, and those on connections and subscriptions are raised to what protects the
    server itself.

    `faults` is a specification as described in `faults.py`.
    """

    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    day: Path | None = None
    seed: int = 1
    instruments: tuple[str, ...] = INSTRUMENTS_DEFAULT
    clock: Literal["now", "tape"] = "now"
    speed: float = 1.0
    history_s: float = 0.0
    drop_every_s: float = 0.0
    idle_s: float = 60.0
    connections_max: int = 10
    subscriptions_max: int = 1000
    queue_max: int = 4096
    accounts: tuple[tuple[str, str], ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    network: Literal["testnet", "mainnet"] = "testnet"
    rate_limit: bool = True
    faults: str = ""
    maker: bool = False


class SandboxAddress(msgspec.Struct, frozen=True):
    """The addresses of a running exchange."""

    base_url: str
    ws_url: str


def loopback(host: str) -> str:
    """Return the address to bind. Raises SafetyRefusal unless it is a loopback address."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        found = ip_address(address).is_loopback
    except ValueError:
        found = False
    if not found:
        raise SafetyRefusal(
            f"the sandbox has no passwords, so it binds loopback addresses only, not {host!r}; use 127.0.0.1"
        )
    return address


def check_options(options: SandboxOptions) -> None:
    """Raise UsageError for an invalid option."""
    if not (math.isfinite(options.speed) and 0 < options.speed <= _SPEED_MAX):
        raise UsageError(f"the speed must be above 0 and at most {_SPEED_MAX}, not {options.speed}")
    if not 0 <= options.port <= 65_535:
        raise UsageError(f"{options.port} is not a port; choose 1 to 65535, or 0 for a free one")
    if options.clock not in ("now", "tape"):
        raise UsageError(f"the clock must be now or tape, not {options.clock!r}")
    if options.network not in ("testnet", "mainnet"):
        raise UsageError(f"the network must be testnet or mainnet, not {options.network!r}")
    if options.maker and options.day is not None:
        raise UsageError("--maker applies to the synthetic market only; remove it or --tape")
    for name in ("history_s", "drop_every_s"):
        value = getattr(options, name)
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{name} must be 0 or more seconds, not {value}")
