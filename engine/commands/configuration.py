"""The configuration of a command: that of the file, overridden by the options of the command line."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import click
import msgspec

from engine.commands.naming import names_in
from engine.config import Config, SimulatedConfig, StrategyConfig, load_config, nearest, refuse_keys
from engine.config.latency import RECORDED
from engine.errors import UsageError
from engine.loading.modules import add_folder
from engine.loading.params import with_param
from engine.loading.strategies import load_strategy
from engine.strategies.base import Strategy
from engine.strategies.needs import built, spoken

__all__ = ["read_config", "warn_of_intervals", "with_latency"]


def read_config(
    path: Path | None, strategies: tuple[str, ...], instruments: str | None, params: tuple[str, ...] = ()
) -> Config:
    """Return the configuration of a file (or the defaults), overridden by the options of the command line.

    Strategies are also searched in the file's folder. Raises UsageError for an unknown strategy or parameter.
    """
    refuse_keys(list(params), "--param")
    for text in params:
        refuse_keys(text.partition("=")[2], f"--param {text.partition('=')[0][:40]}")
    config = Config()
    if path is not None:
        config = load_config(path)
        add_folder(path.parent)
    if strategies:
        config = msgspec.structs.replace(
            config, strategies=tuple(_strategy(config, use) for use in strategies)
        )
    if instruments is not None:
        config = msgspec.structs.replace(config, instruments=names_in(instruments))
    classes = {entry.use: load_strategy(entry.use) for entry in config.strategies}
    for cls in classes.values():
        _warn_of_hooks(cls)
    return _set_params(config, classes, params)


def with_latency(config: Config) -> Config:
    """Return the configuration with the latencies and refusals of the recorded session.

    What the file has of its own in `[simulated]` (the queue, fees) stays.
    """
    simulated = SimulatedConfig() if config.simulated is msgspec.UNSET else config.simulated
    recorded = msgspec.structs.replace(
        simulated, order_ms=RECORDED, answer_ms=RECORDED, feed_ms="", refusals=(RECORDED,)
    )
    return msgspec.structs.replace(config, simulated=recorded)


def _strategy(config: Config, use: str) -> StrategyConfig:
    """Return the file's entry for a strategy given with --strategy, or one with defaults."""
    return next((entry for entry in config.strategies if entry.use == use), StrategyConfig(use=use))


def _set_params(config: Config, classes: dict[str, type[Strategy]], params: tuple[str, ...]) -> Config:
    """Return the configuration with `name=value` set for every strategy that has such a parameter.

    `strategy.name=value` sets it for one strategy, by its name in the session.
    """
    for text in params:
        key, equals, value = text.partition("=")
        if not equals or not key.rpartition(".")[2]:
            raise UsageError(f"--param {text!r}: write it as --param fast=5, or --param Crossover.fast=5")
        config, _ = with_param(config, classes, key, value)
    return config


def _warn_of_hooks(cls: type[Strategy]) -> None:
    """Warn of methods with a name similar to that of a hook: they are never called."""
    hooks = [name for name in vars(Strategy) if name.startswith("on_")]
    for name in vars(cls):
        if name.startswith("on") and name not in hooks and get_close_matches(name, hooks, 1, 0.8):
            click.echo(
                f"engine: warning: {cls.__name__}.{name} is not a handler; {nearest(name, hooks)}", err=True
            )


def warn_of_intervals(config: Config) -> None:
    """Warn of a strategy whose code names intervals, and bars of none of them are built."""
    known = built(config)
    for entry in config.strategies:
        cls = load_strategy(entry.use)
        said = spoken(cls)
        if cls.on_bar is not Strategy.on_bar and said and not set(said).intersection(known):
            click.echo(
                f"engine: warning: {entry.title} names bars of {' '.join(said)}, which are not built; "
                f"[bars] intervals has {' '.join(known)}",
                err=True,
            )
