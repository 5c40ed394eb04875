"""Bugs put into the engine on purpose: a simulation has to find each of them within a few seeds.

    python -m tests.simulation.planted            all of them, with the seed and the invariant that found each
    python -m tests.simulation.planted X08 X12    these

The numbers X are those of the catalogue of faults, P are others. Each patches one function of the engine.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import msgspec
import trio

from adapters.binance.gateway.reading import Reading as SecondReading
from adapters.hyperliquid.gateway.gateway import HyperliquidGateway
from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.gateway.nonces import Nonces
from adapters.hyperliquid.gateway.orders import Orders
from adapters.hyperliquid.gateway.outcomes import Lost
from adapters.hyperliquid.gateway.reading import Reading
from adapters.hyperliquid.gateway.sender import RestSender
from adapters.transport.connection import Connection
from adapters.transport.governor import Governor
from adapters.transport.stream import Stream
from engine import records as engine_records
from engine.actors import Aggregator, Execution
from engine.actors.orders import gates
from engine.actors.orders.conditions import Conditions
from engine.events import COMMANDS, GatewayDown
from engine.journal import DISK, JournalWriter, list_segments, recovery
from engine.runtime import starting
from engine.runtime.committer import Committer
from engine.runtime.router import Marked
from engine.stores.sqlite.store import SqliteStore
from tests.live.kit import KEY
from tests.simulation.disks import SimulatedDisk
from tests.simulation.scenario import Scenario, draw, draw_day
from tests.simulation.simulation import simulate
from tests.simulation.traders import Targets

__all__ = ["PLANTED", "SEEDS_MAX", "Planted", "find"]

SEEDS_MAX: Final = 12
"""Within so many seeds each bug has to be found."""

HOURS: Final = 0.4
PER_HOUR: Final = 110.0


class Planted(NamedTuple):
    """A bug: its number, what is wrong, and the patches (object, name, replacement of the original).

    `stores`: it is in a store, so the sessions have one. `days`: it is looked for in days, where many more
    requests are refused. `venues`: it shows only where real orders go to two.
    """

    name: str
    words: str
    patches: tuple[tuple[Any, str, Callable[[Any], Any]], ...]
    stores: bool = False
    days: bool = False
    venues: int = 1


class Found(NamedTuple):
    """What a simulation said: the seed, the number of seeds that it took, the invariant, words."""

    seed: int
    seeds: int
    invariant: str
    words: str


def find(bug: Planted, first_seed: int = 1, hours: float = HOURS) -> Found | None:
    """Simulate seed after seed with a bug; return what the first one that notices says.

    A seed counts only if everything holds in it without the bug.
    """
    for count in range(SEEDS_MAX):
        seed = first_seed + count
        scenario = (
            draw_day(seed)
            if bug.days
            else draw(seed, hours, per_hour=PER_HOUR, stores=bug.stores, venues=bug.venues)
        )
        with planted(bug):
            said = _broken_by(scenario)
        if said is not None and _broken_by(scenario) is None:
            return Found(first_seed + count, count + 1, *said)
    return None


def _broken_by(scenario: Scenario) -> tuple[str, str] | None:
    """Return the first thing that does not hold in a scenario: its invariant, and words."""
    try:
        broken = simulate(scenario).broken
    except Exception as error:
        return "error", repr(error)[:200]
    return broken[0] if broken else None


@contextmanager
def planted(bug: Planted) -> Iterator[None]:
    """Run the block with a bug in the engine."""
    with ExitStack() as stack:
        for place, name, replace in bug.patches:
            original = getattr(place, name)
            made = replace(original)
            stack.enter_context(patch.object(place, name, functools.wraps(original)(made)))
        yield


# The replacements.


def _nothing(original: Any) -> Any:
    def nothing(*_: Any, **__: Any) -> None:
        pass

    return nothing


def _error_ignored(original: Any) -> Any:
    def sync(self: Any) -> None:
        with suppress(OSError):
            original(self)

    return sync


def _released_at_once(original: Any) -> Any:
    def append(self: Any, first_seq: int, inputs: Any, derived: Any) -> None:
        commands = [record for record in derived if record[2].__class__ in COMMANDS]
        original(self, first_seq, inputs, derived)
        if commands:
            self._effects.release(first_seq + len(inputs) + len(derived), commands)

    return append


def _not_released(original: Any) -> Any:
    def finish(self: Any, outcome: Any) -> None:
        effects, self._effects = self._effects, _NoEffects()
        try:
            original(self, outcome)
        finally:
            self._effects = effects

    return finish


class _NoEffects:
    def release(self, *_: Any) -> None:
        pass


def _sent_again(original: Any) -> Any:
    async def send(self: Any, body: Any, *rest: Any) -> Any:
        outcomes = await original(self, body, *rest)
        if isinstance(outcomes[0], Lost) and not outcomes[0].unsent:
            return await original(self, body, *rest)
        return outcomes

    return send


def _unknown_is_rejected(original: Any) -> Any:
    def note(self: Any, report: Any, emit: Any) -> None:
        if report.client_order_id in self._orders:
            self._end(report.recv_ns, report.client_order_id, "Rejected", emit)

    return note


def _by_time(original: Any) -> Any:
    def first(self: Any, fill: Any) -> bool:
        return bool(original(self, msgspec.structs.replace(fill, trade_id=fill.venue_ns // 1_000_000_000)))

    return first


def _from_the_clock(original: Any) -> Any:
    def following(self: Any) -> int:
        return int(self._now_ns() // 1_000_000)

    return following


def _only_the_last(original: Any) -> Any:
    def scan(segment: Any, cursor: Any, *, disk: Any = DISK, verify_digest: bool = True, **rest: Any) -> Any:
        last = list_segments(segment.path.parent, disk)[-1].path == segment.path
        return original(segment, cursor, disk=disk, verify_digest=verify_digest and last, **rest)

    return scan


def _unverified(original: Any) -> Any:
    return functools.partial(original, verify_digest=False)


def _cursor_alone(original: Any) -> Any:
    def write(self: Any, rows: Any, cursor: Any) -> None:
        original(self, rows, None)
        if cursor is not None:
            self._db.conn.execute("COMMIT")
            self._db.conn.execute("BEGIN IMMEDIATE")
            self._write_cursor(cursor)

    return write


def _with_secret(original: Any) -> Any:
    def shown(self: Any) -> str:
        return f"Signer({self._secret.use(str)})"

    return shown


_calls = [0]


def _by_calls(original: Any) -> Any:
    def on_bar(self: Any, bar: Any) -> None:
        _calls[0] += 1
        if _calls[0] % 3:
            original(self, bar)

    return on_bar


def _for_ever(original: Any) -> Any:
    async def wait(self: Any) -> None:
        await trio.sleep_forever()

    return wait


def _none(original: Any) -> Any:
    def none(*_: Any, **__: Any) -> None:
        return None

    return none


def _without_fee(original: Any) -> Any:
    def fill(self: Any, row: Any, recv_ns: int) -> Any:
        found = original(self, row, recv_ns)
        return None if found is None else msgspec.structs.replace(found, fee=0)

    return fill


def _leaking(original: Any) -> Any:
    async def up(self: Any, stream: Any, recv_ns: int) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        await original(self, stream, recv_ns)

    return up


def _hoarding(original: Any) -> Any:
    kept: list[trio.Event] = []

    async def up(self: Any, stream: Any, recv_ns: int) -> None:
        kept.extend(trio.Event() for _ in range(10))
        await original(self, stream, recv_ns)

    return up


def _an_hour(original: Any) -> Any:
    def backoff(self: Any, failures: int, loss: Any) -> int:
        return 3_600_000

    return backoff


def _with_key(original: Any) -> Any:
    async def down(self: Any, stream: Any, loss: Any, backoff_ms: int) -> None:
        await original(self, stream, loss._replace(reason=f"{loss.reason} {KEY}"), backoff_ms)

    return down


def _empty(original: Any) -> Any:
    def empty(*_: Any, **__: Any) -> list[Any]:
        return []

    return empty


def _true(original: Any) -> Any:
    def true(*_: Any, **__: Any) -> bool:
        return True

    return true


def _one_for_all(original: Any) -> Any:
    def account(self: Any, venue: str) -> Any:
        return next(iter(self.accounts.values()), self)

    return account


def _unmarked(original: Any) -> Any:
    def marked(self: Any, event: Any) -> Any:
        return event if isinstance(event, GatewayDown) else original(self, event)

    return marked


def _free(original: Any) -> Any:
    def fill(self: Any, symbol: Any, side: Any, price: Any, size: Any, fee: Any, *rest: Any) -> Any:
        return original(self, symbol, side, price, size, ("0", fee[1]), *rest)

    return fill


PLANTED: Final = (
    Planted("X01", "a frame counts as durable before its sync", ((JournalWriter, "_sync_data", _nothing),)),
    Planted("X02", "folders are not synced", ((SimulatedDisk, "fsync_dir", _nothing),)),
    Planted("X04", "damage before valid frames counts as a torn tail", ((recovery, "find_header", _none),)),
    Planted("X06", "an error of a sync is ignored", ((JournalWriter, "_sync_data", _error_ignored),)),
    Planted(
        "X07",
        "only the last segment is verified at a start",
        ((recovery, "scan_segment", _only_the_last), (engine_records, "read_frames", _unverified)),
    ),
    Planted(
        "X08",
        "commands are sent before their record is durable",
        ((Committer, "append", _released_at_once), (Committer, "_finish", _not_released)),
    ),
    Planted("X09", "an order without an answer is sent again", ((RestSender, "send", _sent_again),)),
    Planted("X10", "Unknown orders count as rejected", ((Execution, "note_unknown", _unknown_is_rejected),)),
    Planted("X11", "fills are told apart by their time", ((Orders, "first", _by_time),)),
    Planted("X12", "nonces come straight from the clock", ((Nonces, "next", _from_the_clock),)),
    Planted(
        "X13",
        "a store saves its cursor in a transaction of its own",
        ((SqliteStore, "write", _cursor_alone),),
        stores=True,
    ),
    Planted("X14", "a decision depends on the process", ((Targets, "on_bar", _by_calls),)),
    Planted("X15", "the venue's `Retry-After` is ignored", ((Governor, "refused", _nothing),), days=True),
    Planted("X16", "connections are not pinged", ((Connection, "_prove_life", _for_ever),)),
    Planted(
        "X17", "windows without a connection count as quiet", ((Aggregator, "note_feed_down", _nothing),)
    ),
    Planted("X18", "the gate lets openings pass on old prices", ((gates, "not_fresh", _none),)),
    Planted("X20", "the key is a plain field", ((Signer, "__repr__", _with_secret),)),
    Planted("P1", "fees are not read", ((Reading, "fill", _without_fee),)),
    Planted("P2", "every connection leaves a task behind", ((HyperliquidGateway, "stream_up", _leaking),)),
    Planted("P3", "a lost connection is opened after an hour", ((Stream, "_backoff_ms", _an_hour),)),
    Planted("P4", "a report shows the key", ((HyperliquidGateway, "stream_down", _with_key),)),
    Planted("P5", "a session does not know the last trade", ((starting, "note_trade", _nothing),)),
    Planted("P6", "late trades are left out", ((Aggregator, "_add_late", _nothing),)),
    Planted("P7", "a torn tail is not cut", ((recovery, "carry_out", _empty),)),
    Planted("P8", "windows close without a proof of their end", ((Aggregator, "_reaches", _true),)),
    Planted(
        "P12",
        "every connection leaves objects behind",
        ((HyperliquidGateway, "stream_up", _hoarding),),
        days=True,
    ),
    Planted(
        "P9",
        "one account that was read counts for all",
        ((Conditions, "account", _one_for_all),),
        venues=2,
    ),
    Planted("P10", "a lost account is not named", ((Marked, "_marked", _unmarked),), venues=2),
    Planted("P11", "the second venue's fees are not read", ((SecondReading, "fill", _free),), venues=2),
)


def main() -> int:
    """Find the bugs that are named, or all; print a line for each."""
    names = sys.argv[1:]
    missed = 0
    for bug in PLANTED:
        if names and bug.name not in names:
            continue
        found = find(bug)
        missed += found is None
        said = "NOT FOUND" if found is None else f"seed {found.seeds} of {SEEDS_MAX}: {found.invariant}"
        print(f"{bug.name:4} {bug.words:55} {said}", flush=True)
        if found is not None and names:
            print(f"     {found.words}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
