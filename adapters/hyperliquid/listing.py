"""The venue's listing: perps of its own dex and of builders' dexes, spot pairs; their grids and asset ids.

Owns the rules of names, decimals and numbers. Promises: only a name that the venue's own metadata holds
becomes an instrument, since a subscription to any other ends the whole connection. Called at start-up by the
command line, and by the gateway for asset ids. Source: the venue's pages "tick and lot size" and "asset
ids", 2026-08.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from adapters.hyperliquid.answers import SpotMeta
from adapters.hyperliquid.rules import LEVERAGE_DEFAULT, PERP, RULES, SPOT
from adapters.hyperliquid.wire import AssetInfo, MarginTable, Meta
from adapters.transport.text import clip
from engine.errors import UsageError, VenueProtocolError
from engine.events import InstrumentListed, MarketRules

__all__ = [
    "asset_ids",
    "dex_of",
    "list_instruments",
    "perp_rules",
]

_SPOT_ID: Final = 10_000
_DEX_ID: Final = 100_000
_DEX_IDS: Final = 10_000

_SHOWN: Final = 8
_COMPARED_MAX: Final = 10_000
"""Most names that are compared with one that is not listed; the venue lists about a thousand."""
_ENDINGS: Final = ("perp", "usd", "usdc", "usdcusdc", "usdt", "usdtusdt")
"""What others write after the asset of a perp: BTC-PERP, BTC-USD, BTC/USDC:USDC, BTCUSDT."""


def list_instruments(
    meta: Meta,
    recv_ns: int,
    names: Sequence[str],
    *,
    known: Mapping[str, int] | None = None,
    first_number: int = 1,
    loopback: bool = False,
    spot: SpotMeta | None = None,
    dexs: Sequence[Meta] = (),
) -> list[InstrumentListed]:
    """Return the listing of the instruments named, in their order.

    A spot pair is named by the venue's name (`@107`) or by its tokens (`HYPE/USDC`).
    `spot` and `dexs` (the metas of builders' dexes) are needed for instruments of theirs. `known` gives
    numbers to names that the journal already lists; others are numbered from `first_number` on, skipping
    numbers that are taken. The sandbox's `pxDecimals` counts only with `loopback`. Raises UsageError for a
    name that the venue does not have, VenueProtocolError for an impossible grid or a name listed twice.
    """
    known = known or {}
    perps = {asset.name: asset for one in (meta, *dexs) for asset in one.universe}
    tables = {asset.name: one.margin_tables for one in (meta, *dexs) for asset in one.universe}
    pairs = _spot_decimals(spot)
    assets = {name: tokens for name, tokens in _spot_assets(spot).items() if name in pairs}
    taken = set(known.values())
    number = first_number
    listed = []
    times = Counter(asset.name for one in (meta, *dexs) for asset in one.universe)
    times.update(pair.name for pair in (spot.universe if spot is not None else ()))
    for name in dict.fromkeys(_own_name(text, perps, assets) for text in names):
        if times[name] > 1:
            raise VenueProtocolError(f"hyperliquid lists {clip(name)} {times[name]} times")
        asset = perps.get(name)
        if asset is not None and asset.is_delisted:
            raise UsageError(f"{name} is delisted on hyperliquid; choose another instrument")
        if asset is not None:
            kind, size_scale = "perp", asset.sz_decimals
            rules = _perp_rules(asset, tables[name])
            price_scale, price_figures = _price_grid(asset, loopback)
        else:
            kind, size_scale = "spot", pairs[name]
            base, quote = assets[name]
            rules = replace(SPOT, base=base, quote=quote)
            price_scale, price_figures = _decimals(name, "spot", size_scale), RULES.price_figures
        if name not in known:
            while number in taken:
                number += 1
            taken.add(number)
        listed.append(
            InstrumentListed(
                recv_ns=recv_ns,
                instrument=known.get(name, number),
                venue="hyperliquid",
                name=name,
                price_scale=price_scale,
                size_scale=size_scale,
                price_figures=price_figures,
                kind=kind,
                silence=RULES.silence,
                ids=RULES.ids,
                rules=rules,
            )
        )
    return listed


def asset_ids(meta: Meta, spot: SpotMeta | None = None, dexs: Sequence[Meta] = ()) -> dict[str, int]:
    """Return the number that orders use for each instrument, by name; delisted ones keep their place.

    `dexs` are the metas of all builders' dexes in the order of `perpDexs`, without the venue's own: the place
    in it is part of the number.
    """
    ids = {asset.name: index for index, asset in enumerate(meta.universe)}
    if spot is not None:
        ids |= {pair.name: _SPOT_ID + pair.index for pair in spot.universe}
    for dex, one in enumerate(dexs, start=1):
        ids |= {asset.name: _DEX_ID + _DEX_IDS * dex + index for index, asset in enumerate(one.universe)}
    return ids


def dex_of(name: str) -> str:
    """Return the builder's dex in a name such as "xyz:SP500", "" for everything else."""
    return name.partition(":")[0] if ":" in name else ""


def _spot_decimals(spot: SpotMeta | None) -> dict[str, int]:
    """Return the size decimals of each pair: those of its base token."""
    if spot is None:
        return {}
    decimals = {token.index: token.sz_decimals for token in spot.tokens}
    return {pair.name: decimals[pair.tokens[0]] for pair in spot.universe if pair.tokens[0] in decimals}


def _spot_assets(spot: SpotMeta | None) -> dict[str, tuple[str, str]]:
    """Return the base and quote token of each pair, by name."""
    if spot is None:
        return {}
    names = {token.index: token.name for token in spot.tokens}
    return {
        pair.name: (names.get(pair.tokens[0], ""), names.get(pair.tokens[1], "")) for pair in spot.universe
    }


def perp_rules(name: str, leverage_max: int, tiers: Sequence[tuple[str, int]] = ()) -> MarketRules:
    """Return the rules of a perp with this highest leverage, which is lower for positions of larger value."""
    return replace(
        PERP,
        base=name.rpartition(":")[2],
        leverage=min(LEVERAGE_DEFAULT, leverage_max),
        leverage_max=leverage_max,
        tiers=tuple(tiers),
    )


def _perp_rules(asset: AssetInfo, tables: Sequence[tuple[int, MarginTable]]) -> MarketRules:
    """Return the rules of a perp; its margin table holds the highest leverage of larger positions."""
    tiers = [
        (tier.lower_bound, tier.max_leverage)
        for number, table in tables
        if number == asset.margin_table_id
        for tier in table.margin_tiers[1:]
    ]
    return perp_rules(asset.name, asset.max_leverage or LEVERAGE_DEFAULT, tiers)


def _price_grid(asset: AssetInfo, loopback: bool) -> tuple[int, int]:
    """Return price scale and significant figures."""
    if loopback and asset.px_decimals is not None:
        return asset.px_decimals, 0
    return _decimals(asset.name, "perp", asset.sz_decimals), RULES.price_figures


def _decimals(name: str, kind: str, size_scale: int) -> int:
    """Return the decimals of a price: those of the kind minus those of a size."""
    decimals_max = RULES.price_decimals[kind]
    if size_scale > decimals_max:
        raise VenueProtocolError(
            f"{clip(name)} has sizes of {size_scale} decimals; it can have at most {decimals_max}"
        )
    return decimals_max - size_scale


def _own_name(text: str, perps: Mapping[str, object], assets: Mapping[str, tuple[str, str]]) -> str:
    """Return the venue's name of the instrument that `text` means.

    Raises UsageError with the nearest names.
    """
    if text in perps or text in assets:
        return text
    pairs: dict[str, list[str]] = {}
    for name, tokens in assets.items():
        pairs.setdefault("/".join(tokens), []).append(name)
    found = pairs.get(text, [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"hyperliquid has several pairs {text}; write one of {', '.join(found)}")
    raise UsageError(f"hyperliquid has no instrument {clip(text, 40)}{_nearest(text, perps, pairs)}")


def _nearest(text: str, perps: Iterable[str], pairs: Mapping[str, Sequence[str]]) -> str:
    """Return which instrument was probably meant, in another spelling or with another ending."""
    names = list(islice(perps, _COMPARED_MAX))
    spelled = {_letters(name): name for name in names}
    for pair, markets in islice(pairs.items(), _COMPARED_MAX):
        # Tokens of bridged assets begin with a U, which the venue's pages leave out: BTC/USDC is UBTC/USDC.
        for one in (_letters(pair.removeprefix("U")), _letters(pair)):
            spelled[one] = pair if markets == [pair] else f"{pair} ({', '.join(markets)})"
    wanted = _letters(text)
    tried = [wanted, *(wanted.removesuffix(end) for end in _ENDINGS)]
    tried += difflib.get_close_matches(wanted, spelled, n=1)
    found = next((spelled[one] for one in tried if one in spelled), "")
    if found:
        return f"; did you mean {found}? Names are case sensitive"
    return f"; it has {', '.join(names[:_SHOWN])}{' and others' if len(names) > _SHOWN else ''}"


def _letters(text: str) -> str:
    """Return the letters and digits of a name in lower case: spellings differ in the rest."""
    return "".join(one for one in text.casefold() if one.isalnum())
