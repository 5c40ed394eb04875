"""Every message of the venue becomes a struct or VenueProtocolError, and nothing else."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.envelope import (
    FRAME_BYTES_MAX,
    AckFrame,
    ErrorFrame,
    OtherFrame,
    PongFrame,
    subscribe_text,
)
from adapters.hyperliquid.wire import (
    BboFrame,
    BookFrame,
    CandleFrame,
    ContextFrame,
    ExchangeStatus,
    Meta,
    MidsFrame,
    SpotContextFrame,
    TradesFrame,
    WireTrade,
    decode_message,
)
from adapters.transport.decoding import decode_body
from adapters.transport.protocol import BODY_BYTES_MAX
from adapters.transport.text import clip
from engine.errors import VenueProtocolError
from engine.events import Event

from .frames import examples, lines, recorded
from .venue import BTC, ETH, START_NS, row, trades_text

MARKET = lines("market-2026-11-20.jsonl")
REFUSED = lines("refused-2026-11-20.jsonl")
KINDS = {
    "trades": TradesFrame,
    "bbo": BboFrame,
    "l2Book": BookFrame,
    "candle": CandleFrame,
    "activeAssetCtx": ContextFrame,
    "activeSpotAssetCtx": SpotContextFrame,
    "allMids": MidsFrame,
    "subscriptionResponse": AckFrame,
    "error": ErrorFrame,
    "pong": PongFrame,
}


def events_or_refusal(message: str | bytes) -> list[Event] | None:
    """Decode as the feed does; any error but VenueProtocolError fails the test."""
    try:
        return Decoder((BTC, ETH)).decode_frame(message, START_NS + 10**9)
    except VenueProtocolError as error:
        words = str(error)
    assert "\n" not in words
    assert len(words) < 600
    return None


@pytest.mark.parametrize("text", MARKET)
def test_every_message_of_a_session_is_read(text: str) -> None:
    frame = decode_message(text)
    channel = json.loads(text)["channel"] if text.startswith("{") else "greeting"
    assert isinstance(frame, KINDS.get(channel, OtherFrame))
    assert decode_message(text.encode()) == frame


@pytest.mark.parametrize("text", REFUSED)
def test_v02_v04_v05_a_message_with_a_part_missing_or_wrong_is_refused(text: str) -> None:
    """V02, V04, V05, V06: missing, null, wrong type, too long, more than 64 bits, not JSON."""
    with pytest.raises(VenueProtocolError):
        decode_message(text)


def test_v04_unknown_members_are_ignored() -> None:
    """V04: at every level."""
    plain = row(1)
    strange = {**plain, "liquidation": {"a": [1, {}]}, "n": None, "": 1}
    text = json.dumps({"id": 7, "channel": "trades", "data": [strange], "isSnapshot": True})
    assert decode_message(text) == decode_message(trades_text([plain]))


@pytest.mark.parametrize(
    "message",
    [
        b'{"channel":"error","data":"\xff"}',
        b'{"channel":"pong","x":"\xff"}',
        b"\xff\xfe",
        '{"channel":"error","data":"\\ud800"}',
        '{"channel":"error","data":"\ud800"}',
    ],
)
def test_v02_bad_utf8_and_lone_surrogates_are_refused(message: str | bytes) -> None:
    """V02: also in members that are not read."""
    with pytest.raises(VenueProtocolError):
        decode_message(message)


def test_v02_a_member_given_twice_counts_as_its_last_value() -> None:
    """V02: duplicate keys are not an error and have a fixed meaning."""
    frame = decode_message('{"channel":"error","data":"a","data":"b"}')
    assert frame == ErrorFrame("b")


@pytest.mark.parametrize("opening", ['{"channel":"trades","data":', '{"channel":"pong","x":', "", '{"a":'])
def test_v03_nesting_a_hundred_thousand_deep_is_refused_at_once(opening: str) -> None:
    """V03: the same error, quickly."""
    text = opening + "[" * 100_000
    took = []
    for _ in range(3):
        started = time.process_time()
        with pytest.raises(VenueProtocolError):
            decode_message(text)
        took.append(time.process_time() - started)
    assert min(took) < 0.05


def test_n13_v07_messages_and_lists_have_a_bound() -> None:
    """N13, V07: 1 MiB a frame, 8 MiB a body, 5,000 trades a frame."""
    with pytest.raises(VenueProtocolError, match="longer than 1048576"):
        decode_message(" " * (FRAME_BYTES_MAX + 1))
    with pytest.raises(VenueProtocolError, match="longer than 8388608"):
        decode_body(b" " * (BODY_BYTES_MAX + 1), Meta)
    short = '{"coin":"B","side":"B","px":"1","sz":"1","time":1795000000000,"tid":1}'
    fits = '{"channel":"trades","data":[' + ",".join([short] * 5000) + "]}"
    assert len(decode_message(fits).data) == 5000  # type: ignore[union-attr]
    with pytest.raises(VenueProtocolError):
        decode_message(fits.replace("]}", "," + short + "]}"))
    with pytest.raises(VenueProtocolError):
        decode_body(b'{"universe":[' + b",".join([b'{"name":"A","szDecimals":1}'] * 10_001) + b"]}", Meta)


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"null", b"[]", b'{"time":"1"}', b"\xff", b"[" * 10**5]
)
def test_n16_a_body_that_is_not_an_answer_is_refused(body: bytes) -> None:
    """N16: HTML, nothing, null, another type."""
    with pytest.raises(VenueProtocolError):
        decode_body(body, ExchangeStatus)


@pytest.mark.parametrize("speed", ["0", "-1", "1e7", '"2"', "1e999", "NaN"])
def test_an_invalid_pace_is_refused(speed: str) -> None:
    with pytest.raises(VenueProtocolError):
        decode_body(b'{"time":1,"speed":' + speed.encode() + b"}", ExchangeStatus)


def test_requests_have_the_venues_form() -> None:
    assert json.loads(subscribe_text("trades", 'A"B')) == {
        "method": "subscribe",
        "subscription": {"type": "trades", "coin": 'A"B'},
    }


@given(st.text() | st.binary(), st.integers(1, 200))
def test_v06_external_text_is_shown_in_one_printable_line(text: str | bytes, length_max: int) -> None:
    """V06: control characters, NUL, markup: escaped and bounded."""
    shown = clip(text, length_max)
    assert shown.isprintable()
    assert shown.isascii()
    assert len(shown) <= length_max + 3


# ---- fuzz


@st.composite
def mutated(draw: st.DrawFn, texts: list[str]) -> bytes:
    """Draw a real message with a few bytes changed, cut, doubled or replaced by hostile ones."""
    data = bytearray(draw(st.sampled_from(texts)).encode())
    hostile = [
        b"NaN",
        b"-",
        b"1e999",
        b"null",
        b"{",
        b"[",
        b'"',
        b"\xff",
        b"\x00",
        b"\\ud800",
        b"9" * 25,
        b".0",
    ]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 12)))
        data[at:to] = draw(st.sampled_from(hostile) | st.binary(max_size=4))
    return bytes(data)


@given(mutated([text for text in MARKET if text]))
@example(b'{"channel":"activeAssetCtx","data":{"\x80coin":"BTC"}}')
@example(b'{"channel":"trades","data":[{"coin":"BTC","side":"B","px":"-0","sz":"1","time":1,"tid":1}]}')
@example(b'{"channel":"other","data":{"subscription":{"type":"trades","coin":"BTC"}}}')
def test_v01_v04_a_mutated_message_gives_events_or_one_error(message: bytes) -> None:
    """V01, V02, V04: as bytes and as text."""
    first = events_or_refusal(message)
    with suppress(UnicodeDecodeError):  # of bytes that are no text, valid rows may be used
        assert events_or_refusal(message.decode()) == first


def test_v01_v04_mutated_recorded_messages_give_events_or_one_error() -> None:
    """V01, V04: the same with the venue's own frames."""
    texts = [text for _, text in recorded() if '"trades"' in text]

    @given(mutated(texts))
    def fuzz(message: bytes) -> None:
        events_or_refusal(message)

    fuzz()


@given(st.text() | st.binary())
def test_v02_any_text_gives_events_or_one_error(message: str | bytes) -> None:
    """V02: no other exception, for any input."""
    events_or_refusal(message)


# ---- collected examples


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ws-trades.json", TradesFrame),
        ("ws-bbo.json", BboFrame),
        ("ws-subscribe-ack.json", AckFrame),
        ("ws-error.json", ErrorFrame),
        ("ws-ping-pong.json", PongFrame),
        ("ws-candle.json", CandleFrame),
        ("ws-l2book.json", BookFrame),
        ("ws-activeassetctx.json", ContextFrame | SpotContextFrame),
        ("ws-allmids.json", MidsFrame),
        ("ws-user-events.json", OtherFrame),
    ],
)
def test_collected_messages_of_the_venue_are_read(name: str, kind: type) -> None:
    frames = [item["frame"] for item in examples(name) if item["dir"] == "recv"]
    assert frames
    for frame in frames:
        assert isinstance(decode_message(json.dumps(frame)), kind)


def test_collected_answers_of_info_are_read() -> None:
    for item in examples("info-meta.json"):
        meta = decode_body(json.dumps(item["response"]).encode(), Meta)
        assert [asset.name for asset in meta.universe] == [a["name"] for a in item["response"]["universe"]]
    for item in examples("info-recenttrades.json"):
        assert decode_body(json.dumps(item["response"]).encode(), list[WireTrade])
    for item in examples("info-exchangestatus.json"):
        assert decode_body(json.dumps(item["response"]).encode(), ExchangeStatus).speed is None
