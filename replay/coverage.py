"""Whether recorded data can have the bars that the strategies of a backtest need, and whether it had them.

Data with trades has the bars of the configuration. Data that has only candles has bars of their length and of
multiples of it. Called by the backtest, before it begins and after it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from engine.actors import Actor
from engine.config import Config
from engine.errors import ConfigError
from engine.events import Candle, Event, InstrumentListed, Trade
from engine.strategies.actor import StrategyActor
from engine.strategies.needs import Need, built, check_built, spoken
from engine.values import INTERVALS, format_interval, parse_interval

__all__ = ["Seen", "check_data", "missing_bars"]

Seen = set[tuple[str, str]]
"""(`venue:NAME`, interval) of the bars of a run."""


def check_data(batches: Iterator[list[Event]], needs: Sequence[Need], config: Config) -> None:
    """Raise ConfigError if a strategy needs bars of an interval that the data cannot have.

    Reads no further than needed: data with trades, or with short enough candles, shows it at once.
    """
    known = built(config)
    waiting = [need for need in needs if need.kind == "interval"]
    keys: dict[int, str] = {}
    candles: dict[str, set[int]] = {}
    for batch in batches:
        if not waiting:
            return
        for event in batch:
            if isinstance(event, InstrumentListed):
                keys[event.instrument] = event.key
            elif isinstance(event, Trade):
                waiting = [need for need in waiting if need.value not in known]
                if not candles:
                    check_built(waiting, config)
                    return
            elif isinstance(event, Candle):
                candles.setdefault(keys.get(event.instrument, ""), set()).add(event.interval_ns)
        waiting = [need for need in waiting if need.value not in _bars(candles, need.markets, known)]
    if not waiting or not candles:
        check_built(waiting, config)
        return
    need = waiting[0]
    found = sorted({span for spans in candles.values() for span in spans})
    lengths = " ".join(map(format_interval, found))
    raise ConfigError(
        f"strategy {need.strategy}: {need.where}: the data has candles of {lengths}, and no bars of "
        f"{need.value!r} are made of them; known: {' '.join(_bars(candles, (), known))}"
    )


def _bars(candles: dict[str, set[int]], markets: tuple[str, ...], known: list[str]) -> list[str]:
    """Return the intervals of the bars that the candles of some markets have; () are all markets."""
    spans = {span for key, found in candles.items() if not markets or key in markets for span in found}
    own = [format_interval(span) for span in sorted(spans)]
    timed = [name for name in known if name in INTERVALS]
    longer = [name for name in timed if any(parse_interval(name) % span == 0 for span in spans)]
    return list(dict.fromkeys((*own, *longer)))


def missing_bars(strategies: Iterable[Actor], needs: Sequence[Need], seen: Seen) -> list[str]:
    """Return a line for each strategy that acts on bars only, and names intervals of which it got no bar."""
    lines: list[str] = []
    for strategy in strategies:
        if not isinstance(strategy, StrategyActor) or strategy.acts_between_bars():
            continue
        markets = {market for market, _ in seen if not strategy.markets or market in strategy.markets}
        got = {interval for market, interval in seen if market in markets}
        named = [need.value for need in needs if need.strategy == strategy.name and need.kind == "interval"]
        missing = [name for name in dict.fromkeys(named) if name not in got]
        said = spoken(type(strategy.strategy))
        if not named and said and not got.intersection(said):
            missing = said
        if missing:
            known = sorted(got, key=lambda name: parse_interval(name) if name in INTERVALS else 0)
            lines.append(
                f"strategy {strategy.name}: got no bar of {' '.join(missing)}, which it names; "
                f"there were bars of {' '.join(known) or 'no interval'}"
            )
    return lines
