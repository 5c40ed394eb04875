"""Runs plans from the command line, and shortens one that fails.

    python -m tests.orders.shrink 17            run plan 17; if it breaks a rule, print its shortest form
    python -m tests.orders.shrink 0 500         run these plans; count what they break, with examples
    python -m tests.orders.shrink real 17       the same with real orders
    python -m tests.orders.shrink sandbox 17    the same with real orders of the sandbox
    python -m tests.orders.shrink commands 17   the same on paper with 200 commands of an operator
    python -m tests.orders.shrink stretched 17  the same with a price that stays beyond a stop

A plan is shortened by leaving out steps, half of them first and then single ones, as long as the same rule is
broken. The steps of the calm end stay.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from random import Random

from engine.events import ActorFailed, BarClosed, DayOpened, SessionStarted, TimerFired, engine_time
from engine.values import format_scaled
from tests.orders.checking import Played, assert_replays, check
from tests.orders.commanding import CommandedRun, commanded_plan
from tests.orders.paper import Run
from tests.orders.sandbox import broken_by
from tests.orders.sequences import NAMES, Plan, plan, real_plan, sandbox_plan
from tests.orders.stretches import stretched_plan
from tests.orders.wire import RealRun

__all__ = ["break_of", "explained", "run_of", "shortened", "story"]

SCRIPTED_FAILURE = "the script says so"


def run_of(of: Plan) -> Run:
    """Return the session of a plan."""
    if any(step.kind == "command" for step in of.steps):
        return CommandedRun(of)
    return RealRun(of) if of.real else Run(of)


def break_of(of: Plan) -> tuple[str, str] | None:
    """Run a plan; return the rule that it breaks and the words, None if none."""
    if of.sandbox:
        return broken_by([of])[0]
    try:
        run = run_of(of).play()
    except Exception as error:
        return f"{type(error).__name__} in the engine", f"{error!r}"
    broken = check(run, calm=bool(of.calm))
    if broken is not None:
        return broken.rule, str(broken)
    if isinstance(run, RealRun) and of.calm:
        if run.exchange.open_orders():
            return "no order is open at the venue at the end", str(run.exchange.open_orders()[0])
        for market in NAMES:
            held, venue = run.held(market), run.exchange.positions.get(market, 0)
            if held != venue:
                return (
                    "the books are the venue's position at the end",
                    f"{NAMES[market]}: {held}, venue {venue}",
                )
    failed = [one for one in run.memory.events(ActorFailed) if SCRIPTED_FAILURE not in one.error]
    if failed:
        return "no strategy fails by itself", str(failed[0])
    try:
        assert_replays(run, Random(of.number))
    except Exception as error:
        return "the session replays identical", f"{error!r}"
    return None


def shortened(of: Plan, breaks: Callable[[Plan], bool]) -> Plan:
    """Return the plan with as few steps as possible that still breaks."""
    best = of
    size = max(1, (len(of.steps) - of.calm) // 2)
    while size:
        start, improved = 0, False
        while start < len(best.steps) - best.calm:
            end = min(start + size, len(best.steps) - best.calm)
            tried = best.without(set(range(start, end)))
            if breaks(tried):
                best, improved = tried, True
            else:
                start = end
        if not improved or size > 1:
            size //= 2
    return best


def story(run: Played, until_seq: int = 0) -> str:
    """Return a session's records as lines, without bars and with short ids and times."""
    lines: list[str] = []
    begin_ns = 0
    for seq, cause, event in run.memory.all():
        begin_ns = begin_ns or engine_time(event)
        if isinstance(event, BarClosed | SessionStarted | DayOpened) or (until_seq and seq > until_seq):
            continue
        if isinstance(event, TimerFired) and event.actor == "aggregator":
            continue
        text = re.sub(r"(?:at_ns|recv_ns|venue_ns|since_ns|next_ns)=(?:0|\d{19})(?:, )?", "", str(event))
        text = re.sub(r"0x0*([0-9a-f]+?)0{6,}([0-9a-f]+)", r"#\1.\2", text)
        text = re.sub(r", \w+=(?:0|''|False|\(\))(?=[,)])", "", text)
        at = format_scaled((engine_time(event) - begin_ns) // 1_000_000, 3)
        lines.append(f"{seq:5} {cause:5} {at:>9} s  {text}")
    return "\n".join(lines)


MAKERS: dict[str, Callable[[int], Plan]] = {
    "real": real_plan,
    "sandbox": sandbox_plan,
    "commands": lambda number: commanded_plan(number, 200),
    "stretched": stretched_plan,
}


def main(arguments: list[str]) -> int:
    """Run one plan or a range of plans; return 1 if any breaks a rule."""
    make = MAKERS.get(arguments[0], plan)
    first, *rest = (int(text) for text in arguments if text.isdigit())
    if not rest:
        broken = break_of(make(first))
        print(explained(make(first)) if broken else f"plan {first} breaks no rule")
        return int(broken is not None)
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    began = time.perf_counter()
    numbers = range(first, rest[0])
    for number in numbers:
        broken = break_of(make(number))
        if broken is not None:
            found[broken[0]].append((number, broken[1]))
    spent_ms = (time.perf_counter() - began) * 1000 / len(numbers)
    print(f"{len(numbers)} plans, {sum(map(len, found.values()))} break a rule, {spent_ms:.0f} ms each")
    for rule, examples in sorted(found.items(), key=lambda one: -len(one[1])):
        print(f"{len(examples):4} {rule}: plans {[number for number, _ in examples[:10]]}")
        print(f"      {examples[0][1][:600]}")
    return int(bool(found))


def explained(whole: Plan) -> str:
    """Return the shortest form of a plan that breaks a rule: its steps, its records, and the rule."""
    broken = break_of(whole)
    assert broken is not None, "it breaks no rule"
    rule = broken[0]

    def breaks(tried: Plan) -> bool:
        found = break_of(tried)
        return found is not None and found[0] == rule

    short = shortened(whole, breaks)
    found = break_of(short)
    assert found is not None, "a plan has one outcome"
    lines = [short.head()]
    if short.sandbox:
        return "\n".join([*lines, story(broken_by([short])[1]), rule, found[1]])
    with suppress(Exception):  # an error in the engine is the outcome itself
        seq = re.match(r"seq (\d+)", found[1])
        lines.append(story(run_of(short).play(), int(seq[1]) + 12 if seq else 0))
    return "\n".join([*lines, rule, found[1]])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
