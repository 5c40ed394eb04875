"""Account data: `/info` requests with a user, and the first frames of the user channels.

An unknown address gets empty answers instead of errors, as on the venue. Called by `info.py` and the hub.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from adapters.hyperliquid.rules import PERP, SPOT
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.exchange import Exchange
from adapters.sandbox.exchange.money import DOLLAR, money_text
from adapters.sandbox.exchange.orders import Order, open_row, order_row, status_row, update_row
from adapters.sandbox.exchange.portfolio import portfolio
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
    normalize_cloid,
)

__all__ = ["UserRequest", "answer_user", "first_user_frame"]

ROWS_MAX: Final = 2000
_RANGE_ROWS_MAX: Final = 500
_REFERRER_VOLUME: Final = 10_000 * DOLLAR


class _InfoRequest(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base of the requests with a user."""

    user: Address


class State(_InfoRequest, frozen=True, tag="clearinghouseState"):
    """Positions and margin."""

    dex: str | None = None


class SpotState(_InfoRequest, frozen=True, tag="spotClearinghouseState"):
    """Token balances."""


class OpenOrders(_InfoRequest, frozen=True, tag="openOrders"):
    """Open orders without trigger members."""

    dex: str | None = None


class FrontendOpenOrders(_InfoRequest, frozen=True, tag="frontendOpenOrders"):
    """Open orders with all members."""

    dex: str | None = None


class OrderStatus(_InfoRequest, frozen=True, tag="orderStatus"):
    """One order, by oid or client order id."""

    oid: Natural | Cloid


class HistoricalOrders(_InfoRequest, frozen=True, tag="historicalOrders"):
    """Open and ended orders."""


class Fills(_InfoRequest, frozen=True, tag="userFills"):
    """The newest fills, newest first."""

    aggregate_by_time: bool = False


class FillsByTime(_InfoRequest, frozen=True, tag="userFillsByTime"):
    """Fills of a time range, oldest first unless `reversed`."""

    start_time: int
    end_time: int | None = None
    aggregate_by_time: bool = False
    reversed: bool = False


class FundingPayments(_InfoRequest, frozen=True, tag="userFunding"):
    """Funding payments of a time range."""

    start_time: int | None = None
    end_time: int | None = None


class Ledger(_InfoRequest, frozen=True, tag="userNonFundingLedgerUpdates"):
    """Deposits, transfers, withdrawals and liquidations of a time range."""

    start_time: int | None = None
    end_time: int | None = None


class RateLimit(_InfoRequest, frozen=True, tag="userRateLimit"):
    """The account's request budget."""


class Fees(_InfoRequest, frozen=True, tag="userFees"):
    """The fee schedule and the account's rates."""


class Role(_InfoRequest, frozen=True, tag="userRole"):
    """Whether an address is an account, an agent or unknown."""


class Agents(_InfoRequest, frozen=True, tag="extraAgents"):
    """Named agents of an account."""


class Portfolio(_InfoRequest, frozen=True, tag="portfolio"):
    """Account value, profit and volume over time."""


class Referral(_InfoRequest, frozen=True, tag="referral"):
    """Referrals, of which the sandbox has none."""


class TransferCheck(_InfoRequest, frozen=True, tag="preTransferCheck"):
    """Whether an address can be sent money."""

    source: Address


class AssetData(_InfoRequest, frozen=True, tag="activeAssetData"):
    """Leverage and tradable size of an instrument."""

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
    | Portfolio
    | Referral
    | TransferCheck
    | AssetData
)


def answer_user(exchange: Exchange, request: UserRequest, now_ms: int) -> Any:
    """Return the answer to a request, ready to encode as JSON."""
    user = request.user.lower()
    account = exchange.accounts.get(user) or Account(user)
    match request:
        case State():
            return clearinghouse_state(account, exchange.margin, now_ms)
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
        case Portfolio():
            return portfolio(account, exchange.margin, now_ms)
        case Referral():
            return _referral(account)
        case TransferCheck():
            return _transfer_check(exchange.accounts.get(user))
        case RateLimit():
            return exchange.budget.row(account)
        case Fees():
            return _FEES
        case Role():
            return _role(exchange, user, now_ms)
        case Agents():
            return exchange.agents.rows(account)
        case AssetData():
            instrument = exchange.market.by_name.get(request.coin)
            return None if instrument is None else asset_data(account, exchange.margin, instrument.listed)


def first_user_frame(exchange: Exchange, subscription: UserSubscription, now_ms: int) -> str | None:
    """Return the first frame of a user channel, or None if the channel has no snapshot.

    Channels with a full state send this frame again periodically.
    """
    user = subscription.user
    account = exchange.accounts.get(user) or Account(user)
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
            state = clearinghouse_state(account, exchange.margin, now_ms)
            return _frame("clearinghouseState", {"dex": "", "user": user, "clearinghouseState": state})
        case UserOrders():
            orders = [open_row(order) for order in _open(account)]
            return _frame("openOrders", {"dex": "", "user": user, "orders": orders})
        case UserSpot():
            spot: dict[str, Any] = {"balances": [], "tokenToAvailableAfterMaintenance": []}
            return _frame("spotState", {"user": user, "spotState": spot})
        case UserAsset():
            listed = exchange.market.by_name[subscription.coin].listed
            return _frame("activeAssetData", asset_data(account, exchange.margin, listed))
    return None


def _frame(channel: str, data: dict[str, Any]) -> str:
    return frame(channel, encode(data).decode())


def _open(account: Account) -> list[Order]:
    """Return the open orders, newest first, without children that wait for their parent."""
    return [order for order in reversed(account.orders.values()) if order.waits != "parent"]


def _status(account: Account, oid: int | str) -> dict[str, Any]:
    order = account.find(normalize_cloid(oid) if isinstance(oid, str) else oid)
    if order is None:
        return {"status": "unknownOid"}
    return {"status": "order", "order": status_row(order)}


def _historical(order: Order) -> dict[str, Any]:
    return {**update_row(order), "order": open_row(order)}


def _between(
    rows: Iterable[dict[str, Any]], start_ms: int | None, end_ms: int | None
) -> list[dict[str, Any]]:
    """Return the rows of a time range; both ends are inclusive, and without a start it is all."""
    since_ms = start_ms or 0
    return [row for row in rows if since_ms <= row["time"] and (end_ms is None or row["time"] <= end_ms)]


def _referral(account: Account) -> dict[str, Any]:
    """Return `referral`; a code can be created after 10,000 USD of volume."""
    stage: dict[str, Any] = {"stage": "needToCreateCode"}
    if account.volume < _REFERRER_VOLUME:
        stage = {"stage": "needToTrade", "data": {"required": money_text(_REFERRER_VOLUME)}}
    return {
        "referredBy": None,
        "cumVlm": money_text(account.volume),
        "unclaimedRewards": "0.0",
        "claimedRewards": "0.0",
        "builderRewards": "0.0",
        "tokenToState": [],
        "referrerState": stage,
        "rewardHistory": [],
    }


def _transfer_check(account: Account | None) -> dict[str, Any]:
    """Return `preTransferCheck`. A new address costs the venue's activation fee of 1 USDC."""
    return {
        "fee": "1.0" if account is None else "0.0",
        "isSanctioned": False,
        "userExists": account is not None,
        "userHasSentTx": account is not None and account.requests > 0,
    }


def _role(exchange: Exchange, user: str, now_ms: int) -> dict[str, Any]:
    if user in exchange.accounts:
        return {"role": "user"}
    master = exchange.agents.master_of(user, now_ms)
    if master is not None:
        return {"role": "agent", "data": {"user": master.address}}
    return {"role": "missing"}


_FEES: Final[dict[str, Any]] = {
    "dailyUserVlm": [],
    "feeSchedule": {
        "cross": PERP.taker_fee,
        "add": PERP.maker_fee,
        "spotCross": SPOT.taker_fee,
        "spotAdd": SPOT.maker_fee,
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
    "userCrossRate": PERP.taker_fee,
    "userAddRate": PERP.maker_fee,
    "userSpotCrossRate": SPOT.taker_fee,
    "userSpotAddRate": SPOT.maker_fee,
    "activeReferralDiscount": "0.0",
    "trial": None,
    "feeTrialReward": "0.0",
    "nextTrialAvailableTimestamp": None,
    "stakingLink": None,
    "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
}
"""Fee tier 0, which applies to every account of the sandbox."""
