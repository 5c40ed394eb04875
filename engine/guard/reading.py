"""Reads the syntax of a strategy's modules and finds banned uses. Nothing is imported or run.

A name is checked by its origin: aliases of imports, plain assignments and names that another of the modules
re-exports are followed, scope by scope. Annotations and unused imports are not uses.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final, NamedTuple

from engine.errors import NotDeterministic, UsageError
from engine.guard.rules import CLASSES, HINTS, HOLDERS, MODULES, banned_name
from engine.guard.sets import set_order
from engine.guard.shared import shared_state

__all__ = ["Finding", "Source", "find", "refuse"]

_HOPS_MAX: Final = 20
"""Upper bound on the aliases that are followed for one name."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_ZONED: Final = "datetime.datetime.fromtimestamp"


class Finding(NamedTuple):
    """One banned use."""

    shown: str
    line: int
    what: str
    family: str

    def __str__(self) -> str:
        return f"{self.shown}:{self.line}: {self.what}: {HINTS[self.family]}"


class Source:
    """A parsed module: `name` is dotted, `shown` is its path in messages. Raises SyntaxError, ValueError."""

    def __init__(self, name: str, shown: str, text: str) -> None:
        self.name = name
        self.shown = shown
        self.package = name if shown.endswith("__init__.py") else name.rpartition(".")[0]
        self.tree = ast.parse(text)
        self.top = _Scope(self, self.tree, None)

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """The dotted names of all imports, also those that may be modules of a package."""
        return tuple(dict.fromkeys(self._imports()))

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.base_of(node)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def base_of(self, node: ast.ImportFrom) -> str:
        """Return the module of a `from` import. A relative one is made absolute."""
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        kept = parts[: len(parts) - (node.level - 1)]
        return ".".join([*kept, *([node.module] if node.module else [])])


class _Scope:
    """The names bound in a module, class or function body.

    `origins` maps a name to the origin of its import, or to the expression it is an alias of, or to None.
    An import takes precedence over other bindings of the same name.
    """

    def __init__(self, source: Source, owner: ast.AST, outer: _Scope | None) -> None:
        self.outer = outer
        self.is_class = isinstance(owner, ast.ClassDef)
        self.origins: dict[str, str | ast.expr | None] = {}
        self.stars: list[str] = []
        self._source = source
        if isinstance(owner, _Function):
            every = owner.args
            given = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
            self.origins |= {arg.arg: None for arg in given if arg is not None}
        body = [owner.body] if isinstance(owner, ast.Lambda) else getattr(owner, "body", [])
        for node in body:
            self._collect(node)

    def _collect(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self.origins[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            base = self._source.base_of(node)
            for alias in node.names:
                if alias.name == "*":
                    self.stars.append(base)
                else:
                    self.origins[alias.asname or alias.name] = f"{base}.{alias.name}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._bind(node.name, None)
            return
        elif isinstance(node, ast.Lambda):
            return
        elif (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            self._bind(node.targets[0].id, node.value)
            self._collect(node.value)
            return
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self._bind(node.id, None)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            self._bind(node.name, None)
        for child in ast.iter_child_nodes(node):
            self._collect(child)

    def _bind(self, name: str, value: ast.expr | None) -> None:
        held = self.origins.get(name)
        if not isinstance(held, str):
            # A name that is bound twice is not an alias.
            self.origins[name] = value if name not in self.origins else None


def find(sources: Mapping[str, Source]) -> list[Finding]:
    """Return the banned uses in the modules of a strategy, by module and line."""
    found: list[Finding] = []
    for source in sources.values():
        reader = _Reader(source, sources)
        reader.visit(source.tree)
        for node, what in shared_state(source.tree):
            reader.note(node, what, "shared")
        for node, what in set_order(source.tree):
            reader.note(node, what, "order")
        found += sorted(set(reader.found), key=lambda one: one.line)
    return found


def refuse(found: list[Finding], error: type[UsageError] = NotDeterministic) -> None:
    """Raise `error` for the first finding, if any. The message lists the lines of the next ones."""
    if found:
        more = [f"{one.shown}:{one.line}" for one in found[1:5]]
        rest = f"\nalso in {', '.join(more)}{' ...' if len(found) > 5 else ''}" if more else ""
        raise error(f"{found[0]}{rest}")


class _Reader(ast.NodeVisitor):
    """Walks one module and keeps track of scopes."""

    def __init__(self, source: Source, sources: Mapping[str, Source]) -> None:
        self.found: list[Finding] = []
        self._source = source
        self._sources = sources
        self._scope = source.top

    # Scopes.

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Visit decorators and defaults in the outer scope and the body in its own. Skip annotations."""
        for part in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            if part is not None:
                self.visit(part)
        self._inside(node, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Visit it like a function."""
        for part in (*node.args.defaults, *node.args.kw_defaults):
            if part is not None:
                self.visit(part)
        self._inside(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit bases and decorators in the outer scope and the body in its own."""
        for part in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.visit(part)
            origin = self._origin(part, self._scope)
            if origin in CLASSES:
                self.note(node, f"derives a class from {origin}", "code")
        self._inside(node, node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Visit the value only."""
        if node.value is not None:
            self.visit(node.value)

    def _inside(self, owner: ast.AST, body: list[ast.stmt] | list[ast.expr]) -> None:
        outer = self._scope
        self._scope = _Scope(self._source, owner, outer)
        for part in body:
            self.visit(part)
        self._scope = outer

    # Uses.

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Refuse `import *` of a banned module: the uses of its names cannot be found."""
        base = self._source.base_of(node)
        if base in MODULES and any(alias.name == "*" for alias in node.names):
            self.note(node, f"imports everything of {base}", MODULES[base][0])

    def visit_Call(self, node: ast.Call) -> None:
        """Check the called name, and the first argument of `getattr`."""
        origin = self._origin(node.func, self._scope)
        if origin == "builtins.getattr" and node.args:
            inner = self._origin(node.args[0], self._scope)
            if inner in HOLDERS or banned_name(inner)[0]:
                self.note(node, f"accesses {inner} with getattr()", "code")
                return
        if origin == _ZONED:
            zones = [*node.args[1:], *(one.value for one in node.keywords if one.arg != "timestamp")]
            if not _is_given(zones):
                self.note(node, "calls datetime.fromtimestamp() without a time zone", "zone")
        elif (
            isinstance(node.func, ast.Attribute)
            and node.func.attr == "astimezone"
            and not _is_given([*node.args, *(one.value for one in node.keywords)])
        ):
            self.note(node, "calls astimezone() without a time zone", "zone")
            self.visit(node.func.value)
        elif banned_name(origin)[0]:
            self._check_use(node.func, origin, "calls")
        else:
            self.visit(node.func)
        for part in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(part)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Check a dotted name as a unit."""
        origin = self._origin(node, self._scope)
        if origin == _ZONED:
            self.note(node, "passes datetime.fromtimestamp on", "zone")
        elif origin:
            self._check_use(node, origin, "uses")
        else:
            self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        """Check a name that is read."""
        if isinstance(node.ctx, ast.Load):
            self._check_use(node, self._origin(node, self._scope), "uses")

    def _check_use(self, node: ast.AST, origin: str, verb: str) -> None:
        banned, family = banned_name(origin)
        if banned:
            name = banned.removeprefix("builtins.")
            whole = banned in MODULES
            what = f"{verb} {name}()" if verb == "calls" and not whole else f"uses {name}"
            self.note(node, what + (" itself" if whole and origin == banned else ""), family)

    def note(self, node: ast.AST, what: str, family: str) -> None:
        """Add a finding."""
        self.found.append(Finding(self._source.shown, getattr(node, "lineno", 1), what, family))

    # Where a name comes from.

    def _origin(self, node: ast.expr, scope: _Scope | None, hops: int = 0) -> str:
        """Return the origin of a dotted expression, "" if it is not an import or a builtin."""
        if hops > _HOPS_MAX:
            return ""
        if isinstance(node, ast.Attribute):
            base = self._origin(node.value, scope, hops)
            return self._follow(f"{base}.{node.attr}") if base else ""
        if isinstance(node, ast.Name):
            return self._origin_of_name(node.id, scope, hops)
        return ""

    def _origin_of_name(self, name: str, scope: _Scope | None, hops: int) -> str:
        innermost = True
        while scope is not None:
            if name in scope.origins and (innermost or not scope.is_class):
                held = scope.origins[name]
                if isinstance(held, ast.expr):
                    # `x = x.y` in a function is an error in Python; in a class the right x is that of the
                    # outer scope.
                    return self._origin(held, scope.outer if _reads(held, name) else scope, hops + 1)
                return self._follow(held) if held is not None else ""
            if any(name in self._sources[star].top.origins for star in scope.stars if star in self._sources):
                star = next(
                    s for s in scope.stars if s in self._sources and name in self._sources[s].top.origins
                )
                return self._follow(f"{star}.{name}")
            innermost = False
            scope = scope.outer
        return f"builtins.{name}"

    def _follow(self, origin: str) -> str:
        """Return the origin of a name, through the modules of the strategy that re-export it."""
        for _ in range(_HOPS_MAX):
            parts = origin.split(".")
            place = next((n for n in range(len(parts) - 1, 0, -1) if ".".join(parts[:n]) in self._sources), 0)
            if not place or origin in self._sources:
                return origin
            held = self._sources[".".join(parts[:place])].top.origins.get(parts[place])
            if isinstance(held, ast.expr):
                held = self._origin(held, self._sources[".".join(parts[:place])].top, _HOPS_MAX)
            if not held:
                return ""
            origin = ".".join([held, *parts[place + 1 :]])
        return ""


def _is_given(arguments: list[ast.expr]) -> bool:
    """Return whether one of a call's arguments is not None."""
    return any(not (isinstance(one, ast.Constant) and one.value is None) for one in arguments)


def _reads(node: ast.expr, name: str) -> bool:
    return any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(node))
