"""Shared by all tests: the hypothesis profile, virtual time, and the distribution of tests over cores."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from trio.abc import Clock

from tests.pacing import VirtualTime, make_clock
from tests.profiles import load

load()

# A shell ignores SIGINT in what it starts in the background; the sessions under test must not inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Collecting makes half a million objects, and almost all of them stay (`pytest_collection_finish`).
gc.disable()

MEMORY = Path("/dev/shm")
MEMORY_FREE_MIN = 4 << 30

# Journals are synced after every order, which takes milliseconds on a disk. No test is about the disk itself.
if MEMORY.is_dir() and "TMPDIR" not in os.environ and shutil.disk_usage(MEMORY).free > MEMORY_FREE_MIN:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

LONG = (
    "tests/orders/test_paper_sequences.py",
    "tests/orders/test_sandbox_sequences.py",
    "tests/test_pages.py",
    "tests/live/",
    "tests/commands/",
)
"""Tests that run whole sessions. They start first, so that no core waits for one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((at for at, part in enumerate(LONG) if item.nodeid.startswith(part)), 9))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave modules and collected tests out of all later collections of garbage: a tenth of the CPU time."""
    gc.enable()
    gc.freeze()
    # Hypothesis counts the time of every collection in Python.
    gc.set_threshold(10_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start one worker more than there are cores, because long tests mostly wait for a session."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


@pytest.fixture
def paced_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of trio and of the engine; `pacing` moves it."""
    monkeypatch.setattr("engine.clock.time", VirtualTime())
    return make_clock()
