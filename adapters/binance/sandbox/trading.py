"""Accounts and orders of the local exchange: signed requests, user data, the tape.

Owns who may ask (key, signature, time) and which request does what; money and matching are in `accounts.py`
and `matching.py`. Promises: a request that is refused changes nothing; all effects of a request are reported
before its answer. Only HMAC keys are known. Not played: liquidations, funding, hedge mode's orders. Called by
the protocol with every request and connection that is not market data.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from adapters.binance.sandbox.accounts import Account
from adapters.binance.sandbox.entry import Entry
from adapters.binance.sandbox.matching import Matching
from adapters.binance.sandbox.orders import algo_row, order_row, trade_row
from adapters.binance.sandbox.userdata import UserData
from adapters.exchange.matching import Shown
from adapters.exchange.positions import UNIT
from adapters.exchange.refusals import Refusal, refuse
from engine.errors import UsageError

__all__ = ["Reply", "Trading", "accounts_of"]

_WINDOW_MAX_MS: Final = 60_000
_AHEAD_MS: Final = 1000
_KEY: Final = 64
_ROWS_MAX: Final = 1000
_encode = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """The answer to a request."""

    status: int
    body: str
    headers: Mapping[str, str] = {}


Params = dict[str, str]
Handler = Callable[[Account, Params, int], Any]


def accounts_of(given: Sequence[tuple[str, str]], quote: str = "USDT") -> list[Account]:
    """Return the accounts of `--account KEY:SECRET:AMOUNT` options. Raises UsageError."""
    found = []
    for text, amount in given:
        api_key, _, secret = text.partition(":")
        if not all(len(one) == _KEY and one.isalnum() and one.isascii() for one in (api_key, secret)):
            raise UsageError(
                "--account is KEY:SECRET:AMOUNT with a key and a secret of 64 letters and digits"
            )
        try:
            balance = Decimal(amount)
        except InvalidOperation:
            raise UsageError(f"--account: {amount[:40]!r} is not an amount") from None
        found.append(Account(api_key, secret, {quote: balance}))
    return found


class Trading:
    """Accounts of one exchange, spot or USD-M. `markets` by symbol."""

    def __init__(self, markets: Mapping[str, Shown], accounts: Sequence[Account], *, spot: bool) -> None:
        self.spot = spot
        self.accounts = list(accounts)
        self.markets = markets
        self.matching = Matching(markets, self.accounts, spot=spot)
        self.user_data = UserData(self.accounts, spot=spot)
        self._entry = Entry(markets, self.matching, spot=spot)
        self._transfer = 0
        self._handlers = self._spot_handlers() if spot else self._futures_handlers()

    def knows(self, method: str, path: str) -> bool:
        """Return whether a request is about accounts."""
        return (method, path) in self._handlers

    # Requests.

    def answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> Reply:
        """Answer a request about an account."""
        handler = self._handlers[method, path]
        try:
            account, params = self._allowed(path, query, headers, body.decode("ascii", "replace"), now_ms)
            return Reply(200, _encode(handler(account, params, now_ms)).decode())
        except Refusal as refusal:
            return Reply(refusal.status, _encode({"code": refusal.code, "msg": refusal.text}).decode())

    def _allowed(
        self, path: str, query: str, headers: Mapping[str, str], body: str, now_ms: int
    ) -> tuple[Account, Params]:
        """Return the account that a request is for, and its parameters. Raises Refusal."""
        api_key = headers.get("x-mbx-apikey", "")
        account = next((one for one in self.accounts if one.api_key == api_key), None)
        if account is None:
            raise refuse(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        params = dict(parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True))
        if path.endswith("/listenKey"):
            return account, params
        payload = _unsigned(query, body)
        given = params.pop("signature", "")
        if not hmac.compare_digest(_signature(account.secret, payload), given):
            raise refuse(-1022, "Signature for this request is not valid.")
        check_time(params, now_ms)
        return account, params

    # User data.

    def message(self, client: Any, text: str, now_ms: int) -> None:
        """Process a message of a spot connection: the subscription by signature."""
        self.user_data.message(client, text, now_ms, _signature)

    # The tape.

    def add_trade(self, name: str, price: int, size: int, side: int, now_ms: int) -> None:
        """Process a trade of the tape."""
        self.matching.add_trade(name, price, size, side, now_ms)

    def add_quote(self, name: str, bid: int, ask: int, now_ms: int) -> None:
        """Process a quote of the tape."""
        self.matching.add_quote(name, bid, ask, now_ms)

    def transfer(self, account: Account, amount: Decimal, now_ms: int, asset: str = "USDT") -> None:
        """Move money into an account, or out of it."""
        self._transfer += 1
        account.change(asset, amount, now_ms)
        if self.spot:
            event = {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": f"{amount:f}", "T": now_ms}
        else:
            row = {"symbol": "", "incomeType": "TRANSFER", "income": f"{amount:f}", "asset": asset}
            account.note_income(row | {"time": now_ms, "tranId": self._transfer, "tradeId": "", "info": ""})
            event = {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": {"m": "DEPOSIT", "B": [], "P": []}}
        account.send(event)

    # Handlers.

    def _futures_handlers(self) -> dict[tuple[str, str], Handler]:
        root, entry = "/fapi/v1", self._entry
        found: dict[tuple[str, str], Handler] = {
            ("POST", f"{root}/order"): entry.submit,
            ("PUT", f"{root}/order"): entry.modify,
            ("DELETE", f"{root}/order"): entry.cancel,
            ("GET", f"{root}/order"): entry.query,
            ("DELETE", f"{root}/allOpenOrders"): entry.cancel_all,
            ("POST", f"{root}/algoOrder"): entry.submit_algo,
            ("DELETE", f"{root}/algoOrder"): entry.cancel_algo,
            ("GET", f"{root}/algoOrder"): entry.query_algo,
            ("GET", f"{root}/openOrders"): self._open_orders,
            ("GET", f"{root}/openAlgoOrders"): self._open_algos,
            ("GET", f"{root}/allOrders"): self._all_orders,
            ("GET", f"{root}/userTrades"): self._trades,
            ("GET", f"{root}/income"): self._income,
            ("GET", f"{root}/positionSide/dual"): lambda account, _, __: {"dualSidePosition": account.hedge},
            ("POST", f"{root}/leverage"): self._leverage,
            ("POST", f"{root}/marginType"): self._margin_type,
            ("POST", f"{root}/countdownCancelAll"): lambda _, params, __: params,
        }
        for version in ("v2", "v3"):
            found["GET", f"/fapi/{version}/positionRisk"] = self._positions
            found["GET", f"/fapi/{version}/account"] = self._futures_account
            found["GET", f"/fapi/{version}/balance"] = self._futures_balance
        for method in ("POST", "PUT", "DELETE"):
            found[method, f"{root}/listenKey"] = getattr(self.user_data, method.lower())
        return found

    def _spot_handlers(self) -> dict[tuple[str, str], Handler]:
        root, entry = "/api/v3", self._entry
        return {
            ("POST", f"{root}/order"): entry.submit,
            ("POST", f"{root}/order/test"): entry.test,
            ("DELETE", f"{root}/order"): entry.cancel,
            ("GET", f"{root}/order"): entry.query,
            ("POST", f"{root}/order/cancelReplace"): entry.replace,
            ("PUT", f"{root}/order/amend/keepPriority"): entry.reduce,
            ("DELETE", f"{root}/openOrders"): entry.cancel_all,
            ("GET", f"{root}/openOrders"): self._open_orders,
            ("GET", f"{root}/allOrders"): self._all_orders,
            ("GET", f"{root}/myTrades"): self._trades,
            ("GET", f"{root}/account"): self._spot_account,
        }

    def _open_orders(self, account: Account, params: Params, now_ms: int) -> Any:
        symbol = params.get("symbol")
        orders = account.orders.values()
        return [order_row(one, spot=self.spot) for one in orders if symbol in (None, one.listed.name)]

    def _open_algos(self, account: Account, params: Params, now_ms: int) -> Any:
        symbol = params.get("symbol")
        return [
            algo_row(one)
            for one in account.algos.values()
            if one.status == "NEW" and symbol in (None, one.listed.name)
        ]

    def _all_orders(self, account: Account, params: Params, now_ms: int) -> Any:
        symbol, first = params.get("symbol"), int(params.get("orderId", "0"))
        found = [one for one in account.history.values() if one.listed.name == symbol and one.number >= first]
        rows = sorted(found, key=lambda one: one.number)[: _limit(params, 500)]
        return [order_row(one, spot=self.spot) for one in rows]

    def _trades(self, account: Account, params: Params, now_ms: int) -> Any:
        start, end = int(params.get("startTime", "0")), int(params.get("endTime", "99999999999999"))
        first, number = int(params.get("fromId", "0")), int(params.get("orderId", "0"))
        found = [
            one
            for one in account.trades
            if one.order.listed.name == params.get("symbol")
            and start <= one.time_ms <= end
            and one.number >= first
            and number in (0, one.order.number)
        ]
        return [trade_row(one, spot=self.spot) for one in found[: _limit(params, 500)]]

    def _income(self, account: Account, params: Params, now_ms: int) -> Any:
        start, end = int(params.get("startTime", "0")), int(params.get("endTime", "99999999999999"))
        found = [row for row in account.income if start <= row["time"] <= end]
        return found[: _limit(params, 100)]

    def _positions(self, account: Account, params: Params, now_ms: int) -> Any:
        return [
            {
                "symbol": held.listed.name,
                "positionSide": "BOTH",
                "positionAmt": f"{Decimal(held.size).scaleb(-held.listed.size_scale):f}",
                "entryPrice": f"{held.entry():f}",
                "updateTime": held.updated_ms,
            }
            for held in account.positions.values()
            if held.size and params.get("symbol") in (None, held.listed.name)
        ]

    def _futures_account(self, account: Account, params: Params, now_ms: int) -> Any:
        assets = self._futures_balance(account, params, now_ms)
        equity = self.matching.equity(account)
        return {
            "totalWalletBalance": f"{account.balance('USDT'):f}",
            "totalMarginBalance": f"{equity:f}",
            "totalUnrealizedProfit": f"{self.matching.unrealized(account):f}",
            "availableBalance": f"{equity:f}",
            "assets": [{**one, "walletBalance": one["balance"]} for one in assets],
            "positions": self._positions(account, params, now_ms),
        }

    def _futures_balance(self, account: Account, params: Params, now_ms: int) -> Any:
        rows = []
        for asset, amount in account.balances.items():
            unrealized = self.matching.unrealized(account) if asset == "USDT" else Decimal(0)
            rows.append(
                {
                    "asset": asset,
                    "balance": f"{amount:f}",
                    "unrealizedProfit": f"{unrealized.quantize(UNIT):f}",
                    "availableBalance": f"{amount + unrealized:f}",
                    "updateTime": account.updated_ms,
                }
            )
        return rows

    def _spot_account(self, account: Account, params: Params, now_ms: int) -> Any:
        rows = []
        for asset, amount in account.balances.items():
            free = self.matching.free(account, asset)
            rows.append({"asset": asset, "free": f"{free:f}", "locked": f"{amount - free:f}"})
        return {
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "accountType": "SPOT",
            "updateTime": account.updated_ms,
            "balances": rows,
            "permissions": ["SPOT"],
        }

    def _leverage(self, account: Account, params: Params, now_ms: int) -> Any:
        name, leverage = params.get("symbol", ""), int(params.get("leverage", "0"))
        if name not in self.markets:
            raise refuse(-1121, "Invalid symbol.")
        if not 1 <= leverage <= self.markets[name].listed.rules.leverage_max:
            raise refuse(-4028, f"Leverage {leverage} is not valid")
        account.leverage[name] = leverage
        return {"symbol": name, "leverage": leverage, "maxNotionalValue": "1000000"}

    def _margin_type(self, account: Account, params: Params, now_ms: int) -> Any:
        if params.get("marginType") == "CROSSED":
            raise refuse(-4046, "No need to change margin type.")
        raise refuse(-4047, "This exchange has cross margin only.")


def check_time(params: Params, now_ms: int) -> None:
    """Raise Refusal for a request that is too old, or ahead of the exchange's clock."""
    try:
        sent_ms, window_ms = int(params.pop("timestamp", "")), float(params.pop("recvWindow", "5000"))
    except ValueError:
        raise refuse(
            -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."
        ) from None
    if window_ms > _WINDOW_MAX_MS:
        raise refuse(-1131, "Invalid recvWindow.")
    if sent_ms >= now_ms + _AHEAD_MS:
        raise refuse(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent_ms > window_ms:
        raise refuse(-1021, "Timestamp for this request is outside of the recvWindow.")


def _unsigned(query: str, body: str) -> str:
    """Return what was signed: the query and the body behind it, without the signature."""
    parts = []
    for text in (query, body):
        kept = [one for one in text.split("&") if one and not one.startswith("signature=")]
        parts.append("&".join(kept))
    return "".join(parts)


def _signature(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def _limit(params: Params, default: int) -> int:
    text = params.get("limit", "")
    return min(int(text), _ROWS_MAX) if text.isascii() and text.isdigit() and int(text) else default
