"""Whether the engine is ready to trade, and if not, why; and the person who helps where only a person can.

Ready means that nothing of the engine's own state would refuse an opening: feed, account, clock, orders,
halts.
"""

from __future__ import annotations

from collections import Counter

import trio

from engine.actors.orders.conditions import SKEW_NS_MAX, UNKNOWN_MAX, not_fresh
from engine.events import OperatorCommand
from engine.runtime.live import Live
from tests.simulation.machine import Machine

__all__ = ["Operator", "reason_not_ready"]

STOPPED = "operator: stop"
"""A session that is being stopped is left alone."""

LOOKS_EVERY_S = 5.0
WAITS_S = 20.0


def reason_not_ready(live: Live | None) -> tuple[str, str]:
    """Return (kind, words) of why nothing would be opened, ("", "") if it would."""
    if live is None or not hasattr(live, "sequencer") or not live.sequencer.seq:
        return "down", "no session runs"
    try:
        manager = live._manager()
    except KeyError:
        return "down", "the session is starting"
    gate, now_ns = manager.gate, live._now_ns()
    if gate.halted:
        return "halted", gate.halted
    if gate.markets:
        return "halted", str(gate.markets)
    if gate.quarantined or gate.paused:
        return "halted", f"{gate.quarantined} {gate.paused}"
    if not gate.feeds:
        return "feed", "no feed has come up"
    for account in [*gate.accounts.values()] or [gate]:
        if account.unreconciled and manager.real:
            return "account", account.unreconciled
        if abs(account.skew_ns) > SKEW_NS_MAX and manager.real:
            return "clock", f"{account.skew_ns / 1e9:+.3f} s off the venue's clock"
        if len(account.unknown) > UNKNOWN_MAX:
            return "unknown", f"{len(account.unknown)} orders"
    for instrument, listed in manager.instruments.items():
        max_age_ms = manager.config.risk.max_price_age_ms
        why = not_fresh(gate, listed, manager.price(instrument), now_ns, max_age_ms)
        if why is not None:
            return "feed", why
    return "", ""


class Operator:
    """Resumes what was halted, and restarts a session whose clock is wrong. `acts` counts what was done."""

    def __init__(self, machine: Machine) -> None:
        self.acts: Counter[str] = Counter()
        self._machine = machine

    async def run(self) -> None:
        """Look from time to time; act on what has lasted for a while."""
        since, before = trio.current_time(), ""
        while True:
            await trio.sleep(LOOKS_EVERY_S)
            live = self._machine.live
            kind, words = reason_not_ready(live)
            if kind not in ("halted", "clock") or words == STOPPED:
                before = ""
                continue
            if kind != before:
                since, before = trio.current_time(), kind
            if live is None or trio.current_time() - since < WAITS_S:
                continue
            before = ""
            self.acts[f"{kind}: {words}"[:100]] += 1
            if kind == "halted":
                live.ingress.put([OperatorCommand(live._now_ns(), "resume", detail="simulated")])
            else:
                live.stop("the clock is wrong")
