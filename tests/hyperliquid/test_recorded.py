"""Recorded frames of the venue: those outside the project, and a few kept with the tests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.envelope import AckFrame, ErrorFrame
from adapters.hyperliquid.listing import list_instruments
from adapters.hyperliquid.wire import Meta, WireTrade, decode_message
from adapters.transport.decoding import decode_body
from engine.errors import UsageError, VenueProtocolError
from engine.events import BookRead, Event, InstrumentListed, MidsRead, Quote, Trade
from engine.values import BUY, SELL

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
FRAMES = ROOT / "tests" / "frames" / "hyperliquid"
CAPTURE = SHARED / "data" / "frames" / "hyperliquid-BTC-20250126.jsonl.gz"
EXAMPLES = SHARED / "exchanges" / "hyperliquid"

LATER_NS = 1_795_000_000_000_000_000


def listed(number: int, name: str, price_scale: int, size_scale: int) -> InstrumentListed:
    return InstrumentListed(0, number, "hyperliquid", name, price_scale, size_scale, price_figures=5)


INSTRUMENTS = (listed(1, "BTC", 1, 5), listed(2, "HYPE", 4, 2), listed(3, "@107", 4, 2))


def own_lines() -> list[str]:
    """The frames kept with the tests, each a message of the venue."""
    return (FRAMES / "market-data.jsonl").read_text(encoding="utf-8").splitlines()


def example(name: str) -> list[dict[str, Any]]:
    path = EXAMPLES / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {name} beside the project")
    items = json.loads(path.read_text(encoding="utf-8"))["items"]
    return [item for item in items if item["recorded"] and item.get("dir", "recv") == "recv"]


def capture() -> list[tuple[int, str]]:
    if not CAPTURE.is_file():
        pytest.skip("the recorded day is not beside the project")
    with gzip.open(CAPTURE, "rt", encoding="utf-8") as lines:
        parts = [line.rstrip("\n").split(" ", 1) for line in lines]
    return [(int(recv), text) for recv, text in parts]


def test_a_recorded_minute_gives_its_64_trades_exactly() -> None:
    """55 frames of 2025-01-26: 46 books, 9 of trades, the first a replay of 30."""
    decoder = Decoder(INSTRUMENTS)
    frames = [decoder.decode_frame(text, recv_ns) for recv_ns, text in capture()]
    assert len(frames) == 55
    with_trades = [frame for frame in frames if isinstance(frame[0], Trade)]
    books = [event for frame in frames for event in frame if isinstance(event, BookRead)]
    assert len(books) == 46
    assert {(len(book.bids), len(book.asks), book.fast) for book in books} == {(20, 20, False)}
    assert [book.venue_ns for book in books] == sorted(book.venue_ns for book in books)
    assert len(with_trades) == 9
    assert len(with_trades[0]) == 30
    trades = [event for frame in frames for event in frame if isinstance(event, Trade)]
    assert len(trades) == 64
    assert len({each.trade_id for each in trades}) == 64
    assert decoder.dropped == {}
    assert [each.venue_ns for each in trades] == sorted(each.venue_ns for each in trades)
    raw = [row for _, text in capture() for row in _rows(text)]
    assert [(each.price, each.size, each.aggressor, each.trade_id) for each in trades] == [
        (_exact(row["px"], 1), _exact(row["sz"], 5), BUY if row["side"] == "B" else SELL, row["tid"])
        for row in raw
    ]


def test_recorded_trades_are_exact() -> None:
    decoder = Decoder(INSTRUMENTS)
    by_id = {item["id"]: item["frame"] for item in example("ws-trades")}
    (hype,) = decoder.decode_frame(json.dumps(by_id["jk-trade-zero-hash"]), LATER_NS)
    assert hype == Trade(LATER_NS, 1764835613064_000000, 2, 352760, 578, BUY, 716095722814130)
    (btc,) = decoder.decode_frame(json.dumps(by_id["obs-trade"]), LATER_NS)
    assert btc == Trade(LATER_NS, 1790232216193_000000, 1, 841430, 36, SELL, 1045359869404765)
    replay = decoder.decode_frame(json.dumps(by_id["replay-on-subscribe"]), LATER_NS)
    assert [each.price for each in replay if isinstance(each, Trade)] == [637190, 635300]


def test_recorded_quotes_are_exact_and_an_empty_side_is_zero() -> None:
    decoder = Decoder(INSTRUMENTS)
    by_id = {item["id"]: item["frame"] for item in example("ws-bbo")}
    (btc,) = decoder.decode_frame(json.dumps(by_id["bbo-btc"]), LATER_NS)
    assert btc == Quote(LATER_NS, 1790232237145_000000, 1, 841430, 1025923, 841440, 5066422)
    (empty,) = decoder.decode_frame(json.dumps(by_id["bbo-no-bid"]), LATER_NS)
    assert isinstance(empty, Quote)
    assert (empty.bid, empty.bid_size, empty.ask, empty.ask_size) == (0, 0, 926380, 1289)


def test_recorded_acknowledgements_and_errors_are_understood() -> None:
    for item in example("ws-subscribe-ack"):
        frame = decode_message(json.dumps(item["frame"]))
        assert isinstance(frame, AckFrame)
        assert frame.data.subscription.type == item["frame"]["data"]["subscription"]["type"]
    for item in example("ws-error"):
        frame = decode_message(json.dumps(item["frame"]))
        assert isinstance(frame, ErrorFrame)
        assert frame.data == item["frame"]["data"]


def test_every_recorded_message_of_any_channel_is_read_without_an_error() -> None:
    """The feed counts channels without a subscription; they are not fatal."""
    paths = sorted(EXAMPLES.glob("ws-*.json"))
    if not paths:
        pytest.skip("no examples beside the project")
    for path in paths:
        for item in example(path.stem):
            decode_message(json.dumps(item["frame"]))


def test_recorded_listings_give_the_venues_grid() -> None:
    for item in example("info-meta"):
        body = json.dumps(item["response"]).encode()
        meta = decode_body(body, Meta)
        names = [asset.name for asset in meta.universe if not asset.is_delisted]
        for one, name in zip(list_instruments(meta, 5, names), names, strict=True):
            size_scale = next(each for each in meta.universe if each.name == name).sz_decimals
            assert (one.name, one.venue, one.kind, one.recv_ns) == (name, "hyperliquid", "perp", 5)
            assert (one.price_scale, one.size_scale, one.price_figures) == (6 - size_scale, size_scale, 5)


def test_recent_trades_of_the_venues_shape_are_read() -> None:
    rows = decode_body((FRAMES / "recent-trades.json").read_bytes(), list[WireTrade])
    trades = Decoder(INSTRUMENTS).trades(reversed(rows), LATER_NS)
    assert [each.trade_id for each in trades] == [300001, 300002, 300003]


def test_the_kept_frames_give_their_events() -> None:
    decoder = Decoder(INSTRUMENTS)
    events = [event for line in own_lines() for event in decoder.decode_frame(line, LATER_NS)]
    assert [type(event).__name__ for event in events] == [
        *("Trade", "Trade", "Quote", "Quote"),
        "MidsRead",
    ]
    assert decoder.dropped == {"foreign": 1}


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A kept frame with some characters replaced or cut out, or a member swapped for anything."""
    line = draw(st.sampled_from(own_lines()))
    if draw(st.booleans()):
        return json.dumps(_poke(draw, json.loads(line)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(line)))
        width = draw(st.integers(0, 6))
        line = line[:at] + draw(st.text(max_size=6)) + line[at + width :]
    return line


def _poke(draw: st.DrawFn, value: Any) -> Any:
    """Replace one thing somewhere inside `value`."""
    anything = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["NaN", "Infinity", "1e5", "1_000", " 1", "+1", "0x1", "٣", "-1", "0", "9" * 5000]),
        st.just([]),
        st.just({}),
    )
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: _poke(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _poke(draw, value[at]), *value[at + 1 :]]
    return draw(anything)


@given(mutated())
def test_v01_v02_v04_v05_a_mutated_frame_gives_valid_events_or_the_one_error(text: str) -> None:
    """V01, V02, V04, V05: the events are exact, positive and fit 64 bits; otherwise there is one error."""
    try:
        events: list[Event] = Decoder(INSTRUMENTS).decode_frame(text, LATER_NS)
    except VenueProtocolError:
        return
    for event in events:
        if isinstance(event, MidsRead):
            assert all(abs(int(mid)) < 10**60 for mid in event.mids)
            continue
        assert isinstance(event, Trade | Quote)
        numbers = [getattr(event, name) for name in event.__struct_fields__]
        assert all(type(each) is int and -1 <= each < 2**63 for each in numbers)
        assert 1_420_070_400 * 10**9 <= event.venue_ns <= LATER_NS + 86_400 * 10**9
        if isinstance(event, Trade):
            assert event.price > 0
            assert event.size > 0


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_v02_noise_gives_the_one_error(noise: bytes | str) -> None:
    try:
        decode_message(noise)
    except VenueProtocolError:
        return


def test_an_unknown_or_delisted_instrument_is_refused_with_its_name() -> None:
    meta = decode_body(
        b'{"universe":[{"name":"BTC","szDecimals":5},{"name":"X","szDecimals":1,"isDelisted":true}]}', Meta
    )
    with pytest.raises(UsageError, match="did you mean BTC"):
        list_instruments(meta, 0, ["btc"])
    with pytest.raises(UsageError, match="delisted"):
        list_instruments(meta, 0, ["X"])


def _rows(text: str) -> list[dict[str, Any]]:
    frame = json.loads(text)
    return frame["data"] if frame["channel"] == "trades" else []


def _exact(text: str, scale: int) -> int:
    whole, _, fraction = text.partition(".")
    assert not fraction[scale:].strip("0")
    return int(whole + fraction[:scale].ljust(scale, "0"))
