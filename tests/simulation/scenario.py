"""What happens in a simulation: faults and other events, drawn from a seed before it runs.

A `Scenario` is data: it can be printed, run again, and shortened by leaving out steps (`shrink.py`). What the
kinds do is in `faults.py`. No fault lasts beyond the end that is drawn for the scenario, so that
everything that is broken can be expected to recover.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

__all__ = ["COUNTED", "KINDS", "STORED", "Scenario", "Step", "draw", "draw_day", "never_happened"]


class Step(NamedTuple):
    """An event: when (seconds since the start), its kind, its values, and how long it lasts at most.

    `venue`: which of several venues it is about, if it is about one.
    """

    at_s: float
    kind: str
    values: tuple[Any, ...] = ()
    lasts_s: float = 0.0
    venue: int = 0


class Scenario(msgspec.Struct, frozen=True):
    """A simulation. `start_s`: the time of day at which it starts; `transport`: how orders are sent.

    `gap_s`: the mean time between two events of a market. Outside of the `stretches` (from and to, seconds
    since the start) it is `quiet_gap_s`, and the engine looks at what may have happened less often
    (`pace.py`); without any, the whole time is busy. Strategies act on bars of a minute, or with `on_trades`
    on trades. `mode`: live or paper; `stores`: with rows in SQLite; `venues`: how many there are.
    """

    seed: int
    hours: float
    start_s: int
    transport: str
    steps: tuple[Step, ...]
    gap_s: float = 20.0
    quiet_gap_s: float = 20.0
    stretches: tuple[tuple[float, float], ...] = ()
    intervals: tuple[str, ...] = ("1m", "5m")
    on_trades: bool = False
    mode: str = "live"
    stores: bool = False
    venues: int = 1


Draw = Callable[[Random], tuple[tuple[Any, ...], float]]
"""Returns the values of a step and how long it lasts."""


def _for(low_s: float, high_s: float) -> Draw:
    def draw_time(chance: Random) -> tuple[tuple[Any, ...], float]:
        seconds = round(chance.uniform(low_s, high_s), 2)
        return (seconds,), seconds

    return draw_time


def _nothing(chance: Random) -> tuple[tuple[Any, ...], float]:
    return (), 0.0


def _few(chance: Random) -> tuple[tuple[Any, ...], float]:
    return (chance.choice((1, 1, 1, 2, 3, 6)),), 0.0


def _late(chance: Random) -> tuple[tuple[Any, ...], float]:
    ms = chance.choice((300, 1500, 4000, 7000, 15_000))
    count = chance.choice((1, 1, 2, 4))
    return (count, ms), count * ms / 1000


def _refused(chance: Random) -> tuple[tuple[Any, ...], float]:
    seconds = chance.choice((0, 0, 3, 8, 20))
    return (chance.choice((1, 1, 2)), seconds * 1000), float(seconds)


def _slow(chance: Random) -> tuple[tuple[Any, ...], float]:
    seconds = round(chance.uniform(5, 60), 2)
    return (chance.choice((0.2, 1.0, 3.0, 8.0)), seconds), seconds


def _step_of_clock(chance: Random) -> tuple[tuple[Any, ...], float]:
    step_s = chance.choice((-3600.0, -40.0, -5.0, -0.8, -0.3, 0.3, 0.8, 5.0, 40.0))
    seconds = round(chance.uniform(20, 120), 2)
    return (step_s, seconds), seconds + max(0.0, step_s)


def _at_change(chance: Random) -> tuple[tuple[Any, ...], float]:
    return (chance.choice((0, 1, 2, 3, 5, 8)), bool(chance.getrandbits(1))), 0.0


def _outside(chance: Random) -> tuple[tuple[Any, ...], float]:
    return (chance.randrange(2), bool(chance.getrandbits(1))), 0.0


def _sync(chance: Random) -> tuple[tuple[Any, ...], float]:
    seconds = round(chance.uniform(5, 40), 2)
    return (chance.choice((0.03, 0.3, 1.0, 3.0)), seconds), seconds


KINDS: Final[dict[str, tuple[int, Draw]]] = {
    # Processes and the disk.
    "kill": (6, _nothing),
    "kill at a change of the disk": (3, _at_change),
    "kill at a send": (3, _at_change),
    "power cut": (5, _nothing),
    "bit flip": (2, _nothing),
    "disk sync fails": (2, _nothing),
    "disk write fails": (1, _nothing),
    "disk create fails": (1, _nothing),
    "disk short write": (2, _nothing),
    "disk full": (2, _for(1, 30)),
    "disk slow": (4, _sync),
    # The network.
    "cut": (6, _nothing),
    "cut all": (4, _nothing),
    "partition": (6, _for(1, 40)),
    "black hole": (4, _nothing),
    "slow network": (4, _slow),
    "fragments": (3, _for(5, 60)),
    # Time.
    "clock step": (3, _step_of_clock),
    "pause": (4, _for(0.5, 45)),
    "suspend": (2, _for(5, 120)),
    # The venue.
    "venue restart": (4, _for(1, 20)),
    "lost reply": (5, _few),
    "late reply": (5, _late),
    "request swallowed": (3, _few),
    "too many requests": (3, _refused),
    "server error": (4, _few),
    "frame dropped": (5, _few),
    "frame repeated": (4, _few),
    "frames reordered": (4, _few),
    "frame late": (4, _late),
    "late fill": (5, _late),
    "frame damaged": (5, _few),
    "channel silent": (3, _nothing),
    # Others with the account's key.
    "outside order": (3, _outside),
    "outside cancel": (3, _nothing),
}
"""The kinds of steps: how often each is drawn, and its values."""

COUNTED: Final = {
    "bit flip": "bit flipped",
    "disk sync fails": "disk fdatasync EIO",
    "disk write fails": "disk write ENOSPC",
    "disk create fails": "disk create ENOSPC",
    "lost reply": "lost-reply",
    "late reply": "late-reply",
    "request swallowed": "swallow",
    "too many requests": "429",
    "server error": "5xx",
    "frame dropped": "drop",
    "frame repeated": "duplicate",
    "frames reordered": "reorder",
    "frame late": "delay",
    "frame damaged": "damage",
    "channel silent": "silent",
}
"""The names under which the disk and the venue count what happened, if it is not the kind."""

LAST_S: Final = 30.0
"""Faults end this long before the end that is given."""


STORED: Final[dict[str, tuple[int, Draw]]] = {"kill within a row": (4, _nothing)}
"""Kinds of scenarios with stores."""


def never_happened(fired: Counter[str]) -> list[str]:
    """Return the kinds that never happened, by the names under which they are counted."""
    return [name for name in (COUNTED.get(one, one) for one in KINDS | STORED) if not fired[name]]


def draw(
    seed: int,
    hours: float,
    *,
    per_hour: float = 14.0,
    mode: str = "live",
    stores: bool = False,
    venues: int = 1,
) -> Scenario:
    """Return the scenario of a seed: about `per_hour` faults an hour, some of them close together."""
    chance = Random(f"{seed} scenario")
    where = Random(f"{seed} venues")
    steps: list[Step] = []
    at_s, end_s = 0.0, hours * 3600 - LAST_S
    kinds = KINDS | STORED if stores else KINDS
    names = list(kinds)
    weights = [kinds[name][0] for name in names]
    while True:
        # In a cluster, faults meet faults: a kill during a recovery, a cut during a reconnection.
        at_s += (
            chance.expovariate(1 / 3) if chance.random() < 0.4 else chance.expovariate(per_hour * 0.6 / 3600)
        )
        if at_s >= end_s:
            break
        kind = chance.choices(names, weights)[0]
        values, lasts_s = kinds[kind][1](chance)
        if at_s + lasts_s < end_s:
            steps.append(Step(round(at_s, 3), kind, values, lasts_s, where.randrange(venues)))
    return Scenario(
        seed,
        hours,
        chance.choice((0, 6 * 3600, 13 * 3600, 23 * 3600 + 1800, 23 * 3600 + 3500)) + chance.randrange(60),
        chance.choice(("rest", "rest", "post")),
        tuple(steps),
        chance.choice((4.0, 20.0, 20.0, 60.0)),
        mode=mode,
        stores=stores,
        venues=venues,
    )


RESTARTS: Final = frozenset(
    {
        *STORED,
        "kill",
        "kill at a change of the disk",
        "kill at a send",
        "power cut",
        "bit flip",
        "disk sync fails",
        "disk write fails",
        "disk create fails",
        "disk full",
        "clock step",
    }
)
"""Kinds after which a session is started again, which takes the longer the more its day holds."""

STEPS_OF_A_DAY: Final = 238
CLUSTERS: Final = 7
BETWEEN_S: Final = 2.5
LASTS_S_MAX: Final = 40.0
ALONE: Final = ("kill", "power cut", "cut all", "black hole", "venue restart", "suspend")


def draw_day(seed: int) -> Scenario:
    """Return a scenario of a day: quiet, but for some minutes of many faults of all kinds, and a few alone.

    Kinds that need a new session come soon after the start and at midnight, when a day of the journal holds
    little. Every eighth day is on paper, and every fourth has a store.
    """
    chance = Random(f"{seed} day")
    mode, stores = ("paper" if seed % 8 == 3 else "live"), seed % 4 == 0
    kinds = KINDS | STORED if stores else KINDS
    start_s = chance.randrange(86_400)
    midnight_s = 86_400.0 - start_s
    times = [100.0, midnight_s - chance.uniform(30, 100)]
    while len(times) < CLUSTERS:
        # A bar of each interval ends in it.
        end_s = (start_s + chance.uniform(1800, 82_000)) // 3600 * 3600 - start_s
        at_s = end_s - chance.uniform(30, 100)
        if all(abs(at_s - one) > 1800 for one in times):
            times.append(at_s)
    often = {name: kind[0] for name, kind in kinds.items() if name not in RESTARTS}
    deck: list[str] = []
    rest = [*(name for name in kinds if name in RESTARTS), "kill", "power cut"]
    chance.shuffle(rest)
    own_kinds = [rest[: len(rest) // 2], rest[len(rest) // 2 :], *([] for _ in range(CLUSTERS - 2))]
    steps: list[Step] = []
    stretches: list[tuple[float, float]] = []
    for began_s, names in sorted(zip(times, own_kinds, strict=True)):
        if began_s > 86_000:
            continue
        while len(names) < STEPS_OF_A_DAY // CLUSTERS:
            if not deck:
                deck = chance.sample([*often], len(often), counts=[*often.values()])
            names.append(deck.pop())
        chance.shuffle(names)
        own = _cluster(chance, began_s, names, kinds)
        stretches.append((began_s - 10, max(step.at_s + step.lasts_s for step in own) + 10))
        steps += own
    for _ in range(2):
        at_s = chance.uniform(0, 78_000)
        if all(not before - 400 < at_s < after + 400 for before, after in stretches):
            kind = chance.choice(ALONE)
            longest_s = 7200.0 if kind == "suspend" else 900.0
            seconds = round(chance.choice((3.0, 60.0, longest_s)) * chance.random(), 2)
            steps.append(
                Step(round(at_s, 3), kind, (seconds,) if kind in ("suspend", "venue restart") else ())
            )
    return Scenario(
        seed,
        24.0,
        start_s,
        chance.choice(("rest", "rest", "post")),
        tuple(sorted(steps)),
        gap_s=chance.choice((6.0, 10.0, 20.0)),
        quiet_gap_s=chance.choice((200.0, 300.0, 600.0)),
        stretches=tuple(stretches),
        intervals=chance.choice((("5m", "1h"), ("15m", "1h"), ("30m", "1h"))),
        on_trades=True,
        mode=mode,
        stores=stores,
    )


def _cluster(chance: Random, at_s: float, names: list[str], kinds: dict[str, tuple[int, Draw]]) -> list[Step]:
    """Return faults of these kinds close to each other."""
    steps = []
    for kind in names:
        values, lasts_s = kinds[kind][1](chance)
        while lasts_s > LASTS_S_MAX:
            values, lasts_s = kinds[kind][1](chance)
        steps.append(Step(round(at_s, 3), kind, values, lasts_s))
        at_s += chance.expovariate(1 / BETWEEN_S)
        if kind in ("pause", "suspend"):
            at_s += lasts_s
    return steps
