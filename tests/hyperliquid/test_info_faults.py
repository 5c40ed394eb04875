"""`/info` with invalid answers: faults, redirects, decompression bombs, bodies that are not JSON."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from adapters.hyperliquid.info import HyperliquidInfo
from engine.errors import VenueError, VenueProtocolError, VenueUnreachable

URL = "http://127.0.0.1:3001"


class Body(httpx.AsyncByteStream):
    """A body as it comes off the wire, in pieces."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 65_536):
            yield self._body[at : at + 65_536]


class Answers:
    """A transport that always gives one answer and counts the requests."""

    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.asked: list[httpx.Request] = []
        self._made = lambda: httpx.Response(status, stream=Body(body), headers=headers)
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._made()


async def ask(answers: Answers) -> int:
    async with HyperliquidInfo(URL, transport=answers.transport) as info:
        return (await info.exchange_status()).time


async def test_the_clock_of_the_venue_is_read(autojump_clock) -> None:
    answers = Answers(200, b'{"specialStatuses":null,"time":1790231586439,"new":[]}')
    assert await ask(answers) == 1790231586439
    assert answers.asked[0].url == URL + "/info"
    assert answers.asked[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_n16_a_request_is_repeated_at_most_twice_after_faults(autojump_clock, status: int) -> None:
    answers = Answers(status, b"<html>sorry</html>")
    with pytest.raises(VenueUnreachable, match=f"{URL}/info: exchangeStatus: .*{status}"):
        await ask(answers)
    assert len(answers.asked) == 3
    assert trio.current_time() < 10


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"null", b"[]", b'{"time":"1"}', b'{"time":1e999}', b"\xff", b"[" * 10**5),
        *(b'{"time":9000000000000001}', b'{"time":-1}', b'{"time":9223372036854775807}'),
    ],
)
async def test_n16_v03_a_body_that_is_not_an_answer_is_a_protocol_error(autojump_clock, body: bytes) -> None:
    answers = Answers(200, body)
    with pytest.raises(VenueProtocolError, match=f"{URL}/info: exchangeStatus"):
        await ask(answers)
    assert len(answers.asked) == 1


async def test_n17_a_redirect_is_refused_and_not_followed(autojump_clock) -> None:
    answers = Answers(302, b"", location="http://elsewhere.example/info")
    with pytest.raises(VenueError, match=r"redirected to .*elsewhere.*refused"):
        await ask(answers)
    assert len(answers.asked) == 1


# httpx leaves its own generators to the collector when an answer is not read to its end.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_n14_an_answer_that_inflates_is_stopped_at_8_mib(autojump_clock) -> None:
    bomb = gzip.compress(b"[" + b" " * (64 << 20), compresslevel=9)
    assert len(bomb) < 200_000
    answers = Answers(200, bomb, **{"content-encoding": "gzip"})
    with pytest.raises(VenueProtocolError, match="longer than 8388608"):
        await ask(answers)
