"""`make sample`: records the sample day `journal/2024-12-05/` again.

Runs a live session: the sandbox exchange plays its synthetic market with the times of the tape, `engine live`
trades on it over the websocket, and the recorded day is sealed and copied to its place. No data of a real
market is involved. Two samples differ in their times of receipt, but not in their market data. What commands
print about the day is written into the README.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import replay
from engine.events import InstrumentListed, OrderFilled
from engine.journal import seal_day
from engine.records import read_records

DAY = "2024-12-05"
SPEED = 60
SECONDS = 75
BYTES_MAX = 3_000_000
README = Path("README.md")
FILLS = 3
"""As many fills does the README list."""
WIDTH = 150
"""Longer lines are cut there."""
EVENTS_MIN = 50_000
CONFIG = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { interval = "15s" }
[bars]
intervals = ["15s", "1m", "5m", "15m"]
grace_ms = 20
"""


def main() -> None:
    """Record into a temporary folder, check, seal, and replace the sample."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "journal"
        config = Path(scratch) / "sample.toml"
        config.write_text(CONFIG, encoding="utf-8")
        engine = [sys.executable, "-P", "-m", "engine"]
        sandbox = subprocess.Popen(
            [
                *engine,
                "sandbox",
                "--port",
                "0",
                "--clock",
                "tape",
                "--speed",
                str(SPEED),
                "--json",
                "--until-eof",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert sandbox.stdout is not None
            base_url = json.loads(sandbox.stdout.readline())["base_url"]
            print(f"recording {SECONDS} s of the sandbox at {SPEED} times real time ...")
            options = ["--venue", "hyperliquid", "--base-url", base_url, "--for", f"{SECONDS}s", "--no-db"]
            command = [*engine, "live", *options, "--journal", str(root), "--config", str(config)]
            subprocess.run(command, check=True)
        finally:
            sandbox.terminate()
            sandbox.wait()
        day = root / DAY
        seal_day(day, newest=True)
        _check(day)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(day, target)
    _show(target, README)
    report = replay.verify(target)
    print(f"{target}: {report.events:,} events, {report.verdict}, digest {report.digest}")


def _check(day: Path) -> None:
    """Exit with an error if the day does not contain what the sample should show."""
    instruments = fills = events = 0
    for _, _, event in read_records(day):
        events += 1
        instruments += isinstance(event, InstrumentListed)
        fills += isinstance(event, OrderFilled)
    size = sum(path.stat().st_size for path in day.iterdir())
    print(f"{events:,} events, {instruments} instruments, {fills} fills, {size:,} bytes")
    if events < EVENTS_MIN or instruments != 3 or not fills or size > BYTES_MAX:
        raise SystemExit(
            f"unsuitable as a sample: it needs at least {EVENTS_MIN:,} events, 3 instruments, "
            f"fills, and at most {BYTES_MAX:,} bytes"
        )


def _show(day: Path, page: Path) -> None:
    """Write into the README what commands print: the causes of one of the day's first fills, its replay."""
    fills = [seq for seq, _, event in read_records(day) if isinstance(event, OrderFilled)][:FILLS]
    chains = {seq: _printed("why", str(day), str(seq)).splitlines() for seq in fills}
    seq = min(fills, key=lambda fill: len(chains[fill]))
    chain = [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in chains[seq]]
    text = page.read_text(encoding="utf-8")
    text = re.sub(rf"(?<=engine why {day} )[0-9]+", str(seq), text)
    text = _with_block(text, "Z  #", "\n".join(chain))
    text = _with_block(text, f"{day}: ", _printed("replay", str(day)).strip())
    page.write_text(text, encoding="utf-8")


def _printed(*args: str) -> str:
    """Return what `engine ARGS` prints."""
    command = [sys.executable, "-P", "-m", "engine", *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _with_block(text: str, holds: str, words: str) -> str:
    """Return a page with other words in the one block of text whose first line has `holds`."""
    found = re.compile(rf"(?<=```text\n)[^\n`]*{re.escape(holds)}[^`]*(?=\n```)")
    text, count = found.subn(lambda _: words, text)
    assert count == 1, f"{count} blocks of text with {holds!r}"
    return text


if __name__ == "__main__":
    main()
