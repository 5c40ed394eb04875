"""REST of Binance: paging, missed trades by their ids, limits, answers that cannot be used."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import trio

from adapters.binance.decode import Decoder
from adapters.binance.history import read_candles, read_interest, read_rates, read_trades, warmup
from adapters.binance.markets import SPOT, USDM, Market
from adapters.binance.rest import BinanceRest
from adapters.transport.governor import Priority
from engine.errors import VenueProtocolError, VenueUnreachable
from engine.venue import Unusable
from tests.binance.samples import LATER_NS, listed

MS = 1_000_000
MINUTE_MS = 60_000
START_MS = 1_790_000_040_000 // MINUTE_MS * MINUTE_MS

Answer = Callable[[str, dict[str, str]], Any]


def response(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    """Return an answer that is read as a stream, as from a network."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def stream() -> AsyncIterator[bytes]:
        yield content

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=stream(), headers=named)


def rest_of(market: Market, answer: Answer, asked: list[tuple[str, dict[str, str]]]) -> BinanceRest:
    """A client whose network is `answer`, of path and parameters: a body, or a whole response."""

    def handle(request: httpx.Request) -> httpx.Response:
        query = {key: values[0] for key, values in parse_qs(request.url.query.decode()).items()}
        path = request.url.path.removeprefix(market.api + "/")
        asked.append((path, query))
        found = answer(path, query)
        return found if isinstance(found, httpx.Response) else response(found)

    url = market.networks["mainnet"][0]
    return BinanceRest(market, url, transport=httpx.MockTransport(handle))


def kline(start_ms: int) -> list[Any]:
    price = f"{60_000 + start_ms // MINUTE_MS % 50}.10000000"
    return [
        start_ms,
        price,
        price,
        price,
        price,
        "1.50000000",
        start_ms + MINUTE_MS - 1,
        "0",
        7,
        "0",
        "0",
        "0",
    ]


def klines(path: str, query: dict[str, str]) -> Any:
    assert path == "klines"
    first, last, limit = (int(query[key]) for key in ("startTime", "endTime", "limit"))
    starts = range(-(-first // MINUTE_MS) * MINUTE_MS, last + 1, MINUTE_MS)
    return [kline(one) for one in starts[:limit]]


async def test_candles_are_read_page_by_page() -> None:
    asked: list[Any] = []
    btc = listed(SPOT, "BTCUSDT", grid=(2, 8))
    rest = rest_of(SPOT, klines, asked)
    begin_ns, end_ns = START_MS * MS, (START_MS + 2_500 * MINUTE_MS) * MS
    found = await read_candles(
        *(rest, btc, MINUTE_MS * MS, begin_ns, end_ns),
        counts=True,
        purpose="history",
        recv_ns=LATER_NS,
        priority=Priority.HISTORY,
    )
    assert [one.start_ns for one in found] == [*range(begin_ns, end_ns, MINUTE_MS * MS)]
    assert (found[0].trades, found[0].volume) == (7, 150_000_000)
    assert len(asked) == 3
    assert rest.governor.budget().weight == 6


async def test_a_row_that_is_no_candle_is_left_out_and_reported() -> None:
    def answer(path: str, query: dict[str, str]) -> Any:
        rows = klines(path, query)
        rows[2][1] = "x"
        rows[4] = ["?"]
        return rows

    btc = listed(SPOT, "BTCUSDT", grid=(2, 8))
    odd: list[Unusable] = []
    now = (START_MS + 10 * MINUTE_MS + 5_000) * MS
    found = await warmup(rest_of(SPOT, answer, []), [btc], ["1m"], 10, now, False, odd.append)
    assert len(found) == 8
    assert len(odd) == 2
    assert {one.trades for one in found} == {0}  # aggregate trades are fewer than what a candle counts
    with pytest.raises(VenueProtocolError):
        await read_candles(
            *(rest_of(SPOT, answer, []), btc, MINUTE_MS * MS, START_MS * MS, (START_MS + 600_000) * MS),
            counts=True,
            purpose="repair",
            recv_ns=LATER_NS,
            priority=Priority.MARKET,
        )


async def test_funding_rates_are_read_page_by_page() -> None:
    times = [START_MS + number * 8 * 3_600_000 for number in range(1_500)]

    def answer(path: str, query: dict[str, str]) -> Any:
        first, last = int(query["startTime"]), int(query["endTime"])
        found = [one for one in times if first <= one <= last][: int(query["limit"])]
        return [{"symbol": "BTCUSDT", "fundingTime": one, "fundingRate": "-0.00012345"} for one in found]

    btc = listed(USDM, "BTCUSDT")
    asked: list[Any] = []
    end_ns = (times[-1] + 1) * MS
    now_ns = LATER_NS * 2
    rates = await read_rates(
        rest_of(USDM, answer, asked), btc, times[0] * MS, end_ns, now_ns, lambda one: pytest.fail(str(one))
    )
    assert [rate.venue_ns for rate in rates] == [one * MS for one in times]
    assert {(rate.rate, rate.scale) for rate in rates} == {(-123_450_000, 12)}


async def test_open_interest_of_the_past_is_read_in_pages_that_one_answer_can_hold() -> None:
    step_ms = 300_000
    first_ms = START_MS // step_ms * step_ms
    times = [first_ms + number * step_ms for number in range(1_200)]
    odd: list[Unusable] = []

    def answer(path: str, query: dict[str, str]) -> Any:
        assert (path, query["period"]) == ("/futures/data/openInterestHist", "5m")
        first, last = int(query["startTime"]), int(query["endTime"])
        found = [one for one in times if first <= one <= last]
        assert len(found) <= int(query["limit"]) == 500, (
            "else it would matter which rows the venue leaves out"
        )
        rows: list[Any] = [
            {"symbol": "BTCUSDT", "sumOpenInterest": f"{one // step_ms % 1000}.125", "timestamp": str(one)}
            for one in found
        ]
        if times[7] in found:
            rows[7]["sumOpenInterest"] = "-1"
            rows[8] = {"symbol": "BTCUSDT", "timestamp": times[8]}
            rows[9]["symbol"] = "ETHUSDT"
            rows[10]["timestamp"] = times[10]
        return rows

    asked: list[Any] = []
    btc, end_ns = listed(USDM, "BTCUSDT"), (times[-1] + 1) * MS
    rest = rest_of(USDM, answer, asked)
    found = await read_interest(rest, btc, times[0] * MS, end_ns, LATER_NS * 2, odd.append)
    assert len(asked) == 3
    assert sorted(one.at_ns for one in odd if one.at_ns) == [at * MS for at in times[7:10]]
    assert [(one.venue_ns, one.open_interest) for one in found] == [
        (at * MS, at // step_ms % 1000 * 10**12 + 125 * 10**9) for at in times if at not in times[7:10]
    ]
    assert {one.scale for one in found} == {12}


class Trades:
    """Trades 1 to `count`, one each 10 ms. `broken`: those that the venue leaves out."""

    def __init__(self, count: int, broken: tuple[int, ...] = ()) -> None:
        self.rows = [
            {"a": number, "p": "60000.10", "q": "0.00100000", "T": START_MS + 10 * number, "m": False}
            for number in range(1, count + 1)
            if number not in broken
        ]

    def __call__(self, path: str, query: dict[str, str]) -> Any:
        assert path == "aggTrades"
        limit = int(query["limit"])
        if "fromId" not in query:
            return self.rows[-limit:]
        return [row for row in self.rows if row["a"] >= int(query["fromId"])][:limit]  # type: ignore[operator]


async def missed(trades: Trades, last: tuple[int, int] | None, pages: int = 10) -> list[list[int]]:
    btc = listed(SPOT, "BTCUSDT", grid=(2, 8))
    decoder = Decoder([btc], counts=False)
    found = await read_trades(rest_of(SPOT, trades, []), decoder, btc, "aggTrade", last, LATER_NS, pages)
    return [[int(one.trade_id) for one in piece] for piece in found]


def known(number: int) -> tuple[int, int]:
    return (START_MS + 10 * number) * MS, number


async def test_missed_trades_are_read_from_the_last_known_one_on() -> None:
    assert await missed(Trades(2_700), known(200)) == [[*range(200, 2_701)]]
    assert await missed(Trades(2_700), known(2_700)) == [[2_700]]
    assert await missed(Trades(300), None) == [[*range(1, 301)]]


async def test_too_many_missed_trades_leave_a_gap_between_two_pieces() -> None:
    assert await missed(Trades(5_000), known(100), pages=2) == [[*range(100, 2_099)], [*range(4_001, 5_001)]]


async def test_an_id_that_is_of_another_trade_now_joins_nothing() -> None:
    """Single and aggregate trades have numbers of their own: a journal may know the other kind."""
    other = known(100)[0] + 7 * MS, 100
    assert await missed(Trades(300), other) == [[*range(1, 301)]]


async def test_a_hole_in_the_ids_of_an_answer_fails_it() -> None:
    with pytest.raises(VenueProtocolError, match="no trade after 149"):
        await missed(Trades(300, broken=(150,)), known(100))


# ---- limits


async def test_the_venues_own_count_of_weight_is_taken_over() -> None:
    def answer(path: str, query: dict[str, str]) -> Any:
        return response({"serverTime": START_MS}, x_mbx_used_weight_1m="4321")

    rest = rest_of(SPOT, answer, [])
    await rest.server_time()
    assert rest.governor.budget().weight == 4321


@pytest.mark.parametrize("status", [429, 418])
async def test_a_refusal_for_too_many_requests_is_waited_out(status: int, autojump_clock: Any) -> None:
    began: list[float] = []

    def answer(path: str, query: dict[str, str]) -> Any:
        began.append(trio.current_time())
        if len(began) == 1:
            return response({"code": -1003, "msg": "x"}, status, retry_after="7")
        return {"serverTime": START_MS}

    rest = rest_of(SPOT, answer, [])
    try:
        await rest.server_time()
    except VenueProtocolError:
        await rest.server_time()  # a ban is no answer, and the next request waits for its end
    assert began[1] - began[0] >= 7
    assert rest.governor.budget().refusals == 1


async def test_an_answer_names_the_venues_own_error(autojump_clock: Any) -> None:
    def refuse(path: str, query: dict[str, str]) -> Any:
        return response({"code": -1121, "msg": "Invalid symbol."}, 400)

    with pytest.raises(VenueProtocolError, match=r"refused with code -1121: 'Invalid symbol\."):
        await rest_of(SPOT, refuse, []).ticker("NOPE")
    body, status = b"", 503

    def answer(path: str, query: dict[str, str]) -> Any:
        return response(body, status)

    with pytest.raises(VenueUnreachable, match="HTTP 503"):
        await rest_of(SPOT, answer, []).ticker("BTCUSDT")
    status = 200
    for broken in (b"", b"{", b"[]", json.dumps({"serverTime": "x"}).encode(), b"\xff"):
        body = broken
        with pytest.raises(VenueProtocolError, match=r"api\.binance\.com/api/v3/time"):
            await rest_of(SPOT, answer, []).server_time()


async def test_names_that_are_not_ascii_are_sent_as_utf_8() -> None:
    asked: list[Any] = []

    def answer(path: str, query: dict[str, str]) -> Any:
        return {"symbol": "币安人生USDT", "bidPrice": "1", "bidQty": "1", "askPrice": "2", "askQty": "1"}

    await rest_of(SPOT, answer, asked).ticker("币安人生USDT")
    assert asked == [("ticker/bookTicker", {"symbol": "币安人生USDT"})]
