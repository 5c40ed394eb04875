"""Sets parameters of a configuration's strategies, as `--param name=value` names them.

`name` sets the parameter of every strategy that has it, `strategy.name` that of one strategy, by its name in
the session. Called by the command line and by sweeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.config import Config, nearest
from engine.errors import ConfigError, UsageError
from engine.strategies.base import Strategy
from engine.strategies.params import convert_params, params_of

__all__ = ["with_param"]


def with_param(
    config: Config, classes: Mapping[str, type[Strategy]], key: str, text: str
) -> tuple[Config, Any]:
    """Return the configuration with a parameter set, and its value in the type of the parameter.

    `classes` are the strategies by module:Class. Raises UsageError.
    """
    entries = list(config.strategies)
    title, _, name = key.rpartition(".")
    known = [params_of(classes[entry.use]) for entry in entries]
    chosen = [
        number
        for number, entry in enumerate(entries)
        if (entry.title == title if title else name in known[number])
    ]
    if title and not chosen:
        near = nearest(title, [entry.title for entry in entries])
        raise UsageError(f"--param {key}: there is no strategy {title!r}; {near}")
    if not chosen:
        names = sorted({one for each in known for one in each})
        near = nearest(name, names) if names else "a parameter is annotated and has a default: fast: int = 5"
        raise UsageError(f"--param {key}: no strategy has a parameter {name!r}; {near}")
    value: Any = None
    for number in chosen:
        entry = entries[number]
        try:
            converted = convert_params(classes[entry.use], {name: text}, as_text=True)
        except ConfigError as error:
            raise UsageError(f"--param {key}: {error}") from None
        value = converted[name]
        entries[number] = msgspec.structs.replace(entry, params={**entry.params, **converted})
    return msgspec.structs.replace(config, strategies=tuple(entries)), value
