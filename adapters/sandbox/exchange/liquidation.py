"""Liquidation of positions that fall below their maintenance margin.

When an account's cross equity falls below the maintenance margin of its cross positions, all its orders are
canceled (`liquidatedCanceled`) and the cross positions are sold to the book as market orders, again with
every new quote until they are closed. An isolated position is liquidated alone. Not implemented: the venue
liquidates positions above 100,000 USDC in parts, and has a backstop below two thirds of the maintenance
margin. Called by the exchange with every new quote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from adapters.sandbox.exchange.accounts import Account, Position
from adapters.sandbox.exchange.margin import Margin
from adapters.sandbox.exchange.matching import MatchingEngine
from adapters.sandbox.exchange.money import money_text
from adapters.sandbox.exchange.orders import Order
from adapters.sandbox.exchange.reports import Reports, hash_of
from adapters.sandbox.wire import wire_number
from engine.values import BUY, SELL

__all__ = ["Liquidation"]

_BEYOND: Final = 1_000_000
"""Limit price of a market buy, in multiples of the mark: high enough to be no limit."""


class Liquidation:
    """Checks the accounts. `next_oid` gives an order its id, `asset_of` returns an instrument's asset id."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        margin: Margin,
        matching: MatchingEngine,
        reports: Reports,
        *,
        next_oid: Callable[[], int],
        asset_of: Callable[[str], int],
    ) -> None:
        self._accounts = accounts
        self._margin = margin
        self._matching = matching
        self._reports = reports
        self._next_oid = next_oid
        self._asset_of = asset_of
        self._count = 0

    def check(self, name: str, now_ms: int) -> None:
        """Liquidate positions that the new mark of an instrument has brought below maintenance margin."""
        margin = self._margin
        for account in self._accounts.values():
            held = account.positions.get(name)
            if held is None or not held.size:
                continue
            if not margin.is_cross(account, name):
                if held.margin + margin.unrealized_pnl(held) < margin.maintenance(held):
                    self._liquidate(account, [held], now_ms, kind="Isolated")
            elif margin.cross_equity(account) < margin.cross_maintenance(account):
                self._liquidate(account, margin.held(account, cross_only=True), now_ms, kind="Cross")

    def _liquidate(self, account: Account, positions: list[Position], now_ms: int, *, kind: str) -> None:
        margin = self._margin
        worth = money_text(sum(abs(margin.value(one)) for one in positions))
        equity = money_text(margin.equity(account))
        sizes = [
            {"coin": one.listed.name, "szi": wire_number(one.size, one.listed.size_scale)}
            for one in positions
        ]
        instruments = {one.listed.name for one in positions}
        for order in list(account.orders.values()):
            if kind == "Cross" or order.listed.name in instruments:
                self._matching.end(order, "liquidatedCanceled", now_ms)
        sold = [self._sell(account, one, now_ms) for one in positions if one.size]
        if not any(sold):
            return  # no liquidity: try again with the next quote
        self._count += 1
        self._reports.event(
            account,
            {
                "liquidation": {
                    "lid": self._count,
                    "liquidator": account.address,
                    "liquidated_user": account.address,
                    "liquidated_ntl_pos": worth,
                    "liquidated_account_value": equity,
                }
            },
        )
        delta: dict[str, Any] = {
            "type": "liquidation",
            "liquidatedNtlPos": worth,
            "accountValue": equity,
            "leverageType": kind,
            "liquidatedPositions": sizes,
        }
        digest = hash_of("liquidation", account.address, self._count)
        self._reports.ledger(account, {"time": now_ms, "hash": digest, "delta": delta})

    def _sell(self, account: Account, held: Position, now_ms: int) -> int:
        """Sell a position to the book; return the executed size."""
        listed, mark = held.listed, self._margin.mark(held.listed.name)
        side = SELL if held.size > 0 else BUY
        size = abs(held.size)
        order = Order(
            oid=self._next_oid(),
            user=account.address,
            asset=self._asset_of(listed.name),
            listed=listed,
            side=side,
            price=mark * _BEYOND if side == BUY else 1,
            size=size,
            remaining=size,
            tif="LiquidationMarket",
            reduce_only=True,
            cloid=None,
            created_ms=now_ms,
            status_ms=now_ms,
        )
        if not self._matching.crosses(order):
            return 0
        account.add_order(order)
        self._reports.update(order)
        details = {
            "liquidatedUser": account.address,
            "markPx": wire_number(mark, listed.price_scale),
            "method": "market",
        }
        done, _ = self._matching.take(order, now_ms, details)
        if not order.ended:
            self._matching.end(order, "canceled", now_ms)
        return done
