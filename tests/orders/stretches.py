"""Adds to a plan a stretch in which the price passes a stop and stays beyond it, for longer than any pace.

Random prices turn around too soon to show a stop that is passed and not worked: the model asks for six prices
within 12 s. A stretch has a strategy that buys or sells, sets a stop near the price, and then sees ten
prices beyond it, 2 s apart. All other steps of the plan stay what they were.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.orders.sequences import NAMES, STRATEGIES, UNIT, Plan, Step, plan, price_text, real_plan, size_text

__all__ = ["stretched_plan"]

BEYOND = 10
PACE_MS = 2000


def stretched_plan(number: int) -> Plan:
    """Return the plan of this number with a stretch in it, every third with real orders.

    Plans of candles have none: there a stop is worked along the path of each candle.
    """
    whole = real_plan(number) if number % 3 == 2 else plan(number)
    if whole.settings.data == "candles":
        return whole
    random = Random(f"{number} stretch")
    begin = random.randrange(2, max(3, len(whole.steps) - whole.calm))
    market = random.choice(tuple(NAMES))
    prices = [step.values[0] for step in whole.steps[:begin] if (step.kind, step.market) == ("trade", market)]
    stretch = _stretch(random, whole, market, prices[-1] if prices else 0)
    return replace(whole, steps=(*whole.steps[:begin], *stretch, *whole.steps[begin:]))


def _stretch(random: Random, whole: Plan, market: int, last: int) -> list[Step]:
    """Return the steps. `last` is the newest price, 0 if there was none."""
    price = last or next(
        step.values[0] for step in whole.steps if (step.kind, step.market) == ("trade", market)
    )
    strategy = random.choice(STRATEGIES)
    side = 1 if whole.settings.spot else random.choice((1, -1))
    size = size_text(market, UNIT[market])
    stop = max(1, round(price * (1 - side * random.uniform(0.004, 0.02))))
    gone = max(1, round(price * (1 - side * random.uniform(0.03, 0.06))))
    name, way = NAMES[market], "buy" if side < 0 else "sell"
    opens = ("target", name, size_text(market, side * UNIT[market]), {})
    protects = ("stop", name, way, size, price_text(market, stop), {})
    steps = _prices(whole, market, price, 500)
    for call in (opens, protects):
        steps.append(Step(0, "call", 0, (strategy, "trade", *call)))
        for _ in range(2):
            steps += _prices(whole, market, price, 900)
    for _ in range(BEYOND):
        steps += _prices(whole, market, gone, PACE_MS)
    return steps


def _prices(whole: Plan, market: int, price: int, after_ms: int) -> list[Step]:
    """Return a price as the data of the plan has it, with the mark and both sides of the book at it."""
    size = UNIT[market] * 20
    steps = [Step(after_ms, "trade", market, (price, size, 1))]
    if any(step.kind == "context" for step in whole.steps):
        steps.append(Step(1, "context", market, (price, price, "0.0000125")))
    if whole.settings.data != "trades":
        steps.append(Step(1, "quote", market, (price - 1, size, price + 1, size)))
    if whole.settings.data == "books":
        steps.append(Step(1, "book", market, (((price - 1, size),), ((price + 1, size),))))
    return steps
