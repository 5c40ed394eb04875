"""The local exchange without a venue: what the server owns, shown with a protocol of a few lines."""

from __future__ import annotations

import json
from itertools import islice

import pytest
import trio
from trio_websocket import ConnectionClosed, open_websocket_url

from adapters.exchange.depth import changes
from adapters.exchange.grid import Level
from adapters.exchange.market import SyntheticMarket
from adapters.exchange.options import SandboxOptions
from adapters.exchange.run import shared_start
from adapters.exchange.server import SPEED_HEADER, LocalExchange, Start
from adapters.exchange.tape import day_tape, synthetic_tape
from engine.clock import SECOND_NS
from engine.errors import UsageError
from engine.events import InstrumentListed, Quote, Trade
from engine.events.codec import encode_inputs
from engine.loading.venues import find_venue, venue_names
from tests.loopback import http_client

from .kit import PlainProtocol, protocol_of, running, until

_SANDBOXES = [venue for venue in map(find_venue, venue_names()) if venue.sandbox]
MARKET_DATA = [venue.name for venue in _SANDBOXES if not venue.has_orders]
WITH_ORDERS = [venue.name for venue in _SANDBOXES if venue.has_orders]


def test_the_synthetic_market_keeps_to_the_grid_of_a_venues_listing() -> None:
    market = SyntheticMarket(3, ("BTC", "SOLUSD"), lists=PlainProtocol.lists)
    assert [one.name for one in market.instruments(0)] == ["BTCUSD", "SOLUSD"]
    seen = list(islice(market.events(10**18), 4000))
    for event in seen:
        prices = (event.price,) if isinstance(event, Trade) else (event.bid, event.ask)
        sizes = (event.size,) if isinstance(event, Trade) else (event.bid_size, event.ask_size)
        assert all(price > 0 and price % 5 == 0 for price in prices)
        assert all(size > 0 and size % 10 == 0 for size in sizes)
        assert isinstance(event, Trade) or event.bid < event.ask
    kinds = {(type(event), event.instrument) for event in seen}
    assert kinds == {(kind, number) for kind in (Trade, Quote) for number in (1, 2)}
    with pytest.raises(UsageError, match="available: BTCUSD ETHUSD"):
        SyntheticMarket(3, ("NOPE",), lists=PlainProtocol.lists)


async def test_requests_and_messages_reach_the_protocol_and_the_tape_reaches_the_clients() -> None:
    async with running(speed=20.0, instruments=("BTC",)) as (exchange, address), http_client() as client:
        before = exchange.now_ms
        answer = await client.get(address.base_url + "/time")
        assert before <= answer.json()["now"] <= exchange.now_ms
        assert answer.headers[SPEED_HEADER] == "20"
        assert (await client.get(address.base_url + "/book?NOPE")).status_code == 404
        assert (await client.post(address.base_url + "/time")).status_code == 405
        assert address.ws_url.endswith("/stream")
        async with open_websocket_url(address.ws_url) as socket:
            await socket.send_message("watch BTCUSD")
            texts = [await socket.get_message() for _ in range(30)]
        times = [json.loads(text)["at"] for text in texts if text != "watching"]
        assert times == sorted(times)
        assert len(times) >= 28
        book = (await client.get(address.base_url + "/book?BTCUSD")).json()
        assert book["bids"][0][0] < book["asks"][0][0]
        await until(lambda: not exchange.connections)


@pytest.mark.parametrize(
    ("spec", "status"), [("5xx:1@info", range(500, 505)), ("429:1/2000@info", range(429, 430))]
)
async def test_faults_hit_requests_of_every_protocol(spec: str, status: range) -> None:
    async with running(faults=spec) as (exchange, address), http_client() as client:
        answer = await client.get(address.base_url + "/time")
        assert answer.status_code in status
        assert answer.headers[SPEED_HEADER] == "1"
        assert answer.headers.get("retry-after") == ("2" if answer.status_code == 429 else None)
        assert sum(exchange.faults.fired.values()) == 1


async def test_faults_hit_frames_but_no_answers() -> None:
    async with running(faults="cut:1@market", instruments=("BTC",)) as (exchange, address):
        async with open_websocket_url(address.ws_url) as socket:
            await socket.send_message("watch BTCUSD")
            assert await socket.get_message() == "watching"
            with pytest.raises(ConnectionClosed):
                await socket.get_message()
            await trio.aclose_forcefully(socket._stream)
        assert exchange.faults.fired == {"cut": 1}


async def test_several_exchanges_share_one_clock() -> None:
    options = SandboxOptions(port=0, speed=100.0)
    made = {
        str(seed): LocalExchange(SandboxOptions(port=0, speed=100.0, seed=seed), PlainProtocol)
        for seed in (1, 2)
    }
    assert shared_start({"1": made["1"]}, options) is None
    start = shared_start(made, options)
    assert start is not None
    async with trio.open_nursery() as nursery:
        for one in made.values():
            await nursery.start(lambda task_status, one=one: one.serve(start=start, task_status=task_status))
        await trio.sleep(0.05)
        first, second, again = made["1"].now_ms, made["2"].now_ms, made["1"].now_ms
        assert first <= second <= again
        nursery.cancel_scope.cancel()


def test_with_the_clock_of_their_tapes_exchanges_start_when_the_last_has_begun() -> None:
    at_ns = 1_700_000_000 * SECOND_NS
    made = {
        str(late): LocalExchange(
            SandboxOptions(port=0, clock="tape"),
            PlainProtocol,
            synthetic_tape(1, ("BTC",), at_ns + late * SECOND_NS, lists=PlainProtocol.lists),
        )
        for late in (0, 7)
    }
    start = shared_start(made, SandboxOptions(clock="tape", history_s=3))
    assert isinstance(start, Start)
    assert start.venue_ns == at_ns + 10 * SECOND_NS


@pytest.mark.parametrize("venue", ["plain", *MARKET_DATA])
def test_a_protocol_without_orders_refuses_accounts(venue: str) -> None:
    protocol = PlainProtocol if venue == "plain" else protocol_of(venue)
    for given in ("accounts", "volumes"):
        options = SandboxOptions(port=0, **{given: (("me", "1"),)})
        with pytest.raises(UsageError, match=f"the sandbox of {venue} has market data only"):
            LocalExchange(options, protocol)


@pytest.mark.parametrize("venue", WITH_ORDERS)
def test_a_protocol_with_orders_refuses_what_is_no_account_of_its_venue(venue: str) -> None:
    for given in ("accounts", "volumes"):
        options = SandboxOptions(port=0, **{given: (("me", "1"),)})
        with pytest.raises(UsageError, match=f"--{given[:-1]}"):
            LocalExchange(options, protocol_of(venue))


def test_of_a_day_with_several_venues_each_exchange_plays_its_own() -> None:
    listed = [InstrumentListed(1, number, venue, "X", 2, 3) for number, venue in ((1, "plain"), (2, "other"))]
    trades = [
        Trade(at, at, number, 100 + at, 5, 1, at) for at, number in ((10, 2), (20, 1), (30, 2), (40, 1))
    ]
    blobs = [encode_inputs(listed), encode_inputs(trades)]
    tape = day_tape("day", lambda: blobs, "plain")
    assert [one.venue for one in tape.instruments] == ["plain"]
    assert tape.start_ns == 20
    assert [one.venue_ns for one in tape.play(0) if isinstance(one, Trade)] == [20, 40]
    with pytest.raises(UsageError, match="both list 'X'"):
        day_tape("day", lambda: blobs, "third")


def test_the_difference_of_two_books_makes_one_of_the_other() -> None:
    before: list[Level] = [(10, 5, 1), (9, 4, 1), (8, 3, 1)]
    after: list[Level] = [(11, 1, 1), (10, 5, 1), (9, 7, 2)]
    found = changes(before, after)
    assert sorted(found) == [(8, 0), (9, 7), (11, 1)]
    rebuilt = {price: size for price, size, _ in before} | dict(found)
    assert {price: size for price, size in rebuilt.items() if size} == {p: s for p, s, _ in after}
