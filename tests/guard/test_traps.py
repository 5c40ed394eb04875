"""Uses that the check of the source cannot find raise when a hook runs, with the strategy's line."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.errors import NotDeterministic, UsageError
from engine.events import Trade
from engine.guard.traps import set_traps
from engine.loading.strategies import load_strategy
from engine.strategies import Strategy
from engine.strategies.actor import StrategyActor
from engine.values import BUY
from tests.actors.harness import Harness, T

HEAD = "from engine.strategies import Strategy\n"
TRADE = Trade(T, T, 1, 10_050, 1500, BUY)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a user's folder, made the working directory. Modules imported from it are removed afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, **texts: str) -> None:
    """Write modules. Two underscores mean a slash; a name that ends with them is a package."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path = path.with_name("__init__.py") if path.name == ".py" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        # Another test may have imported a module of this name.
        sys.modules.pop(name.strip("_").replace("__", "."), None)


def on_trade(before: str, body: str) -> str:
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return f"{HEAD}{before}\nclass Mine(Strategy):\n    def on_trade(self, trade):\n{lines}"


def run(use: str = "mine:Mine") -> None:
    """Load a strategy and show it a trade."""
    Harness(StrategyActor(load_strategy(use), "mine", {})).send(TRADE)


# Found by the check at load.


def test_a_strategy_that_reads_the_clock_is_not_imported(folder: Path) -> None:
    write(folder, mine=on_trade("import time\nraise ValueError('ran')", "time.time()"))
    with pytest.raises(NotDeterministic, match=r"^mine\.py:6: calls time\.time\(\): a strategy has no clock"):
        load_strategy("mine:Mine")
    assert "mine" not in sys.modules


def test_modules_of_the_project_are_checked_wherever_they_are_imported(folder: Path) -> None:
    write(
        folder,
        pack__="",
        pack__deep__="import random\nx = random.random()",
        pack__deep__inner="",
        pack__mine=on_trade("", "from .deep import inner"),
        mine=on_trade("import pack.mine", "pass"),
    )
    for use in ("pack.mine:Mine", "mine:Mine"):
        with pytest.raises(NotDeterministic, match=r"^pack/deep/__init__\.py:2: calls random\.random"):
            load_strategy(use)


def test_packages_above_a_strategy_are_checked_and_not_run(folder: Path) -> None:
    write(folder, pack__="import os\nos.environ['x']", pack__mine=on_trade("", "pass"))
    with pytest.raises(NotDeterministic, match=r"^pack/__init__\.py:2: uses os\.environ"):
        load_strategy("pack.mine:Mine")
    assert "pack" not in sys.modules


def test_packages_without_an_init_are_checked_at_any_depth(folder: Path) -> None:
    write(
        folder, one__two__three__mine=on_trade("from one.two import helper", "pass"), one__two__helper="id(1)"
    )
    with pytest.raises(NotDeterministic, match=r"^one/two/helper\.py:1: calls id\(\)"):
        load_strategy("one.two.three.mine:Mine")
    write(folder, one__two__helper="")
    assert load_strategy("one.two.three.mine:Mine").__name__ == "Mine"


def test_modules_that_import_each_other_are_checked_once(folder: Path) -> None:
    write(folder, mine=on_trade("import other", "pass"), other="import mine\nprint(1)")
    with pytest.raises(NotDeterministic, match=r"^other\.py:2"):
        load_strategy("mine:Mine")


def test_the_examples_of_the_engine_pass() -> None:
    assert issubclass(load_strategy("engine.strategies.crossover:Crossover"), Strategy)
    assert issubclass(load_strategy("benchmarks.strategies:OrderOften"), Strategy)


# Found by the traps only.

TRICKS = {
    "an installed module's function": ("import tricks\nnow = getattr(tricks, 'ti' + 'me')", "now()"),
    "an installed module's module": ("import tricks\nclock = getattr(tricks, 'clock')", "clock.time()"),
    "a library that reads the clock": ("import tricks", "tricks.stamp()"),
    "a library that holds the clock's module": ("import tricks", "tricks.stamp_too()"),
    "a library that draws random numbers": ("import tricks", "tricks.draw()"),
    "a file": ("import tricks", "tricks.read(__file__)"),
    "a folder": ("import tricks", "tricks.clock\ntricks.folder()"),
    "a socket": ("import tricks", "tricks.call()"),
    "a process": ("import tricks", "tricks.start()"),
    "a database": ("import tricks", "tricks.keep()"),
}
LIBRARY = """
import os, random, socket, sqlite3, subprocess, sys
import time as clock
from time import time

def stamp(): return time()
def stamp_too(): return clock.time_ns()
def draw(): return random.random()
def read(path):
    with open(path) as file: return file.read()
def folder(): return os.listdir(".")
def call(): return socket.socket()
def start(): return subprocess.Popen(["true"])
def keep(): return sqlite3.connect(":memory:")
"""


@pytest.fixture
def library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package, `tricks`, which the check does not read."""
    write(folder, **{"site-packages__tricks": LIBRARY})
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder / "site-packages")])
    return folder


@pytest.mark.parametrize("trick", TRICKS)
def test_a_hook_that_reaches_a_banned_function_fails_with_its_line(library: Path, trick: str) -> None:
    before, body = TRICKS[trick]
    write(library, mine=on_trade(before, f"\n{body}"))
    line = 5 + before.count("\n") + body.count("\n")
    with pytest.raises(NotDeterministic, match=rf"^mine\.py:{line + 1}: comes to \S+\(\): \S") as raised:
        run()
    assert len(str(raised.value).splitlines()) == 1


def test_the_library_works_for_other_callers(library: Path) -> None:
    write(library, mine=on_trade("import tricks", "tricks.stamp()"))
    load_strategy("mine:Mine")
    tricks = sys.modules["tricks"]
    assert abs(tricks.stamp() - time.time()) < 60
    assert abs(tricks.stamp_too() - time.time_ns()) < 60 * 10**9
    assert 0 <= tricks.draw() < 1
    assert tricks.read(__file__)
    assert time.time.__module__ == "time", "the module itself is not changed"
    assert sys.modules["time"] is time
    assert isinstance(tricks.clock, ModuleType)


def test_the_engine_works_while_a_strategys_file_is_at_the_bottom_of_the_stack(library: Path) -> None:
    """As when a strategy's file is run as a program that calls the command line."""
    write(library, mine=f"{HEAD}def main(work): return work()\nclass Mine(Strategy): pass")
    load_strategy("mine:Mine")
    main = sys.modules["mine"].main
    with pytest.raises(NotDeterministic):
        main(lambda: Path(__file__).read_text(encoding="utf-8"))
    write(library, other=f"{HEAD}class Mine(Strategy): pass")
    assert main(lambda: load_strategy("other:Mine")).__name__ == "Mine"


def test_other_threads_read_files_while_a_handler_runs(library: Path) -> None:
    write(library, mine=f"{HEAD}def main(work): return work()\nclass Mine(Strategy): pass")
    load_strategy("mine:Mine")
    read: list[str] = []
    begun = threading.Event()

    def reading() -> None:
        begun.wait()
        read.append(Path(__file__).read_text(encoding="utf-8"))

    # It starts before the handler: from Python 3.12 on a start within one is seen, and refused.
    thread = threading.Thread(target=reading)
    thread.start()

    def wait() -> None:
        begun.set()
        thread.join()

    sys.modules["mine"].main(wait)
    assert read


def test_a_hook_may_import_and_use_allowed_names(library: Path) -> None:
    write(
        library,
        late="from math import log\nimport os\nfrom datetime import datetime, UTC",
        mine=on_trade(
            "import os, math\nfrom late import log",
            """import late, statistics
from datetime import datetime
datetime.strptime("2024-12-05", "%Y-%m-%d")
self.shown = [os.path.join("a", "b"), math.log(2), log(2), late.os.sep, statistics.mean([1, 2])]""",
        ),
    )
    on = Harness(StrategyActor(load_strategy("mine:Mine"), "mine", {}))
    on.send(TRADE)
    assert on.strategy.shown == [
        os.path.join("a", "b"),  # noqa: PTH118
        math.log(2),
        math.log(2),
        os.sep,
        1.5,
    ]


def test_traps_also_work_while_a_module_is_imported(library: Path) -> None:
    write(library, mine=f"import tricks\nx = tricks.read(__file__)\n{HEAD}class Mine(Strategy): pass")
    with pytest.raises(NotDeterministic, match=r"^mine\.py:2: comes to open\(\)"):
        load_strategy("mine:Mine")


def test_other_errors_of_an_import_are_reported_as_usual(library: Path) -> None:
    write(library, mine="import tricks\nraise OSError('no')")
    with pytest.raises(UsageError, match="mine cannot be imported: OSError: no"):
        load_strategy("mine:Mine")


def test_setting_traps_twice_has_no_further_effect(library: Path) -> None:
    write(library, mine=on_trade("import tricks, os", "os.sep"))
    load_strategy("mine:Mine")
    before = dict(vars(sys.modules["mine"])), dict(vars(sys.modules["tricks"]))
    set_traps(["mine"], ["tricks"])
    assert (dict(vars(sys.modules["mine"])), dict(vars(sys.modules["tricks"]))) == before
