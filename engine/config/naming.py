"""The names of instruments in a configuration: found among those of a session, and written as `venue:NAME`.

Owns which keys name instruments. Called before a session or a backtest begins, with the instruments that it
will have, so a wrong name is refused before anything is written. Not imported by `engine.config`, whose other
modules know no events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from engine.config.sections import PRICE_TEXT_SCALE, Config, StrategyConfig
from engine.errors import ConfigError, NumberError, UsageError
from engine.events import InstrumentListed
from engine.instruments import find_instrument, labels
from engine.values import parse_scaled

__all__ = ["resolve_names"]

T = TypeVar("T")


def resolve_names(config: Config, listed: Sequence[InstrumentListed]) -> Config:
    """Return the configuration with every name of an instrument as `venue:NAME`.

    Raises UsageError, naming the key, for a name that is not of exactly one of the instruments, and if two
    strategies could adopt a position.
    """
    names = _Names(listed)
    risk, account, flow, venue = config.risk, config.account, config.flow, config.venue
    resolved = replace(
        config,
        instruments=names.all("instruments", config.instruments),
        strategies=tuple(_strategy(entry, names) for entry in config.strategies),
        bars=replace(config.bars, activity=tuple(names.activity(text) for text in config.bars.activity)),
        risk=replace(
            risk,
            max_order_size=names.table("risk.max_order_size", risk.max_order_size),
            max_position_size=names.table("risk.max_position_size", risk.max_position_size),
        ),
        account=replace(
            account,
            leverage=names.table("account.leverage", account.leverage),
            prices={
                asset: text if _is_number(text) else names.one(f"account.prices.{asset}", text)
                for asset, text in account.prices.items()
            },
        ),
        flow=replace(
            flow,
            level=names.table("flow.level", flow.level),
            large=names.table("flow.large", flow.large),
        ),
        venue=venue
        if isinstance(venue.adopt, bool)
        else replace(venue, adopt=names.table("venue.adopt", venue.adopt)),
    )
    _check_adopters(resolved, listed)
    return resolved


class _Names:
    """The instruments of a session by all their names."""

    def __init__(self, listed: Sequence[InstrumentListed]) -> None:
        self._listed = listed

    def one(self, where: str, text: str) -> str:
        try:
            return find_instrument(text, self._listed).key
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None

    def all(self, where: str, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.one(where, text) for text in texts))

    def table(self, where: str, table: Mapping[str, T]) -> dict[str, T]:
        found: dict[str, T] = {}
        for text, value in table.items():
            key = self.one(where, text)
            if key in found:
                raise UsageError(f"{where}: {key} has two entries; keep one of them")
            found[key] = value
        return found

    def activity(self, text: str) -> str:
        """Return a kind of activity bar, such as `volume:50@BTC`, with its instrument's `venue:NAME`."""
        kind, at, name = text.partition("@")
        return f"{kind}@{self.one('bars.activity', name)}" if at else text


def _strategy(entry: StrategyConfig, names: _Names) -> StrategyConfig:
    return replace(entry, instruments=names.all(f"strategy {entry.title}", entry.instruments))


def _check_adopters(config: Config, listed: Sequence[InstrumentListed]) -> None:
    """Raise UsageError if a strategy adopts what it does not trade, or several could adopt a position."""
    shown, adopt = labels(listed), config.venue.adopt
    for one in listed:
        name = shown[one.instrument]
        traders = [
            entry.title
            for entry in config.strategies
            if not entry.instruments or one.key in entry.instruments
        ]
        if isinstance(adopt, bool):
            if adopt and config.mode == "live" and len(traders) > 1:
                raise UsageError(
                    f"venue.adopt: {' and '.join(traders)} trade {name}; name the one that takes over its "
                    f'position: adopt = {{ {_as_key(name)} = "{traders[0]}" }}'
                )
        elif one.key in adopt and adopt[one.key] not in traders:
            raise ConfigError(f"venue.adopt.{name}: {adopt[one.key]} does not trade {name}")


def _as_key(name: str) -> str:
    """Return a name as a key of TOML."""
    return name if all(one.isalnum() or one in "-_" for one in name) else f'"{name}"'


def _is_number(text: str) -> bool:
    try:
        parse_scaled(text, PRICE_TEXT_SCALE)
    except NumberError:
        return False
    return True
