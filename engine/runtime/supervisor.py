"""Runs edges (feeds, the gateway, projectors), and restarts them after a failure.

An edge that ends or raises is restarted after a jittered exponential backoff, for ever or up to a number
of failures within a minute. Each change of state is reported, so that the journal records it. An error of a
kind named `fatal` ends the session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import trio

from engine.backoff import backoff_ms
from engine.errors import EngineError, bug_in
from engine.ports import Edge, Ids

__all__ = ["Health", "supervise"]

BACKOFF_MIN_MS: Final = 250
BACKOFF_MAX_MS: Final = 30_000
FAILURES_MAX: Final = 5
WINDOW_S: Final = 60.0


class Health(msgspec.Struct):
    """The state of an edge or actor, for people and for `EdgeChanged`.

    `state` is starting, running, restarting, failed, stopped, halted, reset, stuck or lagging.
    """

    name: str
    state: str = "starting"
    detail: str = ""
    restarts: int = 0


async def supervise(edge: Edge, notify: Callable[[Health], None], ids: Ids) -> None:
    """Run an edge until cancelled. Raises EngineError when it fails too often, or at once if fatal."""
    health = Health(edge.name)
    failures: list[float] = []
    while True:
        health.state = "running"
        notify(health)
        try:
            await edge.run()
            reason = "ended"
        except edge.fatal:
            health.state = "failed"
            notify(health)
            raise
        except Exception as error:
            cause = bug_in(error)  # a group says nothing by itself
            reason = f"{type(cause).__name__}: {cause}"[:300]
        now = trio.current_time()
        failures = [at for at in failures if at > now - WINDOW_S] + [now]
        health.detail = reason
        if edge.gives_up and len(failures) >= FAILURES_MAX:
            health.state = "failed"
            notify(health)
            raise EngineError(f"{edge.name} failed {len(failures)} times in {WINDOW_S:.0f} s: {reason}")
        health.state = "restarting"
        health.restarts += 1
        notify(health)
        chance = int.from_bytes(ids.random_bytes(2), "big") / 65_536
        wait_ms = backoff_ms(len(failures) - 1, chance, min_ms=BACKOFF_MIN_MS, max_ms=BACKOFF_MAX_MS)
        await trio.sleep(wait_ms / 1000)
