"""The second venue of a simulation: Binance's USD-M futures as its sandbox plays them, with an account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from adapters.binance.sandbox.protocol import BinanceUsdmProtocol
from adapters.exchange.refusals import Refusal
from adapters.exchange.server import LocalExchange
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.simulation.scenario import Scenario
from tests.simulation.served import Fill, Served, Truth
from tests.simulation.times import SECOND_NS, MachineTime

__all__ = ["SYMBOLS", "SecondVenue"]

PROFILES = ("BTC", "ETH")
SYMBOLS = ("BTCUSDT", "ETHUSDT")
CASH = "50000"
OUTSIDE_SIZES = ("0.001", "0.02")
SEEDS_APART = 1_000_000
"""The markets of the two venues are not the same."""


class SecondVenue(Served, LocalExchange):
    """The exchange."""

    venue = "binance-usdm"

    def __init__(self, scenario: Scenario, times: MachineTime) -> None:
        seed = scenario.seed + SEEDS_APART
        protocol = BinanceUsdmProtocol
        tape = self.open_tape(scenario, times, PROFILES, protocol.lists, seed)
        account = f"{API_KEY}:{SECRET}", CASH
        super().__init__(self.options(scenario, PROFILES, account, seed), protocol, tape)
        self.follow()
        self.counts_candles = scenario.seed % 2 == 1  # single trades are read
        self._due_ns = 0

    @property
    def trading(self) -> Any:
        """Accounts and orders."""
        return self.protocol.trading  # type: ignore[attr-defined]

    def turn(self) -> int:
        """See `Served`. Once a second: nobody subscribes to what comes more often."""
        now_ns = self._clock.now_ns()
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + SECOND_NS
        self.protocol.tick(now_ns)
        return self._due_ns

    def truth(self) -> Truth:
        """See `Served`."""
        account = self.trading.accounts[0]
        fills = {}
        for one in account.trades:
            listed = one.order.listed
            price = Decimal(one.price).scaleb(-listed.price_scale)
            size = Decimal(one.size).scaleb(-listed.size_scale)
            fills[one.number, one.order.number] = Fill(listed.name, price, size, one.fee)
        positions = {
            name: Decimal(held.size).scaleb(-held.listed.size_scale)
            for name, held in account.positions.items()
            if held.size
        }
        placed = {
            one.client_id: one.status for one in account.history.values() if one.open or one.executed
        } | {one.client_id: one.status for one in account.algos.values() if one.status == "NEW" or one.fired}
        opened = {one.client_id for one in account.orders.values()}
        opened |= {one.client_id for one in account.algos.values() if one.status == "NEW"}
        return Truth(fills, positions, self.trading.matching.equity(account), placed, opened)

    # Others with the account's key.

    def trade_outside(self, market: int, *, buys: bool) -> bool:
        """Trade at the market with the account's key, not over the engine's network."""
        account, name = self.trading.accounts[0], SYMBOLS[market]
        params = {"symbol": name, "side": "BUY" if buys else "SELL", "type": "MARKET"}
        try:
            self.trading._entry.submit(
                account, {**params, "quantity": OUTSIDE_SIZES[market]}, self.catch_up()
            )
        except Refusal:
            return False
        return True

    def cancel_outside(self, chance: Any) -> bool:
        """Cancel an open order with the account's key; return whether there was one."""
        account = self.trading.accounts[0]
        opened = list(account.orders.values())
        if not opened:
            return False
        one = opened[chance.randrange(len(opened))]
        params = {"symbol": one.listed.name, "orderId": str(one.number)}
        self.trading._entry.cancel(account, params, self.catch_up())
        return True
