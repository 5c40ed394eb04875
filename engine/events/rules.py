"""The trading rules of one market, as the venue's adapter states them: part of `InstrumentListed`.

The order manager, the simulated venue and the sandbox read the same rules. They are recorded with the
instrument, so a replay needs no adapter. The defaults are assumptions, for data whose source states no rules
(`stated` is then False).
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.values import Size

__all__ = ["KINDS", "MarketRules", "assumed_rules"]

KINDS: Final = ("perp", "spot", "stock")
"""Kinds of instruments."""


class MarketRules(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the venue allows in one market. Fractions and values in quote currency are exact decimal text.

    `stated`: the venue publishes these rules; otherwise they are assumed. `on_margin`: positions are held on
    margin, long or short; otherwise everything is bought with cash, and only what is held can be sold.
    `base` and `quote` are the assets; "" for unknown.

    `value_min` is the smallest value of an order; with `value_min_exempts_close` an order that only closes
    may be smaller. `size_max` is the largest size of one order, 0 for no bound. `far_percent`: the venue
    refuses a limit further from the mark than this; 0 for no bound. `tifs` are the times in force, `triggers`
    whether the venue holds stops, `trigger_price` whether they go by the "mark" or the "last" price,
    `reduce_only` whether it has that flag, `attached` whether an order can have children.

    `leverage` is that of a position unless the account chooses another, `leverage_max` the highest. `tiers`
    are (value from which it holds, highest leverage), for values above the first. `taker_fee` and `maker_fee`
    are fractions of the value of a fill. `fee_in` is "quote", or "received": the asset that the fill brings.
    `requests_per_minute` is what the venue allows one account or address, 0 for no bound.
    `funding_s` is the time between two funding payments, 0 if there are none, `funding_price` the price they
    go by: "oracle", "mark" or "last".
    """

    stated: bool = False
    on_margin: bool = True
    base: str = ""
    quote: str = ""
    value_min: str = "0"
    value_min_exempts_close: bool = True
    size_max: Size = 0
    far_percent: int = 0
    tifs: tuple[str, ...] = ("Gtc", "Ioc", "Alo")
    triggers: bool = True
    trigger_price: str = "last"
    reduce_only: bool = True
    attached: bool = True
    leverage: int = 20
    leverage_max: int = 20
    tiers: tuple[tuple[str, int], ...] = ()
    taker_fee: str = "0.00045"
    maker_fee: str = "0.00015"
    fee_in: str = "quote"
    funding_s: int = 0
    funding_price: str = "mark"
    requests_per_minute: int = 0


def assumed_rules(kind: str) -> MarketRules:
    """Return the rules assumed for data of a kind of instrument whose source states none.

    Only a perp is held on margin, and can be sold without being held.
    """
    if kind == "perp":
        return MarketRules()
    return MarketRules(on_margin=False, reduce_only=False, leverage=1, leverage_max=1)
