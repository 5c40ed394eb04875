"""The parameters of a strategy: annotated class attributes with a default, set by the configuration.

    class Crossover(Strategy):
        fast: int = 10
        interval: str = "1m"

Owns which attributes are parameters and which values they accept. A parameter is an int, float, str or bool,
one of these or None, or a `Literal` of them: values that TOML, the command line and a snapshot can store. A
number given for a text parameter is its text, so `size = 0.05` and `size = "0.05"` are the same.
Called by the session when it creates a strategy, by the command line for `--param`, and by the strategy's
actor when an operator sets one.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping
from contextlib import suppress
from types import UnionType
from typing import Any, ClassVar, Final, NamedTuple

import msgspec

from engine.config import nearest
from engine.errors import ConfigError
from engine.strategies.base import RESERVED, Strategy
from engine.strategies.places import words_of
from engine.values import INT64_MAX

__all__ = ["Param", "convert_params", "params_of", "set_parameter"]

_SIMPLE: Final = (int, float, str, bool, type(None))


class Param(NamedTuple):
    """The type of a parameter and its default."""

    type: Any
    default: Any


def params_of(cls: type[Strategy]) -> dict[str, Param]:
    """Return a strategy's parameters by name, base classes first. Raises ConfigError naming the attribute."""
    try:
        hints = typing.get_type_hints(cls)
    except Exception as error:
        raise ConfigError(f"{cls.__name__}: the annotations cannot be evaluated: {error}") from None
    own = [one for one in reversed(cls.__mro__) if one not in Strategy.__mro__]
    names = dict.fromkeys(name for one in own for name in inspect.get_annotations(one))
    found: dict[str, Param] = {}
    for name in names:
        hint = hints[name]
        if name.startswith("_") or not hasattr(cls, name) or typing.get_origin(hint) is ClassVar:
            continue
        where = f"{cls.__name__}.{name}"
        if name in RESERVED:
            raise ConfigError(f"{where}: the base class has this name already; choose another")
        default = getattr(cls, name)
        if not isinstance(default, _SIMPLE):
            kind = type(default).__name__
            raise ConfigError(
                f"{where}: a {kind} on the class is shared by all instances; set it in on_start"
            )
        if not _is_simple(hint):
            raise ConfigError(f"{where}: a parameter is an int, float, str or bool, not {hint}")
        found[name] = Param(hint, _converted(default, hint, where, as_text=False))
    return found


def convert_params(cls: type[Strategy], given: Mapping[str, Any], *, as_text: bool = False) -> dict[str, Any]:
    """Return the given values, converted to the types of their parameters. `as_text`: they are text.

    Raises ConfigError for an unknown name (naming the nearest ones) and for a value of another type.
    """
    known = params_of(cls)
    for name in given:
        if name not in known:
            near = nearest(name, sorted(known)) if known else "the strategy has no parameters"
            raise ConfigError(f"there is no parameter {name!r}; {near}")
    return {
        name: _converted(_as_given(value, known[name].type), known[name].type, name, as_text=as_text)
        for name, value in given.items()
    }


def set_parameter(strategy: Strategy, name: str, text: str, *, again: bool) -> tuple[str, str]:
    """Set a parameter of a running strategy, and call its `on_set`; return (code, reason) of a refusal.

    `text` is the value as an operator gave it. `again`: nothing is done if the parameter has it already.
    Other exceptions than ValueError of the author's code are not caught.
    """
    cls = type(strategy)
    if cls.on_set is Strategy.on_set:
        return "no_on_set", f"{cls.__name__} has no on_set: its parameters cannot be set while it runs"
    try:
        value = convert_params(cls, {name: text}, as_text=True)[name]
    except ConfigError as error:
        return "parameter", str(error)
    if isinstance(value, int) and abs(value) > INT64_MAX:
        return "parameter", f"{name}: {text} does not fit 64 bits"
    before = getattr(strategy, name)
    if again and before == value:
        return "", ""
    setattr(strategy, name, value)
    try:
        strategy.on_set(name, value)
    except ValueError as error:
        setattr(strategy, name, before)
        return "parameter", f"{name}: {' '.join(words_of(error).split())[:200]}"
    return "", ""


def _as_given(value: Any, kind: Any) -> Any:
    """Return a number as text if its parameter is text; anything else as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for one in (value, str(value)):
            with suppress(msgspec.ValidationError):
                msgspec.convert(one, kind)
                return one
    return value


def _converted(value: Any, kind: Any, where: str, *, as_text: bool) -> Any:
    try:
        converted = msgspec.convert(value, kind, strict=not as_text)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ConfigError(f"{where}: {converted} is not a number that a configuration can store")
        return converted
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}, given {value!r}") from None


def _is_simple(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return all(isinstance(value, _SIMPLE) for value in typing.get_args(hint))
    if typing.get_origin(hint) in (typing.Union, UnionType):
        return all(_is_simple(part) for part in typing.get_args(hint))
    return hint in _SIMPLE
