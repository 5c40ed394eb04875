"""However trades are split into files, files into imports, and what was killed: the days are the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.clock import DAY_NS, day_start_ns
from engine.events import Candle, Event, InstrumentListed, Trade
from engine.journal import Disk, verify_day
from engine.values import format_scaled

from .kit import Imports

START_MS = day_start_ns("2024-01-30") // 1_000_000
HOUR_MS = 3_600_000
SPAN_MS = 5 * DAY_NS // 2 // 1_000_000
NAMES = ("AAA", "BBB")

Row = tuple[int, str, str, str]
"""Milliseconds, price, size, id."""


class Killed(BaseException):
    """The process is killed here."""


@st.composite
def instruments(draw: st.DrawFn, *, kind: str) -> list[list[Row]]:
    """Rows of one instrument, split into files: trades with ids, trades without, or candles of an hour."""
    ids = kind != "places"
    step = HOUR_MS if kind == "candles" else 1
    count = st.integers(0, SPAN_MS // step).map(lambda number: number * step)
    times = draw(st.lists(count, min_size=1, max_size=24, unique=kind != "ids"))
    rows = [
        (
            START_MS + ms,
            draw(st.sampled_from(["100", "100.5", "99.75", "101.125"])),
            draw(st.sampled_from(["1", "0.5", "2.25", "3"])),
            str(number) if kind == "ids" else "",
        )
        for number, ms in enumerate(sorted(times), 1)
    ]
    if ids:
        files: list[list[Row]] = [[], [], []]
        for row in rows:
            for at in draw(st.sets(st.integers(0, 2), min_size=1, max_size=2)):
                files[at].append(row)
    else:
        cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
        files = [rows[first:last] for first, last in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return [file for file in files if file]


def text_of(rows: list[Row], kind: str) -> str:
    if kind == "candles":
        lines = [f"{ms},{price},{price},{price},{price},{size}\n" for ms, price, size, _ in rows]
        return "time,open,high,low,close,volume\n" + "".join(lines)
    return "time,price,size,id\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def decimals(events: list[Event]) -> list[tuple[object, ...]]:
    """Return events with names and decimals instead of numbers and scales."""
    listed = {one.instrument: one for one in events if isinstance(one, InstrumentListed)}
    found: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, Trade):
            one = listed[event.instrument]
            price, size = (
                format_scaled(event.price, one.price_scale),
                format_scaled(event.size, one.size_scale),
            )
            found.append((one.name, event.recv_ns, float(price), float(size), event.trade_id))
        elif isinstance(event, Candle):
            one = listed[event.instrument]
            close, volume = (
                format_scaled(event.close, one.price_scale),
                int(event.volume) / 10**one.size_scale,
            )
            found.append((one.name, event.recv_ns, event.start_ns, float(close), volume))
    return found


def load(imports: Imports, paths: list[Path], kill_at: int, options: dict[str, Any]) -> None:
    """Import, killed at a rename first if there are so many."""
    rename = Disk.rename
    left = kill_at

    def killing(self: Disk, source: Path, target: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        rename(self, source, target)

    Disk.rename = killing  # type: ignore[method-assign]
    try:
        imports.load_all(paths, **options)
    except Killed:
        pass
    finally:
        Disk.rename = rename  # type: ignore[method-assign]
    imports.load_all(paths, **options)


@given(st.data(), st.sampled_from(["ids", "places", "candles"]), st.booleans())
def test_any_split_into_files_and_imports_gives_the_same_days(
    data: st.DataObject, kind: str, measured: bool
) -> None:
    form = "1h" if kind == "candles" else "trades"
    options: dict[str, Any] = {"venue": "binance"}
    if not measured:
        options |= {"price_decimals": 3, "size_decimals": 2}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "whole").mkdir()
        (folder / "parts").mkdir()
        whole, parts = Imports(folder / "whole"), Imports(folder / "parts")
        paths, split = [], []
        for instrument in NAMES:
            files = data.draw(instruments(kind=kind))
            rows = sorted({row for file in files for row in file}, key=lambda row: (row[0], int(row[3] or 0)))
            paths.append(whole.write(text_of(rows, kind), f"{instrument}-{form}.csv"))
            for at, file in enumerate(files, 1):
                split.append(parts.write(text_of(file, kind), f"{instrument}-{form}-2024-01-0{at}.csv"))
        report = whole.load_all(paths, **options)
        order = data.draw(st.permutations(split))
        groups: list[list[Path]] = [[]]
        for path in order:
            groups[-1].append(path)
            if data.draw(st.booleans()):
                groups.append([])
        for group in groups:
            if group:
                load(parts, group, data.draw(st.integers(0, 4)), options)
        assert parts.days() == whole.days() == list(report.days)
        for day in report.days:
            assert decimals(parts.events(day)) == decimals(whole.events(day))
            if not measured:
                assert verify_day(parts.journal / day).digest.hex() == report.digests[day]
        again = parts.load_all(split, **options)
        assert again.unchanged == report.days
        assert (again.trades, again.candles) == (report.trades, report.candles)


IMPORT = """
import sys
from pathlib import Path
from adapters.files import import_files
import_files([Path(sys.argv[1])], venue="v", instrument="COIN", journal=Path(sys.argv[2]))
"""


def test_an_import_that_is_killed_leaves_whole_days_and_is_completed_by_the_same_import(
    tmp_path: Path,
) -> None:
    """Real processes and SIGKILL, at several moments."""
    imports = Imports(tmp_path)
    rows = [f"{START_MS + day * 86_400_000},10,12,9,11.5,{day}" for day in range(600)]
    path = imports.write("time,open,high,low,close,volume\n" + "\n".join(rows) + "\n", "daily.csv")
    whole = imports.load(path, journal=tmp_path / "whole", venue="v").digests
    assert len(whole) == 600
    seen = set()
    for staged in (1, 100, 400, 600):
        with subprocess.Popen(
            [sys.executable, "-c", IMPORT, str(path), str(imports.journal)], cwd=Path(__file__).parents[2]
        ) as process:
            staging = imports.journal / ".staging"
            while process.poll() is None and (not staging.exists() or len(names(staging)) < staged):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=300)
        for day in names(imports.journal):
            if day != ".staging":
                assert verify_day(imports.journal / day).digest.hex() == whole[day]
                seen.add(day)
    report = imports.load(path, venue="v")
    assert report.digests == whole
    assert set(report.unchanged) == seen
    assert imports.days() == sorted(whole)


def names(folder: Path) -> list[str]:
    """Return what is in a folder, nothing if it is not there any more."""
    with suppress(FileNotFoundError):
        return sorted(path.name for path in folder.iterdir())
    return []
