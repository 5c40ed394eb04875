"""Account views: `clearinghouseState` and `activeAssetData`.

Called by `user_info.py` for `/info` requests and for the channels that send a full state.
"""

from __future__ import annotations

from typing import Any

from adapters.sandbox.exchange.accounts import Account, Position
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.money import SCALE, money_text, notional
from adapters.sandbox.wire import wire_number
from engine.events import InstrumentListed
from engine.values import power_of_ten

__all__ = ["asset_data", "clearinghouse_state"]


def clearinghouse_state(account: Account, margin: Margin, now_ms: int) -> dict[str, Any]:
    """Return `clearinghouseState`. Flat positions are left out."""
    held, cross = margin.held(account), margin.held(account, cross_only=True)
    used = sum(margin.position_used(account, one) for one in held)
    return {
        "marginSummary": _summary(margin, held, margin.equity(account), used),
        "crossMarginSummary": _summary(
            margin, cross, margin.cross_equity(account), margin.cross_used(account)
        ),
        "crossMaintenanceMarginUsed": money_text(margin.cross_maintenance(account)),
        "withdrawable": money_text(margin.withdrawable(account)),
        "assetPositions": [
            {"type": "oneWay", "position": _position_row(account, margin, one)} for one in held
        ],
        "time": now_ms,
    }


def asset_data(account: Account, margin: Margin, listed: InstrumentListed) -> dict[str, Any]:
    """Return `activeAssetData`. Both pairs are (buy, sell), which is an unconfirmed assumption."""
    name = listed.name
    leverage, cross = margin.leverage(account, name), margin.is_cross(account, name)
    mark, free = margin.mark(name), margin.withdrawable(account)
    worth = notional(listed, mark, 1)
    most = wire_number(free * leverage // worth if worth else 0, listed.size_scale)
    return {
        "user": account.address,
        "coin": name,
        "leverage": {"type": "cross" if cross else "isolated", "value": leverage},
        "maxTradeSzs": [most, most],
        "availableToTrade": [money_text(free), money_text(free)],
        "markPx": wire_number(mark, listed.price_scale),
    }


def _summary(margin: Margin, held: list[Position], equity: int, used: int) -> dict[str, Any]:
    values = [margin.value(one) for one in held]
    return {
        "accountValue": money_text(equity),
        "totalNtlPos": money_text(sum(map(abs, values))),
        "totalRawUsd": money_text(equity - sum(values)),
        "totalMarginUsed": money_text(used),
    }


def _position_row(account: Account, margin: Margin, held: Position) -> dict[str, Any]:
    listed, name = held.listed, held.listed.name
    value, unrealized_pnl, leverage = (
        margin.value(held),
        margin.unrealized_pnl(held),
        margin.leverage(account, name),
    )
    kind: dict[str, Any] = {"type": "cross", "value": leverage}
    if not margin.is_cross(account, name):
        kind = {"type": "isolated", "value": leverage, "rawUsd": money_text(held.margin - held.cost)}
    opened = abs(held.cost) // leverage
    liquidation = margin.liquidation_price(account, held)
    return {
        "coin": name,
        "szi": wire_number(held.size, listed.size_scale),
        "leverage": kind,
        "entryPx": wire_number(held.entry(), listed.price_scale + 2),
        "positionValue": money_text(abs(value)),
        "unrealizedPnl": money_text(unrealized_pnl),
        "returnOnEquity": money_text(unrealized_pnl * power_of_ten(SCALE) // opened if opened else 0),
        "liquidationPx": None if liquidation is None else wire_number(*liquidation),
        "marginUsed": money_text(margin.position_used(account, held)),
        "maxLeverage": margin.max_leverage[name],
        "cumFunding": {
            "allTime": money_text(held.all_funding),
            "sinceOpen": money_text(held.funding),
            "sinceChange": money_text(held.changed_funding),
        },
    }
