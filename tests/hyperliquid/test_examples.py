"""Every collected example of market data and `/info`: the right event, answer, or error."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from adapters.hyperliquid.answers import SpotMeta, SpotPair, WireFunding
from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.envelope import AckFrame, ErrorFrame, OtherFrame, PongFrame
from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.listing import asset_ids, dex_of, list_instruments
from adapters.hyperliquid.wire import AssetInfo, CandleFrame, Meta, decode_message
from adapters.transport.latest import quote_of
from adapters.transport.values import FINE_SCALE
from engine.config import DataConfig
from engine.errors import UsageError, VenueProtocolError, VenueUnreachable
from engine.events import BookRead, ContextRead, Event, InstrumentListed, MidsRead, Quote, Trade

from .frames import SHARED, examples, recorded
from .venue import START_NS, Engine, TrioClock

NOW_NS = START_NS + 10**9
FOLDER = SHARED / "exchanges" / "hyperliquid"

MARKET: dict[str, type[Event]] = {
    "ws-trades.json": Trade,
    "ws-bbo.json": Quote,
    "ws-l2book.json": BookRead,
    "ws-activeassetctx.json": ContextRead,
    "ws-allmids.json": MidsRead,
}
# Channels that the feed does not subscribe to: counted by name, not fatal.
OTHERS = (
    "ws-alldexsassetctxs.json",
    "ws-fastassetctxs.json",
    "ws-notification.json",
    "ws-webdata3.json",
)


def everything() -> Decoder:
    """A decoder that follows every instrument of the examples, on a grid that is fine enough for all."""
    names = (
        "BTC",
        "ETH",
        "SOL",
        "HYPE",
        "kPEPE",
        "xyz:SP500",
        "MATIC",
        "@107",
        "0G",
        "2Z",
        "PURR/USDC",
        "APE",
    )
    grid = {"BTC": (1, 5), "kPEPE": (6, 0)}
    return Decoder(
        [
            InstrumentListed(0, number, "hyperliquid", name, *grid.get(name, (6, 4)), price_figures=5)
            for number, name in enumerate(names, start=1)
        ]
    )


@pytest.mark.parametrize(("name", "kind"), MARKET.items())
def test_every_example_of_a_market_channel_is_its_event(name: str, kind: type[Event]) -> None:
    items = [item for item in examples(name) if item.get("dir", "recv") == "recv"]
    assert items
    for item in items:
        decoder = everything()
        events = decoder.decode_frame(json.dumps(item["frame"]), NOW_NS)
        assert events, item["id"]
        assert {type(event) for event in events} == {kind}
        assert not decoder.dropped, item["id"]


def test_every_example_of_a_candle_is_exact() -> None:
    for item in examples("ws-candle.json"):
        frame = decode_message(json.dumps(item["frame"]))
        assert isinstance(frame, CandleFrame)
        assert not isinstance(frame.data, list)
        candle = everything().candle(frame.data, NOW_NS, "stream")
        raw = item["frame"]["data"]
        assert candle is not None
        assert (candle.start_ns, candle.venue_ns) == (raw["t"] * 10**6, (raw["T"] + 1) * 10**6)
        scale = 1 if raw["s"] == "BTC" else 6
        assert [candle.open, candle.high, candle.low, candle.close] == [
            round(float(raw[member]) * 10**scale) for member in "ohlc"
        ]
        assert candle.trades == raw["n"]
        listed = json.dumps({"channel": "candle", "data": [raw, raw]})
        assert isinstance(decode_message(listed), CandleFrame)


def test_every_other_example_of_the_websocket_is_decoded_or_counted() -> None:
    shapes: dict[str, Any] = {
        "ws-subscribe-ack.json": AckFrame,
        "ws-error.json": ErrorFrame,
        "ws-ping-pong.json": PongFrame,
        **dict.fromkeys(OTHERS, OtherFrame),
    }
    for name, shape in shapes.items():
        for item in examples(name):
            if item.get("dir", "recv") == "recv":
                assert isinstance(decode_message(json.dumps(item["frame"])), shape), item["id"]


def test_exact_values_of_some_examples() -> None:
    decoder = everything()
    by_id = {item["id"]: json.dumps(item["frame"]) for item in examples("ws-l2book.json")}
    (fast,) = decoder.decode_frame(by_id["fast-btc-testnet"], NOW_NS)
    assert isinstance(fast, BookRead)
    assert fast.fast
    assert fast.bids[0] == (634600, 2666, 2)
    assert fast.asks[4] == (635160, 2619, 2)
    quote = quote_of(fast)
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (634600, 2666, 634880, 1246)
    (empty,) = decoder.decode_frame(by_id["delisted-empty"], NOW_NS)
    assert isinstance(empty, BookRead)
    assert (quote_of(empty).bid, quote_of(empty).ask) == (0, 0)
    (perp, spot) = (
        decoder.decode_frame(json.dumps(item["frame"]), NOW_NS)[0]
        for item in examples("ws-activeassetctx.json")
    )
    assert isinstance(perp, ContextRead)
    assert isinstance(spot, ContextRead)
    assert (perp.scale, perp.funding, perp.premium) == (FINE_SCALE, 18952, -6413454)
    assert (perp.mark, perp.oracle, perp.open_interest) == (84148 * 10**10, 84198 * 10**10, 365853184800000)
    assert (spot.funding, spot.oracle, spot.mark) == (None, None, 929490000000)


@pytest.mark.parametrize(
    ("text", "scale", "value"),
    [
        ("605822.2557999999", 4, 6058222558),
        ("0.00005", 4, 1),
        ("0.00004", 4, 0),
        ("0.0", 4, 0),
        ("7", 0, 7),
        ("12345678901234567890.5", 5, "1234567890123456789050000"),
    ],
)
def test_volumes_are_rounded_to_the_size_scale(text: str, scale: int, value: int | str) -> None:
    """Binary sums have rounding errors; values beyond 64 bits stay exact."""
    listed = InstrumentListed(0, 1, "hyperliquid", "X", 2, scale)
    raw = examples("ws-candle.json")[0]["frame"]["data"]
    row = {**raw, "s": "X", "v": text}
    frame = decode_message(json.dumps({"channel": "candle", "data": row}))
    assert isinstance(frame, CandleFrame)
    assert not isinstance(frame.data, list)
    candle = Decoder([listed]).candle(frame.data, NOW_NS, "check")
    assert candle is not None
    assert candle.volume == value


@pytest.mark.parametrize(
    "change",
    [
        {"v": "NaN"},
        {"v": "-1e5"},
        {"o": "0"},
        {"h": "1"},
        {"l": "9e9"},
        {"t": 1790232180001},
        {"T": 1790232240000},
    ],
)
def test_v01_v09_an_invalid_candle_is_refused(change: dict[str, Any]) -> None:
    """V01, V09: prices out of order, invalid windows, invalid numbers."""
    raw = examples("ws-candle.json")[0]["frame"]["data"]
    frame = decode_message(json.dumps({"channel": "candle", "data": {**raw, **change}}))
    assert isinstance(frame, CandleFrame)
    assert not isinstance(frame.data, list)
    with pytest.raises(VenueProtocolError):
        everything().candle(frame.data, NOW_NS, "stream")


# ---- /info


def answering(item: dict[str, Any], asked: list[Any]) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(
            item["http_status"], stream=httpx.ByteStream(json.dumps(item["response"]).encode())
        )

    return httpx.MockTransport(handle)


ASKS: dict[str, Callable[[HyperliquidInfo, dict[str, Any]], Any]] = {
    "info-meta.json": lambda info, ask: info.meta(ask.get("dex", "")),
    "info-metaandassetctxs.json": lambda info, ask: info.contexts(ask.get("dex", "")),
    "info-spotmeta.json": lambda info, _: info.spot_meta(),
    "info-perpdexs.json": lambda info, _: info.perp_dexs(),
    "info-allmids.json": lambda info, ask: info.all_mids(ask.get("dex", "")),
    "info-l2book.json": lambda info, ask: info.book(ask["coin"]),
    "info-recenttrades.json": lambda info, ask: info.recent_trades(ask["coin"]),
    "info-candlesnapshot.json": lambda info, ask: info.candles(
        ask["req"]["coin"], ask["req"]["interval"], ask["req"]["startTime"], ask["req"]["endTime"]
    ),
    "info-fundinghistory.json": lambda info, ask: info.funding_history(
        ask["coin"], ask["startTime"], ask["endTime"]
    ),
    "info-predictedfundings.json": lambda info, _: info.predicted_fundings(),
    "info-exchangestatus.json": lambda info, _: info.exchange_status(),
}


@pytest.mark.parametrize("name", ASKS)
async def test_every_example_of_info_is_requested_and_read(name: str) -> None:
    """The request is the example's own, the answer has every row, or is the right error."""
    for item in examples(name):
        asked: list[Any] = []
        async with HyperliquidInfo(transport=answering(item, asked)) as info:
            if item["response"] is None:
                with pytest.raises(VenueProtocolError, match="does not know the name"):
                    await ASKS[name](info, item["request"])
            else:
                answer = await ASKS[name](info, item["request"])
                assert _count(answer) == _count_raw(item["response"]), item["id"]
        assert asked == [item["request"]]


def _count(answer: Any) -> int:
    rows = getattr(answer, "universe", answer)
    return len(rows) if hasattr(rows, "__len__") else 1


def _count_raw(response: Any) -> int:
    if (
        isinstance(response, list)
        and response
        and isinstance(response[0], dict)
        and "universe" in response[0]
    ):
        return len(response[1])
    rows = response.get("universe", response) if isinstance(response, dict) else response
    return 1 if isinstance(rows, dict) and ("time" in rows) else len(rows)


async def test_every_example_of_a_refusal_is_the_right_error() -> None:
    """A refused request is not repeated; 500 with null means an unknown name."""
    for item in examples("info-errors.json"):
        asked: list[Any] = []
        if not isinstance(item["request"], dict):
            continue
        async with HyperliquidInfo(transport=answering(item, asked)) as info:
            with pytest.raises(VenueProtocolError) as caught:
                await info.request(item["request"], Meta)
        assert len(asked) == 1
        known = "does not know a name" if item["http_status"] == 500 else f"HTTP {item['http_status']}"
        assert known in str(caught.value)
        assert not isinstance(caught.value, VenueUnreachable)


def test_funding_rates_are_exact_and_signed() -> None:
    rows = examples("info-fundinghistory.json")[0]["response"]
    rates = [everything().funding(msgspec.convert(row, WireFunding), NOW_NS) for row in rows]
    assert all(rate is not None for rate in rates)
    assert [rate.rate for rate in rates if rate] == [-6133400, -7450300, -8179800, -4403600]
    assert rates[0] is not None
    assert rates[0].venue_ns == 1683849600048_000000


# ---- listing


def meta_of(*names: str) -> Meta:
    return Meta([AssetInfo(name, 3) for name in names])


async def test_spot_pairs_and_builders_perps_are_listed_with_their_own_grids() -> None:
    asked: list[Any] = []
    async with HyperliquidInfo(transport=answering(examples("info-spotmeta.json")[0], asked)) as info:
        spot = await info.spot_meta()
    listed = list_instruments(
        meta_of("BTC"), 7, ["PURR/USDC", "xyz:SP500", "BTC"], spot=spot, dexs=[meta_of("xyz:SP500")]
    )
    assert [(one.name, one.kind, one.price_scale, one.size_scale, one.price_figures) for one in listed] == [
        ("PURR/USDC", "spot", 8, 0, 5),
        ("xyz:SP500", "perp", 3, 3, 5),
        ("BTC", "perp", 3, 3, 5),
    ]
    pair, built, _ = (one.rules for one in listed)
    assert (pair.on_margin, pair.base, pair.quote, pair.fee_in) == (False, "PURR", "USDC", "received")
    assert (built.on_margin, built.base, built.value_min_exempts_close) == (True, "SP500", True)
    with pytest.raises(UsageError, match="did you mean PURR/USDC"):
        list_instruments(meta_of("BTC"), 7, ["purr/usdc"], spot=spot)
    assert (dex_of("xyz:SP500"), dex_of("PURR/USDC"), dex_of("BTC")) == ("xyz", "", "")


async def test_the_perps_of_every_dex_are_one_request() -> None:
    """In the order of `perpDexs`, as asset ids need them."""
    asked: list[Any] = []
    dexs = [{"universe": [{"name": name, "szDecimals": 3}]} for name in ("BTC", "xyz:SP500")]
    item = {"http_status": 200, "response": dexs}
    async with HyperliquidInfo(transport=answering(item, asked)) as info:
        assert await info.all_perp_metas() == [meta_of("BTC"), meta_of("xyz:SP500")]
    assert asked == [{"type": "allPerpMetas"}]


def test_asset_ids_are_the_venues() -> None:
    """Perps by place, spot from 10,000 by index, builders' perps from 110,000 by dex and place."""
    spot = SpotMeta([SpotPair("PURR/USDC", 0, (1, 0)), SpotPair("@107", 107, (150, 0))], [])
    first = Meta([AssetInfo("BTC", 5), AssetInfo("GONE", 1, is_delisted=True), AssetInfo("ETH", 4)])
    ids = asset_ids(first, spot, [meta_of("a:X"), meta_of("b:Y", "b:Z")])
    assert ids == {
        "BTC": 0, "GONE": 1, "ETH": 2, "PURR/USDC": 10_000, "@107": 10_107,
        "a:X": 110_000, "b:Y": 120_000, "b:Z": 120_001,
    }  # fmt: skip


# ---- 20,000 mutations


HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 2**70, 1e999, "", "NaN", "Infinity", "1e400", "-0", "1_000", " 1", "+1", "0x1",
    "٣", "9" * 5000, "\x00", [], {}, [[]], {"coin": "BTC"}, "BTC", "1m", "trades", "l2Book",
)  # fmt: skip


def mutated(chance: random.Random, frame: Any) -> str:
    """A frame with one to three of its parts replaced, removed, doubled, or its text damaged."""
    value = json.loads(json.dumps(frame))
    for _ in range(chance.choice((1, 1, 2, 3))):
        parent, key, here = None, None, value
        while isinstance(here, dict | list) and here and (parent is None or chance.random() < 0.95):
            parent = here
            key = chance.choice(list(here)) if isinstance(here, dict) else chance.randrange(len(here))
            here = here[key]
        if parent is None:
            break
        action = chance.random()
        if action < 0.15:
            del parent[key]
        elif action < 0.25 and isinstance(parent, list):
            parent.append(here)
        else:
            parent[key] = chance.choice(HOSTILE)
    text = json.dumps(value)
    if chance.random() < 0.2:
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(("", "{", '"', "\x00", "\ud800", "[" * 50)) + text[at + 1 :]
    return text


async def test_v01_v04_twenty_thousand_mutations_never_crash_the_feed() -> None:
    """V01, V02, V04: nothing but VenueProtocolError leaves the decoder, and nothing at all the feed."""
    frames = [json.loads(text) for _, text in recorded()]
    frames += [item["frame"] for path in FOLDER.glob("ws-*.json") for item in examples(path.name)]
    chance = random.Random(20_261_120)
    decoder = everything()
    feed = HyperliquidFeed(
        name="hyperliquid",
        base_url="http://localhost:3001",
        instruments=list(decoder._by_name.values()),
        clock=TrioClock(),
        jitter=lambda: 0.0,
        send=Engine().take,
        since_ns=0,
        data=DataConfig(channels=("l2BookFast", "candle", "activeAssetCtx", "allMids")),
        intervals=("1m", "5m"),
    )
    (line,) = feed._streams
    refused = events = 0
    for _ in range(20_000):
        text = mutated(chance, chance.choice(frames))
        try:
            events += len(decoder.decode_frame(text, NOW_NS))
        except VenueProtocolError:
            refused += 1
        losses: list[Any] = []
        line._live_at = 0.0
        line.connection = _Losing(losses)  # type: ignore[assignment]
        await line.take(text)
        feed._pending.clear()
    assert refused > 2_000
    assert events > 1_000
    assert feed.health.frames == 20_000
    assert feed.health.frames_refused > 2_000


class _Losing:
    """Replaces the connection and accepts every loss."""

    def __init__(self, losses: list[Any]) -> None:
        self._losses = losses

    def lose(self, loss: Any) -> None:
        self._losses.append(loss)

    def start_soon(self, task: Any, *args: Any) -> None:
        """Runs nothing, because there is no venue to query."""


def test_a_pushed_candle_of_an_unknown_interval_is_left_out() -> None:
    raw = examples("ws-candle.json")[0]["frame"]["data"]
    frame = decode_message(json.dumps({"channel": "candle", "data": {**raw, "i": "1M"}}))
    assert isinstance(frame, CandleFrame)
    assert not isinstance(frame.data, list)
    decoder = everything()
    assert decoder.candle(frame.data, NOW_NS, "stream") is None
    assert decoder.dropped == {"interval": 1}
