"""Sweeps on other executors give the same files: Dask, a factory of a module, Ray by its adapter."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engine.search.executors import open_executor
from tests.commands.kit import environment, spawn
from tests.search.kit import GRID, files, sweep

RUN = "RETAPE_SEARCH_TESTS"
"""Set by `make test-search`, which installs Dask: its processes take 15 s to start and to import it."""

CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""

FACTORY = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def pool():
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))
"""


on_cluster = pytest.mark.skipif(RUN not in os.environ, reason="Dask: `make test-search`")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a Dask cluster with two worker processes of two threads each."""
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.communicate("")


@on_cluster
def test_a_dask_cluster_gives_the_same_files(project: Path, done: Path, cluster: str) -> None:
    found = spawn(
        "sweep", "journal", "--strategy", "mine:Turns", *GRID, "--executor", f"dask:{cluster}",
        "--out", "dask", cwd=project,
    )  # fmt: skip
    assert found.code == 0, found.err
    assert files(project / "dask") == files(done)
    # The workers stay up: an edited helper must be the one that is loaded, or the job is refused.
    helper = project / "helper.py"
    text = helper.read_text()
    helper.write_text(text.replace("phase * 0.5", "phase * 0.25"))
    try:
        args = ("--strategy", "mine:Turns", "--param", "every=3,4")
        for executor, out in ((f"dask:{cluster}", "dask-edited"), ("local:2", "local-edited")):
            edited = spawn("sweep", "journal", *args, "--executor", executor, "--out", out, cwd=project)
            assert edited.code == 0, edited.err
        assert files(project / "dask-edited") == files(project / "local-edited")
    finally:
        helper.write_text(text)


@on_cluster
def test_a_cluster_that_does_not_answer_is_named(project: Path) -> None:
    found = spawn(
        "sweep", "journal", "--strategy", "mine:Turns", *GRID, "--executor", "dask:tcp://127.0.0.1:9",
        "--out", "nowhere", cwd=project,
    )  # fmt: skip
    assert found.code == 1
    assert "no scheduler answers" in found.err


def test_any_executor_of_a_factory_gives_the_same_files(project: Path, done: Path) -> None:
    (project / "pools.py").write_text(FACTORY)
    found = spawn(
        "sweep", "journal", "--strategy", "mine:Turns", *GRID, "--executor", "pools:pool",
        "--out", "pool", cwd=project,
    )  # fmt: skip
    assert found.code == 0, found.err
    assert files(project / "pool") == files(done)


@pytest.mark.parametrize("name", ["local:0", "local:x", "dask:", "pools:nothing", "nothing", "nothing:at"])
def test_an_executor_that_is_not_there_is_refused(project: Path, name: str) -> None:
    found = sweep(project, "none", *GRID, "--executor", name)
    assert found.code == 2
    assert found.err.count("\n") == 1


def test_ray_is_used_by_its_remote_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    ray: Any = types.ModuleType("ray")
    calls: list[Any] = []
    ray.init = lambda address: calls.append(address)
    ray.shutdown = lambda: calls.append("shutdown")

    class Reference:
        def __init__(self, value: Any) -> None:
            self.value = value

        def future(self) -> Future[Any]:
            found: Future[Any] = Future()
            found.set_result(self.value)
            return found

    class Remote:
        def __init__(self, function: Callable[..., Any]) -> None:
            self.function = function

        def remote(self, *args: Any) -> Reference:
            return Reference(self.function(*args))

    ray.remote = Remote
    monkeypatch.setitem(sys.modules, "ray", ray)
    with open_executor("ray:auto") as running:
        assert running.executor.submit(str.upper, "a").result() == "A"
    assert calls == ["auto", "shutdown"]
