"""Messages kept with the tests: each by its fields, and every damaged form of them."""

from __future__ import annotations

import random

import pytest

from adapters.binance.channels import Channel, MarketProtocol
from adapters.binance.markets import SPOT, USDM
from adapters.binance.raw import BinanceRawDecoder
from adapters.binance.salvage import decode_or_salvage
from adapters.binance.wire import Frame, Reply, decode_message
from adapters.transport.protocol import ANSWERED, ConfirmedAll, Leaving, Refused, Salvaged
from engine.errors import VenueProtocolError
from engine.events import (
    BookRead,
    CandleRead,
    ContextRead,
    InstrumentListed,
    LiquidationRead,
    MarketRules,
    Quote,
    Trade,
)
from engine.values import BUY, SELL
from tests.binance.samples import FRAMES, LATER_NS

MS = 1_000_000
LINES = (FRAMES / "market-data.jsonl").read_text(encoding="utf-8").splitlines()
BTC = InstrumentListed(
    *(0, 1, "binance-usdm", "BTCUSDT", 2, 8),
    size_step=1000,
    ids="sequence",
    rules=MarketRules(stated=True, funding_s=8 * 3600),
)


def test_each_message_is_the_event_that_it_states() -> None:
    decoder = BinanceRawDecoder(SPOT, [BTC])
    found = [event for line in LINES for event in decoder.decode(line, LATER_NS)]
    context = (61_000_150_000_000_000, 60_998_200_000_000_000, None, 12_500_000, None)
    start_ns = 1_789_999_980_000 * MS
    assert found == [
        Trade(LATER_NS, 1_790_000_000_100 * MS, 1, 6_100_010, 1_500_000, SELL, 5001),
        Trade(LATER_NS, 1_790_000_000_103 * MS, 1, 6_100_020, 100_000, BUY, 9004),
        Quote(LATER_NS, LATER_NS, 1, 6_100_010, 125_000_000, 6_100_020, 40_000_000),
        BookRead(
            *(LATER_NS, 1_790_000_000_200 * MS, 1, ((6_100_010, 75_000_000, 0),)),
            ((6_100_020, 40_000_000, 0), (6_100_030, 10_000_000, 0), (6_100_050, 300_000_000, 0)),
        ),
        CandleRead(
            *(LATER_NS, start_ns + 60_000 * MS, 1, 60_000 * MS, start_ns),
            *(6_099_000, 6_100_100, 6_099_000, 6_100_020, 123_400_000, 15, "stream"),
        ),
        LiquidationRead(LATER_NS, 1_790_000_040_999 * MS, 1, BUY, 6_100_526, 1_400_000, "", sampled=True),
        ContextRead(LATER_NS, 1, 12, *context, None),
        ContextRead(LATER_NS, 1, 12, *context, 81_000_123_000_000_000),
    ]


def test_answers_confirm_all_streams_of_a_request() -> None:
    channels = [
        Channel("aggTrade", "BTCUSDT"),
        Channel("depth", "BTCUSDT"),
        Channel("kline", "BTCUSDT", "1m"),
    ]
    protocol = MarketProtocol(channels)
    (request,) = protocol.merge([one.subscription().text for one in channels])
    assert request == (
        '{"method":"SUBSCRIBE","params":["btcusdt@aggTrade","btcusdt@depth@100ms","btcusdt@kline_1m"],"id":1}'
    )
    assert protocol.read_control(protocol.decode(LINES[-3])) == ConfirmedAll(tuple(channels))
    assert protocol.read_control(protocol.decode(LINES[-3])) == ConfirmedAll(
        ()
    )  # a second time it means nothing
    protocol.merge([channels[0].subscription().text])
    refused = protocol.read_control(protocol.decode(LINES[-2]))
    assert refused == Refused("2 'Invalid request: unknown variant'", channels[0])
    assert isinstance(protocol.read_control(protocol.decode(LINES[-1])), Leaving)
    assert protocol.read_control(protocol.decode('{"result":true,"id":0}')) is ANSWERED


def test_a_hundred_streams_are_one_message() -> None:
    channels = [Channel("aggTrade", f"S{number}USDT") for number in range(250)]
    protocol = MarketProtocol(channels)
    requests = protocol.merge([one.subscription().text for one in channels])
    assert len(requests) == 3
    ends = protocol.merge([channels[0].subscription().end, channels[1].subscription().text])
    assert [one.partition(",")[0] for one in ends] == ['{"method":"UNSUBSCRIBE"', '{"method":"SUBSCRIBE"']


@pytest.mark.parametrize(
    ("text", "channel", "name"),
    [
        ('{"stream":"btcusdt@aggTrade","data":{"a":1', "aggTrade", "BTCUSDT"),
        ('{"stream":"ethusdt@aggTrade","data":{"a":1', "", ""),
        ('{"stream":"btcusdt@xyz","data":{"s":"BTCUSDT"}}', "", "BTCUSDT"),
        (
            '{"stream":"btcusdt@aggTrade","data":{"s":"ETHUSDT","a":1,"p":"1","q":"1","T":1,"m":true}}',
            "aggTrade",
            "",
        ),
        ("\x00\x01", "", ""),
    ],
)
def test_damage_is_attributed_to_what_the_streams_name_shows(text: str, channel: str, name: str) -> None:
    found = decode_or_salvage(text, ["BTCUSDT"])
    assert isinstance(found, Salvaged)
    assert (found.damages[0].channel, found.damages[0].name) == (channel, name)


def test_an_event_that_is_not_read_is_no_damage() -> None:
    assert decode_or_salvage('{"stream":"!miniTicker@arr","data":[]}', ["BTCUSDT"]) is None


def _damaged(line: str, chance: random.Random) -> str | bytes:
    """Change, cut, double or remove a few characters, or turn a value into another type."""
    text = bytearray(line.encode())
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(text)) if text else 0
        kind = chance.randrange(5)
        if kind == 0:
            text[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del text[place:]
        elif kind == 2:
            text[place:place] = text[place : place + chance.randrange(1, 20)]
        elif kind == 3:
            del text[place : place + chance.randrange(1, 20)]
        else:
            for old, new in ((b'"0.', b'-1e99999"'), (b"true", b"[[[["), (b":17", b':"x')):
                text = bytearray(bytes(text).replace(old, new, 1)) if chance.random() < 0.3 else text
    return bytes(text) if chance.random() < 0.5 else text.decode("utf-8", "replace")


def test_damaged_messages_never_crash_and_cost_only_themselves() -> None:
    chance = random.Random(18)
    decoders = [BinanceRawDecoder(market, [BTC]) for market in (SPOT, USDM)]
    refused = 0
    for number in range(20_000):
        message = _damaged(LINES[number % len(LINES)], chance)
        for decoder in decoders:
            try:
                decoder.decode(message, LATER_NS)
            except VenueProtocolError:
                refused += 1
    assert refused > 10_000
    for decoder in decoders:  # what follows is read as before
        assert len(decoder.decode(LINES[0], LATER_NS)) == 1
        assert len(decoder.decode(LINES[6], LATER_NS)) == 1


@pytest.mark.parametrize("line", LINES[:-3])
def test_members_that_are_not_known_are_ignored(line: str) -> None:
    frame = decode_message(line.replace('"data":{', '"data":{"nq":"1","new":{"a":[1]},'))
    assert isinstance(frame, Frame)
    assert frame.event == decode_message(line).event  # type: ignore[union-attr]


def test_an_answer_is_no_event() -> None:
    assert decode_message(LINES[-3]) == Reply(1)
