"""A table of every key of the configuration, read from the structs: section, name, default, description."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from engine.config.sections import Config

__all__ = ["Key", "as_markdown", "keys"]


class Key(NamedTuple):
    """One key. `section` is written as in a file, "" at the top; `default` is TOML.

    `optional`: the configuration of defaults does not have the section.
    """

    section: str
    name: str
    default: str
    description: str
    optional: bool = False


def keys(cls: type[msgspec.Struct] = Config, section: str = "", *, optional: bool = False) -> Iterator[Key]:
    """Yield the keys of a struct, then those of its sections."""
    inner: list[tuple[str, type[msgspec.Struct], bool]] = []
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in msgspec.structs.fields(cls):
        kind = hints[field.name]
        held = [one for one in typing.get_args(kind) if _is_section(one)]
        if _is_section(kind):
            inner.append((f"[{field.name}]", kind, optional))
        elif held:
            several = typing.get_origin(kind) is tuple
            name = f"[[{field.name}]]" if several else f"[{field.name}]"
            inner.append((name, held[0], field.default is msgspec.UNSET))
        elif text := _description(kind):
            made = field.default_factory is not msgspec.NODEFAULT
            default = field.default_factory() if made else _stated(kind, field.default)
            yield Key(section, field.name, _toml(default), text, optional)
    for name, struct, without in inner:
        yield from keys(struct, name, optional=without)


def as_markdown(found: typing.Iterable[Key]) -> str:
    """Return a table of keys for a page, one row each."""
    lines = ["| section | key | default | meaning |", "|---|---|---|---|"]
    shown = None
    for key in found:
        section = f"`{key.section}`" if key.section and key.section != shown else ""
        shown = key.section
        lines.append(f"| {section} | `{key.name}` | `{key.default}` | {key.description} |")
    return "\n".join(lines) + "\n"


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _description(kind: Any) -> str:
    """Return the description in an annotation, or ""."""
    return next((one.description for one in getattr(kind, "__metadata__", ()) if one.description), "")


def _stated(kind: Any, default: Any) -> Any:
    """Return the default that an annotation states for a key that is not set, else the field's own."""
    stated = [one.extra["default"] for one in kind.__metadata__ if one.extra and "default" in one.extra]
    return stated[0] if stated else default


def _toml(value: Any) -> str:
    """Return a default as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{}" if not value else "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return str(value)
