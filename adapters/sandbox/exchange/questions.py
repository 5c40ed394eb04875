"""What may be asked of an account: the `/info` requests that name a user, first frames of user channels.

An address nobody gave money to is answered as the venue answers a stranger: empty, not an error. Called by
`info.py` and the hub.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from adapters.hyperliquid.rules import RULES
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.desk import Desk
from adapters.sandbox.exchange.orders import Order, open_row, order_row, status_row, update_row
from adapters.sandbox.exchange.reports import ZERO_HASH
from adapters.sandbox.exchange.states import asset_data, clearinghouse_state
from adapters.sandbox.wire import (
    Address,
    Cloid,
    Natural,
    UserAsset,
    UserFills,
    UserFundings,
    UserLedger,
    UserOrders,
    UserSpot,
    UserState,
    UserSubscription,
    encode,
    frame,
    plain_cloid,
)

__all__ = ["UserRequest", "answer_user", "first_user_frame"]

ROWS_MAX: Final = 2000
_RANGE_ROWS_MAX: Final = 500


class _Ask(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base of the requests that name a user."""

    user: Address


class State(_Ask, frozen=True, tag="clearinghouseState"):
    """Positions and margin."""

    dex: str | None = None


class SpotState(_Ask, frozen=True, tag="spotClearinghouseState"):
    """Balances of tokens."""


class OpenOrders(_Ask, frozen=True, tag="openOrders"):
    """Open orders, trigger members hidden."""

    dex: str | None = None


class FrontendOpenOrders(_Ask, frozen=True, tag="frontendOpenOrders"):
    """Open orders with everything."""

    dex: str | None = None


class OrderStatus(_Ask, frozen=True, tag="orderStatus"):
    """One order, by oid or client id."""

    oid: Natural | Cloid


class HistoricalOrders(_Ask, frozen=True, tag="historicalOrders"):
    """Orders of any state."""


class Fills(_Ask, frozen=True, tag="userFills"):
    """The newest fills, newest first."""

    aggregate_by_time: bool = False


class FillsByTime(_Ask, frozen=True, tag="userFillsByTime"):
    """Fills of a range, oldest first unless `reversed`."""

    start_time: int
    end_time: int | None = None
    aggregate_by_time: bool = False
    reversed: bool = False


class FundingPayments(_Ask, frozen=True, tag="userFunding"):
    """Funding payments of a range."""

    start_time: int
    end_time: int | None = None


class Ledger(_Ask, frozen=True, tag="userNonFundingLedgerUpdates"):
    """Deposits and liquidations; here there is one deposit, the first."""

    start_time: int
    end_time: int | None = None


class RateLimit(_Ask, frozen=True, tag="userRateLimit"):
    """The account's budget of requests."""


class Fees(_Ask, frozen=True, tag="userFees"):
    """Fee schedule and own rates."""


class Role(_Ask, frozen=True, tag="userRole"):
    """What an address is."""


class Agents(_Ask, frozen=True, tag="extraAgents"):
    """Named agents of an account."""


class SubAccounts(_Ask, frozen=True, tag="subAccounts"):
    """None, here."""


class AssetData(_Ask, frozen=True, tag="activeAssetData"):
    """Leverage and what may be traded of a coin."""

    coin: str


UserRequest = (
    State
    | SpotState
    | OpenOrders
    | FrontendOpenOrders
    | OrderStatus
    | HistoricalOrders
    | Fills
    | FillsByTime
    | FundingPayments
    | Ledger
    | RateLimit
    | Fees
    | Role
    | Agents
    | SubAccounts
    | AssetData
)


def answer_user(desk: Desk, request: UserRequest, now_ms: int) -> Any:
    """Return the answer to a request, as JSON is made of it."""
    user = request.user.lower()
    account = desk.accounts.get(user) or Account(user)
    match request:
        case State():
            return clearinghouse_state(account, desk.margin, now_ms)
        case SpotState():
            return {"balances": []}
        case OpenOrders():
            return [order_row(order) for order in _open(account)]
        case FrontendOpenOrders():
            return [open_row(order) for order in _open(account)]
        case OrderStatus():
            return _status(account, request.oid)
        case HistoricalOrders():
            orders = [*account.history, *(one for one in account.orders.values() if one.waits != "parent")]
            return [_historical(order) for order in orders[: -ROWS_MAX - 1 : -1]]
        case Fills():
            return list(account.fills)[: -ROWS_MAX - 1 : -1]
        case FillsByTime():
            rows = _between(account.fills, request.start_time, request.end_time)
            return (rows[::-1] if request.reversed else rows)[:ROWS_MAX]
        case FundingPayments():
            rows = _between(account.fundings, request.start_time, request.end_time)[:_RANGE_ROWS_MAX]
            return [
                {
                    "time": row["time"],
                    "hash": ZERO_HASH,
                    "delta": {"type": "funding", **{key: row[key] for key in row if key != "time"}},
                }
                for row in rows
            ]
        case Ledger():
            return _between(account.ledger, request.start_time, request.end_time)[:_RANGE_ROWS_MAX]
        case SubAccounts():
            return []
        case RateLimit():
            return desk.budget.row(account)
        case Fees():
            return _FEES
        case Role():
            return _role(desk, user, now_ms)
        case Agents():
            return desk.agents.rows(account)
        case AssetData():
            coin = desk.market.by_name.get(request.coin)
            return None if coin is None else asset_data(account, desk.margin, coin.listed)


def first_user_frame(desk: Desk, subscription: UserSubscription, now_ms: int) -> str | None:
    """Return the frame that follows the acknowledgement of a user's channel, None without a snapshot.

    The channels of whole states repeat it by the clock.
    """
    user = subscription.user
    account = desk.accounts.get(user) or Account(user)
    match subscription:
        case UserFills():
            fills = list(account.fills)[: -ROWS_MAX - 1 : -1]
            return _frame("userFills", {"isSnapshot": True, "user": user, "fills": fills})
        case UserFundings():
            rows = list(account.fundings)[-ROWS_MAX:]
            return _frame("userFundings", {"isSnapshot": True, "user": user, "fundings": rows})
        case UserLedger():
            rows = list(account.ledger)[: -ROWS_MAX - 1 : -1]
            data = {"isSnapshot": True, "user": user, "nonFundingLedgerUpdates": rows}
            return _frame("userNonFundingLedgerUpdates", data)
        case UserState():
            state = clearinghouse_state(account, desk.margin, now_ms)
            return _frame("clearinghouseState", {"dex": "", "user": user, "clearinghouseState": state})
        case UserOrders():
            orders = [open_row(order) for order in _open(account)]
            return _frame("openOrders", {"dex": "", "user": user, "orders": orders})
        case UserSpot():
            spot: dict[str, Any] = {"balances": [], "tokenToAvailableAfterMaintenance": []}
            return _frame("spotState", {"user": user, "spotState": spot})
        case UserAsset():
            listed = desk.market.by_name[subscription.coin].listed
            return _frame("activeAssetData", asset_data(account, desk.margin, listed))
    return None


def _frame(channel: str, data: dict[str, Any]) -> str:
    return frame(channel, encode(data).decode())


def _open(account: Account) -> list[Order]:
    """Return open orders, newest first; children are shown in their parents until they are armed."""
    return [order for order in reversed(account.orders.values()) if order.waits != "parent"]


def _status(account: Account, oid: int | str) -> dict[str, Any]:
    order = account.find(plain_cloid(oid) if isinstance(oid, str) else oid)
    if order is None:
        return {"status": "unknownOid"}
    return {"status": "order", "order": status_row(order)}


def _historical(order: Order) -> dict[str, Any]:
    return {**update_row(order), "order": open_row(order)}


def _between(rows: Iterable[dict[str, Any]], start_ms: int, end_ms: int | None) -> list[dict[str, Any]]:
    return [row for row in rows if start_ms <= row["time"] and (end_ms is None or row["time"] <= end_ms)]


def _role(desk: Desk, user: str, now_ms: int) -> dict[str, Any]:
    if user in desk.accounts:
        return {"role": "user"}
    master = desk.agents.master_of(user, now_ms)
    if master is not None:
        return {"role": "agent", "data": {"user": master.address}}
    return {"role": "missing"}


_FEES: Final[dict[str, Any]] = {
    "dailyUserVlm": [],
    "feeSchedule": {
        "cross": RULES.taker_fee,
        "add": RULES.maker_fee,
        "spotCross": "0.0007",
        "spotAdd": "0.0004",
        "tiers": {
            "vip": [
                {
                    "ntlCutoff": "5000000.0",
                    "cross": "0.0004",
                    "add": "0.00012",
                    "spotCross": "0.0006",
                    "spotAdd": "0.0003",
                }
            ],
            "mm": [{"makerFractionCutoff": "0.005", "add": "-0.00001"}],
        },
        "referralDiscount": "0.04",
        "stakingDiscountTiers": [{"bpsOfMaxSupply": "0.0", "discount": "0.0"}],
    },
    "userCrossRate": RULES.taker_fee,
    "userAddRate": RULES.maker_fee,
    "userSpotCrossRate": "0.0007",
    "userSpotAddRate": "0.0004",
    "activeReferralDiscount": "0.0",
    "trial": None,
    "feeTrialReward": "0.0",
    "nextTrialAvailableTimestamp": None,
    "stakingLink": None,
    "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
}
"""Fee tier 0, which every account has here."""
