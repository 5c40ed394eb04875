"""The executors by name. The seam is `concurrent.futures.Executor`: what has `submit` can run a sweep.

    local:4                  four jobs at once on this host
    dask:tcp://HOST:PORT     the workers of a Dask cluster (extra `dask`)
    ray or ray:ADDRESS       a Ray cluster, where ray is installed
    module:factory           a function of an importable module that returns an executor

A job is a text, and so is its answer (`engine.search.workers`), so an executor need not know our types.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from engine.errors import EngineError, UsageError
from engine.search.workers import close_servers

__all__ = ["Running", "cores", "open_executor"]

_WIDTH_OF_CLUSTERS = 256


class Running(NamedTuple):
    """An executor and how many jobs it is given at once."""

    executor: Executor
    width: int


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def open_executor(name: str) -> Iterator[Running]:
    """Open the executor of a name and close it at the end. Raises UsageError, EngineError."""
    kind, _, rest = name.partition(":")
    if kind == "local":
        with _local(rest) as running:
            yield running
    elif kind == "dask" and rest:
        with _dask(rest) as running:
            yield running
    elif kind == "ray":
        with _Ray(rest) as executor:
            yield Running(executor, _WIDTH_OF_CLUSTERS)
    else:
        with _made(kind, rest) as executor:
            yield Running(executor, _WIDTH_OF_CLUSTERS)


@contextmanager
def _local(count: str) -> Iterator[Running]:
    if count and (not count.isdecimal() or not 0 < int(count) <= 1024):
        raise UsageError(f"--executor local:{count}: write it as local:4, at most 1024 jobs at once")
    width = int(count) if count else cores()
    # A thread waits for each trial; the trials are processes.
    executor = ThreadPoolExecutor(width, thread_name_prefix="trial")
    try:
        yield Running(executor, width)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        close_servers()
        executor.shutdown(wait=True)


@contextmanager
def _dask(address: str) -> Iterator[Running]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        raise UsageError('--executor dask: is not installed; pip install "retape[dask]"') from None
    try:
        client = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(f"--executor dask:{address}: no scheduler answers: {error}") from error
    with client:
        executor: Executor = client.get_executor(pure=False)
        yield Running(executor, max(1, 2 * sum(client.nthreads().values())))


class _Ray(Executor):
    """The part of the interface that a sweep uses, on a Ray cluster."""

    def __init__(self, address: str) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError:
            raise UsageError("--executor ray: is not installed; pip install ray") from None
        self._ray.init(address=address or None)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on the cluster."""
        found: Future[Any] = self._ray.remote(fn).remote(*args, **kwargs).future()
        return found

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


def _made(module: str, factory: str) -> Executor:
    """Return what a factory of a module returns. Raises UsageError."""
    written = f"--executor {module}:{factory}" if factory else f"--executor {module}"
    if not module or not factory:
        raise UsageError(f"{written}: write it as local:4, dask:tcp://HOST:PORT, ray or module:factory")
    try:
        make = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{written}: {error}") from error
    executor = make()
    if not isinstance(executor, Executor) and not hasattr(executor, "submit"):
        raise UsageError(f"{written}: returned {type(executor).__name__}, not a concurrent.futures.Executor")
    return executor  # type: ignore[no-any-return]
