"""The shapes of ApeX Omni's HTTP answers, with the promises of `wire.py`. Called by `info.py`, `listing.py`.

An answer has data, or a code and a message; both come with HTTP 200. Source: the venue's API documentation
and SDK, captures of 2026.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from adapters.apex.wire import Id, Level, Name, Number, ns_of

__all__ = [
    "ConfigAnswer",
    "DepthAnswer",
    "FundingsAnswer",
    "KlinesAnswer",
    "TimeAnswer",
    "TradesAnswer",
    "WireContract",
    "WireFunding",
]


class Answer(msgspec.Struct, frozen=True):
    """What every answer has."""

    code: int | str | None = None
    msg: str = ""


class WireContract(msgspec.Struct, frozen=True, rename="camel"):
    """A perp. `symbol` has a dash, `cross_symbol_name` none."""

    symbol: Name
    cross_symbol_name: Name
    tick_size: Number
    step_size: Number
    settle_asset_id: Name = "USDT"
    base_token_id: Annotated[str, msgspec.Meta(max_length=64)] = ""
    max_order_size: Number = "0"
    display_max_leverage: Number = ""
    enable_trade: bool = True


class _Contracts(msgspec.Struct, frozen=True, rename="camel"):
    perpetual_contract: list[msgspec.Raw] = []


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    contract_config: _Contracts


class ConfigAnswer(Answer, frozen=True):
    """All configuration of the venue."""

    data: _Config | None = None


class KlinesAnswer(Answer, frozen=True):
    """Candles by symbol."""

    data: dict[str, list[msgspec.Raw]] | None = None


class TradesAnswer(Answer, frozen=True):
    """The newest trades, newest first."""

    data: list[msgspec.Raw] | None = None


class WireDepth(msgspec.Struct, frozen=True):
    """A whole book, in any order."""

    a: Annotated[list[Level], msgspec.Meta(max_length=1000)] = []
    b: Annotated[list[Level], msgspec.Meta(max_length=1000)] = []


class DepthAnswer(Answer, frozen=True):
    """A book."""

    data: WireDepth | None = None


class WireFunding(msgspec.Struct, frozen=True, rename="camel"):
    """A settled rate, a fraction for the hour before it. Its time is in seconds or milliseconds."""

    rate: Number
    funding_time: Id = 0
    funding_timestamp: Id = 0

    @property
    def at_ns(self) -> int:
        """The time of the settlement."""
        return ns_of(self.funding_timestamp or self.funding_time)


class _Fundings(msgspec.Struct, frozen=True, rename="camel"):
    history_funds: list[msgspec.Raw] | None = None


class FundingsAnswer(Answer, frozen=True):
    """Settled rates, newest first."""

    data: _Fundings | None = None


class _Time(msgspec.Struct, frozen=True):
    time: Id


class TimeAnswer(Answer, frozen=True):
    """The venue's clock, in seconds or milliseconds."""

    data: _Time | None = None
