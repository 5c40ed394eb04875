"""The synthetic market as Hyperliquid lists it: perps with the venue's grid, leverage and rules.

Used by the sandbox exchange. The market itself is `adapters/exchange/market.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adapters.exchange import market, tape
from adapters.exchange.market import INSTRUMENTS_DEFAULT, InstrumentProfile
from adapters.exchange.tape import SYNTHETIC_START_NS, Tape
from adapters.hyperliquid.listing import perp_rules
from adapters.hyperliquid.rules import RULES
from engine.events import InstrumentListed

__all__ = ["LEVERAGE_DEFAULT", "VENUE", "SyntheticMarket", "lists", "max_leverage", "synthetic_tape"]

VENUE: Final = "hyperliquid"

LEVERAGE_DEFAULT: Final = 10
"""The highest leverage of an instrument without one of its own."""

_LEVERAGE: Final = {"BTC": 40, "ETH": 25, "SOL": 20, "XRP": 20}


def max_leverage(name: str) -> int:
    """Return the highest leverage of an instrument."""
    return _LEVERAGE.get(name, LEVERAGE_DEFAULT)


def lists(profile: InstrumentProfile, number: int, recv_ns: int) -> InstrumentListed:
    """Return how the venue lists an instrument of the synthetic market."""
    return InstrumentListed(
        recv_ns=recv_ns,
        instrument=number,
        venue=VENUE,
        name=profile.name,
        price_scale=RULES.price_decimals["perp"] - profile.size_scale,
        size_scale=profile.size_scale,
        price_figures=RULES.price_figures,
        rules=perp_rules(profile.name, max_leverage(profile.name)),
    )


class SyntheticMarket(market.SyntheticMarket):
    """See `adapters.exchange.market.SyntheticMarket`."""

    def __init__(
        self, seed: int = 1, instruments: Sequence[str] = INSTRUMENTS_DEFAULT, *, calm: bool = False
    ) -> None:
        super().__init__(seed, instruments, lists=lists, calm=calm)


def synthetic_tape(
    seed: int = 1,
    instruments: Sequence[str] = INSTRUMENTS_DEFAULT,
    start_ns: int = SYNTHETIC_START_NS,
    *,
    calm: bool = False,
) -> Tape:
    """See `adapters.exchange.tape.synthetic_tape`."""
    return tape.synthetic_tape(seed, instruments, start_ns, lists=lists, calm=calm)
