"""Accounts of the local exchange: tokens, reads, transactions, private channels, the tape.

Owns who may ask (token, account) and which request does what; money and matching are in `accounts.py` and
`matching.py`, transactions in `entry.py`. Promises: what is refused changes nothing; all effects of a
transaction are reported before its answer. Not played: liquidations, pools, spot. Called by the protocol with
every request and message that is not about market data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from email import message_from_bytes
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from adapters.exchange.matching import Shown
from adapters.exchange.protocol import Answer, Request
from adapters.exchange.refusals import Refusal, refuse
from adapters.lighter.sandbox.accounts import LEVERAGE, Account
from adapters.lighter.sandbox.entry import Entry
from adapters.lighter.sandbox.matching import Matching
from adapters.lighter.sandbox.orders import OTHERS, Order, order_row, trade_row
from adapters.lighter.signing import CHAINS, hash_text
from engine.events import FundingRead

__all__ = ["Trading"]

TOKEN_S: Final = 8 * 3600
ROWS_MAX: Final = 100
INDEXES_MAX: Final = 20
USDC: Final = 3
_PRIVATE: Final = ("account_all_orders", "account_all_trades")
_PUBLIC: Final = ("account", "apikeys", "nextNonce")
_encode = msgspec.json.Encoder().encode

Query = dict[str, str]
Handler = Callable[[Account, Query], Any]


class Trading:
    """Accounts of one exchange. `markets` are its perpetuals by number."""

    def __init__(self, markets: Mapping[int, Shown], accounts: Sequence[Account]) -> None:
        self.accounts = {one.index: one for one in accounts}
        self.markets = markets
        self._numbers = {shown.listed.name: number for number, shown in markets.items()}
        by_name = {shown.listed.name: shown for shown in markets.values()}
        self.matching = Matching(by_name, self._numbers, accounts)
        self._entry = Entry(markets, self.matching, CHAINS["sandbox"])
        self._clients: dict[Any, dict[tuple[str, int], None]] = {}
        self._transfer = 0
        self._handlers: dict[str, Handler] = {
            "account": self._account,
            "apikeys": self._keys,
            "nextNonce": self._nonce,
            "accountActiveOrders": self._active,
            "accountInactiveOrders": self._inactive,
            "accountOrders": self._orders,
            "trades": self._trades,
            "positionFunding": lambda account, query: self._page(
                "position_fundings", account.fundings, query
            ),
            "transfer/history": lambda account, query: {
                **self._page("transfers", account.transfers, query),
                "cursor": "",
            },
        }
        for account in accounts:
            account.send = self._sender(account)

    def knows(self, path: str) -> bool:
        """Return whether a request, its path without the root, is about accounts."""
        return path in self._handlers or path == "sendTx"

    # Requests.

    def answer(self, request: Request, path: str, now_ms: int) -> Answer:
        """Answer a request about an account."""
        try:
            if path == "sendTx":
                return Answer(body=_encode(self._send(request, now_ms)).decode())
            query = {name: values[-1] for name, values in parse_qs(request.query).items()}
            account = self._asked(path, query, request.headers, now_ms)
            return Answer(body=_encode({"code": 200, **self._handlers[path](account, query)}).decode())
        except Refusal as refusal:
            return Answer(refusal.status, _encode({"code": refusal.code, "message": refusal.text}).decode())

    def _send(self, request: Request, now_ms: int) -> Any:
        if request.method != "POST":
            raise refuse(20000, "method not allowed", 405)
        fields = form_of(request.headers.get("content-type", ""), request.body)
        number = fields.get("tx_type", "")
        if not (number.isascii() and number.isdigit()):
            raise refuse(20001, "invalid param : tx_type")
        taken = self._entry.take(self.accounts, int(number), fields.get("tx_info", ""), now_ms)
        return {
            "code": 200,
            "message": '{"ratelimit": "didn\'t use volume quota"}',
            "tx_hash": taken,
            "predicted_execution_time_ms": now_ms,
            "volume_quota_remaining": 0,
        }

    def _asked(self, path: str, query: Query, headers: Mapping[str, str], now_ms: int) -> Account:
        """Return the account that a request is about. Raises Refusal."""
        text = query.get("value" if path == "account" else "account_index", "")
        account = self.accounts.get(int(text)) if text.isascii() and text.isdigit() else None
        if path not in _PUBLIC:
            allowed = self.allowed(query.get("auth") or headers.get("authorization", ""), now_ms)
            if account is None and not text:
                account = allowed
            if allowed is None or account is not allowed:
                raise refuse(20013, "invalid auth: the token is not valid", 401)
        if account is None:
            raise refuse(21100, "account not found")
        return account

    def allowed(self, token: str, now_ms: int) -> Account | None:
        """Return the account of a token, None for one that is not valid now."""
        text, _, signature = token.rpartition(":")
        try:
            until_s, index, number = (int(part) for part in text.split(":"))
            data = bytes.fromhex(signature)
        except ValueError:
            return None
        account = self.accounts.get(index)
        key = account.keys.get(number) if account is not None else None
        timely = 0 < until_s - now_ms // 1000 <= TOKEN_S
        if key is None or not timely or not key.checker.verifies(hash_text(text), data):
            return None
        return account

    # Private channels.

    def subscribes(self, client: Any, channel: str, token: str, now_ms: int) -> str:
        """Subscribe a client to a private channel; return the first message, or the error."""
        kind, _, text = channel.partition("/")
        account = self.accounts.get(int(text)) if text.isascii() and text.isdigit() else None
        if kind not in _PRIVATE or account is None or account is not self.allowed(token, now_ms):
            return _encode({"error": {"code": 20013, "message": "invalid auth"}}).decode()
        self._clients.setdefault(client, {})[kind, account.index] = None
        rows: dict[str, list[Any]] = {}
        if kind == "account_all_orders":
            for order in account.orders.values():
                rows.setdefault(str(order.market), []).append(order_row(order, account.index))
        return self._message("subscribed", kind, account.index, rows)

    def is_private(self, channel: str) -> bool:
        """Return whether a channel is one of an account."""
        return channel.startswith("account_")

    def disconnected(self, client: Any) -> None:
        """Forget a client."""
        self._clients.pop(client, None)

    def _sender(self, account: Account) -> Callable[[str, dict[str, Any]], None]:
        def send(kind: str, rows: dict[str, Any]) -> None:
            text = self._message("update", kind, account.index, rows)
            for client, channels in list(self._clients.items()):
                if (kind, account.index) in channels:
                    client.send(text)

        return send

    def _message(self, verb: str, kind: str, account: int, rows: dict[str, Any]) -> str:
        held = "orders" if kind == "account_all_orders" else "trades"
        return _encode({"channel": f"{kind}:{account}", held: rows, "type": f"{verb}/{kind}"}).decode()

    # The tape.

    def add_trade(self, name: str, price: int, size: int, side: int, now_ms: int) -> None:
        """Process a trade of the tape."""
        self.matching.add_trade(name, price, size, side, now_ms)

    def add_quote(self, name: str, bid: int, ask: int, now_ms: int) -> None:
        """Process a quote of the tape."""
        self.matching.add_quote(name, bid, ask, now_ms)

    def fund(self, rate: FundingRead, name: str, now_ms: int) -> None:
        """Process a settled rate of the tape."""
        self.matching.fund(rate, name, now_ms)

    def transfer(self, account: Account, amount: Decimal, now_ms: int) -> None:
        """Move money into an account, or out of it."""
        self._transfer += 1
        account.collateral += amount
        into = amount > 0
        account.transfers.append(
            {
                "id": str(self._transfer),
                "amount": f"{abs(amount):f}",
                "timestamp": now_ms,
                "type": "L2TransferInflow" if into else "L2TransferOutflow",
                "from_l1_address": "",
                "to_l1_address": "",
                "from_account_index": OTHERS if into else account.index,
                "to_account_index": account.index if into else OTHERS,
                "tx_hash": "",
                "asset_id": USDC,
                "fee": "0",
                "from_route": "perps",
                "to_route": "perps",
            }
        )

    # Answers.

    def _account(self, account: Account, _: Query) -> Any:
        equity = self.matching.equity(account)
        row = {
            "code": 0,
            "account_type": 0,
            "account_trading_mode": int(account.unified),
            "index": account.index,
            "l1_address": "",
            "cancel_all_time": 0,
            "total_order_count": len(account.orders),
            "total_isolated_order_count": 0,
            "pending_order_count": sum(one.waits for one in account.orders.values()),
            "available_balance": f"{equity:f}",
            "status": 1,
            "collateral": f"{account.collateral:f}",
            "account_index": account.index,
            "name": "",
            "description": "",
            "can_invite": False,
            "referral_points_percentage": "",
            "positions": self._positions(account),
            "assets": [],
            "total_asset_value": f"{equity:f}",
            "cross_asset_value": f"{equity:f}",
            "pool_info": {},
            "shares": [],
            "created_at": 0,
            "transaction_time": 0,
        }
        return {"total": 1, "accounts": [row], "next_cursor": ""}

    def _positions(self, account: Account) -> list[dict[str, Any]]:
        found = []
        for name, held in account.positions.items():
            if not held.size:
                continue
            size = Decimal(abs(held.size)).scaleb(-held.listed.size_scale)
            mark = Decimal(self.matching.mark(name)).scaleb(-held.listed.price_scale)
            value = size * mark
            profit = value * (1 if held.size > 0 else -1) - held.cost
            found.append(
                {
                    "market_id": self._numbers[name],
                    "symbol": name,
                    "initial_margin_fraction": f"{Decimal(100) / account.leverage.get(name, LEVERAGE):.2f}",
                    "open_order_count": 0,
                    "pending_order_count": 0,
                    "position_tied_order_count": 0,
                    "sign": 1 if held.size > 0 else -1,
                    "position": f"{size:f}",
                    "avg_entry_price": f"{held.entry():f}",
                    "position_value": f"{value:f}",
                    "unrealized_pnl": f"{profit:f}",
                    "realized_pnl": "0",
                    "liquidation_price": "0",
                    "margin_mode": 0,
                    "allocated_margin": "0",
                    "total_discount": "0",
                    "margin_set_flag": 0,
                }
            )
        return found

    def _keys(self, account: Account, query: Query) -> Any:
        wanted = query.get("api_key_index", "255")
        rows = [
            {
                "account_index": account.index,
                "api_key_index": number,
                "nonce": key.nonce,
                "public_key": key.public.removeprefix("0x"),
                "transaction_time": 0,
            }
            for number, key in account.keys.items()
            if wanted in (str(number), "255")
        ]
        return {"api_keys": rows}

    def _nonce(self, account: Account, query: Query) -> Any:
        text = query.get("api_key_index", "")
        key = account.keys.get(int(text)) if text.isascii() and text.isdigit() else None
        if key is None:
            raise refuse(21109, "api key not found")
        return {"nonce": key.nonce}

    def _active(self, account: Account, query: Query) -> Any:
        market = query.get("market_id", "")
        found = [one for one in account.orders.values() if market in ("", "255", str(one.market))]
        return {"orders": [order_row(one, account.index) for one in found]}

    def _inactive(self, account: Account, query: Query) -> Any:
        ended = [one for one in account.history.values() if not one.open]
        ended.sort(key=lambda one: one.updated_ms)
        return self._page("orders", [order_row(one, account.index) for one in ended], query)

    def _orders(self, account: Account, query: Query) -> Any:
        wanted = query.get("client_order_indexes", "").split(",")
        if len(wanted) > INDEXES_MAX or not all(one.isascii() and one.isdigit() for one in wanted):
            raise refuse(20001, "invalid param : client_order_indexes")
        found: dict[int, Order] = {
            one.client_index: one for one in account.history.values() if str(one.client_index) in wanted
        }
        return {"orders": [order_row(one, account.index) for one in found.values()]}

    def _trades(self, account: Account, query: Query) -> Any:
        return self._page("trades", [trade_row(one, account.index) for one in account.trades], query)

    def _page(self, name: str, rows: Iterable[Any], query: Query) -> dict[str, Any]:
        """Return the newest rows first, from a cursor on; it counts rows from the oldest one."""
        kept = list(rows)
        limit, cursor = query.get("limit", "100"), query.get("cursor", "")
        if not all(one.isascii() and one.isdigit() for one in (limit, cursor or "0")):
            raise refuse(20001, "invalid param")
        end = min(int(cursor), len(kept)) if cursor else len(kept)
        start = max(0, end - min(int(limit), ROWS_MAX))
        return {name: kept[start:end][::-1], "next_cursor": str(start) if start else ""}


def form_of(kind: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form, of both kinds that HTTP has."""
    if not kind.startswith("multipart/form-data"):
        return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    message = message_from_bytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body)
    found = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        held = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(held, bytes):
            found[name] = held.decode("utf-8", "replace").rstrip("\r\n")
    return found
