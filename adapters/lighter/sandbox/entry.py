"""Transactions of the local exchange: what the front refuses, and what the sequencer makes of the rest.

The front checks key, signature, nonce, time and form, and the margin of orders that would rest; what it
refuses changes nothing and uses no nonce. What it takes is answered with a hash and executed at once: an
order that cannot trade for lack of margin ends with a message; a reduce-only order without a position to
reduce, a cancel or a change of an order that is not there vanish without one, as the venue's users report.
Source: the venue's pages "trading" and "data structures, constants and errors", 2025-12. Called by
`trading.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from adapters.exchange.matching import Shown
from adapters.exchange.positions import worth_of
from adapters.exchange.refusals import refuse
from adapters.lighter.sandbox.accounts import Account, Key
from adapters.lighter.sandbox.matching import Matching
from adapters.lighter.sandbox.orders import TRIGGERED, Order
from adapters.lighter.schnorr import to_bytes
from adapters.lighter.signing import KINDS, Transaction, hash_transaction
from engine.errors import UsageError
from engine.values import BUY, SELL

__all__ = ["Entry"]

Members = dict[str, int]
_BY_NUMBER: Final = {number: (kind, names) for kind, (number, names) in KINDS.items()}
_TIFS: Final = ("IOC", "GTC", "GTX")
_MARKET: Final = 1
_MARKET_ATTRIBUTE: Final = "5"
_SKIPS: Final = 4
_CLIENT_MAX: Final = 1 << 48
_EXPIRY_MIN_MS: Final = 5 * 60_000
_FRACTION: Final = 10_000


class Entry:
    """See the module. `markets` by number; `chain` is what transactions are signed for."""

    def __init__(self, markets: Mapping[int, Shown], matching: Matching, chain: int) -> None:
        self._markets = markets
        self._matching = matching
        self._chain = chain
        self._actions = {
            "create": self._create,
            "cancel": self._cancel,
            "cancel-all": self._cancel_all,
            "modify": self._modify,
            "leverage": self._leverage,
        }

    def take(self, accounts: Mapping[int, Account], number: int, text: str, now_ms: int) -> str:
        """Execute a transaction; return its hash. Raises Refusal for one that the front refuses."""
        kind, names = _BY_NUMBER.get(number, ("", ()))
        if not kind:
            raise refuse(21505, "unsupported tx type")
        try:
            info: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
            members: Members = {
                name: _integer(info[name]) for name in ("AccountIndex", "ApiKeyIndex", *names)
            }
            nonce, until_ms = _integer(info["Nonce"]), _integer(info["ExpiredAt"])
            signature = base64.b64decode(info["Sig"], validate=True)
            attributes = {int(one): _integer(value) for one, value in (info["L2TxAttributes"] or {}).items()}
            transaction = Transaction(kind, members, nonce, until_ms, attributes)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, UsageError):
            raise refuse(21501, "invalid tx info") from None
        account = accounts.get(members["AccountIndex"])
        key = account.keys.get(members["ApiKeyIndex"]) if account is not None else None
        if account is None or key is None:
            raise refuse(21100, "account not found")
        digest = hash_transaction(transaction, self._chain)
        if not key.checker.verifies(digest, signature):
            raise refuse(21120, "invalid signature")
        if until_ms <= now_ms:
            raise refuse(21711, "invalid expiry")
        self._check_nonce(key, nonce, skips=bool(attributes.get(_SKIPS)))
        execute = self._actions[kind](account, members, info, now_ms)
        key.nonce = nonce + 1
        execute()
        return to_bytes(digest).hex()

    def _check_nonce(self, key: Key, nonce: int, *, skips: bool) -> None:
        if nonce < key.nonce or (nonce > key.nonce and not skips):
            raise refuse(21104, "invalid nonce")

    # Each checks what the front checks, and returns what the sequencer does.

    def _create(self, account: Account, members: Members, _: Any, now_ms: int) -> Any:
        shown = self._markets.get(members["MarketIndex"])
        if shown is None or not shown.mark:
            raise refuse(21602, "invalid market index")
        kind, tif, index = members["Type"], members["TimeInForce"], members["ClientOrderIndex"]
        if not 0 <= kind <= 5:
            raise refuse(21704, "invalid OrderType")
        if not 0 <= tif < len(_TIFS) or (kind == _MARKET and tif):
            raise refuse(21705, "invalid OrderTimeInForce")
        if not 0 <= index < _CLIENT_MAX:
            raise refuse(21727, "invalid client order index")
        if index and any(one.client_index == index for one in account.orders.values()):
            raise refuse(21728, "client order index already exists")
        waits = kind in TRIGGERED
        expires_ms = members["OrderExpiry"]
        if bool(tif or waits) != bool(expires_ms) or (expires_ms and expires_ms < now_ms + _EXPIRY_MIN_MS):
            raise refuse(21711, "invalid expiry")
        if waits != bool(members["TriggerPrice"]):
            raise refuse(21729, "invalid order trigger price")
        if members["BaseAmount"] <= 0:
            raise refuse(21701, "invalid base amount")
        if members["Price"] <= 0:
            raise refuse(21702, "invalid price")
        order = Order(
            (members["MarketIndex"] + 1 << 48) + self._matching.next_order(),
            index,
            members["MarketIndex"],
            shown.listed,
            SELL if members["IsAsk"] else BUY,
            members["Price"],
            members["BaseAmount"],
            _TIFS[tif],
            kind,
            bool(members["ReduceOnly"]),
            expires_ms,
            now_ms,
            now_ms,
            members["TriggerPrice"],
            waits,
        )
        value = worth_of(order.listed, shown.mark if kind == _MARKET else order.price, order.size)
        if value < Decimal(order.listed.rules.value_min) and not order.reduce_only:
            raise refuse(21706, "invalid order base or quote amount")
        poor = (
            not order.reduce_only and not self._closes(account, order) and not self._affords(account, order)
        )
        if poor and order.tif == "GTX":
            raise refuse(21739, "not enough margin to create the order")
        return lambda: self._enter(account, order, now_ms, poor=poor)

    def _enter(self, account: Account, order: Order, now_ms: int, *, poor: bool) -> None:
        matching = self._matching
        if order.waits and not matching.reached(order):
            matching.enter(account, order, now_ms)
            return
        order.waits = False
        if order.reduce_only and not matching.reducible(account, order):
            return
        if poor:
            matching.end(self._noted(account, order), order, "canceled-margin-not-allowed", now_ms)
        elif order.tif == "GTX" and matching.crosses(order):
            matching.end(self._noted(account, order), order, "canceled-post-only", now_ms)
        else:
            matching.enter(account, order, now_ms)

    def _noted(self, account: Account, order: Order) -> Account:
        account.add(order)
        return account

    def _cancel(self, account: Account, members: Members, _: Any, now_ms: int) -> Any:
        order = account.find(members["Index"])
        if order is None or order.market != members["MarketIndex"]:
            return lambda: None
        return lambda: self._matching.end(account, order, "canceled", now_ms)

    def _cancel_all(self, account: Account, members: Members, info: Any, now_ms: int) -> Any:
        how, at_ms = members["TimeInForce"], members["Time"]
        market = (info["L2TxAttributes"] or {}).get(_MARKET_ATTRIBUTE)
        if how == 0:
            return lambda: self._matching.cancel_all(account, now_ms, market)
        if how not in (1, 2):
            raise refuse(21713, "invalid cancel all time in force")
        if how == 1 and at_ms < now_ms + _EXPIRY_MIN_MS:
            raise refuse(21714, "invalid cancel all time")
        return lambda: self._matching.schedule(account, at_ms if how == 1 else 0)

    def _modify(self, account: Account, members: Members, _: Any, now_ms: int) -> Any:
        order = account.find(members["Index"])
        price, size, trigger = members["Price"], members["BaseAmount"], members["TriggerPrice"]
        if price <= 0 or size <= 0:
            raise refuse(21701, "invalid base amount")
        if order is None or order.market != members["MarketIndex"] or bool(trigger) != order.waits:
            return lambda: None
        return lambda: self._change(account, order, (price, size, trigger), now_ms)

    def _change(self, account: Account, order: Order, wanted: tuple[int, int, int], now_ms: int) -> None:
        before = order.price, order.size, order.trigger_price
        order.price, order.size, order.trigger_price = wanted
        if order.size <= order.executed:
            order.size = order.executed
            self._matching.end(account, order, "filled", now_ms)
        elif not order.reduce_only and not self._matching.affords(account):
            order.price, order.size, order.trigger_price = before
        elif order.tif == "GTX" and self._matching.crosses(order):
            self._matching.end(account, order, "canceled-post-only", now_ms)
        else:
            self._matching.amend(account, order, now_ms)

    def _leverage(self, account: Account, members: Members, _: Any, now_ms: int) -> Any:
        shown, fraction = self._markets.get(members["MarketIndex"]), members["InitialMarginFraction"]
        if shown is None:
            raise refuse(21602, "invalid market index")
        if not 200 <= fraction <= _FRACTION or members["MarginMode"] not in (0, 1):
            raise refuse(21613, "invalid margin mode")
        name = shown.listed.name
        return lambda: account.leverage.update({name: _FRACTION // fraction})

    def _closes(self, account: Account, order: Order) -> bool:
        held = account.position(order.listed).size
        return held * order.side < 0 and order.size <= abs(held)

    def _affords(self, account: Account, order: Order) -> bool:
        """Return whether the margin suffices; that of a market order is counted at the mark."""
        return order.waits or self._matching.affords(account, order)


def _integer(value: object) -> int:
    """Return an integer of a transaction. Raises ValueError."""
    if type(value) is not int or not -1 <= value < 1 << 63:
        raise ValueError("no integer")
    return value
