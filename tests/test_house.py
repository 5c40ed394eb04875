"""The structure of the code: which package may import which, and what may not be used where.

`make check` runs it. It reads the syntax of every file, without importing or running it, and reports each
violation as `file:line: rule: why`. The second half tests the checker with small files that break each rule.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.floors import FLOORS, PACKAGES, Floor, floor_of

ROOT = Path(__file__).resolve().parent.parent
OTHERS = ("benchmarks", "tests")
LINES_MAX = 500


def words(text: str, before: str = "") -> tuple[str, ...]:
    """Return the words of `text`, each with the prefix `before`."""
    return tuple(before + word for word in text.split())


# On floors 0 to 3 no module may read a clock, draw random numbers, start a thread or depend on the address of
# an object. `engine/clock.py` is the exception for the clock and random numbers, but not for threads.
CLOCK_MODULE = "engine.clock"
RANDOM = words("time random secrets uuid")
RANDOM_ORIGINS = words("os.urandom os.getrandom")
THREADS = words("threading _thread concurrent asyncio multiprocessing")
CLOCK_ORIGINS = (*words("now utcnow today", "datetime.datetime."), "datetime.date.today")
ORIGINS = CLOCK_ORIGINS + words("id hash print", "builtins.")
NO_IO = words("io os pathlib shutil socket sqlite3 ssl subprocess tempfile urllib")

# Forbidden everywhere: these run what they read.
UNSAFE_MODULES = words("pickle _pickle cPickle marshal shelve dill")
UNSAFE_ORIGINS = words("eval exec __import__", "builtins.") + words("load unsafe_load full_load", "yaml.")

VAGUE_NAME = re.compile(r"(?:^|_)(?:utils?|helpers?|managers?)$")
ORDER_BLIND = words("sorted set frozenset any all len")
ORDER_BOUND = words("list tuple iter enumerate zip map filter dict join fromkeys extend")
SET_METHODS = words("union intersection difference symmetric_difference")
SET_TYPES = words("set frozenset Set AbstractSet MutableSet")

# Built from parts, so that this file does not hold what it looks for.
PLACE_RULES = (
    ("machine-path", r"(?<![\w./~-])/(?:" + "work|root" + r")/", "a path of one machine"),
    ("registry", "py" + r"pi\.org|python" + "hosted|--(?:extra-)?index" + "-url", "a registry's address"),
)
TEXT_SUFFIXES = (*words(".py .md .toml .lock .txt .yml .yaml .cfg .sh"), "")


class Violation(NamedTuple):
    """One broken rule, at one line."""

    path: str
    line: int
    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.why}"


def module_of(path: str) -> str:
    """Return the dotted name of the module at `path` (relative to the root, with slashes)."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    """Return whether `name` is one of `prefixes` or inside one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


class Reader:
    """Reads one file. Names are looked up by origin, whatever the alias."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.module = module_of(path)
        self.source = source
        self.tree = ast.parse(source, path)
        self.nodes = list(ast.walk(self.tree))
        self.in_packages = path.split("/")[0] in PACKAGES
        self.imports = [found for node in self.nodes for found in self._imported(node)]
        self.bound = self._bound_names()
        self.origins = self._alias_origins()

    def check(self) -> Iterator[Violation]:
        """Yield every violation of this file."""
        yield from self._check_shape()
        yield from self._check_unsafe()
        if not self.in_packages or self.module == "engine":
            return
        floor = floor_of(self.module)
        if floor is None:
            yield self._found(self.tree, "unknown-floor", f"{self.module} is not in the floors table")
            return
        yield from self._check_floor(floor)
        if floor.number <= 3:
            yield from self._check_deterministic(floor)
        if floor.number in (2, 3):
            yield from self._check_set_order()

    # The names in the file.

    def _imported(self, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = self._base_of(node)
            for alias in node.names:
                yield node, f"{base}.{alias.name}" if alias.name != "*" else base
        elif isinstance(node, ast.Call) and self._called(node) in ("import_module", "__import__"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node, first.value

    def _base_of(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".")
        drop = node.level - (1 if self.path.endswith("/__init__.py") else 0)
        base = package[: len(package) - drop]
        return ".".join([*base, *([node.module] if node.module else [])])

    def _bound_names(self) -> frozenset[str]:
        stores = {
            node.id for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        return frozenset(stores | {node.arg for node in self.nodes if isinstance(node, ast.arg)})

    def _alias_origins(self) -> dict[str, str]:
        origins: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    origins[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    origins[alias.asname or alias.name] = f"{self._base_of(node)}.{alias.name}"
        return origins

    def _origin(self, node: ast.AST) -> str:
        """Return where a dotted expression comes from: `dt.datetime.now` -> `datetime.datetime.now`."""
        if isinstance(node, ast.Attribute):
            base = self._origin(node.value)
            return f"{base}.{node.attr}" if base else ""
        if isinstance(node, ast.Name):
            if node.id in self.origins:
                return self.origins[node.id]
            return "" if node.id in self.bound else f"builtins.{node.id}"
        return ""

    def _uses(self) -> Iterator[tuple[ast.AST, str]]:
        for node in self.nodes:
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield node, self._origin(node)

    def _found(self, node: ast.AST, rule: str, why: str) -> Violation:
        return Violation(self.path, getattr(node, "lineno", 1), rule, why)

    # The rules.

    def _check_shape(self) -> Iterator[Violation]:
        lines = self.source.count("\n")
        if lines > LINES_MAX:
            yield self._found(self.tree, "too-long", f"{lines} lines, at most {LINES_MAX}")
        for part in self.path.removesuffix(".py").split("/"):
            if VAGUE_NAME.search(part):
                yield self._found(self.tree, "vague-name", f"{part!r} is vague; name what it owns")
        empty_init = self.path.endswith("/__init__.py") and not self.tree.body
        if self.in_packages and not empty_init and not ast.get_docstring(self.tree):
            yield self._found(self.tree, "no-docstring", "a module opens with what it owns and promises")
        if self.module == "engine":
            for node, name in self.imports:
                yield self._found(node, "engine-init", f"engine/__init__.py imports nothing, not {name}")

    def _check_unsafe(self) -> Iterator[Violation]:
        for node, name in self.imports:
            if name.split(".")[0] in UNSAFE_MODULES:
                yield self._found(node, "unsafe", f"{name} runs what it reads")
        for node, origin in self._uses():
            if origin in UNSAFE_ORIGINS:
                yield self._found(node, "unsafe", f"{origin.removeprefix('builtins.')} runs what it reads")

    def _check_floor(self, floor: Floor) -> Iterator[Violation]:
        for node, name in self.imports:
            top = name.split(".")[0]
            if top in PACKAGES:
                if name != "engine" and not within(name, floor.may):
                    yield self._found(node, "floor", f"floor {floor.number} may not import {name}")
            elif top not in floor.libraries and top not in sys.stdlib_module_names:
                yield self._found(node, "third-party", f"floor {floor.number} may not use {top}")

    def _check_deterministic(self, floor: Floor) -> Iterator[Violation]:
        is_clock = self.module == CLOCK_MODULE
        modules = THREADS + (() if is_clock else RANDOM) + (NO_IO if floor.number == 2 else ())
        origins = ORIGINS + (() if is_clock else RANDOM_ORIGINS)
        origins += ("builtins.open",) if floor.number == 2 else ()
        for node, name in self.imports:
            if name.split(".")[0] in modules:
                yield self._found(node, "deterministic", f"{name} is not allowed on floor {floor.number}")
        for node, origin in self._uses():
            if origin in origins:
                name = origin.removeprefix("builtins.")
                yield self._found(node, "deterministic", f"{name} is not allowed on floor {floor.number}")

    def _check_set_order(self) -> Iterator[Violation]:
        self.set_names = self._names_of_sets()
        blind = {
            id(argument)
            for node in self.nodes
            if isinstance(node, ast.Call) and self._called(node) in ORDER_BLIND
            for argument in node.args
        }
        for node in self.nodes:
            iterated: list[ast.expr] = []
            if id(node) in blind:
                continue
            if isinstance(node, ast.For):
                iterated = [node.iter]
            elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
                iterated = [generator.iter for generator in node.generators]
            elif isinstance(node, ast.Starred):
                iterated = [node.value]
            elif isinstance(node, ast.Call) and self._called(node) in ORDER_BOUND:
                iterated = list(node.args)
            elif self._called(node) == "pop" and isinstance(node.func, ast.Attribute):
                iterated = [node.func.value]
            for expression in iterated:
                if self._is_set(expression):
                    yield self._found(expression, "set-order", f"sort first: {ast.unparse(expression)}")

    def _called(self, node: ast.AST) -> str:
        if not isinstance(node, ast.Call):
            return ""
        if isinstance(node.func, ast.Attribute):
            return node.func.attr
        return node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func).split(".")[-1]

    def _is_set(self, node: ast.AST) -> bool:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return any(self._is_set(side) or self._called(side) == "keys" for side in (node.left, node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return node.func.attr in SET_METHODS and self._is_set(node.func.value)
        if isinstance(node, ast.Call):
            return self._called(node) in ("set", "frozenset")
        named = isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in self.set_names
        return named or isinstance(node, ast.Set | ast.SetComp)

    def _names_of_sets(self) -> frozenset[str]:
        """Return the names that are given sets and nothing else in this file, as far as syntax can tell."""
        self.set_names: frozenset[str] = frozenset()
        sets, others = set[str](), set[str]()
        for node in self.nodes:
            if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
                target = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
                note = node.annotation
                kind = note.value if isinstance(note, ast.Subscript) else note
                (sets if ast.unparse(kind).split(".")[-1] in SET_TYPES else others).add(target)
            elif isinstance(node, ast.Assign):
                for each in node.targets:
                    (sets if self._is_set(node.value) else others).add(ast.unparse(each))
        # A class attribute is declared as `open: set[str]` and used as `self.open`.
        return frozenset(sets - others) | frozenset(f"self.{name}" for name in sets - others)


def check_source(path: str, source: str) -> list[Violation]:
    """Return the violations of one Python file, in order of line."""
    return sorted(set(Reader(path, source).check()))


def check_text(path: str, text: str) -> list[Violation]:
    """Return the lines that name a place on one machine or a package registry."""
    return [
        Violation(path, number, rule, why)
        for number, line in enumerate(text.splitlines(), 1)
        for rule, pattern, why in PLACE_RULES
        if re.search(pattern, line)
    ]


def check_lock(path: str, text: str) -> list[Violation]:
    """Return the requirements that are not pinned with a hash, and any address."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if re.search(r"://|https?:|file:|\s@\s|^\s*-[a-z]|^\s*--(?!hash=)", line):
            found.append(Violation(path, number, "lock", "an address or an option"))
    starts = [number for number, line in enumerate(lines) if re.match(r"[A-Za-z0-9]", line)]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        if not re.match(r"[A-Za-z0-9._-]+(?:\[[^]]*\])?==[^\s;]+", lines[start]):
            found.append(Violation(path, start + 1, "lock", f"not pinned: {lines[start]}"))
        if not any(re.search(r"--hash=sha256:[0-9a-f]{64}(?!\w)", line) for line in lines[start:end]):
            found.append(Violation(path, start + 1, "lock", f"no hash: {lines[start]}"))
    return found or ([] if starts else [Violation(path, 1, "lock", "no requirement in it")])


def python_files(*folders: str) -> list[str]:
    """Return the Python files below `folders`, relative to the root, sorted."""
    paths = [path for each in folders for path in (ROOT / each).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths if path.name != ".git")


def text_files() -> list[str]:
    """Return the text files that a person reads, relative to the root, sorted."""
    paths = [path for each in (*PACKAGES, *OTHERS, "docs", ".ci") for path in (ROOT / each).rglob("*")]
    # In a linked worktree .git is a file, of git.
    paths += [*(path for path in ROOT.iterdir() if path.name != ".git"), *(ROOT / "journal").glob("**/*.md")]
    paths = [path for path in paths if path.suffix in TEXT_SUFFIXES and path.is_file()]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def report(violations: list[Violation]) -> str:
    """Return one line for each violation."""
    return "\n" + "\n".join(map(str, violations))


# The tree as it is.


def test_every_file_follows_the_rules() -> None:
    files = python_files(*PACKAGES, *OTHERS)
    assert "engine/__init__.py" in files
    violations = [found for path in files for found in check_source(path, (ROOT / path).read_text("utf-8"))]
    assert not violations, report(violations)


def test_an_adapter_without_a_row_of_its_own_is_a_venue() -> None:
    rows = {name for floor in FLOORS for name in floor.packages}
    packages = [path for path in (ROOT / "adapters").iterdir() if (path / "__init__.py").is_file()]
    others = [path.name for path in packages if f"adapters.{path.name}" not in rows]
    assert "hyperliquid" in others
    assert [name for name in others if not (ROOT / "adapters" / name / "venue.py").is_file()] == []


def test_no_text_names_a_machine_or_a_registry() -> None:
    files = text_files()
    assert "pyproject.toml" in files
    violations = [found for path in files for found in check_text(path, (ROOT / path).read_text("utf-8"))]
    assert not violations, report(violations)


def test_the_lock_pins_every_requirement_with_a_hash_and_contains_no_address() -> None:
    violations = check_lock("requirements.lock", (ROOT / "requirements.lock").read_text("utf-8"))
    assert not violations, report(violations)


# The checker itself.

DOC = '"""Doc."""\n'
# Rule, file, and sources that each break that rule and no other.
# fmt: off
BROKEN = [
    ("floor", "engine/values.py", "import engine.journal.frame"),
    ("floor", "engine/journal/frame.py", "from engine import sequencer", "from ..actors.bars import Bars"),
    ("floor", "engine/journal/__init__.py", "from ..runtime import live", "from engine import records"),
    ("floor", "engine/records.py", "from engine.sequencer import Sequencer"),
    ("floor", "engine/loading/strategies.py", "from engine.journal import frame"),
    ("floor", "engine/actors/bars.py", "from engine.journal import frame",
     "from engine.strategies import cross"),
    ("floor", "engine/sequencer.py", "def late():\n    from engine.journal import frame"),
    ("floor", "engine/session.py", "from engine.runtime import live"),
    ("floor", "engine/runtime/live.py", "import adapters.hyperliquid",
     "import importlib\nimportlib.import_module('adapters.files')"),
    ("floor", "engine/stores/rows/builder.py", "from engine.actors import bars"),
    ("floor", "adapters/sandbox/server.py", "from engine.sequencer import Sequencer",
     "from engine.runtime import ingress", "from engine.actors import risk"),
    ("floor", "replay/verification.py", "from engine.commands import live"),
    ("floor", "adapters/transport/stream.py", "from adapters.hyperliquid import wire",
     "from engine.actors import bars", "from engine.journal import day"),
    ("floor", "adapters/hyperliquid/feed.py", "from adapters.sandbox import tape",
     "from adapters.files import rows", "from engine.runtime import live"),
    ("floor", "adapters/anywhere/feed.py", "from adapters.hyperliquid import wire",
     "from engine.actors import simulated", "from engine.journal import day", "import adapters.sandbox.hub"),
    ("floor", "adapters/anywhere/sandbox/protocol.py", "from engine.actors import bars",
     "from adapters.sandbox import hub"),
    ("floor", "adapters/exchange/server.py", "from adapters.hyperliquid import wire",
     "from adapters.transport import http"),
    ("floor", "adapters/files/rows.py", "from adapters.transport import http"),
    ("third-party", "engine/values.py", "import zstandard"),
    ("third-party", "engine/journal/frame.py", "import trio"),
    ("third-party", "engine/actors/bars.py", "import numpy as np"),
    ("third-party", "engine/session.py", "from trio import Event"),
    ("third-party", "engine/runtime/live.py", "import httpx"),
    ("third-party", "adapters/files/csv.py", "import pandas"),
    ("third-party", "adapters/anywhere/feed.py", "import starlette", "import pandas"),
    ("third-party", "engine/cli.py", "import benchmarks.run"),
    ("unknown-floor", "engine/extra/thing.py", ""),
    ("deterministic", "engine/values.py", "import time", "from random import Random", "print(1)"),
    ("deterministic", "engine/journal/disk.py", "import secrets", "import os\nos.urandom(16)",
     "from os import urandom as salt\nsalt(16)"),
    ("deterministic", "engine/session.py", "from uuid import uuid4", "import threading",
     "from concurrent.futures import Future", "def f(x): return id(x)", "def f(a): a.sort(key=hash)"),
    ("deterministic", "engine/clock.py", "import asyncio", "from datetime import date\ndate.today()"),
    ("deterministic", "engine/actors/bars.py", "import multiprocessing as m", "import pathlib", "open('x')",
     "import datetime as dt\ndt.datetime.now()", "from datetime import datetime as D\nstamp = D.utcnow"),
    ("set-order", "engine/actors/bars.py", "for x in {1, 2}:\n    pass", "list(frozenset('ab'))",
     "class A:\n    open: set[int]\n    def f(self):\n        return tuple(self.open)"),
    ("set-order", "engine/session.py", "for x in set('ab'): pass", "seen = set()\nfor x in seen: pass",
     "def f(a, b): return [x for x in set(a) - b]", "def f(a, b): return {x: 1 for x in a.keys() & b}",
     "def f(a):\n    return ','.join({x for x in a})", "def f(a):\n    return [*set(a).union(a)]",
     "def f(dirty: set[int]):\n    return dirty.pop()"),
    ("unsafe", "engine/cli.py", "import pickle", "eval('1')", "run = exec", "__import__('os')"),
    ("unsafe", "benchmarks/run.py", "from marshal import loads", "from yaml import load as read\nread('')"),
    ("unsafe", "tests/test_x.py", "import shelve"),
    ("engine-init", "engine/__init__.py", "from engine.values import Side"),
    ("vague-name", "engine/journal/utils.py", ""),
    ("vague-name", "adapters/order_manager.py", ""),
    ("vague-name", "tests/helpers/fakes.py", ""),
    ("too-long", "engine/values.py", "x = 1\n" * LINES_MAX),
]
KEPT = [
    ("engine/values.py", "import msgspec\nfrom engine.errors import EngineError"),
    ("engine/clock.py", "import os\nimport random\nimport time\nos.urandom(8)"),
    ("engine/journal/disk.py", "import os\nimport zstandard\nfrom .frame import Frame"),
    ("engine/actors/bars.py", "from datetime import datetime\ndatetime.fromtimestamp(0)",
     "def f(id: int) -> int:\n    return id"),
    ("engine/strategies/cross.py", "from engine.indicators.ema import Ema"),
    ("engine/session.py", "def f(a):\n    for x in sorted(set(a)):\n        yield x",
     "def f(a):\n    return sorted(x for x in set(a)), len(set(a)), 1 in {1, 2}"),
    ("engine/runtime/live.py", "import time\nimport trio\nfor x in {1, 2}:\n    print(x)"),
    ("adapters/transport/stream.py", "import trio\nfrom engine.venue import Tap"),
    ("adapters/hyperliquid/feed.py", "from adapters.transport.feed import Feed"),
    ("adapters/anywhere/signing.py", "import cryptography\nimport httpx\nfrom engine.venue import Venue"),
    ("adapters/anywhere/feed.py", "from adapters.transport import feed\nfrom adapters.exchange import tape"),
    ("adapters/anywhere/sandbox.py", "from engine.actors import simulated"),
    ("adapters/sandbox/server.py", "from engine.actors import simulated\nfrom engine.journal import day"),
    ("replay/verification.py", "from engine.sequencer import Sequencer\nfrom adapters import sandbox"),
    ("engine/commands/live.py", "import click\nfrom engine.runtime import live\nimport replay"),
    ("tests/test_x.py", "import random\nfrom engine import session"),
]
PLACES = [
    ("see /" + "work/main/x.py", ["machine-path"]), ("'/" + "root/.cache'", ["machine-path"]),
    ("files.python" + "hosted.org", ["registry"]), ("--index" + "-url x", ["registry"]),
    ("docs/work/x https://example.org/root/y ./root/z", []),
]
HASH = "    --hash=sha256:" + "0" * 64
TIGHT = f"trio==0.35.0 \\\n{HASH}\n"
LOOSE = [
    "", "trio==0.35.0", TIGHT + "httpx==0.28.1\n", "httpx==0.28.1\n" + TIGHT, TIGHT.replace("==", ">="),
    TIGHT.replace(HASH, HASH + "0"), TIGHT.replace("==0.35.0", " @ file:///x.whl"),
    "--find-links x\n" + TIGHT, "-r other.txt\n" + TIGHT, "# from https://example.org\n" + TIGHT,
]
# fmt: on


@pytest.mark.parametrize(
    ("rule", "path", "source"), [(rule, path, each) for rule, path, *sources in BROKEN for each in sources]
)
def test_a_broken_rule_is_reported(rule: str, path: str, source: str) -> None:
    assert [found.rule for found in check_source(path, DOC + source)] == [rule]


@pytest.mark.parametrize(("path", "source"), [(path, each) for path, *sources in KEPT for each in sources])
def test_allowed_code_is_not_reported(path: str, source: str) -> None:
    assert check_source(path, DOC + source) == []


def test_a_report_names_file_line_and_rule() -> None:
    assert report(check_source("engine/cli.py", DOC + "\nimport pickle")).startswith(
        "\nengine/cli.py:3: unsafe: "
    )


def test_a_module_without_a_docstring_is_reported_unless_it_is_an_empty_init() -> None:
    for path in ("engine/values.py", "adapters/x.py", "replay/__init__.py"):
        assert [found.rule for found in check_source(path, "X = 1\n")] == ["no-docstring"]
    assert check_source("engine/journal/__init__.py", "") == []


@pytest.mark.parametrize(("line", "rules"), PLACES)
def test_a_machine_path_or_a_registry_is_reported(line: str, rules: list[str]) -> None:
    assert [found.rule for found in check_text("README.md", "one\n" + line)] == rules


@pytest.mark.parametrize("text", LOOSE)
def test_a_loose_lock_is_reported(text: str) -> None:
    assert check_lock("requirements.lock", text)


def test_a_tight_lock_is_not_reported() -> None:
    assert check_lock("requirements.lock", f"# via x\n{TIGHT}    # via y\n{TIGHT}") == []
