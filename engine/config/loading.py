"""Reads a configuration from TOML or from its recorded text. Unknown keys are refused."""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import FieldInfo

from engine.config.checks import check, nearest
from engine.config.secrets import refuse_keys
from engine.config.sections import RECORDED_INSTRUMENTS, Config, StrategyConfig
from engine.config.simulated import SimulatedConfig
from engine.errors import ConfigError

__all__ = ["load_config", "parse_config", "read_section"]

_Section = TypeVar("_Section", bound=msgspec.Struct)


def load_config(path: Path) -> Config:
    """Read a TOML file. Raises ConfigError naming the file and the fault."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path given to --config"
        ) from None
    except (ValueError, RecursionError) as error:  # also an integer of thousands of digits
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None
    try:
        refuse_keys(data, "")
        return parse_config(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(data: dict[str, Any] | str) -> Config:
    """Return the configuration in a TOML table or in canonical JSON. Raises ConfigError."""
    return _recorded(data) if isinstance(data, str) else _checked(data)


@lru_cache(maxsize=4)
def _recorded(text: str) -> Config:
    """Return a recorded configuration: each actor of a session reads the same one when it begins."""
    try:
        data = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigError(f"the recorded configuration is not JSON: {error}") from None
    return _checked(_moved(data))


def _checked(data: dict[str, Any]) -> Config:
    data = _as_recorded(data)
    _refuse_unknown_keys(data, Config, "")
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        text = str(error).replace(f".{RECORDED_INSTRUMENTS}", ".instruments")
        raise ConfigError(f"{text}{_hint(data, text)}") from None
    check(config)
    return config


def read_section(config: Config, name: str, cls: type[_Section]) -> _Section:
    """Return the section `[venues.NAME]` as the venue's struct. Raises ConfigError naming the key."""
    data = {} if config.venues is msgspec.UNSET else config.venues.get(name, {})
    where = f"venues.{name}."
    _refuse_unknown_keys(data, cls, where)
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where.rstrip('.')}: {error}") from None


def _moved(data: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded configuration with the keys that an earlier version had elsewhere at their place."""
    venue = data.get("venue")
    if isinstance(venue, dict) and "leverage" in venue:
        kept = {key: value for key, value in venue.items() if key != "leverage"}
        account = {"leverage": venue["leverage"], **data.get("account", {})}
        return {**data, "venue": kept, "account": account}
    return data


def _as_recorded(data: dict[str, Any]) -> dict[str, Any]:
    """Return a table with `instruments` under the key that records have.

    Raises ConfigError if it has both keys.
    """
    entries = data.get("strategies")
    if isinstance(entries, list | tuple):
        data = {**data, "strategies": [_with_recorded_key(entry, "strategies.") for entry in entries]}
    return cast("dict[str, Any]", _with_recorded_key(data, ""))


def _with_recorded_key(data: object, where: str) -> object:
    if not isinstance(data, dict) or "instruments" not in data:
        return data
    if RECORDED_INSTRUMENTS in data:
        both = f"{where}instruments and {where}{RECORDED_INSTRUMENTS}"
        raise ConfigError(f"{both} are two names of one key; write {where}instruments only")
    return {RECORDED_INSTRUMENTS if key == "instruments" else key: value for key, value in data.items()}


def _hint(data: dict[str, Any], error: str) -> str:
    """Return what to write instead, if a section is written in place of a list of sections."""
    key = next((key for key in ("strategies", "stores") if f"`$.{key}`" in error), "")
    return f"; write [[{key}]] above each of them" if isinstance(data.get(key), dict) else ""


@cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """Return the fields of a section by the names that records have."""
    return {field.encode_name: field for field in msgspec.structs.fields(cls)}


def _refuse_unknown_keys(data: Any, cls: type[msgspec.Struct], where: str) -> None:
    if not isinstance(data, dict):
        return
    fields = _fields(cls)
    for key, value in data.items():
        if where + key == "venue.leverage":
            raise ConfigError("there is no key 'venue.leverage'; it is account.leverage now")
        if key not in fields:
            known = sorted(field.name for field in fields.values())
            raise ConfigError(f"there is no key {where + key!r}; {nearest(key, known)}")
        inner = fields[key].default
        if isinstance(inner, msgspec.Struct):
            _refuse_unknown_keys(value, type(inner), f"{where}{key}.")
        elif where + key == "simulated":
            _refuse_unknown_keys(value, SimulatedConfig, "simulated.")
        elif key == "strategies" and isinstance(value, list):
            for entry in value:
                _refuse_unknown_keys(entry, StrategyConfig, "strategies.")
