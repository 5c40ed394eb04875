"""Finds where the order of a set decides something: it follows the hash seed, so it differs from run to run.

Members, sizes, comparisons and `sorted()` do not depend on the order. Loops, lists, texts, sums and `pop` do,
and so do ties where a key is given. Plain cases only: sets that are written as such, local names and
attributes of `self` that hold nothing else, and dicts of sets that are annotated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeGuard

__all__ = ["set_order"]

_MAKERS: Final = frozenset({"set", "frozenset"})
_SAME: Final = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_OPERATORS: Final = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
_BLIND: Final = frozenset({"set", "frozenset", "any", "all", "len", "bool", "isinstance"})
"""Functions for which the order of their argument makes no difference."""
_TIED: Final = frozenset({"sorted", "min", "max"})
"""Functions for which it makes none without a key."""
_BOUND: Final = frozenset({"list", "tuple", "iter", "enumerate", "zip", "map", "filter"}) | {
    "deque",
    "sum",
    "str",
    "repr",
    "dict",
}
"""Functions for which it makes one."""
_PASSING: Final = frozenset({"list", "tuple", "iter", "map", "filter"})
"""Functions whose result is in the order of their argument: fine where that order makes no difference."""
_BOUND_METHODS: Final = frozenset({"join", "fromkeys", "extend", "extendleft", "format"})
_LISTS: Final = frozenset({"list", "tuple", "dict", "sorted", "deque", "str", "PerMarket"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.DictComp | ast.GeneratorExp
_PLAIN = "set"
_INSIDE = "dict of sets"


class _Names(NamedTuple):
    """The names that hold sets, or dicts of sets: attributes of `self` in a class, and local names."""

    attributes: dict[str, str]
    local: dict[str, str]


def set_order(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield (node, description) of each use that depends on the order of a set."""
    yield from _uses(tree, _Names({}, _held(_assignments(tree.body), _Names({}, {}))), set())


def _uses(node: ast.AST, names: _Names, fine: set[ast.AST]) -> Iterator[tuple[ast.AST, str]]:
    """Walk a tree. `fine` are expressions in which the order makes no difference."""
    if isinstance(node, ast.ClassDef):
        names = names._replace(attributes=_held(_own(node), names))
    elif isinstance(node, _Function):
        assigned = list(_in_function(node))
        bound = {getattr(target, "id", "") for target, _, _ in assigned}
        outer = {name: kind for name, kind in names.local.items() if name not in bound}
        names = names._replace(local=outer)
        names = names._replace(local={**outer, **_held(assigned, names)})
    yield from _found(node, names, fine)
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, names, fine)


def _found(node: ast.AST, names: _Names, fine: set[ast.AST]) -> Iterator[tuple[ast.AST, str]]:
    """Yield the uses in one node, without those in its children."""
    if isinstance(node, ast.For | ast.AsyncFor):
        yield from _named([node.iter], names, "loops over")
    elif isinstance(node, _Comprehension) and node not in fine:
        yield from _named([part.iter for part in node.generators], names, "loops over")
    elif isinstance(node, ast.Starred | ast.YieldFrom) or _is_unpacking(node):
        yield from _named([node.value], names, "unpacks")
    elif isinstance(node, ast.FormattedValue):
        yield from _named([node.value], names, "shows")
    elif isinstance(node, ast.Call) and _is_blind(node, fine):
        fine.update(node.args)
    elif isinstance(node, ast.Call):
        yield from _in_call(node, names)


def _is_unpacking(node: ast.AST) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and any(isinstance(one, ast.Tuple | ast.List) for one in node.targets)


def _is_blind(node: ast.Call, fine: set[ast.AST]) -> bool:
    """Return whether the order of its arguments makes no difference to a call."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in _TIED:
        return all(one.arg != "key" for one in node.keywords)
    if name in _PASSING:
        return node in fine
    return name in _BLIND or (name == "sum" and _counts(node.args))


def _in_call(node: ast.Call, names: _Names) -> Iterator[tuple[ast.AST, str]]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name in _TIED:
        yield from _named(node.args, names, f"calls {name}() with a key on")
    elif name in _BOUND or method in _BOUND_METHODS:
        yield from _named(node.args, names, f"calls {name or method}() on")
    elif isinstance(node.func, ast.Attribute) and method in ("pop", "__iter__") and not node.args:
        yield from _named([node.func.value], names, f"calls {method}() on")


def _counts(given: list[ast.expr]) -> bool:
    """Return whether the argument of `sum` counts: its elements are whole numbers or comparisons."""
    one = given[0] if len(given) == 1 else None
    if not isinstance(one, ast.GeneratorExp | ast.ListComp):
        return False
    if isinstance(one.elt, ast.Constant):
        return type(one.elt.value) is int
    return isinstance(one.elt, ast.Compare)


def _named(nodes: Iterable[ast.expr], names: _Names, verb: str) -> Iterator[tuple[ast.AST, str]]:
    for node in nodes:
        if _kind(node, names) == _PLAIN:
            shown = ast.unparse(node)
            yield node, f"{verb} the set {shown if len(shown) <= 40 else shown[:37] + '...'}"


# What an expression is.


def _kind(node: ast.expr | None, names: _Names) -> str:
    """Return whether an expression is a set, a dict of sets, or neither ("")."""
    if isinstance(node, ast.Set | ast.SetComp):
        return _PLAIN
    if isinstance(node, ast.Name):
        return names.local.get(node.id, "")
    if isinstance(node, ast.Attribute):
        return names.attributes.get(node.attr, "") if _is_self(node.value) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        return _PLAIN if _PLAIN in (_kind(node.left, names), _kind(node.right, names)) else ""
    if isinstance(node, ast.IfExp):
        return _kind(node.body, names) or _kind(node.orelse, names)
    if isinstance(node, ast.BoolOp):
        return next(filter(None, (_kind(one, names) for one in node.values)), "")
    if isinstance(node, ast.NamedExpr):
        return _kind(node.value, names)
    if isinstance(node, ast.Subscript):
        return _PLAIN if _kind(node.value, names) == _INSIDE else ""
    if isinstance(node, ast.Call):
        return _kind_of_call(node, names)
    return ""


def _kind_of_call(node: ast.Call, names: _Names) -> str:
    if isinstance(node.func, ast.Name):
        first = node.args[0] if node.args else None
        if node.func.id == "PerMarket" and isinstance(first, ast.Name) and first.id in _MAKERS:
            return _INSIDE
        return _PLAIN if node.func.id in _MAKERS else ""
    if isinstance(node.func, ast.Attribute):
        of = _kind(node.func.value, names)
        if of == _PLAIN and node.func.attr in _SAME:
            return _PLAIN
        if of == _INSIDE and node.func.attr in ("get", "setdefault", "pop"):
            return _PLAIN
    return ""


def _kind_of_type(node: ast.expr | None) -> str:
    """Return the same for an annotation."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return ""
    if isinstance(node, ast.BinOp):
        return _kind_of_type(node.left) or _kind_of_type(node.right)
    if isinstance(node, ast.Name):
        return _PLAIN if node.id in _MAKERS | {"Set", "AbstractSet"} else ""
    if isinstance(node, ast.Subscript):
        inside = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
        if isinstance(node.value, ast.Name) and node.value.id in ("dict", "Dict", "PerMarket", "Mapping"):
            return _INSIDE if _kind_of_type(inside) == _PLAIN else ""
        return _kind_of_type(node.value)
    return ""


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


# What names hold.

_Assignment = tuple[ast.expr, ast.expr | None, ast.expr | None]
"""A target, the value it is given and its annotation."""


def _held(assigned: Iterable[_Assignment], names: _Names) -> dict[str, str]:
    """Return the names that hold only sets, or only dicts of sets, by name. None counts for nothing."""
    found: dict[str, str] = {}
    mixed: set[str] = set()
    for target, value, annotation in assigned:
        name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", "")
        known = _Names(names.attributes | found, names.local | found)
        kind = _kind_of_type(annotation) or _kind(value, known)
        if (kind and found.setdefault(name, kind) != kind) or (not kind and _is_something_else(value)):
            mixed.add(name)
    return {name: kind for name, kind in found.items() if name not in mixed}


def _is_something_else(value: ast.expr | None) -> bool:
    """Return whether a value is certainly no set."""
    if isinstance(value, ast.Constant):
        return value.value is not None
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id in _LISTS
    return isinstance(value, ast.List | ast.Tuple | ast.Dict | ast.ListComp | ast.DictComp | ast.GeneratorExp)


def _assignments(body: Iterable[ast.AST]) -> Iterator[_Assignment]:
    """Yield the assignments of names in these statements, not in functions and classes inside of them."""
    for node in body:
        if isinstance(node, _Function | ast.ClassDef):
            continue
        for target, value, annotation in _in_statement(node):
            if isinstance(target, ast.Name):
                yield target, value, annotation
        yield from _assignments(ast.iter_child_nodes(node))


def _in_function(function: _Function) -> Iterator[_Assignment]:
    args = function.args
    for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs):
        yield ast.Name(arg.arg), None, arg.annotation
    if not isinstance(function, ast.Lambda):
        yield from _assignments(function.body)


def _own(cls: ast.ClassDef) -> Iterator[_Assignment]:
    """Yield the assignments of attributes of `self` in a class."""
    for node in ast.walk(cls):
        for target, value, annotation in _in_statement(node):
            if isinstance(target, ast.Attribute) and _is_self(target.value):
                yield target, value, annotation


def _in_statement(node: ast.AST) -> Iterator[_Assignment]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield target, node.value, None
    elif isinstance(node, ast.AnnAssign):
        yield node.target, node.value, node.annotation
    elif isinstance(node, ast.NamedExpr):
        yield node.target, node.value, None
    elif isinstance(node, ast.For | ast.comprehension):
        yield node.target, ast.Constant("an item"), None
