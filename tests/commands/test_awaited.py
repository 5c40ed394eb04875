"""A venue that could not be reached when the session began: reports meanwhile, and what is handed over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from engine.commands.awaited import AwaitedGateway, AwaitedVenue, known_instruments
from engine.commands.sources import Missing, Source, reached
from engine.config import Config
from engine.errors import EngineError, UsageError, VenueUnreachable
from engine.events import (
    CancelOrder,
    CancelRejected,
    Event,
    FeedDown,
    GatewayDown,
    InstrumentListed,
    ModifyOrder,
    ModifyRejected,
    OrderRejected,
    OrderTerms,
    QueryOrder,
    SubmitOrder,
)
from engine.ports import Edge
from engine.runtime.ingress import Ingress
from engine.venue import Listing, Venue, VenueTime

T = 1_733_356_800_000_000_000
SAMPLE = Path(__file__).resolve().parents[2] / "journal"
LISTED = InstrumentListed(T, 3, "there", "AAA", 1, 3)
AWAY = VenueUnreachable("/time: cannot be reached")


class Real:
    """The gateway of a venue that was reached."""

    name = "real"

    def __init__(self) -> None:
        self.released: list[Event] = []

    def release(self, durable_seq: int, commands: Any) -> None:
        self.released += [event for _, _, event in commands]

    async def run(self) -> None:
        await trio.sleep_forever()


def submit(name: str) -> SubmitOrder:
    return SubmitOrder(T, name, "Long", 3, OrderTerms(1, 5))


async def test_what_is_released_before_the_venue_answers_is_reported_and_later_it_is_sent(
    autojump_clock: MockClock,
) -> None:
    """Each command has one report or is with the venue's own gateway: none is in both, none in neither."""
    tries, inputs = 0, Ingress()
    venue = AwaitedVenue("there", AWAY, lambda: T, lambda: 0.5)
    real = Real()
    gateway = AwaitedGateway(venue, inputs, lambda: T, lambda: real)

    async def reach() -> Sequence[Edge]:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise AWAY
        return [Edge("feed", trio.sleep_forever)]

    sent = [f"c{number}" for number in range(400)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(venue.edge(inputs, reach).run)
        nursery.start_soon(gateway.run)
        await trio.sleep(0.1)
        changes = [
            CancelOrder(T, "x", 3),
            ModifyOrder(T, "m", 3, 1, 5, 100, "Gtc", False),
            QueryOrder(T, "q", 3, 1),
        ]
        gateway.release(9, [(9, 0, one) for one in changes])
        for seq, name in enumerate(sent, 10):
            gateway.release(seq, [(seq, 0, submit(name))])
            await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    reports = inputs.take(10_000)
    assert {type(one) for one in reports[:2]} == {FeedDown, GatewayDown}
    assert [type(one) for one in reports[2:4]] == [CancelRejected, ModifyRejected]
    rejected = [one for one in reports if isinstance(one, OrderRejected)]
    assert all(one.reason.startswith("not sent: not reached since") for one in rejected)
    names = [one.client_order_id for one in rejected]
    assert names + [one.client_order_id for one in real.released] == sent  # type: ignore[attr-defined]
    assert names
    assert real.released
    assert len([one for one in reports if isinstance(one, FeedDown | GatewayDown)]) == 2, "said once"


def test_the_journals_instruments_of_a_venue_are_known_if_all_that_are_named_are() -> None:
    venue = "hyperliquid"
    assert {one.name for one in known_instruments(SAMPLE, venue, ())} == {"BTC", "ETH", "PURR"}
    assert [one.name for one in known_instruments(SAMPLE, venue, ("ETH",))] == ["ETH"]
    assert known_instruments(SAMPLE, venue, ("ETH", "NEW")) == []
    assert known_instruments(SAMPLE, "there", ()) == []
    assert known_instruments(SAMPLE / "nothing", venue, ()) == []


class Toy(Venue):
    """A venue that lists one instrument."""

    name = "there"

    def __init__(self, listed: InstrumentListed, venue_ns: int = T) -> None:
        self._listing = Listing([listed], VenueTime(venue_ns, T, T))

    def check(self, config: Config) -> None: ...

    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        return base_url

    async def connect(self, base_url: str, config: Config, signer: Any = None) -> Any:
        return self

    async def listing(self, names: Sequence[str]) -> Listing:
        return self._listing


async def reach(listed: InstrumentListed, venue_ns: int = T) -> tuple[Source, list[Event]]:
    toy = Toy(listed, venue_ns)
    missing = Missing(toy, "http://there", (), [LISTED], AWAY)
    first: Any = Source(Toy(LISTED), "http://here", toy, Listing([], VenueTime(T, T, T)), False)  # type: ignore[arg-type]
    return await reached(missing, first, Config(), None, T)


async def test_a_venue_that_answers_has_to_list_what_the_session_began_with() -> None:
    source, (checked,) = await reach(InstrumentListed(T + 5, 0, "there", "AAA", 1, 3))
    assert source.lists == "there"
    assert (checked.venue, checked.offset_ns) == ("there", 0)  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="its listing of AAA has changed; start again"):
        await reach(InstrumentListed(T, 0, "there", "AAA", 2, 3))
    with pytest.raises(UsageError, match="do not agree"):
        await reach(LISTED, T + 5_000_000_000)


async def test_n15_a_venue_that_refuses_for_a_while_is_not_asked_before_that(
    autojump_clock: MockClock,
) -> None:
    """Each try has limits of its own, so the time that the venue names is kept here."""

    def refusing(seconds: float) -> VenueUnreachable:
        error = VenueUnreachable("/time: too many requests")
        error.retry_after_s = seconds
        return error

    asked: list[float] = []

    async def reach() -> Sequence[Edge]:
        asked.append(trio.current_time())
        if len(asked) == 1:
            raise refusing(90.0)
        return []

    began = trio.current_time()
    venue = AwaitedVenue("there", refusing(20.0), lambda: T, lambda: 0.5)
    await venue.edge(Ingress(), reach).run()
    assert asked[0] - began == pytest.approx(20.0)
    assert asked[1] - asked[0] == pytest.approx(90.0)
