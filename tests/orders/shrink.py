"""Runs plans from the command line, and shortens one that fails.

    python -m tests.orders.shrink 17        run plan 17; if it breaks a rule, print its shortest form
    python -m tests.orders.shrink 0 500     run these plans; count what they break, with examples

A plan is shortened by leaving out steps, half of them first and then single ones, as long as the same rule is
broken. The steps of the calm end stay.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from random import Random

from engine.events import ActorFailed, BarClosed, DayOpened, SessionStarted, TimerFired, engine_time
from engine.values import format_scaled
from tests.orders.checking import assert_replays, check
from tests.orders.paper import Run
from tests.orders.sequences import Plan, plan

__all__ = ["break_of", "shortened", "story"]

SCRIPTED_FAILURE = "the script says so"


def break_of(of: Plan) -> tuple[str, str] | None:
    """Run a plan; return the rule that it breaks and the words, None if none."""
    try:
        run = Run(of).play()
    except Exception as error:
        return f"{type(error).__name__} in the engine", f"{error!r}"
    broken = check(run, calm=bool(of.calm))
    if broken is not None:
        return broken.rule, str(broken)
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


def story(run: Run, until_seq: int = 0) -> str:
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


def main(arguments: list[str]) -> int:
    """Run one plan or a range of plans; return 1 if any breaks a rule."""
    if len(arguments) == 1:
        return _one(int(arguments[0]))
    first, end = map(int, arguments)
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    began = time.perf_counter()
    for number in range(first, end):
        broken = break_of(plan(number))
        if broken is not None:
            found[broken[0]].append((number, broken[1]))
    spent_ms = (time.perf_counter() - began) * 1000 / (end - first)
    print(f"{end - first} plans, {sum(map(len, found.values()))} break a rule, {spent_ms:.0f} ms each")
    for rule, examples in sorted(found.items(), key=lambda one: -len(one[1])):
        print(f"{len(examples):4} {rule}: plans {[number for number, _ in examples[:10]]}")
        print(f"      {examples[0][1][:600]}")
    return int(bool(found))


def _one(number: int) -> int:
    whole = plan(number)
    broken = break_of(whole)
    if broken is None:
        print(f"plan {number} breaks no rule")
        return 0
    rule = broken[0]

    def breaks(tried: Plan) -> bool:
        found = break_of(tried)
        return found is not None and found[0] == rule

    short = shortened(whole, breaks)
    found = break_of(short)
    assert found is not None
    print(short.head())
    seq = re.match(r"seq (\d+)", found[1])
    print(story(Run(short).play(), int(seq[1]) + 12 if seq else 0))
    print(f"{rule}\n{found[1]}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
