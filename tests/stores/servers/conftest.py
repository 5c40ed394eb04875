"""The servers as fixtures, and the table of what ran against what. Used by `make test-stores` only.

A test that uses a server's fixture is counted in that server's row. A server is started when the first test
asks for it; a class of tests that ends or cuts it takes one of its own (`own_server`).
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests.stores.servers.kafka import Kafka
from tests.stores.servers.nats import Nats
from tests.stores.servers.postgres import Postgres
from tests.stores.servers.questdb import Questdb
from tests.stores.servers.redis import Redis
from tests.stores.servers.running import Missing, Server
from tests.stores.servers.timescale import Timescale

RUN = "RETAPE_STORE_TESTS"
"""Set by `make test-stores`."""

if not os.environ.get(RUN):
    collect_ignore_glob = ["test_*.py"]

SERVERS: dict[str, Callable[[], Server]] = {
    "postgres": Postgres,
    "timescale": Timescale,
    "redis": Redis,
    "questdb": Questdb,
    "nats": Nats,
    "kafka": Kafka,
}
"""The kinds of servers by the names of their fixtures."""


class Ran:
    """What is known about a kind of server at the end of the run."""

    def __init__(self) -> None:
        self.version = "not started"
        self.seconds = 0.0
        self.outcomes: Counter[str] = Counter()
        self.missing = ""


TABLE: dict[str, Ran] = {name: Ran() for name in SERVERS}
LONGEST = ("kafka", "questdb", "timescale", "postgres", "nats", "redis")
"""The kinds whose tests take longest, which are begun first."""
RUNNING: list[Server] = []
"""Every server that was started."""


def start(name: str) -> Server:
    """Return a started server of this kind, or skip the test with one line."""
    began = time.monotonic()
    try:
        server = SERVERS[name]()
    except Missing as missing:
        TABLE[name].missing = str(missing)
        pytest.skip(str(missing))
    try:
        server.start()
    except BaseException:
        server.remove()
        raise
    RUNNING.append(server)
    ran = TABLE[name]
    ran.version, ran.seconds = server.version, time.monotonic() - began
    return server


def _shared(name: str) -> Callable[[], Iterator[Server]]:
    @pytest.fixture(scope="session", name=name)
    def fixture() -> Iterator[Server]:
        server = start(name)
        yield server
        server.remove()

    return fixture


postgres = _shared("postgres")
timescale = _shared("timescale")
redis = _shared("redis")
questdb = _shared("questdb")
nats = _shared("nats")
kafka = _shared("kafka")


@pytest.fixture
def own_server() -> Iterator[Callable[[str], Server]]:
    """Return a function that starts a server for one test, which may end it."""
    started: list[Server] = []

    def own(name: str) -> Server:
        started.append(start(name))
        return started[-1]

    yield own
    for server in started:
        server.remove()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Return the random numbers of one test. Its seed is shown if the test fails; RETAPE_SEED repeats it.

    Continuous integration has the same seed each time, so that a change is judged by what it changes.
    """
    drawn = 20241205 if settings.default.derandomize else secrets.randbits(32)
    seed = int(os.environ.get("RETAPE_SEED", drawn))
    print(f"RETAPE_SEED={seed}")
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture(scope="module")
def one_at_a_time() -> Iterator[None]:
    """Connect again while the server still holds the connection before: TimescaleDB here takes one."""
    from engine.stores.errors import StoreUnavailable
    from engine.stores.postgres import store

    connect = store.connect

    def patient(*args: Any) -> Any:
        until = time.monotonic() + 10
        while True:
            try:
                return connect(*args)
            except StoreUnavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "connect", patient)
        yield


def servers_of(item: pytest.Item) -> list[str]:
    """Return the kinds of servers that a test uses."""
    names = [*getattr(item, "fixturenames", ()), *(mark.args[0] for mark in item.iter_markers("server"))]
    return [name for name in LONGEST if name in names]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of one shared server run in one process. Those with servers of their own come first."""
    if not os.environ.get(RUN):
        return
    order: dict[str, tuple[bool, int]] = {}
    for item in items:
        names, owns = servers_of(item), "own_server" in getattr(item, "fixturenames", ())
        order[item.nodeid] = not owns, LONGEST.index(names[0]) if names else len(LONGEST)
        if names and not owns and item.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(names[0]))
    items.sort(key=lambda item: order[item.nodeid])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count a test in the rows of its servers; it may have run in another process."""
    if report.when == "call" or report.outcome != "passed":
        for key, (name, version, seconds, missing) in report.user_properties:
            if key == RUN:
                ran = TABLE[name]
                ran.outcomes[report.outcome] += 1
                ran.missing = missing
                if seconds:
                    ran.version, ran.seconds = version, seconds


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Pass on how the servers of a test started; say with a failed one which have ended by themselves."""
    report = yield
    for name in servers_of(item):
        ran = TABLE[name]
        report.user_properties.append((RUN, (name, ran.version, ran.seconds, ran.missing)))
    if report.failed:
        for server in RUNNING:
            if why := server.died():
                report.sections.append((f"server of {item.name}", why))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not os.environ.get(RUN):
        return
    terminalreporter.section("stores")
    line = "{:<12} {:<34} {:>8} {:>7} {:>7} {:>8}  {}".format
    terminalreporter.line(line("server", "version", "up after", "passed", "failed", "skipped", ""))
    for name, ran in TABLE.items():
        counts = [ran.outcomes[outcome] for outcome in ("passed", "failed", "skipped")]
        up = f"{ran.seconds:.1f} s" if ran.seconds else ""
        terminalreporter.line(line(name, ran.version, up, *counts, ran.missing).rstrip())
