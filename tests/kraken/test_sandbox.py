"""A session on Kraken's protocol of the local exchange, under faults."""

from __future__ import annotations

from pathlib import Path

from adapters.kraken.sandbox.protocol import KrakenProtocol
from tests.exchange.market_data import FAULTS, books, check_session, losses, session
from tests.profiles import pick


async def test_minutes_under_faults_lose_and_double_nothing_and_replay_identical(tmp_path: Path) -> None:
    events, protocol, replayed = await session(
        *(KrakenProtocol, "kraken", tmp_path, ("book", "ohlc")),
        market_s=pick(150, deep=600),
        faults=FAULTS,
    )
    assert isinstance(protocol, KrakenProtocol)
    assert "identical" in replayed
    assert losses(events)
    assert len(books(events)) > 20
    for book in books(events):
        assert len(book.bids) == len(book.asks) == 20
        assert book.bids[0][0] < book.asks[0][0]
    check_session(events, {pair.symbol: list(pair.trades) for pair in protocol.pairs})
