"""What modules of strategies keep outside of their strategies, so that two moments can be compared.

The pieces of a walk-forward are copies of one strategy in one session, so what a module keeps is shared by
them: a copy that starts can leave the parameters there that a later training chose. The guard refuses plain
cases (`engine.guard.shared`); this finds the others, by their values: objects of a project's own classes,
containers, attributes of classes, defaults and closures of functions. What libraries keep is not looked at.
Called by `engine.search.forward`.
"""

from __future__ import annotations

import hashlib
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, ModuleType

__all__ = ["outside_of"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def outside_of(names: Iterable[str]) -> dict[str, str]:
    """Return a digest of what each name at the top of these modules holds, as `module.name`."""
    own = frozenset(names)
    found = {}
    for module in sorted(own):
        for name, value in sorted(vars(sys.modules.get(module, ModuleType(module))).items()):
            if not name.startswith("__"):
                text = "\n".join(_walk(value, own, {}))
                found[f"{module}.{name}"] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return found


def _walk(value: object, own: frozenset[str], seen: dict[int, object]) -> Iterator[str]:
    """Yield lines that differ if what a value holds differs. `seen` keeps what was met, by identity."""
    yield type(value).__name__
    if isinstance(value, _PLAIN):
        yield repr(value)
        return
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _walk(key, own, seen)
            yield from _walk(held, own, seen)
    elif isinstance(value, list | tuple | deque):
        for one in value:
            yield from _walk(one, own, seen)
    elif isinstance(value, set | frozenset):
        yield from sorted("\n".join(_walk(one, own, seen)) for one in value)
    elif isinstance(value, FunctionType):
        if value.__module__ in own:
            cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
            yield from _walk([value.__defaults__, value.__kwdefaults__, vars(value), cells], own, seen)
    elif isinstance(value, type):
        if value.__module__ in own:
            yield from _walk(_attributes(vars(value)), own, seen)
    elif type(value).__module__ in own:
        yield from _walk(_attributes(getattr(value, "__dict__", {})), own, seen)
        for cls in type(value).__mro__:
            slots = vars(cls).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                yield from _walk(getattr(value, name, None), own, seen)


def _attributes(held: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in held.items() if not name.startswith("__")}


def _is_filled(cell: object) -> bool:
    try:
        cell.cell_contents  # type: ignore[attr-defined]  # noqa: B018
    except ValueError:
        return False
    return True
