"""What a store on a server or a mirror costs a live session, and how fast a mirror sends and pulls.

Sessions at speed 1 on the sandbox alternate: alone, with a store in PostgreSQL, with a mirror on NATS, and so
on; the ratio is that of the medians. Servers are those of `make test-stores`; one that is not installed is
left out. Called by `benchmarks.run`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.stores import running
from benchmarks.streams import session
from engine.commands.mirror import broker_at
from engine.mirror.pulling import pull
from engine.mirror.pushing import Mirror

__all__ = ["measure_beside", "measure_mirrors"]

ROUNDS: Final = 5
RISE_MAX: Final = 1.1
"""Goal: the median of the latencies with it is at most so many times that without."""
DAY: Final = Path(__file__).resolve().parents[1] / "journal" / "2024-12-05"


def measure_beside(seconds: int = 10) -> None:
    """Run the sessions and print the medians and ratios."""
    print(f"\nbeside a live session: median latency, sessions alternate, medians of {ROUNDS}")
    with ExitStack() as stack:
        ways: dict[str, tuple[str, Callable[[], int]]] = {}
        for name, way in (("store in PostgreSQL", _store), ("mirror on NATS", _mirror)):
            if (made := _made(name, way, stack)) is not None:
                ways[name] = made
        latencies: dict[str, list[float]] = {name: [] for name in ("", *ways)}
        for number in range(ROUNDS):
            for name in latencies:
                more = ways[name][0].format(number=number) if name else ""
                latencies[name].append(session(seconds, more=more)[0])
        alone = statistics.median(latencies[""])
        for name, (_, reached) in ways.items():
            beside = statistics.median(latencies[name])
            missed = "" if beside <= RISE_MAX * alone else " MISSED"
            print(
                f"  {name:<20} p50 {beside:.2f} ms, alone {alone:.2f} ms, ratio {beside / alone:.2f},"
                f" goal {RISE_MAX}{missed}; {reached():,} records written"
            )


def measure_mirrors() -> None:
    """Push the sample day and pull it again, and print how fast."""
    from tests.stores.servers.kafka import Kafka  # type: ignore[attr-defined] # mypy sees the folder beside it
    from tests.stores.servers.nats import Nats

    if not DAY.is_dir():
        return
    print("\nmirrors: the sample day there and back")
    for name, server in (("NATS", Nats), ("Kafka", Kafka)):
        with ExitStack() as stack:
            if (running_one := _started(name, server, stack)) is None:
                continue
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            pushed, pulled, frames, seq = [], [], 0, 0
            for number in range(3):
                url = running_one.url(f"round{number}")
                mirror = Mirror(broker_at(url), lambda: [DAY])
                began = time.perf_counter()
                seq = mirror.push()
                pushed.append(time.perf_counter() - began)
                mirror.close()
                broker = broker_at(url)
                began = time.perf_counter()
                frames = pull(broker, folder / str(number)).frames
                pulled.append(time.perf_counter() - began)
                broker.close()
            push_s, pull_s = statistics.median(pushed), statistics.median(pulled)
            print(
                f"  {name:<6} push {seq / push_s:>9,.0f} records/s ({frames / push_s:,.0f} frames/s),"
                f" pull {seq / pull_s:>9,.0f} records/s"
            )


def _made(name: str, way: Callable[[ExitStack], Any], stack: ExitStack) -> Any:
    from tests.stores.servers.running import Missing

    try:
        return way(stack)
    except Missing as missing:
        print(f"  {name:<20} not measured: {missing}")
        return None


def _started(name: str, server: Callable[[], Any], stack: ExitStack) -> Any:
    return _made(name, lambda stack: stack.enter_context(running(server())), stack)


def _store(stack: ExitStack) -> tuple[str, Callable[[], int]]:
    """Return a configuration with a store, and what says how far its rows go."""
    from tests.stores.servers.postgres import Postgres

    url = stack.enter_context(running(Postgres())).url()
    section = '\n[[stores]]\nkind = "postgres"\nurl = "{url}"\nschema = "round{{number}}"\n'

    def reached() -> int:
        from engine.stores.postgres.store import PostgresSettings, PostgresStore

        cursor = PostgresStore(PostgresSettings(url, schema=f"round{ROUNDS - 1}")).witness()
        return 0 if cursor is None else cursor.seq

    return section.format(url=url), reached


def _mirror(stack: ExitStack) -> tuple[str, Callable[[], int]]:
    """Return a configuration with a mirror, and what says how far it goes."""
    from tests.stores.servers.nats import Nats

    server = stack.enter_context(running(Nats()))

    def reached() -> int:
        with tempfile.TemporaryDirectory() as folder:
            broker = broker_at(server.url(f"round{ROUNDS - 1}"))
            try:
                return pull(broker, Path(folder) / "journal").seq
            finally:
                broker.close()

    return f'\n[mirror]\nurl = "{server.url("round{number}")}"\n', reached
