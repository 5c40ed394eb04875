"""Finds the attributes of a strategy that hide what its base class offers.

A strategy that sets `self.target = 5` has no verb `target` any more. Owns which uses of a name do that:
setting, deleting and declaring it as an attribute, of the instance or of the class. A reading, such as
`position`, may be hidden by a strategy that does not call it. A method of the author's own may have any
name: it replaces the verb on purpose, and the engine calls only hooks. Called when a strategy is loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from engine.guard.reading import Finding, Source
from engine.strategies.base import RESERVED, YIELDING, Strategy

__all__ = ["hidden_names", "names_of"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def hidden_names(cls: type[Strategy], sources: dict[str, Source]) -> list[Finding]:
    """Return where the classes of a strategy, its own bases included, hide a name of the base class."""
    bodies: list[tuple[str, ast.ClassDef]] = []
    for one in cls.__mro__[: cls.__mro__.index(Strategy)]:
        source = sources.get(one.__module__)
        body = source and _class_of(source.tree, one.__qualname__.split("."))
        if source and body:
            bodies.append((source.shown, body))
    taken = RESERVED | {name for _, body in bodies for name in _called(body)}
    found: list[Finding] = []
    for shown, body in bodies:
        uses = sorted(names_of(body, taken), key=lambda use: use[0].lineno)
        found += [Finding(shown, node.lineno, what, "name") for node, what in uses]
    return found


def names_of(cls: ast.ClassDef, taken: frozenset[str]) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    """Yield (node, description) of each use in a class that hides one of the names that are taken."""
    for part in cls.body:
        if isinstance(part, _Function):
            yield from _in_method(part, taken)
        elif isinstance(part, ast.ClassDef):
            if part.name in taken:
                yield part, f"defines a class {part.name} in {cls.name}"
        else:
            yield from _in_body(part, cls.name, taken)


def _called(cls: ast.ClassDef) -> Iterator[str]:
    """Yield the readings that the methods of a class call."""
    for node in ast.walk(cls):
        called = node.func if isinstance(node, ast.Call) else None
        if (
            isinstance(called, ast.Attribute)
            and called.attr in YIELDING
            and isinstance(called.value, ast.Name)
        ):
            yield called.attr


def _in_method(method: _Function, taken: frozenset[str]) -> Iterator[tuple[ast.expr, str]]:
    """Yield the attributes that a method sets on its first argument."""
    given = [*method.args.posonlyargs, *method.args.args]
    if not given:
        return
    own = given[0].arg
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            if _is_name(node.value, own) and node.attr in taken:
                verb = "deletes" if isinstance(node.ctx, ast.Del) else "sets"
                yield node, f"{verb} {own}.{node.attr}"
        elif isinstance(node, ast.Call) and _is_name(node.func, "setattr") and len(node.args) > 1:
            target, name = node.args[:2]
            if _is_name(target, own) and isinstance(name, ast.Constant) and name.value in taken:
                yield node, f"sets {own}.{name.value}"


def _in_body(part: ast.stmt, owner: str, taken: frozenset[str]) -> Iterator[tuple[ast.expr, str]]:
    """Yield the names that a statement of a class body binds. `on_quote = on_trade` is allowed."""
    for node in _outside_functions(part):
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Store) or node.id not in taken:
            continue
        if not (node.id.startswith("on_") and isinstance(part, ast.Assign)):
            yield node, f"sets {node.id} in {owner}"


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
            yield from _outside_functions(child)


_FUNCTIONS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _class_of(tree: ast.Module, path: Iterable[str]) -> ast.ClassDef | None:
    """Return the last definition of a class by its qualified name, None if there is none."""
    where: ast.Module | ast.ClassDef = tree
    for name in path:
        named = [node for node in ast.walk(where) if isinstance(node, ast.ClassDef) and node.name == name]
        if not named:
            return None
        where = named[-1]
    return where if isinstance(where, ast.ClassDef) else None
