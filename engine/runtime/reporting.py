"""What a live session reports to people while it runs: lines about edges, strategies, positions and counters.

Owns the notices. Promises: a change of an edge is recorded, once the session has begun, and reported; nothing
depends on a line. Base class of `Live`, which is its only user.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

import msgspec
import trio

from engine.events import EdgeChanged
from engine.runtime.ingress import Ingress
from engine.runtime.inside import Inside
from engine.runtime.notices import Notice, Notices
from engine.runtime.plan import LivePlan
from engine.runtime.positions import open_books
from engine.runtime.starting import Starting
from engine.runtime.supervisor import Health
from engine.runtime.watchdog import Stuck

__all__ = ["Reporting"]

MINUTE_S: Final = 60.0
COUNTERS_MINUTES: Final = 10
"""How often the counters of the edges are shown, in minutes."""


class Reporting(Inside):
    """See the module. `notify` receives the lines."""

    _notices: Notices

    def __init__(self, plan: LivePlan, notify: Callable[[Notice], None]) -> None:
        self._plan = plan
        self._receive_notice = notify
        self.ingress = Ingress()
        self._starting = Starting()
        self._early: list[Health] = []  # of edges before the session had begun; a few

    def _notify(self, notice: Notice) -> None:
        """Pass on a line, with the time if it is of now."""
        if not notice.at_ns:
            notice = msgspec.structs.replace(notice, at_ns=self._plan.clock.now_ns())
        self._receive_notice(notice)

    def _edge_changed(self, health: Health) -> None:
        if self._starting.done.is_set():
            self._record_edge(health)
        else:
            self._early.append(msgspec.structs.replace(health))

    def _record_edge(self, health: Health) -> None:
        self._notify(Notice(health.name, health.state, health.detail))
        self.ingress.put(
            [EdgeChanged(self._now_ns(), health.name, health.state, health.detail, health.restarts)]
        )

    async def _show_health(self) -> None:
        """Each minute report how many lines were left out; sometimes the counters of the edges."""
        for minute in itertools.count(1):
            await trio.sleep(MINUTE_S)
            if more := self._notices.summed():
                self._notify(Notice("session", "counted", f"in the last minute also {more}, without a line"))
            if minute % COUNTERS_MINUTES == 0:
                for name, line in self._plan.health.items():
                    self._notify(Notice(name, "running", line()))

    def _show_stuck(self, stuck: Stuck, seconds: float) -> None:
        """Report a handler that does not return. Called by the watchdog in its thread."""
        detail = f"has not returned from {stuck.place} for {seconds:.0f} s; the session waits for it"
        self._notify(Notice(f"strategy {stuck.strategy}", "stuck", detail))

    def _report_positions(self) -> None:
        """Report the positions of a session that failed, and what protects them."""
        try:
            books = open_books(self._manager(), self.sequencer.instruments)
        except (AttributeError, KeyError):
            return  # it failed before there was a session
        for book in books:
            self._notify(Notice("position", "open", str(book)))
