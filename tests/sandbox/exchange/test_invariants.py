"""For any requests and any tape, fills, positions, cash and orders agree exactly."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.values import parse_scaled
from tests.profiles import examples
from tests.sandbox.exchange.kit import (
    ALICE,
    ALICE_KEY,
    ALO,
    BOB,
    BOB_KEY,
    GTC,
    IOC,
    ExchangeDriver,
    orders,
    trigger,
    wire,
)

KEYS = st.sampled_from([ALICE_KEY, BOB_KEY])
PRICES = st.integers(84_000, 84_020)
SIZES = st.integers(1, 400).map(lambda tenths: f"0.{tenths:04d}".rstrip("0"))
KINDS = st.sampled_from([GTC, GTC, IOC, ALO])
DEPOSIT = 30_000


class Trading(RuleBasedStateMachine):
    """Two accounts, one instrument, and quotes within a range of twenty prices."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = ExchangeDriver([(ALICE, str(DEPOSIT)), (BOB, str(DEPOSIT))], limited=False)
        self.driver.quote("84009", "84010", "0.05")

    @rule(bid=PRICES, width=st.integers(1, 3), size=SIZES)
    def quote(self, bid: int, width: int, size: str) -> None:
        self.driver.quote(str(bid), str(bid + width), size)

    @rule(price=PRICES, size=SIZES, sold=st.booleans())
    def trade(self, price: int, size: str, sold: bool) -> None:
        self.driver.trade(str(price), size, sold=sold)

    @rule(key=KEYS, price=PRICES, size=SIZES, buy=st.booleans(), kind=KINDS, reduce=st.booleans())
    def place(self, key: str, price: int, size: str, buy: bool, kind: Any, reduce: bool) -> None:
        self.driver.place(wire(str(price), size, buy=buy, kind=kind, reduce_only=reduce), key=key)

    @rule(key=KEYS, price=PRICES, size=SIZES, buy=st.booleans(), tpsl=st.sampled_from(["tp", "sl"]))
    def arm(self, key: str, price: int, size: str, buy: bool, tpsl: str) -> None:
        kind = trigger(str(price), tpsl)
        self.driver.place(wire(str(price), size, buy=buy, kind=kind, reduce_only=True), key=key)

    @rule(key=KEYS, price=PRICES, size=SIZES)
    def bracket(self, key: str, price: int, size: str) -> None:
        legs = [("84015", "tp"), ("84003", "sl")]
        children = [wire(at, size, buy=False, reduce_only=True, kind=trigger(at, kind)) for at, kind in legs]
        self.driver.place(wire(str(price), size), *children, key=key, grouping="normalTpsl")

    @rule(key=KEYS, pick=st.integers(0, 5), price=PRICES, size=SIZES, cancel=st.booleans())
    def change(self, key: str, pick: int, price: int, size: str, cancel: bool) -> None:
        account = self.driver.alice if key == ALICE_KEY else self.driver.bob
        live = list(account.orders.values())
        if not live:
            return
        order = live[pick % len(live)]
        if cancel:
            action: dict[str, Any] = {"type": "cancel", "cancels": [{"a": 0, "o": order.oid}]}
        else:
            new = wire(str(price), size, buy=order.side > 0)
            action = {"type": "modify", "oid": order.oid, "order": new, "a": True}
        self.driver.act(action, key)

    @rule(minutes=st.integers(1, 600))
    def pass_time(self, minutes: int) -> None:
        self.driver.wait(minutes * 60_000)

    @rule(key=KEYS, leverage=st.integers(1, 40))
    def set_leverage(self, key: str, leverage: int) -> None:
        self.driver.act({"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": leverage}, key)

    @invariant()
    def fills_never_exceed_their_order(self) -> None:
        for account in self.driver.exchange.accounts.values():
            filled: dict[int, int] = defaultdict(int)
            for fill in account.fills:
                filled[fill["oid"]] += parse_scaled(fill["sz"], 5)
            for order in (*account.orders.values(), *account.history):
                assert filled.pop(order.oid, 0) + order.remaining <= order.size
                assert (order.status == "filled") == (order.remaining == 0 and order.ended)
            assert not filled

    @invariant()
    def fills_add_up_to_the_position_and_amounts_to_the_cash(self) -> None:
        for account in self.driver.exchange.accounts.values():
            size = cash = 0
            for fill in account.fills:
                assert parse_scaled(fill["startPosition"], 5, signed=True) == size
                size += parse_scaled(fill["sz"], 5) * (1 if fill["side"] == "B" else -1)
                cash += parse_scaled(fill["closedPnl"], 6, signed=True) - parse_scaled(fill["fee"], 6)
            cash += sum(parse_scaled(row["usdc"], 6, signed=True) for row in account.fundings)
            held = account.positions.get("BTC")
            assert size == (held.size if held else 0)
            assert account.cash == (DEPOSIT * 1_000_000 + cash) * 10**6
            if held and not held.size:
                assert held.cost == 0

    @invariant()
    def accounts_trade_with_each_other_or_with_the_tape(self) -> None:
        sides: dict[int, list[tuple[str, str, str, bool]]] = defaultdict(list)
        for account in self.driver.exchange.accounts.values():
            for fill in account.fills:
                sides[fill["tid"]].append((fill["px"], fill["sz"], fill["side"], fill["crossed"]))
        for fills in sides.values():
            assert len(fills) <= 2
            if len(fills) == 2:
                (price, size, side, crossed), other = fills
                assert other == (price, size, "A" if side == "B" else "B", not crossed)

    @invariant()
    def reduce_only_orders_only_reduce(self) -> None:
        for account in self.driver.exchange.accounts.values():
            held = account.positions.get("BTC")
            size = held.size if held else 0
            reducing = {one.oid for one in (*account.orders.values(), *account.history) if one.reduce_only}
            for fill in account.fills:
                if fill["oid"] in reducing:
                    assert fill["dir"] in ("Close Long", "Close Short")
            for order in account.orders.values():
                if order.reduce_only and not order.waits:
                    assert size * order.side < 0
                    assert order.remaining <= abs(size)

    @invariant()
    def open_orders_have_not_ended_and_ended_orders_are_not_open(self) -> None:
        for account in self.driver.exchange.accounts.values():
            assert not [order for order in account.orders.values() if order.ended]
            assert all(order.ended for order in account.history)


TestTrading = Trading.TestCase
TestTrading.settings = examples(1.2, stateful_step_count=40)


def test_the_same_tape_and_the_same_requests_give_the_same_frames() -> None:
    def run() -> list[Any]:
        driver = ExchangeDriver()
        for step in range(60):
            price = 84_140 + step * 7 % 9
            key = ALICE_KEY if step % 3 else BOB_KEY
            driver.act(orders(wire(str(price), "0.2", buy=step % 2 == 0)), key)
            driver.quote(str(84_139 + step * 5 % 8), str(84_140 + step * 5 % 8), "0.3")
            driver.trade(str(84_138 + step * 3 % 9), "0.5", sold=step % 2 == 1)
        return driver.frames

    assert run() == run()
