"""The venue of a simulation: Hyperliquid's sandbox, with an account."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import trio

from adapters.exchange.protocol import Request
from adapters.sandbox.market import lists
from adapters.sandbox.requests import Requests
from adapters.sandbox.server import Sandbox
from tests.live.kit import ACCOUNT, KEY
from tests.sandbox.exchange.kit import signed
from tests.simulation.scenario import Scenario
from tests.simulation.served import Fill, Served, Truth
from tests.simulation.times import MachineTime

__all__ = ["ACCOUNT", "INSTRUMENTS", "SimulatedVenue"]

INSTRUMENTS = ("BTC", "ETH")
CASH = "100000"
OUTSIDE_SIZES = ("0.001", "0.02")


class SimulatedVenue(Served, Sandbox):
    """The exchange. `posted` is called with each signed action that comes over the websocket."""

    venue = "hyperliquid"

    def __init__(self, scenario: Scenario, times: MachineTime) -> None:
        seed = scenario.seed
        tape = self.open_tape(scenario, times, INSTRUMENTS, lists, seed)
        super().__init__(self.options(scenario, INSTRUMENTS, (ACCOUNT, CASH), seed), tape)
        self.follow()
        self._nonce = 0
        self.posted: Callable[[Request], None] = lambda _: None
        self._requests.post = self._post  # type: ignore[method-assign]

    def turn(self) -> int:
        """See `Served`. Frames that come at intervals are left out: nobody subscribes to their channels."""
        self.exchange.advance(self.now_ms)
        self._hub.flush()
        return self.exchange._due_ms * 1_000_000

    def ask(self, kind: str, **more: Any) -> Any:
        """Return the body of an answer to `/info` about the account."""
        body = msgspec.json.encode({"type": kind, "user": ACCOUNT, **more})
        answer = self._info.answer(body, self.catch_up())
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body)

    def truth(self) -> Truth:
        """See `Served`."""
        state = self.ask("clearinghouseState")
        positions = {
            one["position"]["coin"]: Decimal(one["position"]["szi"]) for one in state["assetPositions"]
        }
        placed = {}
        for row in self.ask("historicalOrders"):
            order, status = row["order"], row["status"]
            filled = Decimal(order["origSz"]) != Decimal(order["sz"])
            if order.get("cloid") and (status in ("open", "filled", "triggered") or filled):
                placed[order["cloid"]] = status
        return Truth(
            {
                (row["tid"], row["oid"]): Fill(
                    row["coin"], Decimal(row["px"]), Decimal(row["sz"]), Decimal(row["fee"])
                )
                for row in self.ask("userFillsByTime", startTime=0)
            },
            {name: size for name, size in positions.items() if size},
            Decimal(state["marginSummary"]["accountValue"]),
            placed,
            {row["cloid"] for row in self.ask("frontendOpenOrders") if row.get("cloid")},
        )

    # Others with the account's key.

    def trade_outside(self, market: int, *, buys: bool) -> bool:
        """Trade at the market with the account's key, not over the engine's network."""
        quote = self._market.by_name[INSTRUMENTS[market]].quote
        if quote is None:
            return False
        scale = self._market.by_name[INSTRUMENTS[market]].listed.price_scale
        wire = {
            "a": market,
            "b": buys,
            "p": _text(quote.ask if buys else quote.bid, scale),
            "s": OUTSIDE_SIZES[market],
            "r": False,
            "t": {"limit": {"tif": "Ioc"}},
        }
        self._act({"type": "order", "orders": [wire], "grouping": "na"})
        return True

    def cancel_outside(self, chance: Any) -> bool:
        """Cancel an open order with the account's key; return whether there was one."""
        opened = self.ask("openOrders")
        if not opened:
            return False
        one = opened[chance.randrange(len(opened))]
        asset = INSTRUMENTS.index(one["coin"])
        self._act({"type": "cancel", "cancels": [{"a": asset, "o": one["oid"]}]})
        return True

    def _act(self, action: dict[str, Any]) -> None:
        """Carry out an action with the account's key; its nonce is one that the engine skips."""
        self._nonce = max(self._nonce + 1, self.now_ms - 1500)
        self._hub.act(msgspec.json.encode(signed(action, self._nonce, KEY)), self.catch_up())

    def _post(self, peer: Any, tcp: Any, post: Any, nursery: trio.Nursery) -> None:
        if post.request.type == "action":
            self.posted(Request("POST", "/exchange", "", {}, bytes(post.request.payload)))
        Requests.post(self._requests, peer, tcp, post, nursery)


def _text(price: int, scale: int) -> str:
    whole, part = divmod(price, 10**scale)
    return f"{whole}.{part:0{scale}d}".rstrip("0").rstrip(".")
