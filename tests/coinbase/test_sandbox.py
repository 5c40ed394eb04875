"""A session on Coinbase's protocol of the local exchange, under faults."""

from __future__ import annotations

from pathlib import Path

from adapters.coinbase.sandbox.protocol import CoinbaseProtocol
from engine.events import FeedDamaged
from tests.exchange.market_data import FAULTS, books, check_session, losses, session
from tests.profiles import pick


async def test_minutes_under_faults_lose_and_double_nothing_and_replay_identical(tmp_path: Path) -> None:
    events, protocol, replayed = await session(
        *(CoinbaseProtocol, "coinbase", tmp_path, ("level2", "candles")),
        market_s=pick(150, deep=600),
        faults=FAULTS,
    )
    assert isinstance(protocol, CoinbaseProtocol)
    assert "identical" in replayed
    assert losses(events)
    assert any(isinstance(one, FeedDamaged) and "messages of the connection" in one.reason for one in events)
    assert len(books(events)) > 5
    for book in books(events):
        assert len(book.bids) == len(book.asks) == 20
        assert book.bids[0][0] < book.asks[0][0]
    check_session(events, {one.name: list(one.trades) for one in protocol.products})
