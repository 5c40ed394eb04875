"""Measures how a recorded session's orders were answered, for a backtest that asks for `recorded` latencies.

Owns the measurement; the result is a configuration without `recorded`, which the backtest records, so that it
replays without the days that were measured. Called by `replay.backtesting`.

- Of each order: from `SubmitOrder` to the first `OrderAccepted` or `OrderRejected`. Where the venue's time of
  the answer is between the two (some answers have the time of their receipt), it divides the way there from
  the way back; otherwise each is half.
- Refusals: from the arrival of an order that the venue refused to the next one of that market that it took,
  at most a second after the last refusal. Those that follow from the order itself or from the account (price,
  size, margin, post-only) are not taken over: the simulated venue decides them by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from engine.clock import SECOND_NS
from engine.config import Config
from engine.config.latency import RECORDED
from engine.config.simulated import SimulatedConfig
from engine.errors import UsageError
from engine.events import InstrumentListed, OrderAccepted, OrderRejected, SubmitOrder
from engine.records import open_day, records_of
from engine.values import format_scaled
from replay.days import opening_listings, opening_of

__all__ = ["Answered", "answers_of", "refusals_of", "with_recorded"]

QUANTILES: Final = 100
"""A distribution of more answers is recorded as this many ranges, each equally likely."""

REFUSAL_NS: Final = SECOND_NS
"""How long a refusal is taken to last at most, if no order was taken after it."""

_MS_SCALE: Final = 6

_OF_THE_ORDER: Final = (
    "Price must be divisible",
    "Order has invalid size",
    "Order has zero size",
    "Order must have minimum value",
    "Order price cannot be more than",
    "Order could not immediately match",
    "Invalid TP/SL price",
    "Insufficient",
    "Post only order would",
    "Reduce only order would",
    "Reduce-only order would",
    "This market does not take",
    "the order it is attached to",
)


class Answered(NamedTuple):
    """An order and its first answer: `refused` is the reason, "" if it was taken."""

    sent_ns: int
    arrived_ns: int
    received_ns: int
    instrument: str
    refused: str


def with_recorded(config: Config, folders: Sequence[Path]) -> Config:
    """Return the configuration with what was measured in the days in the place of `recorded`.

    Raises UsageError if no order of them was answered.
    """
    simulated = config.simulated
    if not isinstance(simulated, SimulatedConfig) or not simulated.wants_recorded():
        return config
    found: list[Answered] = []
    digests = []
    for folder in folders:
        answers, digest = answers_of(folder)
        if answers:
            found += answers
            digests.append(f"{folder.name} {digest}")
    if not found:
        raise UsageError(
            "simulated: `recorded` latencies need days in which orders were answered; give a number instead, "
            'such as order_ms = "20"'
        )
    there = _as_text([one.arrived_ns - one.sent_ns for one in found])
    back = _as_text([one.received_ns - one.arrived_ns for one in found])
    measured = replace(
        simulated,
        order_ms=there if simulated.order_ms == RECORDED else simulated.order_ms,
        answer_ms=back if simulated.answer_ms == RECORDED else simulated.answer_ms,
        refusals=tuple(refusals_of(found)) if RECORDED in simulated.refusals else simulated.refusals,
        measured=f"{len(found)} orders of {', '.join(digests)}",
    )
    return replace(config, simulated=measured)


def answers_of(folder: Path) -> tuple[list[Answered], str]:
    """Return the answers of a day in order of their receipt, and the digest of the day's last frame."""
    sent: dict[str, tuple[int, int]] = {}
    keys: dict[int, str] = {}
    found: list[Answered] = []
    digest = b""
    for frame in open_day(folder):
        opened = opening_of(frame) if not digest else None
        digest = frame.digest
        if opened is not None:
            opening = opening_listings(opened)
            keys |= {one.instrument: one.key for one in opening if isinstance(one, InstrumentListed)}
        for _, _, event in records_of(frame):
            if isinstance(event, InstrumentListed):
                keys[event.instrument] = event.key
            elif isinstance(event, SubmitOrder):
                sent[event.client_order_id] = event.at_ns, event.instrument
            elif isinstance(event, OrderAccepted | OrderRejected) and event.client_order_id in sent:
                sent_ns, number = sent.pop(event.client_order_id)
                within = sent_ns <= event.venue_ns < event.recv_ns
                arrived_ns = event.venue_ns if within else (sent_ns + event.recv_ns) // 2
                refused = event.reason if isinstance(event, OrderRejected) else ""
                found.append(Answered(sent_ns, arrived_ns, event.recv_ns, keys[number], refused))
    return found, digest.hex()[:16]


def refusals_of(found: Sequence[Answered]) -> Iterator[str]:
    """Yield the times at which the venue refused orders, as the configuration has them."""
    ordered = sorted(found, key=lambda one: (one.instrument, one.arrived_ns, one.sent_ns))
    for instrument, answered in groupby(ordered, key=lambda one: one.instrument):
        run: list[Answered] = []
        for one in answered:
            if not one.refused:
                yield from _span(run, instrument, one.arrived_ns)
                run = []
            elif not one.refused.startswith(_OF_THE_ORDER):
                run.append(one)
        yield from _span(run, instrument, None)


def _span(run: Sequence[Answered], instrument: str, taken_ns: int | None) -> Iterator[str]:
    """Yield the time of a run of refusals that ends before an order was taken, if there is a run."""
    if run:
        to_ns = run[-1].arrived_ns + REFUSAL_NS
        if taken_ns is not None:
            to_ns = max(run[-1].arrived_ns, min(to_ns, taken_ns - 1))
        yield f"{run[0].arrived_ns} {to_ns} {instrument} {run[0].refused}"


def _as_text(samples_ns: Sequence[int]) -> str:
    """Return the distribution of some latencies as the configuration has it."""
    ordered = sorted(max(0, one) for one in samples_ns)
    if len(ordered) > QUANTILES + 1:
        last = len(ordered) - 1
        ordered = [ordered[(number * last + QUANTILES // 2) // QUANTILES] for number in range(QUANTILES + 1)]
    texts = [format_scaled(one, _MS_SCALE) for one in ordered]
    return texts[0] if texts[0] == texts[-1] else f"quantiles {' '.join(texts)}"
