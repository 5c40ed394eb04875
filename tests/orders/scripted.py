"""A strategy that does what its script says, so that a random sequence of calls is recorded and replays.

The script is a parameter: a JSON list of `[at_ms, hook, action, ...]`, ordered by time. An action waits for
the first call of its hook at or after `at_ms` (since `begin_ns`); hooks are "trade", "quote", "bar", "fill",
"order" and "timer". What the strategy reads in each hook goes to the function that `watch_with` was given.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from engine.strategies import Bar, Fill, OrderView, Strategy, Tick, Touch

__all__ = ["Action", "Scripted", "add", "begin", "call_off", "new_script", "queues_of", "watch_with"]

Action = tuple[Any, ...]
"""A verb and its arguments: ("buy", "AAA", "1", {"limit": "99"}). Handles are numbers: -1 is the newest."""

Watch = Callable[["Scripted", str, Any, Action], None]

_watch: Watch | None = None

_raised: dict[tuple[str, int], Any] = {}
"""The event on which an action "raise" was reached first. A restarted strategy skips it, and goes on."""


def begin() -> None:
    """Forget the session before."""
    _raised.clear()


def watch_with(watch: Watch | None) -> None:
    """Call this function at the begin of every hook, and before every action.

    It receives the strategy, the hook's name ("call NAME" before an action), its event and the action.
    """
    global _watch
    _watch = watch


Queues = dict[str, list[tuple[int, Action]]]
"""The actions of each hook in order of time."""

_written: dict[str, Queues] = {}

_calmed: dict[str, list[int]] = {}
"""When what a script had for an earlier time was called off."""


def new_script() -> str:
    """Return the name of an empty script that a test adds to while its session runs."""
    name = f"@{len(_written)}"
    _written[name] = {}
    _calmed[name] = []
    return name


def add(name: str, entry: list[Any]) -> None:
    """Add an entry to a script made by `new_script`."""
    at_ms, hook, *action = entry
    _written[name].setdefault(hook, []).append((at_ms, tuple(action)))


def call_off(name: str, at_ms: int) -> None:
    """From `at_ms` on, leave out what a script made by `new_script` has for an earlier time."""
    _calmed[name].append(at_ms)


@lru_cache(maxsize=64)
def _parsed(script: str) -> Queues:
    queues: Queues = {}
    for at_ms, hook, *action in json.loads(script):
        queues.setdefault(hook, []).append((at_ms, tuple(action)))
    return queues


def queues_of(script: str) -> Queues:
    """Return the actions of a script."""
    return _written[script] if script.startswith("@") else _parsed(script)


class Scripted(Strategy):
    """Runs the actions of `script` in its hooks. Its state is how far it got and the handles it received.

    From `calm_ms` on, what was written for an earlier time is left out.
    """

    script: str = "[]"
    label: str = ""
    begin_ns: int = 0
    calm_ms: int = 0
    tuning: int = 0

    def on_set(self, name: str, value: Any) -> None:
        if name != "tuning" or value < 0:
            raise ValueError(f"{name} is not to be {value}")

    def on_start(self) -> None:
        self.done: dict[str, int] = {}
        self.handles: list[str] = []

    def on_trade(self, trade: Tick) -> None:
        self._hook("trade", trade.event)

    def on_quote(self, quote: Touch) -> None:
        self._hook("quote", quote.event)

    def on_bar(self, bar: Bar) -> None:
        self._hook("bar", bar.event)

    def on_fill(self, fill: Fill) -> None:
        self._hook("fill", fill.event)

    def on_order(self, order: OrderView) -> None:
        self._hook("order", order.event)

    def on_timer(self, key: str) -> None:
        self._hook("timer", None)

    def _hook(self, hook: str, event: Any) -> None:
        if _watch is not None:
            _watch(self, hook, event, ())
        queue = queues_of(self.script).get(hook)
        if queue is None or self.warming:
            return
        now_ms = (self.now_ns - self.begin_ns) // 1_000_000
        position = self.done.get(hook, 0)
        while position < len(queue) and queue[position][0] <= now_ms:
            position += 1
            # Written first: an action that raises is not run again after a restart.
            self.done[hook] = position
            at_ms, action = queue[position - 1]
            if any(at_ms < calm_ms <= now_ms for calm_ms in (self.calm_ms, *_calmed.get(self.script, ()))):
                continue
            if action[0] == "raise" and _raised.setdefault((self.label, at_ms), event) != event:
                continue
            if _watch is not None:
                _watch(self, f"call {hook}", event, action)
            self._act(*action)

    def _act(self, verb: str, *arguments: Any) -> None:
        named: dict[str, Any] = {}
        if arguments and isinstance(arguments[-1], dict):
            *arguments, named = arguments  # type: ignore[assignment]
        if verb == "raise":
            raise RuntimeError("the script says so")
        if verb in ("modify", "cancel"):
            if not self.handles:
                return
            arguments = (self.handles[arguments[0] % len(self.handles)], *arguments[1:])
        answer = getattr(self, verb)(*arguments, **named)
        if verb in ("buy", "sell", "stop"):
            self.handles.append(answer)
