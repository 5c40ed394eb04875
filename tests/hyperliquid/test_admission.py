"""Subscriptions that are not confirmed, or closed for: they are found, named and set aside (F16)."""

from __future__ import annotations

import pytest
import trio

from adapters.transport.admission import Admission
from adapters.transport.health import FeedLimits
from adapters.transport.protocol import Subscription
from engine.events import FeedDamaged, InstrumentListed
from tests.profiles import pick

from .venue import BTC, ETH, START_NS, Scene, Venue, row, scene

MANY = tuple(
    InstrumentListed(START_NS, number, "hyperliquid", f"C{number}", price_scale=1, size_scale=5)
    for number in range(1, pick(13, deep=60))
)


def asides(play: Scene) -> list[tuple[str, int]]:
    return [(one.channel, one.instrument) for one in play.engine.of(FeedDamaged) if "set aside" in one.reason]


def confirmed(play: Scene) -> tuple[Subscription, ...]:
    (stream,) = play.feed._streams
    return stream.confirmed


async def test_f16_one_that_is_never_confirmed_is_set_aside_and_the_others_flow(autojump_clock) -> None:
    """F16: after ten seconds; it is tried again on the same connection, and then flows too."""

    def prepare(venue: Venue) -> None:
        venue.ignored = {("trades", "ETH")}
        venue.trades["ETH"] = [row(n, coin="ETH", ms=n - 100) for n in range(40)]

    async with scene(instruments=(BTC, ETH), since_ns=START_NS, prepare=prepare) as play:
        await trio.sleep(5)
        await play.venue.trade(row(1))
        await trio.sleep(6)
        assert [up.subscriptions for up in play.engine.ups] == [3]
        await play.venue.trade(row(2))
        await play.settle()
        assert play.engine.trade_ids == [1, 2]
        (named,) = play.engine.of(FeedDamaged)
        assert (named.channel, named.instrument, named.in_doubt) == ("trades", 2, True)
        assert named.reason.startswith("the subscription to trades of ETH was not confirmed within 10 s")
        assert "SET ASIDE: the subscription to trades of ETH" in str(play.feed.health)
        await trio.sleep(120)
        play.venue.ignored.clear()
        await play.venue.trade(row(50, coin="ETH", ms=130_000))
        await trio.sleep(300)
        await play.venue.trade(row(51, coin="ETH", ms=430_000))
        await play.settle()
        assert play.engine.trade_ids == [1, 2, 50, 51]
        assert [(gap.instrument, gap.closed) for gap in play.engine.gaps] == [(2, True)]
        assert "SET ASIDE" not in str(play.feed.health)
        assert play.venue.served == 1


async def test_f16_one_whose_confirmation_was_damaged_is_asked_for_again(autojump_clock) -> None:
    """F16: after five seconds; nothing is set aside."""

    def prepare(venue: Venue) -> None:
        venue.ignored = {("trades", "ETH")}

    async with scene(instruments=(BTC, ETH), prepare=prepare) as play:
        await trio.sleep(3)
        play.venue.ignored.clear()
        await play.live()
        assert 5 <= trio.current_time() < 6
        assert [up.subscriptions for up in play.engine.ups] == [4]
        assert play.engine.of(FeedDamaged) == []


async def test_f16_one_that_is_refused_is_set_aside_at_once(autojump_clock) -> None:
    """F16: the venue's error repeats the subscription."""

    def prepare(venue: Venue) -> None:
        venue.refused = {("bbo", "ETH"): "Invalid subscription "}

    async with scene(instruments=(BTC, ETH), prepare=prepare) as play:
        await play.live()
        assert trio.current_time() < 1
        (named,) = play.engine.of(FeedDamaged)
        assert (named.channel, named.instrument, named.in_doubt) == ("bbo", 2, False)
        assert "is refused: 'Invalid subscription" in named.reason
        await play.venue.trade(row(1))
        await play.settle()
        assert play.engine.trade_ids == [1]


@pytest.mark.parametrize("kind", ["trades", "bbo"])
@pytest.mark.parametrize("place", [0, 5, len(MANY) - 1])
async def test_f16_one_that_closes_the_connection_is_found_among_many(
    autojump_clock, kind: str, place: int
) -> None:
    """F16: by halves; every connection but one was cut by the venue, and the others flow meanwhile."""
    culprit = MANY[place]

    def prepare(venue: Venue) -> None:
        venue.closes = {(kind, culprit.name): None}

    async with scene(instruments=MANY, prepare=prepare) as play:
        await play.until(lambda: play.feed.health.set_aside and len(confirmed(play)) == 2 * len(MANY) - 1)
        assert play.feed.health.set_aside == {
            f"the subscription to {kind} of {culprit.name}": "makes the venue close the connection"
        }
        assert asides(play) == [(kind, culprit.instrument)]
        assert play.venue.served <= play.venue.cuts + 1
        assert play.venue.cuts <= 12
        for listed in MANY:
            await play.venue.trade(row(listed.instrument, coin=listed.name))
        await play.settle()
        expected = [one.instrument for one in MANY if kind == "bbo" or one is not culprit]
        assert play.engine.trade_ids == expected
        play.venue.closes.clear()
        await trio.sleep(130)
        assert play.feed.health.set_aside == {}, "it was tried again"
        await trio.sleep(10)
        assert sorted(play.engine.trade_ids) == [one.instrument for one in MANY]


async def test_f16_one_that_still_closes_it_is_tried_less_and_less_often(autojump_clock) -> None:
    """F16: for hours; each try costs one connection, which the venue cuts."""
    lasts_s = 3600 * pick(8, deep=24)

    def prepare(venue: Venue) -> None:
        venue.closes = {("trades", "ETH"): None}

    async with scene(instruments=(BTC, ETH), prepare=prepare) as play:
        await trio.sleep(lasts_s)
        assert play.venue.served <= play.venue.cuts + 1
        assert lasts_s / 900 - 5 < play.venue.cuts < lasts_s / 900 + 15
        assert play.feed.health.live


async def test_f16_one_that_closes_the_connection_later_is_found_after_a_minute(autojump_clock) -> None:
    """F16: it is confirmed, and a second later the venue closes the connection."""

    def prepare(venue: Venue) -> None:
        venue.closes = {("bbo", "C3"): 1.0}

    async with scene(instruments=MANY, prepare=prepare) as play:
        await play.until(lambda: play.feed.health.set_aside, 300)
        assert asides(play) == [("bbo", 3)]
        await play.live(len(play.engine.ups) + 1)
        await trio.sleep(20)
        assert play.feed.health.live
        assert play.venue.served <= play.venue.cuts + 1


async def test_f16_a_bad_network_is_not_taken_for_a_subscription(autojump_clock) -> None:
    """F16: connections that are up and cut soon, for half a minute."""
    async with scene(instruments=(BTC, ETH), limits=FeedLimits(backoff_s_max=1.0)) as play:
        for number in range(20):
            await play.live(number + 1)
            await play.venue.drop()
            await play.until(lambda number=number: len(play.engine.downs) == number + 1)
        await play.live(21)
        assert {up.subscriptions for up in play.engine.ups} == {4}
        assert play.engine.of(FeedDamaged) == []


async def test_f16_a_venue_that_refuses_all_is_waited_for(autojump_clock) -> None:
    """F16: nothing stays set aside when nothing is accepted."""

    def prepare(venue: Venue) -> None:
        venue.closes = dict.fromkeys([("trades", "BTC"), ("bbo", "BTC")])

    async with scene(prepare=prepare) as play:
        await trio.sleep(600)
        assert play.venue.served < 60, "the backoff holds"
        play.venue.closes.clear()
        await play.until(lambda: len(play.feed.health.set_aside) == 0 and play.feed.health.live, 1000)
        await play.venue.trade(row(1))
        await play.settle()
        assert play.engine.trade_ids == [1]


def test_f16_several_reasons_are_found_one_after_the_other() -> None:
    """F16: the decisions alone: whatever subscriptions close the connection, only these are set aside."""
    limits = FeedLimits()
    all_ = [Subscription(number, "x", str(number)) for number in range(20)]
    for bad in ({3}, {0, 19}, {4, 5, 6}, set(range(0, 20, 7))):
        admission = Admission(all_, limits)
        now = 0.0
        for _ in range(100):
            now += 0.4  # before what is set aside is due again
            asked = admission.first()
            confirmed = []
            while asked:
                if bad & {one.key for one in asked}:
                    index = next(place for place, one in enumerate(asked) if one.key in bad)
                    up_s = 1.0 if confirmed else None
                    admission.note_loss(asked[index:], up_s, now)
                    break
                confirmed += asked
                if admission.trying:
                    admission.accept()
                asked = admission.next_try(now)
            else:
                break
        assert {one.key for one in confirmed} == set(range(20)) - bad
        assert {one.key for one in admission.aside} == bad
