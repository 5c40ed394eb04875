"""Names and words of a venue on screens, in files and in rows: escaped where they would do something."""

from __future__ import annotations

import csv
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from adapters.exchange.tape import Tape
from adapters.hyperliquid.venue import HyperliquidVenue
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine import cli
from engine.commands.output import table
from engine.commands.planning import LiveOptions, make_plan
from engine.commands.stores import session_stores
from engine.config import BarsConfig, Config, DataConfig
from engine.errors import JournalDamaged, SafetyRefusal, VenueUnreachable
from engine.events import BarClosed, InstrumentListed, Trade
from engine.runtime.console import Console
from engine.runtime.live import Live
from engine.values import BUY
from engine.venue import Venue
from tests.commands.kit import Done, engine
from tests.live.kit import of
from tests.pacing import START_NS, pacing

NAMES = (
    *("=cmd|' /C calc'!A0", "@SUM(1+1)", "+1", "-1", "../../etc/passwd", "[/red]", "%s%n{0}"),
    *("<script>alert(1)</script>", "'; DROP TABLE bars; --", "a,b", 'a"b', "CON", "."),
)
MINUTE_NS = 60_000_000_000


def play(shift_ns: int) -> Iterator[Trade]:
    """Trades of every instrument, one every 20 s."""
    for number in range(12):
        for place in range(len(NAMES)):
            at_ns = START_NS + shift_ns + number * MINUTE_NS // 3 + place
            yield Trade(at_ns, at_ns, place + 1, 100 + number, 5, BUY, number * 100 + place)


async def test_v06_names_are_data_in_files_rows_and_output(paced_clock: Clock, tmp_path: Path) -> None:
    listed = [InstrumentListed(START_NS, n + 1, "sandbox", name, 1, 2) for n, name in enumerate(NAMES)]
    root, bars = tmp_path / "journal", tmp_path / "csv"
    settings = Config(bars=BarsConfig(intervals=("1m",)), data=DataConfig(warmup_bars=0))
    async with pacing(), trio.open_nursery() as nursery:
        sandbox = Sandbox(SandboxOptions(port=0, rate_limit=False), Tape(listed, START_NS, play))
        address = await nursery.start(sandbox.serve)
        venue: Venue = HyperliquidVenue()
        stores = session_stores(settings, root, csv=bars)
        options = LiveOptions(config=settings, root=root, venue=venue, stores=stores, seconds=200)
        result = await Live(await make_plan(options, address.base_url), lambda _: None).run()
        nursery.cancel_scope.cancel()
    assert not result.failures
    check_files(tmp_path, root, bars)


def check_files(folder: Path, root: Path, bars: Path) -> None:
    """Check what a session on these names wrote, and what the commands show of it."""
    assert {one.name for one in of(InstrumentListed, root)} == set(NAMES)
    assert {path.name for path in folder.iterdir()} == {"journal", "csv"}, "nothing was written elsewhere"
    files = [path for path in bars.rglob("*") if path.is_file()]
    assert all(path.resolve().is_relative_to(bars.resolve()) for path in files)
    assert all(re.fullmatch(r"[A-Za-z0-9._%-]+", path.name) for path in files), files
    cells = [cell for path in files if path.suffix == ".csv" for row in rows(path) for cell in row]
    assert len({instrument for instrument in map(str, cells) if instrument}) > 10
    formulas = [cell for cell in cells if re.match(r"[=+@\t\r]|-[^0-9.]", cell)]
    assert not formulas, formulas
    with closing(sqlite3.connect(root / "retape.db")) as database:
        count = database.execute("select count(*) from bars").fetchone()[0]
    assert count >= len(of(BarClosed, root)) > len(NAMES)
    for command in (["inspect", next(root.glob("2*")), "--type", "InstrumentListed"], ["bars", root]):
        shown = engine(*command)
        assert shown.code == 0, shown.err
        assert shown.out.replace("\n", "").isprintable()


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


HOSTILE = "a [/red] \x1b[2J\x1b]0;title\x07 \u202ecba\nnext"
SHOWN = "a [/red] \\x1b[2J\\x1b]0;title\\x07 \\u202ecba\\nnext"


@pytest.mark.parametrize("terminal", [False, True])
def test_v06_words_of_a_venue_in_a_result_are_escaped_and_never_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "200")
    table([("halted", HOSTILE)])
    assert capsys.readouterr().out.rstrip() == f"halted  {SHOWN}"


def test_v06_words_of_a_venue_in_a_line_of_a_session_are_escaped() -> None:
    written: list[str] = []

    class Stream:
        def write(self, text: str) -> None:
            written.append(text)

        def flush(self) -> None:
            pass

        def fileno(self) -> int:
            raise OSError

    console = Console(Stream())  # type: ignore[arg-type]
    console.put(HOSTILE)
    console.close(60)
    assert written == [f"{SHOWN}\n"]


def ended_by(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Done:
    """Run a command that raises."""

    def raising(**options: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "cli", raising)
    assert sys.argv
    return engine("live")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("x"), 1, "engine: internal error: ValueError: x"),
        (OverflowError(HOSTILE), 1, f"engine: internal error: OverflowError: {SHOWN}"),
        (ExceptionGroup("g", [ValueError("x"), KeyError("y")]), 1, "engine: internal error: ValueError: x"),
        (
            ExceptionGroup("g", [VenueUnreachable("v"), ExceptionGroup("h", [OverflowError("big")])]),
            1,
            "engine: internal error: OverflowError: big",
        ),
        (ExceptionGroup("g", [ExceptionGroup("h", [VenueUnreachable("v")])]), 5, "engine: v"),
        (ExceptionGroup("g", [SafetyRefusal("no"), VenueUnreachable("v")]), 6, "engine: no"),
        (JournalDamaged("r", file="f", offset=1, seq=2), 4, "engine: f: damaged at offset 1 (seq 2): r"),
        (VenueUnreachable("\x1b[2J"), 5, "engine: \\x1b[2J"),
        (RecursionError("deep"), 1, "engine: internal error: RecursionError: deep"),
        (MemoryError(), 1, "engine: internal error: MemoryError: "),
        (ValueError("x" * 10_000), 1, "engine: internal error: ValueError: " + "x" * 388),
        (BaseExceptionGroup("g", [ValueError("x"), KeyboardInterrupt()]), 1, cli.stopping.STOPPED),
    ],
)
def test_every_error_is_one_line_and_the_right_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    """V02: in a group of errors too; an error that nobody expected says how to report it."""
    done = ended_by(error, monkeypatch)
    first, *more = done.err.splitlines()
    assert (done.code, first) == (code, line)
    assert [one[:22] for one in more] == (["this is a bug in the e"] if "internal" in line else [])
