"""The simulated venue with `[simulated]` against a venue written as a straight line, on random sequences."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.actors import SimulatedVenue
from engine.config import AccountConfig, PaperConfig, SimulatedConfig
from engine.events import (
    BookRead,
    CancelOrder,
    DepthExceeded,
    Event,
    ModifyRejected,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderModified,
    OrderRejected,
    Trade,
)
from engine.values import BUY
from tests.actors.harness import LISTED, Harness, T
from tests.actors.straight_venue import StraightVenue
from tests.actors.venue_kit import MS, PLAIN, attached, book, modify, order

NAMES = {
    OrderAccepted: "accepted",
    OrderFilled: "filled",
    OrderCanceled: "canceled",
    OrderModified: "changed",
    ModifyRejected: "unchanged",
}
END = T + 2_000 * MS


@st.composite
def markets(draw: st.DrawFn) -> list[Any]:
    """Return market data in order of receipt; the venue's time lags behind by an amount of its own each."""
    at = T - 195 * MS
    found: list[Any] = [("book", at, at, [(98, 5)], [(104, 5)])]  # so that the data is known to have sizes
    at = T - 180 * MS
    for _ in range(draw(st.integers(1, 25))):
        at += draw(st.integers(1, 30)) * MS
        # Never the same time of the venue twice, and seldom after its receipt.
        venue_ns = at - draw(st.integers(-3, 40)) * MS - len(found)
        if draw(st.booleans()):
            price, size = draw(st.integers(97, 104)), draw(st.integers(1, 20))
            found.append(("trade", at, venue_ns, price, size, draw(st.sampled_from((1, -1, 0)))))
            continue
        middle = draw(st.integers(99, 102))
        sizes = st.integers(1, 20)
        bids = [(middle - step, draw(sizes)) for step in sorted(draw(st.sets(st.integers(1, 4), max_size=3)))]
        asks = [(middle + step, draw(sizes)) for step in sorted(draw(st.sets(st.integers(0, 3), max_size=3)))]
        found.append(("book", at, venue_ns, bids, asks))
    return found


@st.composite
def orders(draw: st.DrawFn) -> list[Any]:
    """Return commands by time."""
    found: list[Any] = []
    at = T - 150 * MS
    names: list[str] = []
    for number in range(draw(st.integers(1, 8))):
        at += draw(st.integers(1, 90)) * MS
        what = draw(st.sampled_from(("submit", "submit", "cancel", "modify"))) if names else "submit"
        if what == "submit":
            names.append(f"o{number}")
            side, kind = draw(st.sampled_from((1, -1))), draw(st.sampled_from(("Gtc", "Gtc", "Ioc")))
            found.append(
                (
                    "submit",
                    at,
                    names[-1],
                    side,
                    draw(st.integers(1, 25)) * (2 if kind == "Ioc" else 1),
                    draw(st.integers(97, 106)),
                    kind,
                )
            )
        elif what == "cancel":
            found.append(("cancel", at, draw(st.sampled_from(names))))
        else:
            name = draw(st.sampled_from(names))
            found.append(("modify", at, name, draw(st.integers(1, 25)), draw(st.integers(97, 104))))
    canceled: set[str] = set()
    return [one for one in found if one[0] != "cancel" or not (one[2] in canceled or canceled.add(one[2]))]


def as_event(one: Any) -> Event:
    kind, at, *rest = one
    if kind == "trade":
        return Trade(at, rest[0], 1, *rest[1:])
    if kind == "book":
        sides = (tuple((price, size, 1) for price, size in side) for side in rest[1:])
        return BookRead(at, rest[0], 1, *sides)
    if kind == "cancel":
        return CancelOrder(at, rest[0], 1)
    if kind == "modify":
        return modify(rest[0], rest[1], rest[2], at)
    name, side, size, limit, tif = rest
    if tif == "Ioc":
        return order(name, side, size, bound=limit, at=at)
    return order(name, side, size, limit, at=at)


def run_engine(market: list[Any], commands: list[Any], **simulated: Any) -> Harness:
    config = AccountConfig(cash="9000000000000")
    venue = SimulatedVenue(PaperConfig(**PLAIN), config, SimulatedConfig(**simulated))
    harness = Harness(venue, LISTED)
    for one in sorted([*market, *commands], key=lambda one: (one[1], one[0] not in ("trade", "book"))):
        harness.advance(one[1])
        harness.send(as_event(one))
    harness.advance(END)
    return harness


def as_reports(harness: Harness) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for one in harness.log:
        if type(one) in NAMES:
            price = getattr(one, "price", 0) or getattr(one, "limit_price", 0)
            size = getattr(one, "size", 0) or getattr(one, "remaining", 0)
            when = (one.recv_ns, NAMES[type(one)], one.client_order_id, one.venue_ns)  # type: ignore[attr-defined]
            found.append((*when, price, size))
    return found


MODELS = ["back", "power 1", "power 3", "power2 2", "power3 3", "log", "log2"]


@given(
    markets(),
    orders(),
    st.sampled_from([0, 7, 35]),
    st.sampled_from([0, 11, 50]),
    st.sampled_from(MODELS),
    st.sampled_from(["", "0", "25"]),
)
def test_reports_and_their_times_equal_those_of_a_straight_line(
    market: list[Any], commands: list[Any], order_ms: int, answer_ms: int, model: str, beyond: str
) -> None:
    name, _, power = model.partition(" ")
    straight = StraightVenue(
        order_ms * MS, answer_ms * MS, name, int(power or 0), int(beyond) if beyond else None
    )
    straight.run(market, commands, END)
    harness = run_engine(
        market,
        commands,
        order_ms=f"{order_ms}",
        answer_ms=f"{answer_ms}",
        queue=model,
        beyond_bps=beyond,
    )
    assert as_reports(harness) == straight.reports
    fills = harness.all(OrderFilled)
    assert sum(one.side * one.size for one in fills) == straight.held
    assert -sum(one.side * one.price * one.size for one in fills) == straight.cash
    assert sum(one.size for one in harness.all(DepthExceeded)) == straight.wanted_beyond
    venue = harness.actor
    assert isinstance(venue, SimulatedVenue)
    assert venue.queue is not None
    left = {one.name: one for one in straight.orders}
    for one in venue.orders.get(1, ()):
        if one.client_order_id in venue.queues:
            ahead = straight.ahead(left[one.client_order_id])
            plain = left[one.client_order_id]
            since = sum(q for t, q in plain.prints if plain.seen and t > plain.seen[-1][0])
            assert venue.queue.ahead(one) == (-1 if ahead is None else max(0, ahead - since))
            assert venue.queue.ahead(one) <= max(venue.queues[one.client_order_id].shown, -1)


@given(
    st.sampled_from(["uniform 1 90", "exponential 1 40", "quantiles 1 2 3 400"]),
    st.lists(st.sampled_from(["cancel", "modify", ""]), min_size=3, max_size=10),
    st.integers(0, 3),
)
def test_a_cancel_or_a_change_does_not_overtake_its_order(latency: str, after: list[str], wait: int) -> None:
    """Sent at once or soon after it, it finds the order at the venue, whatever latencies are drawn."""
    commands: list[Any] = []
    for number, what in enumerate(after):
        at = T + number * 7 * MS
        commands.append(("submit", at, f"o{number}", 1, 5, 97, "Gtc"))
        more = (at + wait * MS, f"o{number}")
        commands += [("cancel", *more)] * (what == "cancel") + [("modify", *more, 3, 96)] * (what == "modify")
    market = [("book", T - 195 * MS, T - 195 * MS, [(98, 5)], [(104, 5)])]
    kinds: dict[str, list[str]] = {}
    for _, kind, name, *_ in as_reports(run_engine(market, commands, order_ms=latency, answer_ms="5")):
        kinds.setdefault(name, []).append(kind)
    ends = {"cancel": ["accepted", "canceled"], "modify": ["accepted", "changed"], "": ["accepted"]}
    assert kinds == {f"o{number}": ends[what] for number, what in enumerate(after)}


@given(st.integers(1, 10**6), st.integers(0, 40))
def test_attached_orders_arrive_with_the_order_that_they_protect(seed: int, limit: int) -> None:
    """One message brings all three, so none is refused and none is missing when the entry fills."""
    simulated = SimulatedConfig(order_ms="uniform 1 90", answer_ms="uniform 1 30")
    config = AccountConfig(cash="9000000000000")
    harness = Harness(SimulatedVenue(PaperConfig(**PLAIN), config, simulated, seed), LISTED)
    harness.send(book([(98, 5)], [(104, 500)], at=T - 100 * MS))
    harness.advance(T)
    harness.send(order("p", BUY, 10, limit=100 + limit), attached("sl", "sl", 90), attached("tp", "tp", 150))
    for at in range(T + 5 * MS, T + 300 * MS, 5 * MS):
        harness.advance(at)
        harness.send(book([(98, 5)], [(104, 500)], at=at))
    harness.advance(END)
    accepted = {one.client_order_id: one.venue_ns for one in harness.all(OrderAccepted)}
    assert accepted.keys() == {"p", "sl", "tp"}
    assert len(set(accepted.values())) == 1
    assert not harness.all(OrderRejected)
