"""Commands of the engine as transactions of the venue.

Owns which transaction a command becomes. Prices and sizes are integers of the market's decimals, which are
the engine's scales. A market order is one of that type with its bound as the worst price; a stop or
take-profit waits at the venue under the same client index, and is sent at once or as a limit order once the
mark reaches it. A change names the whole size, what is filled included: so the venue's own circuit of the
transaction has it (elliottech/lighter-prover, l2_modify_order.rs, 2026). Called by the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from engine.events import CancelOrder, InstrumentListed, ModifyOrder, ScheduleCancel, SetLeverage, SubmitOrder
from engine.events.terms import OrderTerms
from engine.values import SELL

__all__ = ["KEPT_MS", "Wire", "is_too_large"]

KEPT_MS: Final = 28 * 86_400_000
"""How long a resting order is kept, as the venue's own client asks; the venue allows 30 days."""

_LIMIT, _MARKET = 0, 1
_TRIGGERED: Final = {("sl", True): 2, ("sl", False): 3, ("tp", True): 4, ("tp", False): 5}
_IOC, _GTT, _POST_ONLY = 0, 1, 2
_TIFS: Final = {"Ioc": _IOC, "Gtc": _GTT, "Alo": _POST_ONLY}
_SCHEDULED, _ABORT = 1, 2
_FRACTION: Final = 10_000
_PRICE_MAX: Final = 2**32 - 1
_SIZE_MAX: Final = 2**48 - 1


class Wire:
    """Members of transactions, for the instruments of the session. `markets` are their numbers by name."""

    def __init__(self, instruments: Iterable[InstrumentListed], markets: Mapping[str, int]) -> None:
        self._markets = {one.instrument: markets[one.name] for one in instruments}

    def trades(self, instrument: int) -> bool:
        """Return whether an instrument is one of this session's; an order may be left from another one."""
        return instrument in self._markets

    def submit(self, command: SubmitOrder, index: int, venue_ms: int) -> dict[str, int]:
        """Return the members of the transaction that places an order."""
        terms = command.terms
        kind, tif = _MARKET if terms.market else _LIMIT, _TIFS[terms.tif] if not terms.market else _IOC
        if terms.trigger:
            kind, tif = _TRIGGERED[terms.trigger, terms.market], _IOC if terms.market else _GTT
        return {
            "MarketIndex": self._markets[command.instrument],
            "ClientOrderIndex": index,
            "BaseAmount": terms.size,
            "Price": terms.worst,
            "IsAsk": int(terms.side == SELL),
            "Type": kind,
            "TimeInForce": tif,
            "ReduceOnly": int(terms.reduce_only),
            "TriggerPrice": terms.trigger_price if terms.trigger else 0,
            # One that trades at once or never does not rest.
            "OrderExpiry": 0 if tif == _IOC and not terms.trigger else venue_ms + KEPT_MS,
        }

    def cancel(self, command: CancelOrder, index: int) -> dict[str, int]:
        """Return the members of the transaction that cancels an order."""
        return {"MarketIndex": self._markets[command.instrument], "Index": index}

    def modify(self, command: ModifyOrder, index: int, filled: int) -> dict[str, int]:
        """Return the members of the transaction that changes an order in place."""
        return {
            "MarketIndex": self._markets[command.instrument],
            "Index": index,
            "BaseAmount": command.size + filled,
            "Price": command.limit_price,
            "TriggerPrice": 0,
        }

    def leverage(self, command: SetLeverage) -> dict[str, int]:
        """Return the members of the transaction that sets leverage and kind of margin."""
        return {
            "MarketIndex": self._markets[command.instrument],
            "InitialMarginFraction": -(-_FRACTION // command.leverage),
            "MarginMode": int(not command.cross),
        }

    def schedule(self, command: ScheduleCancel) -> dict[str, int]:
        """Return the members of the transaction that sets the dead man's switch, or withdraws it."""
        at_ms = command.cancel_at_ns // 1_000_000
        return {"TimeInForce": _SCHEDULED if at_ms else _ABORT, "Time": at_ms}


def is_too_large(terms: OrderTerms) -> bool:
    """Return whether a price or size does not fit into a transaction."""
    return max(terms.worst, terms.trigger_price) > _PRICE_MAX or terms.size > _SIZE_MAX
