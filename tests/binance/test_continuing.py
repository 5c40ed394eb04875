"""What a session takes over, and what its raw recording decodes to again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import trio

from adapters.binance.client import BinanceClient
from adapters.binance.markets import USDM
from adapters.binance.raw import BinanceRawDecoder
from engine.events import BookRead, ContextRead, FeedDown, FeedGap, FeedUp, InstrumentListed, Quote, Trade
from engine.venue import SessionContext
from tests.binance.stage import events, replays, session, staged


async def test_the_messages_of_a_session_decode_to_its_events_again(
    tmp_path: Path, paced_clock: Any, monkeypatch: Any
) -> None:
    """Books and contexts among them, whose beginning was an answer of REST; a lost connection is noted."""
    heard: list[tuple[int, str | bytes]] = []
    feeds = BinanceClient.feeds

    def tapped(self: BinanceClient, context: SessionContext) -> Any:
        return feeds(self, msgspec.structs.replace(context, tap=lambda at, text: heard.append((at, text))))

    monkeypatch.setattr(BinanceClient, "feeds", tapped)
    async with staged("binance-usdm", instruments=("BTC",), speed=10) as stage:

        async def script() -> None:
            await trio.sleep(6)
            stage.exchange.drop_connections()
            await trio.sleep(4)

        await session(stage, tmp_path / "j", script, channels=("depth", "markPrice", "openInterest", "kline"))
    recorded = events(tmp_path / "j")
    listed = next(one for one in recorded if isinstance(one, InstrumentListed))
    decoder = BinanceRawDecoder(USDM, [listed])
    again = [event for at_ns, text in heard for event in decoder.decode(text, at_ns)]
    for kind in (Trade, Quote, BookRead):
        ours = [msgspec.structs.replace(one, recv_ns=0) for one in recorded if isinstance(one, kind)]
        theirs = [msgspec.structs.replace(one, recv_ns=0) for one in again if isinstance(one, kind)]
        if kind is Trade:  # those of the gap came over REST
            assert len(ours) - len(theirs) < 100
            ours = [one for one in ours if one in theirs]
        assert len(theirs) > 30
        # The last book may be due after the last message.
        assert ours in (theirs, theirs + ours[-1:], theirs[: len(ours)])
    contexts = [one for one in again if isinstance(one, ContextRead)]
    assert any(one.open_interest and one.mark for one in contexts)


async def test_a_new_session_reads_the_trades_since_the_last_one(tmp_path: Path, paced_clock: Any) -> None:
    root = tmp_path / "j"
    async with staged("binance", instruments=("BTC",), speed=10) as stage:

        async def script() -> None:
            await trio.sleep(3)

        await session(stage, root, script)
        await trio.sleep(5)
        await session(stage, root, script)
        (state,) = stage.protocol.symbols.values()
        ids = [one.trade_id for one in events(root) if isinstance(one, Trade)]
        assert ids == [*range(int(ids[0]), int(ids[0]) + len(ids))]
        assert len(ids) > 100
        assert ids[-1] <= state.prints[-1].number
    gaps = [one for one in events(root) if isinstance(one, FeedGap)]
    assert gaps
    assert all(gap.closed for gap in gaps)
    replays(root)


async def test_an_announced_end_of_a_server_costs_no_trade(tmp_path: Path, paced_clock: Any) -> None:
    async with staged("binance", instruments=("BTC",), speed=10) as stage:

        async def script() -> None:
            await trio.sleep(2)
            for client in list(stage.protocol._connections):
                client.send('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}')
            await trio.sleep(3)

        await session(stage, tmp_path / "j", script)
    found = events(tmp_path / "j")
    downs = [one.reason for one in found if isinstance(one, FeedDown)]
    assert downs == ["the venue announces that this server shuts down"]
    assert len([one for one in found if isinstance(one, FeedUp)]) == 2
    ids = [one.trade_id for one in found if isinstance(one, Trade)]
    assert ids == [*range(int(ids[0]), int(ids[0]) + len(ids))]


async def test_a_stream_on_the_wrong_root_is_found_by_its_silence(
    tmp_path: Path, paced_clock: Any, monkeypatch: Any
) -> None:
    """The venue accepts it and sends nothing: quotes are then compared with REST."""
    async with staged("binance-usdm", instruments=("BTC",)) as stage:

        async def script() -> None:
            await trio.sleep(10)
            for connection in stage.protocol._connections.values():
                connection.streams = {name: None for name in connection.streams if "bookTicker" not in name}
            await trio.sleep(60)

        await session(stage, tmp_path / "j", script, check_minutes=0)
    renewed = [one for one in events(tmp_path / "j") if getattr(one, "channel", "") == "bookTicker"]
    assert renewed
    assert "is silent for" in renewed[0].reason  # type: ignore[attr-defined]
