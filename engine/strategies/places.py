"""Finds lines in a strategy's own code: where an error was raised, and where an attribute is set.

Both read what is in memory (tracebacks and code objects), not files, so they are the same in a replay of the
same code. Called where a failure of a strategy is described.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType

from engine.errors import NotDeterministic
from engine.strategies.base import Strategy

__all__ = ["lines_of", "place_of"]

_LINES_MAX = 3


def place_of(error: BaseException, strategy: type[Strategy]) -> str:
    """Return where in a strategy's own module an error was raised, as " (mine.py:7)", or "".

    "" for a RecursionError too: its line depends on the depth of the callers.
    """
    own = [cls.__module__ for cls in _own_classes(strategy)]
    place = ""
    trace = None if isinstance(error, RecursionError | NotDeterministic) else error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module in own:
            place = f" ({_shown(module)}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def lines_of(attribute: str, strategy: type[Strategy], *, inside: bool = False) -> str:
    """Return where a strategy's methods set an attribute, as " (mine.py:7, mine.py:9)", or "".

    `inside`: something inside of its value is meant, so the lines are those that use the attribute.
    """
    used, begun, assigned = [], [], []
    for cls in _own_classes(strategy):
        for name, code in _codes(cls):
            for instruction, line in _with_lines(code):
                if instruction.argval != attribute or not instruction.opname.endswith(("_ATTR", "_METHOD")):
                    continue
                place = f"{_shown(cls.__module__)}:{line}"
                if instruction.opname == "STORE_ATTR":
                    assigned.append(place)
                elif name == "on_start":
                    begun.append(place)
                else:
                    used.append(place)
    found = list(dict.fromkeys(((used or begun) if inside else []) or assigned))
    if not found:
        return ""
    return f" ({', '.join(found[:_LINES_MAX])}{', ...' if len(found) > _LINES_MAX else ''})"


def _own_classes(strategy: type[Strategy]) -> list[type]:
    """Return the author's classes: the strategy and its bases below `Strategy`."""
    return list(strategy.__mro__[: strategy.__mro__.index(Strategy)])


def _shown(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def _codes(cls: type) -> Iterator[tuple[str, CodeType]]:
    """Yield the methods of a class with the functions inside them, in their order."""
    for name, member in vars(cls).items():
        if isinstance(member, FunctionType):
            waiting = [member.__code__]
            while waiting:
                code = waiting.pop(0)
                yield name, code
                waiting += [inner for inner in code.co_consts if isinstance(inner, CodeType)]


def _with_lines(code: CodeType) -> Iterator[tuple[dis.Instruction, int]]:
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = _line(instruction) or line
        yield instruction, line


def _line(instruction: dis.Instruction) -> int | None:
    """Return the line of an instruction. `positions` is new in Python 3.11."""
    return instruction.positions.lineno if instruction.positions is not None else None
