"""The machine that the engine runs on: starts a session, kills it, starts the next one on what is left.

Owns what a process has and loses: its network, its view of the disk, its session. Promises: after `kill`
nothing of that process reaches disk or network any more, and its tasks end. A session that stops by itself
has to say why: any exception that is not an `EngineError` is a bug and ends the run. Called by
`simulation.py`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import trio

from adapters.binance.gateway.keys import Signer as SecondSigner
from adapters.binance.markets import USDM
from adapters.binance.venue import BinanceUsdmVenue
from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.networks import TESTNET_URL
from adapters.hyperliquid.venue import HyperliquidVenue
from engine.commands.planning import LiveOptions, make_plan
from engine.config import Config
from engine.errors import EngineError, JournalDamaged
from engine.journal import JournalWriter, list_days, list_segments, read_frames
from engine.runtime.committer import Committed
from engine.runtime.journal import OpenedJournal
from engine.runtime.live import Live
from engine.runtime.notices import Notice
from engine.runtime.plan import LiveResult
from engine.session import SessionBuilder
from engine.strategies import Strategy
from tests.binance.gateway.kit import API_KEY, SECRET
from tests.live.kit import KEY
from tests.simulation.disks import SimulatedDisk, Writer
from tests.simulation.network import SimulatedNetwork
from tests.simulation.stores import Store, stored

__all__ = ["KEYS", "ROOT", "Machine", "make_builder"]

ROOT = Path("/journal")

SECOND_URL = USDM.networks["testnet"][0]

KEYS = (KEY[2:], SECRET)
"""What no file and no text may hold."""

SEGMENT_BYTES = 1 << 16
"""Small, so that a day has several segments."""


def load(use: str) -> type[Strategy]:
    """Return the strategy class named module:Class."""
    module, _, name = use.partition(":")
    found: type[Strategy] = getattr(import_module(module), name)
    return found


def make_builder() -> SessionBuilder:
    """Return the builder of live sessions and of replays."""
    return SessionBuilder(load, "simulation", "0", continues=True)


class Ids:
    """Random bytes of a seed, in place of the machine's."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def random_bytes(self, count: int) -> bytes:
        """Return `count` bytes."""
        return self._chance.randbytes(count)


class Machine:
    """One machine. `make_networks` opens a network to each venue for a new process."""

    def __init__(
        self,
        config: Config,
        chance: Random,
        nursery: trio.Nursery,
        make_networks: Callable[[], list[SimulatedNetwork]],
        fired: Callable[[str], None],
        broken: Callable[[str, str], None],
    ) -> None:
        self.broken = broken
        self.store: Store | None = None
        self.flips = 0
        self.flipped: tuple[Path, int, int] | None = None
        self.config = config
        self.disk = SimulatedDisk(fired)
        self.writer = Writer(nursery)
        self.writer.disk = self.disk
        self.networks: list[SimulatedNetwork]
        self.live: _Acknowledging | None = None
        self.acknowledged: list[tuple[int, bytes]] = []  # (seq, digest) of the last frame at each kill
        self.starts = 0
        self.stopped_at = 0.0  # when a session last ended by an error of its own
        self.kills = 0
        self.stops: Counter[str] = Counter()
        self.results: list[LiveResult] = []
        self.ended = trio.Event()
        self.down_s = 2.0
        self.resume = False
        self._chance = chance
        self._fired = fired
        self._make_networks = make_networks
        self._process = trio.CancelScope()
        self._killed = False
        self._last = False

    async def run(self) -> None:
        """Start a session, and the next one whenever it ends, until `finish`."""
        while not self._last:
            await self._run_process()
            if not self._last:
                await trio.sleep(self.down_s)
        self.ended.set()

    def kill(self, *, power: bool) -> bool:
        """End the process at this moment; with `power`, the machine loses power. Return whether one ran."""
        if self._killed or self.networks[0].is_gone:
            return False
        self._killed = True
        if self.live is not None and hasattr(self.live, "committer"):
            self.acknowledged.append(self.live.acknowledged)
        self.kills += 1
        self._vanish()
        left = self.disk.crashed(self._chance, power=power)
        self.disk.abandon()
        self.disk = self.writer.disk = left
        self._process.cancel()
        return True

    async def finish(self) -> None:
        """Stop the session in order, and start no other."""
        self._last = True
        if self.live is not None:
            self.live.stop("the end of the simulation")
        await self.ended.wait()

    async def _run_process(self) -> None:
        self.starts += 1
        if self.flips:
            self._flip()
        self._killed = False
        self._process = trio.CancelScope()
        self.networks = self._make_networks()
        try:
            with self._process:
                self.results.append(await self._session())
        except Exception as error:
            if not self._killed:
                self._note_end(error)
        self._vanish()
        self.live = None

    def _vanish(self) -> None:
        for network in self.networks:
            network.vanish()

    async def _session(self) -> LiveResult:
        options = LiveOptions(
            config=self.config,
            root=ROOT,
            venue=HyperliquidVenue(self.networks[0]),
            **self._signers(),
            disk=self.disk,
            fresh=tuple(one.title for one in self.config.strategies),
            resume=self.resume,
        )
        others = [(BinanceUsdmVenue(network), SECOND_URL) for network in self.networks[1:]]
        plan = await make_plan(options, TESTNET_URL, others)
        shown = f"{options}{plan}{[line() for line in plan.health.values()]}"
        if any(one in shown for one in KEYS):
            self.broken("I12", "what a session is made of shows the key")
        self.live = _Acknowledging(plan, self._heard)
        self.live.machine = self
        return await self.live.run()

    def _signers(self) -> dict[str, Any]:
        if self.config.mode != "live":
            return {}
        if len(self.networks) == 1:
            return {"signer": Signer(KEY)}
        second = SecondSigner(f"{API_KEY} {SECRET}", "main")
        return {"signers": {"hyperliquid": Signer(KEY), "binance-usdm": second}}

    def _flip(self) -> None:
        """Flip a bit of an acknowledged frame that is not the last one of the newest segment."""
        days = list_days(ROOT, self.disk)
        segments = list_segments(days[-1].path, self.disk) if days else []
        if not segments:
            return
        segment = self._chance.choice([segments[-1], *segments]).path
        frames = [frame.offset for frame in read_frames(segment, disk=self.disk, verify_digest=False)]
        if len(frames) > 2:
            self.flips -= 1
            at, bit = self._chance.randrange(frames[0], frames[-2]), self._chance.randrange(8)
            self.flipped = segment, at, bit
            self.disk.flip(*self.flipped)
            self._fired("bit flipped")

    def _restored(self) -> bool:
        """Restore what was flipped, as from a backup; return whether there was something."""
        if self.flipped is None:
            return False
        self.disk.flip(*self.flipped)
        self.flipped = None
        return True

    def _note_end(self, error: Exception) -> None:
        """Count why a session stopped. Raises what is no error of the engine's own."""
        for one in _leaves(error):
            if not isinstance(one, EngineError):
                raise error
            if isinstance(one, JournalDamaged) and self._restored():
                continue
            self.stopped_at = trio.current_time()
            self.stops[f"{type(one).__name__}: {one}"[:160]] += 1

    def _heard(self, notice: Notice) -> None:
        pass


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


class _Acknowledging(Live):
    """A session that notes the last frame that it was told is durable."""

    acknowledged: tuple[int, bytes] = (0, b"")
    machine: Machine

    async def _run(self, opened: OpenedJournal) -> LiveResult:
        if self.machine.flipped is not None:
            self.machine.broken("I3", f"started on a journal with a flipped bit: {self.machine.flipped}")
            self.machine.flipped = None
        return await super()._run(opened)

    def _committed(self, committed: Committed) -> None:
        self.acknowledged = (committed.last_seq, committed.digest)
        super()._committed(committed)


class _NoWatchdog:
    """Stands in for the thread that watches handlers, and for signals."""

    def __init__(self, *_: Any) -> None:
        pass

    @contextmanager
    def watching(self) -> Iterator[None]:
        yield

    @contextmanager
    def signals(self, *_: Any) -> Iterator[trio.Event]:
        yield trio.Event()

    def end_after(self, *_: Any) -> None:
        pass

    def busiest(self) -> tuple[str, int]:
        return "", 0


@contextmanager
def replaced(machine: Machine, chance: Random) -> Iterator[None]:
    """Replace what a process takes from its operating system beside clock, disk and network."""

    @contextmanager
    def lock(root: Path) -> Iterator[None]:
        fd = machine.disk.lock_folder(root)
        try:
            yield
        finally:
            with contextlib.suppress(KeyError):
                machine.disk.close(fd)

    ids = Ids(chance)
    writer = partial(JournalWriter, segment_bytes_max=SEGMENT_BYTES)
    with (
        patch("engine.runtime.live.Watchdog", _NoWatchdog),
        patch("engine.runtime.journal.JournalLock", lock),
        patch("engine.runtime.journal.JournalWriter", writer),
        stored(machine.store),
        patch("engine.commands.planning.SystemIds", lambda: ids),
        patch("engine.commands.sources.click.echo", lambda *_, **__: None),
        patch("engine.commands.planning.make_builder", lambda **_: make_builder()),
        patch.object(trio.lowlevel, "start_thread_soon", machine.writer.start),
        # As for hypothesis: which task runs first follows from a seed.
        patch("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True),
        patch("trio._core._run._r", Random(chance.getrandbits(32))),
    ):
        yield
