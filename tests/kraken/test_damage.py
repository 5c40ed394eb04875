"""Damaged messages cost only themselves, and are the one error or exact events."""

from __future__ import annotations

import json
import random

import pytest

from adapters.kraken.decode import Decoder
from adapters.kraken.raw import KrakenRawDecoder
from adapters.kraken.salvage import decode_or_salvage
from adapters.transport.protocol import Damage, Salvaged
from engine.errors import VenueProtocolError
from engine.events import BookRead, CandleRead, Quote, Trade
from tests.fuzz.mutations import mutated
from tests.kraken.payloads import NOW_NS, own_lines, pair
from tests.profiles import pick


def test_a_damaged_message_gives_exact_events_or_the_one_error() -> None:
    chance = random.Random(17)
    lines = [line.encode() for line in own_lines()]
    decoder, raw = Decoder([pair()]), KrakenRawDecoder([pair()])
    whole = KrakenRawDecoder([pair()]).decode(lines[7], NOW_NS)
    for number in range(pick(500, deep=20_000)):
        text = mutated(chance.choice(lines), "json", chance)
        for decode in (decoder.decode_frame, raw.decode):
            try:
                events = decode(text if number % 2 else text.decode("utf-8", "replace"), NOW_NS)
            except VenueProtocolError:
                continue
            for event in events:
                assert isinstance(event, Trade | Quote | BookRead | CandleRead)
                assert event.instrument == 1
                if isinstance(event, Trade):
                    assert 0 < event.price < 2**63
                    assert 0 < event.size < 2**63
        if number % 50 == 0:
            assert raw.decode(lines[7], NOW_NS) == whole  # the next message is not affected


def test_a_damaged_trade_leaves_the_others_of_its_message() -> None:
    message = json.loads(own_lines()[5])
    message["data"][0]["price"] = "64000.5"  # text where a number is due
    decoder = Decoder([pair()])
    trades = decoder.decode_frame(json.dumps(message), NOW_NS)
    assert [one.trade_id for one in trades if isinstance(one, Trade)] == [102]
    assert [one.placed for one in decoder.damages] == [True]
    del message["data"][0]["side"]
    found = decode_or_salvage(json.dumps(message))
    assert isinstance(found, Salvaged)
    assert [one.name for one in found.damages] == ["BTC/USD"]
    pieces = Decoder([pair()]).pieces(found.frame.data, NOW_NS)
    assert [[one.trade_id for one in piece] for piece in pieces] == [[], [102]]


@pytest.mark.parametrize(
    ("text", "channel", "name"),
    [
        ('{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"b', "trade", "BTC/USD"),
        ('{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{]}', "book", "BTC/USD"),
        ('{"channel":"tr', "", ""),
        ('{"chanel":"trade","data":[{"symbol":"BTC/USD"}]}', "", ""),
    ],
)
def test_a_message_that_cannot_be_read_is_attributed_if_it_can_be(text: str, channel: str, name: str) -> None:
    found = decode_or_salvage(text)
    assert isinstance(found, Salvaged)
    assert found.frame is None
    (damage,) = found.damages
    assert isinstance(damage, Damage)
    assert (damage.channel, damage.name) == (channel, name)


def test_a_message_of_an_unknown_channel_that_names_a_pair_counts_as_damaged() -> None:
    found = decode_or_salvage('{"channel":"trad","type":"update","data":[{"symbol":"BTC/USD"}]}')
    assert isinstance(found, Salvaged)
    assert (found.damages[0].channel, found.damages[0].name) == ("", "BTC/USD")


def test_a_time_in_the_future_and_a_crossed_quote_are_left_out_and_counted() -> None:
    decoder = Decoder([pair()])
    decoder.ahead_ns = 0
    early = own_lines()[5].replace("2026", "2031")
    assert decoder.decode_frame(early, NOW_NS) == []
    assert decoder.dropped["time"] == 2
    crossed = own_lines()[7].replace('"bid":64000.5', '"bid":64000.6')
    assert decoder.decode_frame(crossed, NOW_NS) == []
    assert decoder.dropped["crossed"] == 1
