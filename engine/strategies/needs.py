"""The bars and markets that a strategy says it needs: one that can never act is refused at the start.

Owns what counts as saying so: a parameter named `interval` or `market`, a parameter whose type is a `Literal`
of intervals, and the class attributes `intervals` and `markets`, annotated as `ClassVar`. An interval that
stands as text in the code of the class may mean something else, so it is only reported (`spoken`). Called by
the session when it begins, by backtests, which know their data, and by the command line.

    class Mine(Strategy):
        intervals: ClassVar[tuple[str, ...]] = ("1m", "1h")
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from engine.config import Config, nearest
from engine.errors import ConfigError, UsageError
from engine.events import InstrumentListed
from engine.instruments import find_instrument, is_among, labels
from engine.strategies.base import Strategy
from engine.strategies.params import params_of
from engine.values import INTERVALS

__all__ = ["Need", "built", "check_built", "needs_of", "resolve_markets", "spoken"]


MARKET: Final = "market"
"""The parameter that names a market."""


class Need(NamedTuple):
    """What a strategy needs: `kind` is "interval" or "market", `where` says what names it."""

    strategy: str
    kind: str
    where: str
    value: str
    markets: tuple[str, ...]


def needs_of(
    cls: type[Strategy], title: str, params: Mapping[str, Any], markets: tuple[str, ...]
) -> list[Need]:
    """Return what a strategy with these parameters says it needs. Raises ConfigError."""
    found: list[Need] = []
    for name, param in params_of(cls).items():
        value = params.get(name, param.default)
        if not isinstance(value, str) or not value:
            continue
        options = typing.get_args(param.type) if typing.get_origin(param.type) is typing.Literal else ()
        if name == "interval" or (options and all(one in INTERVALS for one in options)):
            found.append(Need(title, "interval", name, value, markets))
        elif name == MARKET:
            found.append(Need(title, "market", MARKET, value, markets))
    for name, kind in (("intervals", "interval"), ("markets", "market")):
        where = f"{cls.__name__}.{name}"
        found += [Need(title, kind, where, value, markets) for value in _class_values(cls, name)]
    return found


def _class_values(cls: type[Strategy], name: str) -> tuple[str, ...]:
    """Return the texts of a class attribute that is annotated as ClassVar; () without one."""
    if not any("ClassVar" in str(inspect.get_annotations(one).get(name, "")) for one in cls.__mro__):
        return ()
    values = getattr(cls, name, ())
    if not isinstance(values, tuple) or not all(isinstance(one, str) for one in values):
        raise ConfigError(f'{cls.__name__}.{name}: give a tuple of texts, such as ("1m", "1h")')
    return values


def built(config: Config) -> list[str]:
    """Return the names of the bars that a session builds from trades, as in `Bar.interval`."""
    return [*config.bars.intervals, *dict.fromkeys(kind.name for kind in config.bars.kinds())]


def check_built(needs: Sequence[Need], config: Config) -> None:
    """Raise ConfigError for an interval of which the session builds no bars."""
    known = built(config)
    for need in needs:
        if need.kind == "interval" and need.value not in known:
            raise ConfigError(
                f"strategy {need.strategy}: {need.where}: there are no bars of {need.value!r} "
                f"([bars] intervals, activity); {nearest(need.value, known)}"
            )


def resolve_markets(config: Config, needs: Sequence[Need], listed: Sequence[InstrumentListed]) -> Config:
    """Return the configuration with each parameter `market` as the label, which `bar.market` has too.

    `config` and `needs` have `venue:NAME` of instruments (`engine.config.naming`). Raises ConfigError for a
    market that the session does not have, or the strategy does not trade.
    """
    shown = labels([one for one in listed if not config.instruments or is_among(one, config.instruments)])
    changed: dict[str, str] = {}
    for need in needs:
        if need.kind != "market":
            continue
        own = [one for one in listed if one.instrument in shown]
        own = [one for one in own if not need.markets or is_among(one, need.markets)]
        try:
            label = shown[find_instrument(need.value, own).instrument]
        except UsageError as error:
            raise ConfigError(f"strategy {need.strategy}: {need.where}: {error}") from None
        if need.where == MARKET and label != need.value:
            changed[need.strategy] = label
    entries = tuple(
        replace(entry, params={**entry.params, MARKET: changed[entry.title]})
        if entry.title in changed
        else entry
        for entry in config.strategies
    )
    return replace(config, strategies=entries)


def spoken(cls: type[Strategy]) -> list[str]:
    """Return the intervals that stand as text in the methods of a strategy, the shortest first."""
    own = cls.__mro__[: cls.__mro__.index(Strategy)]
    codes = [
        member.__code__ for one in own for member in vars(one).values() if isinstance(member, FunctionType)
    ]
    found = {text for code in codes for text in _texts(code)} & INTERVALS.keys()
    return sorted(found, key=lambda name: INTERVALS[name])


def _texts(code: CodeType) -> Iterator[str]:
    """Yield the text constants of a function, and of the functions and tuples in it."""
    waiting: list[Any] = [*code.co_consts]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple | frozenset):
            waiting += sorted(value, key=repr)
        elif isinstance(value, CodeType):
            waiting += value.co_consts
