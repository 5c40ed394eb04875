"""The public names for authors of strategies are documented and typed; examples have annotated hooks."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from engine.commands.init import FILES
from engine.strategies import Strategy

ROOT = Path(__file__).resolve().parent.parent
SURFACE = ("engine.indicators", "engine.strategies", "engine.testing")
PUBLIC = [(module, name) for module in SURFACE for name in importlib.import_module(module).__all__]

HOOKS = {
    name: {key: str(note) for key, note in member.__annotations__.items()}
    for name, member in vars(Strategy).items()
    if name.startswith("on_")
}
"""The hooks of a strategy with their annotations: {"on_bar": {"bar": "Bar", "return": "None"}}."""


def source_of(module: ModuleType, name: str) -> tuple[ModuleType, list[ast.stmt]]:
    """Return the module that defines a public name, and the statements of that module."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return source_of(importlib.import_module(str(node.module)), name)
    return module, tree.body


def documentation(module: ModuleType, name: str) -> str:
    """Return the docstring of a class or function, or the text below an assignment."""
    _, body = source_of(module, name)
    for number, node in enumerate(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node) or ""
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if name in [target.id for target in targets if isinstance(target, ast.Name)]:
            below = body[number + 1] if number + 1 < len(body) else None
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                return str(below.value.value)
    return ""


def public_functions(thing: object) -> Iterator[tuple[str, FunctionType]]:
    """Yield the public functions of a class, its own and those inherited from the engine; or a function."""
    if isinstance(thing, FunctionType):
        yield thing.__name__, thing
    if isinstance(thing, type):
        for owner in thing.__mro__:
            if not owner.__module__.startswith("engine."):
                continue
            for name, member in vars(owner).items():
                inner = member.fget if isinstance(member, property) else member
                inner = getattr(inner, "__func__", inner)
                if not name.startswith("_") and isinstance(inner, FunctionType):
                    yield f"{owner.__name__}.{name}", inner


@pytest.mark.parametrize("module", SURFACE)
def test_all_is_sorted_and_complete(module: str) -> None:
    loaded = importlib.import_module(module)
    names = loaded.__all__
    assert names == sorted(set(names))
    assert all(name.isidentifier() and not name.startswith("_") for name in names)
    defined = {
        name
        for name, value in vars(loaded).items()
        if isinstance(value, type)
        and not name.startswith("_")
        and (value.__module__ == module or hasattr(loaded, "__path__"))
    }
    assert defined <= set(names)


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_each_name_is_importable_and_documented(module: str, name: str) -> None:
    loaded = importlib.import_module(module)
    assert hasattr(loaded, name)
    assert documentation(loaded, name).strip()


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_each_public_function_is_documented_and_annotated(module: str, name: str) -> None:
    for where, function in public_functions(getattr(importlib.import_module(module), name)):
        assert function.__doc__, where
        parameters = list(inspect.signature(function).parameters.values())
        bare = [one.name for one in parameters if one.annotation is one.empty]
        assert bare in ([], ["self"], ["cls"]), where
        assert "return" in function.__annotations__, where


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_each_annotation_of_a_view_is_a_type_that_resolves(module: str, name: str) -> None:
    thing = getattr(importlib.import_module(module), name)
    if isinstance(thing, type):
        typing.get_type_hints(thing)


def test_states_sides_and_tif_are_literals() -> None:
    strategies = importlib.import_module("engine.strategies")
    assert typing.get_args(strategies.Side) == ("buy", "sell")
    hints = {
        "Fill.side": strategies.Side,
        "Fill.purpose": strategies.Purpose,
        "LargePrint.side": strategies.TakerSide,
        "StackedImbalance.side": strategies.Side,
        "Tick.side": strategies.TakerSide,
    }
    for where, expected in hints.items():
        cls, attribute = where.split(".")
        getter = vars(getattr(strategies, cls))[attribute].fget
        assert typing.get_type_hints(getter)["return"] == expected, where
    order = typing.get_type_hints(strategies.OrderView)
    assert (order["side"], order["state"]) == (strategies.Side, strategies.OrderState)
    assert order["purpose"] == strategies.Purpose
    for verb in (Strategy.buy, Strategy.sell):
        assert typing.get_type_hints(verb)["tif"] == strategies.Tif
    stop = typing.get_type_hints(Strategy.stop)
    assert (stop["side"], stop["kind"]) == (strategies.Side, strategies.TriggerKind)


# Every example strategy.


def example_sources() -> dict[str, str]:
    """Return the source of every example strategy by its place."""
    found = {name: text for name, text in FILES.items() if name.endswith(".py")}
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        blocks = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        found |= {f"{path.relative_to(ROOT)}[{number}]": text for number, text in enumerate(blocks)}
    for folder in ("engine/strategies", "benchmarks", "tests/live", "tests/runtime", "tests/strategies"):
        for path in sorted((ROOT / folder).glob("*.py")):
            found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    return {where: text for where, text in found.items() if re.search(r"def on_\w+\(", text)}


def hooks_of(text: str) -> list[ast.FunctionDef]:
    """Return the functions of a source that have the name of a hook."""
    return [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name in HOOKS
    ]


def notes_of(node: ast.FunctionDef) -> dict[str, str]:
    """Return the annotations of a function as text, by parameter, by position as in `HOOKS`."""
    notes = {one.arg: ast.unparse(one.annotation) if one.annotation else "" for one in node.args.args[1:]}
    return notes | {"return": ast.unparse(node.returns) if node.returns else ""}


def test_the_readme_the_guides_and_the_template_are_among_the_examples() -> None:
    assert sum(len(hooks_of(text)) for text in example_sources().values()) > 60
    places = {where.split("[")[0] for where in example_sources()}
    assert {"README.md", "docs/strategies.md", "docs/order-flow.md", "strategies/my_strategy.py"} <= places


@pytest.mark.parametrize("where", example_sources())
def test_every_hook_of_an_example_is_annotated(where: str) -> None:
    for node in hooks_of(example_sources()[where]):
        assert list(notes_of(node).values()) == list(HOOKS[node.name].values()), f"{where}: {node.name}"
