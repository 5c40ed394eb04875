"""The seams of a walk-forward run: inputs that close what a strategy holds at the end of its window.

Each is a `pause` and a `flatten` of the engine itself (`OperatorCommand`), so the recorded run replays
without knowing of seams. They come after every input of the window, a candle that ends with it included,
and before all others. Called by `replay.backtesting`.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.events import Event, OperatorCommand, engine_time
from replay.ranges import Range

__all__ = ["Windows", "with_seams"]

Windows = tuple[tuple[str, int, int, int], ...]
"""(name of the strategy, sees events from, trades from, trades until), as in `SessionStarted`."""


def with_seams(batches: Iterator[list[Event]], windows: Windows) -> Iterator[list[Event]]:
    """Yield the inputs with the seams among them.

    A seam is a nanosecond before the end of its window, or with the last candle of it.
    """
    ends = sorted({end_ns for _, _, _, end_ns in windows})
    last_ns = 0
    for batch in batches:
        events = batch
        while ends and engine_time(events[-1]) >= ends[0]:
            before = Range(0, ends[0])
            at = next((at for at, event in enumerate(events) if not before.has(event)), None)
            if at is None:
                break
            if at:
                yield events[:at]
                last_ns = engine_time(events[at - 1])
            yield _closings(windows, ends.pop(0), last_ns)
            events = events[at:]
        yield events
        last_ns = engine_time(events[-1])
    if ends:
        yield _closings(windows, ends[0], last_ns)


def _closings(windows: Windows, end_ns: int, last_ns: int) -> list[Event]:
    """Return the inputs of a seam: after the pause all is known that was on its way, then the rest closes."""
    names = [name for name, _, _, end in windows if end == end_ns]
    at_ns = max(end_ns - 1, last_ns)
    return [OperatorCommand(at_ns, what, name) for name in names for what in ("pause", "flatten")]
