"""Finds state outside of `self`: globals, class attributes and defaults that a strategy changes.

Snapshots do not store such state and strategies would share it, so a replay would diverge after midnight.
Only plain cases are found: a list, dict, set or the like that is created at the top of a module, in a class
or as a default, and changed in a function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

__all__ = ["shared_state"]

_MAKERS: Final = frozenset(
    {"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict"}
)
_CHANGERS: Final = frozenset(
    {"append", "appendleft", "extend", "extendleft", "insert", "remove", "pop", "popleft", "popitem"}
    | {"clear", "add", "discard", "update", "setdefault", "sort", "reverse", "rotate", "subtract"}
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Place = tuple[str, str]
"""The class that has a name ("" for the module), and the name ("" for the class itself)."""


def shared_state(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield (node, description) for each change of state outside of instances."""
    kept = {("", name) for name in _made_in(tree)}
    for cls in ast.walk(tree):
        if isinstance(cls, ast.ClassDef):
            kept |= {(cls.name, name) for name in _made_in(cls)} - {(cls.name, name) for name in _own(cls)}
            kept.add((cls.name, ""))
    yield from _changes(tree, kept, "", None)


def _made_in(body: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Yield the names that are bound to a new list, dict or the like."""
    for node in body.body:
        if isinstance(node, ast.Assign) and _is_made(node.value):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_made(node.value):
            yield node.target.id


def _is_made(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return name in _MAKERS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def _own(cls: ast.ClassDef) -> Iterator[str]:
    """Yield the attributes that a class sets on its instances."""
    for node in ast.walk(cls):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (one.attr for one in ast.walk(target) if _is_of_self(one))


def _is_of_self(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _changes(
    node: ast.AST, kept: set[_Place], inside: str, local: frozenset[str] | None
) -> Iterator[tuple[ast.AST, str]]:
    """Walk a tree. `inside` is the class, `local` the names bound in the function (None outside of one)."""
    if isinstance(node, _Function):
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if _is_made(default):
                yield default or node, "has a mutable default, which all calls share"
        local = (local or frozenset()) | _bound(node)
    elif isinstance(node, ast.ClassDef):
        inside = node.name
    elif isinstance(node, ast.Global):
        yield node, f"assigns the global {', '.join(node.names)}"
    elif local is not None:
        for target in _set(node):
            if target.value.id == "cls" or ((target.value.id, "") in kept and target.value.id not in local):
                yield node, f"sets {target.value.id}.{target.attr}, which is not on self"
        for target in _changed(node):
            name = _shared_name(target, kept, inside, local)
            if name:
                yield node, f"changes {name}, which is not on self"
    for child in ast.iter_child_nodes(node):
        yield from _changes(child, kept, inside, local)


def _set(node: ast.AST) -> Iterator[Any]:
    """Yield the attributes of names that a node assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) else ():
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            yield target


def _bound(function: _Function) -> frozenset[str]:
    """Return the names that a function binds."""
    args = function.args
    names = {
        arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if arg
    }
    names |= {
        one.id for one in ast.walk(function) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }
    return frozenset(names)


def _changed(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions that a node changes in place."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGERS:
        yield node.func.value
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.value
    elif isinstance(node, ast.AugAssign):
        yield node.target


def _shared_name(target: ast.expr, kept: set[_Place], inside: str, local: frozenset[str]) -> str:
    if isinstance(target, ast.Name):
        return target.id if ("", target.id) in kept and target.id not in local else ""
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        owner = inside if target.value.id in ("self", "cls") else target.value.id
        return f"{owner}.{target.attr}" if owner and (owner, target.attr) in kept else ""
    return ""
