"""Trades of which nothing comes, many in one call: the fast path of the sequencer.

Owns no state but what it looked up. Promises the states and emissions that the same trades lead to one by
one: each handler gets them in their order, except one to which only the newest matters
(`Actor.keeps_newest`), which gets the last. It ends with a trade that makes anything be emitted. Called by
the sequencer with the inputs that follow a trade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import length_hint
from typing import Any, Final

from engine.actors.aggregator import Aggregator
from engine.actors.base import Actor
from engine.actors.successions import Count
from engine.events import Event, Trade

__all__ = ["FAULTS", "Handler", "Passing"]

Handler = Callable[[Any, Any], None]
"""A bound handler: takes an event and `emit`."""

FAULTS: Final = (Exception, SystemExit)
"""Errors that count as a failure of the actor; SystemExit because a strategy may call `sys.exit`."""

_FEW: Final = 8
"""Fewer inputs than this are not worth it."""


class Passing:
    """Passes trades to their handlers.

    After a call, `failed` are the trade and the handler that raised, and `again` says whether to call it
    after the next trade too: the trades were not of alternating instruments.
    """

    def __init__(self) -> None:
        self.again = False
        self.failed: tuple[Event, Handler] | None = None
        self._bars: Aggregator | None = None
        self._others: tuple[tuple[Actor, Handler], ...] = ()

    def learn(self, handlers: Sequence[Handler]) -> None:
        """Take over the handlers of trades, in their order."""
        owners = [getattr(handler, "__self__", None) for handler in handlers]
        first = owners[0] if owners else None
        able = isinstance(first, Aggregator) and all(isinstance(owner, Actor) for owner in owners)
        self._bars = first if able and isinstance(first, Aggregator) else None
        self._others = tuple(zip(owners[1:], handlers[1:], strict=True)) if able else ()  # type: ignore[arg-type]

    def run(self, inputs: list[Event], source: Any, now_ns: int, due_ns: int, out: list[Any]) -> int:
        """Pass on trades that were received from `now_ns` on and before `due_ns`; return the engine's time.

        `source` is the iterator of the inputs, which is moved behind them; `out` what is emitted.
        """
        self.again = False
        at = len(inputs) - length_hint(source)
        if self._bars is None or len(inputs) - at < _FEW:
            return now_ns
        emit = out.append
        newest: list[Handler] = []
        each: list[Handler] = []
        for actor, handler in self._others:
            (newest if actor.keeps_newest(Trade) else each).append(handler)
        rest: Any = iter(inputs)
        rest.__setstate__(at)  # the position in the list
        count = Count()
        trades = self._bars.passing(inputs[at], rest, now_ns, due_ns, count, shown=bool(each))
        if trades is None:
            return now_ns
        try:
            for trade in trades:
                for handler in each:
                    try:
                        handler(trade, emit)
                    except FAULTS:
                        self.failed = trade, handler
                        raise
                if out:
                    break
        finally:
            trades.close()
            self.again = count.trades >= _FEW
            if count.trades:
                last = inputs[at + count.trades - 1]
                source.__setstate__(at + count.trades)
                now_ns = last.recv_ns  # type: ignore[attr-defined]
                for handler in newest:
                    handler(last, emit)
        return now_ns
