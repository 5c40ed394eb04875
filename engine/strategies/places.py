"""Finds lines in a strategy's own code: where it raised an error, where it sets an attribute, where it is.

All read what is in memory (tracebacks and code objects), not files, so they are the same in a replay of the
same code. Called where a failure of a strategy is described.
"""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType, FunctionType
from typing import Final

from engine.errors import NotDeterministic
from engine.strategies.base import Strategy

__all__ = ["line_in", "lines_of", "place_of", "words_of"]

_LINES_MAX = 3
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]+")
_BRACES: Final = re.compile(r"\{.*\}", re.DOTALL)


def words_of(error: BaseException) -> str:
    """Return the text of an error without what can differ in another process.

    That is memory addresses, and text in braces, since the order in a set varies. The text is recorded.
    """
    try:
        words = str(error)
    except Exception:
        words = "(it has no text)"
    return _BRACES.sub("{...}", _ADDRESS.sub("0x...", words))


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


def line_in(frames: Sequence[FrameType], strategy: type[Strategy]) -> str:
    """Return where a strategy's own code is running, as "on_bar (mine.py:7)"; frames are innermost first."""
    own = [cls.__module__ for cls in _own_classes(strategy)]
    found = [frame for frame in frames if frame.f_globals.get("__name__") in own]
    if not found:
        return ""
    module = found[0].f_globals["__name__"]
    return f"{found[-1].f_code.co_name} ({_shown(module)}:{found[0].f_lineno})"


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
