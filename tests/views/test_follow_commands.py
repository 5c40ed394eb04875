"""A view of sessions that persons act on equals the engine, and knows what became of each command."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from engine.actors import OrderManager
from engine.errors import CommandError
from engine.events import Event
from engine.operator.requests import command_of, parse_request
from tests.orders.session import Session
from tests.orders.settings import Settings
from tests.profiles import pick
from tests.views.following import Following, differences

MARKETS = ("AAA", "BBB")
OWNERS = ("Long", "Short", "manual")
KINDS = (
    *("pause", "resume", "halt", "cancel", "flatten", "order", "order", "order"),
    *("set", "restart", "stop-strategy"),
)


class Acted(Session, Following):
    """A paper session on which persons act."""

    def send(self, *events: Event) -> None:
        super().send(*events)
        self.follow(self)

    def ask(self, members: dict[str, Any]) -> None:
        self.now_ns += 1_000_000
        request = parse_request({"journal": "00" * 16, **members}, "page:1")
        self.send(command_of(request, self.now_ns, "page:1"))


def members_of(draw: Random, number: int, view_orders: list[str]) -> dict[str, Any]:
    """Return a random request."""
    market, owner = draw.choice(MARKETS), draw.choice(OWNERS)
    kind = draw.choice(
        (
            "pause",
            "resume",
            "halt",
            "cancel",
            "flatten",
            "order",
            "order",
            "order",
            "set",
            "restart",
            "stop-strategy",
        )
    )
    chosen: dict[str, Any] = {"command": kind, "nonce": str(number if draw.random() < 0.95 else number - 1)}
    if kind in ("pause", "restart", "stop-strategy"):
        chosen["strategy"] = draw.choice(OWNERS[:2])
    elif kind == "resume":
        chosen |= draw.choice(({}, {"all": True}, {"strategy": owner}, {"market": market}))
    elif kind == "cancel":
        selectors: list[dict[str, Any]] = [{"all": True}, {"market": market}, {"strategy": owner}]
        selectors += [{"order": name} for name in view_orders[:1]]
        chosen |= draw.choice(selectors) | {"protective": draw.random() < 0.3}
    elif kind == "flatten":
        chosen |= draw.choice(({"all": True}, {"market": market}, {"strategy": owner}))
    elif kind == "set":
        chosen |= {
            "strategy": draw.choice(OWNERS[:2]),
            "name": draw.choice(("tuning", "none")),
            "value": number,
        }
    elif kind == "order":
        chosen |= {"market": market, "side": draw.choice(("buy", "sell")), "size": str(draw.randint(1, 3))}
        chosen |= draw.choice(({}, {"limit": "95"}, {"limit": "103"}, {"trigger": "99"}, {"stop_loss": "90"}))
    return chosen


def test_a_view_follows_persons() -> None:
    answered = 0
    for seed in range(pick(5, deep=300)):
        draw = Random(seed)
        session = Acted(Settings(cash="100000", taker_fee="0.001", maker_fee="0", slippage_bps=5))
        for market in (1, 2):
            session.trade(100, market=market)
        for number in range(40):
            session.say("Long", "target", "AAA", str(draw.randint(-2, 3)))
            session.trade(100 + draw.randint(-6, 6), market=draw.choice((1, 2)))
            try:
                session.ask(members_of(draw, number, list(session.view.order_states.live)))
            except CommandError:
                continue
            manager = cast("OrderManager", session.sequencer.actor("orders"))
            assert session.broken == [], (seed, session.broken)
            rows = {row.nonce: row for row in reversed(session.view.trading.command_rows(200))}
            for nonce, answer in manager.answers.items():
                assert (rows[nonce].state, rows[nonce].code) == (answer.state, answer.code)
                answered += 1
            for strategy, setting in manager.settings.items():
                row = session.view.strategy_row(strategy)
                assert {name: row.params[name] for name in setting.values} == setting.values
            if draw.random() < 0.05:
                session.restart()
                assert differences(session.view, session.sequencer) == []
    assert answered > 500
