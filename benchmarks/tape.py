"""The benchmark's market data: one million deterministic trades over a day."""

from __future__ import annotations

from collections.abc import Iterator

from engine.events import Event, InstrumentListed, Trade
from engine.values import BUY, SELL

__all__ = ["START_NS", "TRADES", "market"]

TRADES = 1_000_000
START_NS = 1_733_356_800_000_000_000  # 2024-12-05
_STEP_NS = 86_000_000_000_000 // TRADES // 1_000_000 * 1_000_000
_BATCH = 4096


def market(trades: int = TRADES, instruments: int = 1) -> Iterator[list[Event]]:
    """Yield batches of inputs: listings, then trades on a random walk, for each instrument in turn.

    The rate of trades per instrument does not depend on the number of instruments, so that bars contain the
    same number of trades; with more instruments the tape is shorter. Random numbers come from a linear
    congruential generator (Knuth's MMIX constants), so every run is the same.
    """
    numbers = range(1, instruments + 1)
    yield [InstrumentListed(START_NS, number, "bench", f"C{number}", 2, 8) for number in numbers]
    state, price = 1, 9_500_000
    batch: list[Event] = []
    for number in range(trades):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        direction = 1 if number // 20_000 % 2 else -1
        price += (state >> 60) * 2 - 15 + direction
        at_ns = START_NS + number // instruments * _STEP_NS
        instrument = number % instruments + 1
        side = BUY if state >> 40 & 1 else SELL
        size = (state >> 33) % 100_000_000 + 1
        batch.append(Trade(at_ns, at_ns, instrument, price, size, side, number + 1))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
