"""The data of the benchmark: one million prints of one instrument over a day, by a fixed rule."""

from __future__ import annotations

from collections.abc import Iterator

from engine.events import Event, InstrumentListed, Trade
from engine.values import BUY, SELL

__all__ = ["START_NS", "TRADES", "market"]

TRADES = 1_000_000
START_NS = 1_733_356_800_000_000_000  # 2024-12-05
_STEP_NS = 86_000_000_000_000 // TRADES // 1_000_000 * 1_000_000
_BATCH = 4096


def market(trades: int = TRADES, coins: int = 1) -> Iterator[list[Event]]:
    """Yield batches of inputs: listings, then prints that wander around a slow swing, coin after coin.

    Each coin has a print as often as one coin alone has it, so that bars hold as many prints: with more
    coins the tape is shorter. Chance comes from a linear congruential generator (Knuth's MMIX constants),
    so every run is the same.
    """
    yield [InstrumentListed(START_NS, coin, "bench", f"C{coin}", 2, 8) for coin in range(1, coins + 1)]
    state, price = 1, 9_500_000
    batch: list[Event] = []
    for number in range(trades):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        direction = 1 if number // 20_000 % 2 else -1
        price += (state >> 60) * 2 - 15 + direction
        at_ns = START_NS + number // coins * _STEP_NS
        coin = number % coins + 1
        side = BUY if state >> 40 & 1 else SELL
        batch.append(Trade(at_ns, at_ns, coin, price, (state >> 33) % 100_000_000 + 1, side, number + 1))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
